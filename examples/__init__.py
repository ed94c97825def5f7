"""Programs of one file each, to read and to copy."""

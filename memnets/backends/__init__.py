"""What runs the steps of a layer over a sequence: see docs/backends.md."""

"""Other packages' calls and checkpoints, on the layers of memnets."""

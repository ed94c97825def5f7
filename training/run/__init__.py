"""One run: its folder, its state, its loop, and how it ends."""

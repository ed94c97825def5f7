"""What a trained memory does: a record of every weighting and gate, and pictures of it."""

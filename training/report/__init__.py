"""Where the progress of a run goes: the terminal, and Weights & Biases."""

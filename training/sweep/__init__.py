"""A sweep on this machine: `python -m training.sweep sweeps/copy.yaml`."""

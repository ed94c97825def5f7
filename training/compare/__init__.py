"""Compare the runs of some folders: `python -m training.compare runs/`."""

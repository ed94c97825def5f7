"""What a run computes on: device, processes, signals, versions."""

"""The trainer behind train.py: configuration, loop, checkpoints, tracking and evaluation."""

"""The models that the trainer knows: each registers itself, memories before what they meet."""

from training.baselines import memory  # noqa: I001 - in the order of the tables
from training.baselines import lstm, rnn, transformer

__all__ = ["lstm", "memory", "rnn", "transformer"]

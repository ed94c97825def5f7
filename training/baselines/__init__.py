"""Networks without a memory that the models are compared with; each registers itself."""

from training.baselines import lstm, transformer

__all__ = ["lstm", "transformer"]

"""Networks without a memory that the models are compared with; each registers itself."""

from training.baselines import lstm

__all__ = ["lstm"]

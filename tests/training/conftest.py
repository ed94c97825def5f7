"""Each test runs in a folder of its own, with a W&B that nobody is logged in to."""

from tests.offline import lonely_wandb

__all__ = ["lonely_wandb"]

"""The seeds of a run's generators."""

from __future__ import annotations

import numpy as np


def seeds(seed: int) -> tuple[int, int, int]:
    """Independent seeds for the weights, the training sequences and the evaluation sequences."""
    weights, data, evaluation = np.random.SeedSequence(seed).generate_state(3).tolist()
    return weights, data, evaluation

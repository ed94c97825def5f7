"""Confidence intervals of means over evaluated sequences."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
QUANTILE = 1.959964  # of the standard normal distribution, for that level
RESAMPLES = 2000


class Estimate(NamedTuple):
    """A mean and its 95% confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap(groups: list[np.ndarray], seed: int = 0) -> Estimate:
    """The mean over all values, with the interval that resampling whole groups gives.

    Sequences of one batch share their length, so where lengths differ the batch is what was drawn
    independently; a group of one value each is the ordinary bootstrap. The interval is made of the
    2.5% and 97.5% quantiles of 2,000 resampled means. It is empty if all values are the same, as
    when nothing is wrong: the interval of the rate of exact answers then says how sure that is.

    Raises:
        ValueError: there is no value.

    >>> bootstrap([np.array([0.0]), np.array([1.0])])
    Estimate(mean=0.5, low=0.0, high=1.0)
    """
    if sum(map(len, groups)) == 0:
        raise ValueError("a mean needs at least one value")
    sums = np.array([group.sum() for group in groups])
    counts = np.array([float(len(group)) for group in groups])
    generator = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        drawn = generator.integers(len(groups), size=len(groups))
        means[index] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(sums.sum() / counts.sum()), float(low), float(high))


def wilson(successes: int, trials: int) -> Estimate:
    """A rate, with Wilson's score interval, which is right for none and for all as well.

    Raises:
        ValueError: successes is not from 0 to trials, or there is no trial.

    >>> rate = wilson(100, 100)
    >>> rate.mean, round(rate.low, 3), rate.high
    (1.0, 0.963, 1.0)
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"successes must be from 0 to trials, got {successes} of {trials}")
    rate, z = successes / trials, QUANTILE**2 / trials
    middle = (rate + z / 2) / (1 + z)
    half = math.sqrt(z * (rate * (1 - rate) + z / 4)) / (1 + z)
    # Rounding would leave a rate of 1 just outside.
    return Estimate(rate, max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half)))

"""What a model shows of each head beside its weighting, as data: `heads_figure` draws it.

Axes: T time, N memory slots.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Lines(NamedTuple):
    """Numbers over time, one line each."""

    label: str
    values: dict[str, Tensor]
    """[T] by the name in the legend; at most two"""
    limits: tuple[float, float] | None = None
    """of the axis; None: those of the values"""


class Slots(NamedTuple):
    """A number of each slot over time, as an image."""

    label: str
    values: Tensor
    """[T, N]"""


class Shares(NamedTuple):
    """Numbers over time that sum to 1, stacked."""

    label: str
    values: dict[str, Tensor]
    """[T] by the name in the legend; at most three"""


Panel = Lines | Slots | Shares

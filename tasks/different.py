"""Lists of bits that are all different, for tasks that ask for one of a list."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.base import random_bits


def different_bits(shape: tuple[int, ...], axis: int, generator: torch.Generator) -> Tensor:
    """Bits [..., n] of a shape, different along an axis, uniform over all that are.

    Args:
        shape: of the result; n, the last, is how many bits an entry has.
        axis: along which the entries differ; it has at most 2^n of them, else this has no end.
        generator: decides alone.

    >>> bits = different_bits((4, 3, 2), 0, torch.Generator().manual_seed(0))
    >>> sorted(bits[:, 0].tolist())
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    bits = random_bits(shape, generator)
    while True:
        repeated = _repeated(bits, axis)
        if not repeated.any():
            return bits
        # Redrawing only these treats all entries alike, so every list stays equally likely.
        bits[repeated] = random_bits((int(repeated.sum()), shape[-1]), generator)


def _repeated(bits: Tensor, axis: int) -> Tensor:
    """Whether an entry is equal to one before it along the axis: bool [...], without the bits."""
    ordered, place = _numbers(bits).sort(dim=axis, stable=True)
    count = ordered.shape[axis] - 1
    same = ordered.narrow(axis, 1, count) == ordered.narrow(axis, 0, count)
    repeated = torch.zeros_like(ordered, dtype=torch.bool)
    return repeated.scatter_(axis, place.narrow(axis, 1, count), same)


def _numbers(bits: Tensor) -> Tensor:
    """Whole numbers [...], the same where the bits [..., n] of two entries are the same."""
    size = bits.shape[-1]
    if size <= 62:
        return (bits.long() << torch.arange(size, device=bits.device)).sum(-1)
    return torch.unique(bits.flatten(0, -2), dim=0, return_inverse=True)[1].view(bits.shape[:-1])

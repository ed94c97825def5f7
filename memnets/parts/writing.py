"""Reading and writing a memory by weightings over its slots.

Axes: B batch, N memory slots, W word, R read heads, H write heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from memnets.checks import check_name
from memnets.interface import ADD_RANGES, Field, Table, unit
from memnets.parts.registry import register


def product(factors: Tensor, dim: int) -> Tensor:
    """Multiply along a short axis; unlike that of `torch.prod`, the gradient has no branch at 0."""
    return reduce(torch.mul, factors.unbind(dim))


def read(memory: Tensor, weights: Tensor) -> Tensor:
    """Read vectors r = M^T w (NTM eq. 2; DNC Methods, "Memory reading").

    Args:
        memory: [B, N, W].
        weights: read weightings [B, R, N], each summing to at most 1.

    Returns:
        Read vectors [B, R, W].

    >>> read(torch.eye(3)[None], torch.tensor([[[0.0, 1.0, 0.0]]]))
    tensor([[[0., 1., 0.]]])
    """
    return torch.bmm(weights, memory)


def write(memory: Tensor, weights: Tensor, erase_vectors: Tensor, add_vectors: Tensor) -> Tensor:
    """Erase, then add: M <- M * (1 - w e^T) + w a^T (NTM eq. 3 and 4; DNC Methods).

    With several heads all erase before any adds: the erase factors multiply, the additions sum,
    so that the result does not depend on the order of the heads.

    Args:
        memory: [B, N, W].
        weights: write weightings [B, H, N].
        erase_vectors: [B, H, W] in [0, 1].
        add_vectors: [B, H, W] (the DNC calls them write vectors).

    Returns:
        The memory after the write, [B, N, W].

    >>> one_hot = torch.tensor([[[1.0, 0.0]]])
    >>> write(torch.ones(1, 2, 3), one_hot, torch.ones(1, 1, 3), torch.full((1, 1, 3), 5.0))
    tensor([[[5., 5., 5.],
             [1., 1., 1.]]])
    """
    if weights.shape[1] == 1:  # M + w (a - M e)^T, the same in fewer operations
        return torch.addcmul(memory, weights.transpose(1, 2), add_vectors - memory * erase_vectors)
    one = memory.new_ones(())
    for w, e in zip(weights.split(1, dim=1), erase_vectors.split(1, dim=1), strict=True):
        memory = memory * torch.baddbmm(one, w.transpose(1, 2), e, alpha=-1)
    return torch.baddbmm(memory, weights.transpose(1, 2), add_vectors)


class WriteVectors(NamedTuple):
    """What all write heads together write: two tensors [B, H, W]."""

    erase_vectors: Tensor
    add_vectors: Tensor


@register
@dataclass(frozen=True, kw_only=True)
class EraseAdd:
    """Erase, then add: `write` (NTM eq. 3 and 4).

    Raises:
        ValueError: if `add_range` is not a known range.
    """

    add_range: Literal["bounded", "real"] = "bounded"
    """range of the add vectors: within [-1, 1] by a tanh, so that a memory grows by at most a
    constant in a step and not with what was read, or any number"""

    def __post_init__(self) -> None:
        check_name("add_range", self.add_range, ADD_RANGES)

    def table(self, write_heads: int, word_size: int) -> Table:
        """Erase and add vectors [B, H, W]."""
        fields = {
            "erase_vectors": Field((write_heads, word_size), unit),
            "add_vectors": Field((write_heads, word_size), ADD_RANGES[self.add_range]),
        }
        return Table(WriteVectors, fields)

    def write(self, memory: Tensor, weights: Tensor, vectors: WriteVectors) -> Tensor:
        """The memory [B, N, W] after a write by weightings [B, H, N]."""
        return write(memory, weights, vectors.erase_vectors, vectors.add_vectors)

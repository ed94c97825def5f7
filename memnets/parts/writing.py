"""Reading and writing a memory by weightings over its slots.

Axes: B batch, N memory slots, W word, R read heads, H write heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from memnets.interface import Field, Table, unit
from memnets.parts.registry import register
from memnets.parts.rules import Rule, one_by_one


def read(memory: Tensor, weights: Tensor) -> Tensor:
    """Read vectors r = M^T w (NTM eq. 2; DNC Methods, "Memory reading").

    A memory [B, N, W] and weightings [B, R, N], each summing to at most 1, give vectors [B, R, W].

    >>> read(torch.eye(3)[None], torch.tensor([[[0.0, 1.0, 0.0]]]))
    tensor([[[0., 1., 0.]]])
    """
    return torch.bmm(weights, memory)


def write(memory: Tensor, weights: Tensor, erase_vectors: Tensor, add_vectors: Tensor) -> Tensor:
    """Erase, then add: M <- M * (1 - w e^T) + w a^T (NTM eq. 3 and 4; DNC Methods).

    All heads erase before any adds, whatever their order: factors multiply, additions sum.

    Args:
        memory: [B, N, W], as what is returned.
        weights: write weightings [B, H, N].
        erase_vectors: [B, H, W] in [0, 1].
        add_vectors: [B, H, W] (the DNC calls them write vectors).

    >>> one_hot = torch.tensor([[[1.0, 0.0]]])
    >>> write(torch.ones(1, 2, 3), one_hot, torch.ones(1, 1, 3), torch.full((1, 1, 3), 5.0))
    tensor([[[5., 5., 5.],
             [1., 1., 1.]]])
    """
    if weights.shape[1] == 1:  # M + w (a - M e)^T, the same in fewer operations
        return torch.addcmul(memory, weights.transpose(1, 2), add_vectors - memory * erase_vectors)
    one = memory.new_ones(())
    for w, e in one_by_one(weights, erase_vectors):
        memory = memory * torch.baddbmm(one, w.transpose(1, 2), e, alpha=-1)
    return torch.baddbmm(memory, weights.transpose(1, 2), add_vectors)


class WriteVectors(NamedTuple):
    """What all write heads together write: two tensors [B, H, W]."""

    erase_vectors: Tensor
    add_vectors: Tensor


@register
@dataclass(frozen=True, kw_only=True)
class EraseAdd(Rule):
    """Erase, then add: `write` (NTM eq. 3 and 4).

    Raises:
        ValueError: if `add_range` is not a known range.
    """

    def table(self, write_heads: int, word_size: int) -> Table:
        """Erase and add vectors [B, H, W]."""
        fields = {
            "erase_vectors": Field((write_heads, word_size), unit),
            "add_vectors": self.added(write_heads, word_size),
        }
        return Table(WriteVectors, fields)

    def write(self, memory: Tensor, weights: Tensor, vectors: WriteVectors) -> Tensor:
        """The memory [B, N, W] after a write by weightings [B, H, N]."""
        return write(memory, weights, vectors.erase_vectors, vectors.add_vectors)

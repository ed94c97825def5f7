"""By a delta rule that erases and writes each number of a word by gates of its own (GDN-2).

Axes: B batch, N memory slots, W word, H write heads. Hatamizadeh et al. 2026, arXiv 2605.22791.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from memnets.interface import Field, Table, unit
from memnets.parts.registry import register
from memnets.parts.rules import Rule, one_by_one


class GatedDelta2Vectors(NamedTuple):
    """What `GatedDelta2` takes: four tensors [B, H, W], all but the first in [0, 1]."""

    add_vectors: Tensor
    write_gates: Tensor
    erase_gates: Tensor
    decays: Tensor


def gated_delta_2(memory: Tensor, weights: Tensor, vectors: GatedDelta2Vectors) -> Tensor:
    """Write M <- M * a, then M <- M + w (g * v - e * (w^T M))^T, head after head.

    Decay a, write gate g and erase gate e are those of the paper, which has a and e for each number
    of the key. Here the key is a weighting over slots, of which there may be any number, so that
    they are for each number of the word, as g is. Where they are one number each, this is the
    paper's rule; where e and g are one number beta, the gated delta rule.

    The memory is [B, N, W], the weightings w are [B, H, N].

    >>> one_hot, one = torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, 3)
    >>> gate = torch.tensor([[[0.0, 0.5, 1.0]]])
    >>> gated_delta_2(torch.ones(1, 2, 3), one_hot, GatedDelta2Vectors(5 * one, gate, one, one))
    tensor([[[0.0000, 2.5000, 5.0000],
             [1.0000, 1.0000, 1.0000]]])
    """
    for w, v, gate, erase, decay in one_by_one(weights, *vectors):
        memory = decay * memory
        change = gate * v - erase * torch.bmm(w, memory)
        memory = torch.baddbmm(memory, w.transpose(1, 2), change)
    return memory


@register
@dataclass(frozen=True, kw_only=True)
class GatedDelta2(Rule):
    """Write with gates for each number of a word: `gated_delta_2` (arXiv 2605.22791).

    Raises:
        ValueError: if `add_range` is not a known range, or the bias is not a finite number.
    """

    decay_bias: float = 4.0
    """added to the initial bias of the decays: with 4, a step starts by leaving 0.98 of all"""

    def table(self, write_heads: int, word_size: int) -> Table:
        """Add vectors, write gates, erase gates and decays [B, H, W]."""
        shape = (write_heads, word_size)
        gates = {"write_gates": Field(shape, unit), "erase_gates": Field(shape, unit)}
        added = self.added(*shape)
        fields = {"add_vectors": added, **gates, "decays": Field(shape, unit, self.decay_bias)}
        return Table(GatedDelta2Vectors, fields)

    def write(self, memory: Tensor, weights: Tensor, vectors: GatedDelta2Vectors) -> Tensor:
        """The memory [B, N, W] after a write by weightings [B, H, N]."""
        return gated_delta_2(memory, weights, vectors)

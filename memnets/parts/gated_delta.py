"""By the gated delta rule: the whole memory decays, then the delta rule writes (Gated DeltaNet).

Axes: B batch, N memory slots, W word, H write heads. Yang et al. 2024, arXiv 2412.06464.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from memnets.interface import Field, Table, unit
from memnets.parts.delta_rule import delta_rule
from memnets.parts.registry import register
from memnets.parts.rules import Rule, one_by_one


def gated_delta(
    memory: Tensor, weights: Tensor, add_vectors: Tensor, rates: Tensor, decays: Tensor
) -> Tensor:
    """Write M <- alpha M, then M <- M + beta w (v - w^T M)^T, head after head (eq. 10).

    Args:
        memory: [B, N, W].
        weights: write weightings w, [B, H, N].
        add_vectors: v, [B, H, W].
        rates: beta, [B, H] in [0, 1].
        decays: alpha, [B, H] in [0, 1], the share that is left; 1 is the delta rule.

    Returns:
        The memory after the write, [B, N, W].

    >>> import torch
    >>> one_hot, half = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[0.5]])
    >>> gated_delta(torch.ones(1, 2, 3), one_hot, torch.full((1, 1, 3), 5.0), half, half)
    tensor([[[2.7500, 2.7500, 2.7500],
             [0.5000, 0.5000, 0.5000]]])
    """
    for w, v, rate, decay in one_by_one(weights, add_vectors, rates, decays):
        memory = delta_rule(decay * memory, w, v, rate)
    return memory


class GatedDeltaVectors(NamedTuple):
    """What `GatedDelta` takes: add vectors [B, H, W], rates and decays [B, H]."""

    add_vectors: Tensor
    rates: Tensor
    decays: Tensor


@register
@dataclass(frozen=True, kw_only=True)
class GatedDelta(Rule):
    """Write by the gated delta rule: `gated_delta` (Yang et al. 2024, eq. 10).

    Raises:
        ValueError: if `add_range` is not a known range, or the bias is not a finite number.
    """

    decay_bias: float = 4.0
    """added to the initial bias of the decays: with 4, a step starts by leaving 0.98 of all"""

    def table(self, write_heads: int, word_size: int) -> Table:
        """Add vectors [B, H, W], rates and decays [B, H]."""
        added = self.added(write_heads, word_size)
        rates, decays = Field((write_heads,), unit), Field((write_heads,), unit, self.decay_bias)
        return Table(GatedDeltaVectors, {"add_vectors": added, "rates": rates, "decays": decays})

    def write(self, memory: Tensor, weights: Tensor, vectors: GatedDeltaVectors) -> Tensor:
        """The memory [B, N, W] after a write by weightings [B, H, N]."""
        return gated_delta(memory, weights, *vectors)

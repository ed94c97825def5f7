"""By the delta rule: what a slot holds moves toward what is to be there (DeltaNet).

Axes: B batch, N memory slots, W word, H write heads.

Schlag et al. 2021, arXiv 2102.11174; Yang et al. 2024, arXiv 2406.06484.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from memnets.interface import Field, Table, unit
from memnets.parts.registry import register
from memnets.parts.rules import Rule, one_by_one


def delta_rule(memory: Tensor, weights: Tensor, add_vectors: Tensor, rates: Tensor) -> Tensor:
    """Write M <- M + beta w (v - w^T M)^T, head after head (Schlag et al. 2021, 4.2).

    The memory is the fast-weight matrix, the weighting w its key and the add vector v its value: a
    step of gradient descent on `|w^T M - v|^2 / 2`. With a one-hot w, a rate of 1
    replaces the slot.

    Args:
        memory: [B, N, W].
        weights: write weightings [B, H, N]; of norm at most 1, so that errors do not grow.
        add_vectors: v, [B, H, W].
        rates: beta, [B, H] in [0, 1].

    Returns:
        The memory after the write, [B, N, W].

    >>> one_hot, half = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[0.5]])
    >>> delta_rule(torch.ones(1, 2, 3), one_hot, torch.full((1, 1, 3), 5.0), half)
    tensor([[[3., 3., 3.],
             [1., 1., 1.]]])
    """
    for w, v, rate in one_by_one(weights, add_vectors, rates):
        memory = torch.baddbmm(memory, w.transpose(1, 2), rate * (v - torch.bmm(w, memory)))
    return memory


class DeltaRuleVectors(NamedTuple):
    """What `DeltaRule` takes: add vectors [B, H, W], rates [B, H]."""

    add_vectors: Tensor
    rates: Tensor


@register
@dataclass(frozen=True, kw_only=True)
class DeltaRule(Rule):
    """Write by the delta rule: `delta_rule` (Schlag et al. 2021; Yang et al. 2024).

    Raises:
        ValueError: if `add_range` is not a known range.
    """

    def table(self, write_heads: int, word_size: int) -> Table:
        """Add vectors [B, H, W] and rates [B, H]."""
        added = self.added(write_heads, word_size)
        return Table(DeltaRuleVectors, {"add_vectors": added, "rates": Field((write_heads,), unit)})

    def write(self, memory: Tensor, weights: Tensor, vectors: DeltaRuleVectors) -> Tensor:
        """The memory [B, N, W] after a write by weightings [B, H, N]."""
        return delta_rule(memory, weights, vectors.add_vectors, vectors.rates)

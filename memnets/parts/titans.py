"""By gradient descent with momentum on what a read of the memory misses (Titans).

Axes: B batch, N memory slots, W word, H write heads. Behrouz et al. 2025, arXiv 2501.00663.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from memnets.interface import Field, Table, half, unit
from memnets.parts.registry import register
from memnets.parts.rules import Rule, one_by_one


class TitansVectors(NamedTuple):
    """What `Titans` takes: add vectors [B, H, W], rates, momenta and forget gates [B, H]."""

    add_vectors: Tensor
    rates: Tensor
    momenta: Tensor
    forget_gates: Tensor


def titans(
    memory: Tensor, weights: Tensor, vectors: TitansVectors, momentum: Tensor
) -> tuple[Tensor, Tensor]:
    """Write `S <- eta S - theta grad |w^T M - v|^2, M <- (1 - alpha) M + S` (section 3.1).

    The gradient is 2 w (w^T M - v)^T, at the memory M [B, N, W] before the write, of which S is the
    momentum; heads write one after another. Without momentum eta and forgetting alpha this is the
    delta rule, with beta twice the rate theta; with more than 1/2 a step would go past the end of
    the gradient. The paper's memory is any network, this one linear.

    >>> one_hot, one = torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1)
    >>> vectors = TitansVectors(torch.full((1, 1, 3), 5.0), one / 4, 0 * one, 0 * one)
    >>> titans(torch.ones(1, 2, 3), one_hot, vectors, torch.zeros(1, 2, 3))[0].tolist()
    [[[3.0, 3.0, 3.0], [1.0, 1.0, 1.0]]]
    """
    for w, v, rate, keep, forget in one_by_one(weights, *vectors):
        step = 2 * rate * (v - torch.bmm(w, memory))
        momentum = torch.baddbmm(keep * momentum, w.transpose(1, 2), step)
        memory = (1 - forget) * memory + momentum
    return memory, momentum


@register
@dataclass(frozen=True, kw_only=True)
class Titans(Rule):
    """Write by gradient descent with momentum: `titans` (Behrouz et al. 2025, section 3.1).

    Raises:
        ValueError: if `add_range` is not a known range, or the bias is not a finite number.
    """

    forget_bias: float = -4.0
    """added to the initial bias of the forget gates: with -4, they start at 0.02"""

    def table(self, write_heads: int, word_size: int) -> Table:
        """Add vectors [B, H, W], rates, momenta and forget gates [B, H]."""
        fields = {
            "add_vectors": self.added(write_heads, word_size),
            "rates": Field((write_heads,), half),
            "momenta": Field((write_heads,), unit),
            "forget_gates": Field((write_heads,), unit, self.forget_bias),
        }
        return Table(TitansVectors, fields)

    def initial_state(self, memory: Tensor) -> Tensor:
        """No momentum before the first step: zeros [B, N, W]."""
        return torch.zeros_like(memory)

    def write(
        self, memory: Tensor, weights: Tensor, vectors: TitansVectors, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The memory [B, N, W] after a write by weightings [B, H, N], and the momentum."""
        return titans(memory, weights, vectors, state)

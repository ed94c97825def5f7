"""By gradient descent with momentum on what a read of the memory misses (Titans).

Axes: B batch, N memory slots, W word, H write heads. Behrouz et al. 2025, arXiv 2501.00663.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from memnets.checks import check_name, check_numbers
from memnets.interface import ADD_RANGES, Field, Table, unit
from memnets.parts.delta_rule import one_by_one
from memnets.parts.registry import register


def half(x: Tensor) -> Tensor:
    """A number in [0, 1/2], with which no step of the gradient goes past its end."""
    return torch.sigmoid(x) / 2


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
    delta rule, with beta twice the rate theta. The paper's memory is any network, this one linear.
    """
    added, *gates = vectors
    heads = one_by_one(weights, added, *(gate[..., None] for gate in gates))
    for w, v, rate, keep, forget in heads:
        step = 2 * rate * (v - torch.bmm(w, memory))
        momentum = torch.baddbmm(keep * momentum, w.transpose(1, 2), step)
        memory = (1 - forget) * memory + momentum
    return memory, momentum


@register
@dataclass(frozen=True, kw_only=True)
class Titans:
    """Write by gradient descent with momentum: `titans` (Behrouz et al. 2025, section 3.1).

    Raises:
        ValueError: if `add_range` is not a known range, or the bias is not a finite number.
    """

    add_range: Literal["bounded", "real"] = "bounded"
    """range of the add vectors: see `EraseAdd`"""
    forget_bias: float = -4.0
    """added to the initial bias of the forget gates: with -4, they start at 0.02"""

    def __post_init__(self) -> None:
        check_name("add_range", self.add_range, ADD_RANGES)
        check_numbers(forget_bias=self.forget_bias)

    def table(self, write_heads: int, word_size: int) -> Table:
        """Add vectors [B, H, W], rates, momenta and forget gates [B, H]."""
        fields = {
            "add_vectors": Field((write_heads, word_size), ADD_RANGES[self.add_range]),
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

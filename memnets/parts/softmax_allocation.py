"""Which slots are free, without a sort: a softmax of how little each is used.

Axes: B batch, N memory slots, W word, R read heads, H write heads.
Ben-Ari and Bekker 2017, "Differentiable memory allocation mechanism for neural computing" (MLSLP
2017), as its first author states it in google-deepmind/dnc, issue 11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from memnets.checks import check_name, check_numbers, check_switches
from memnets.interface import STRENGTHS, Field, Table, unit
from memnets.parts.registry import register
from memnets.parts.usage import retention, update_usage, wipe_freed


def softmax_allocation(usage: Tensor, strengths: Tensor) -> Tensor:
    """Allocation weighting a = softmax_N(strength * (1 - u)) (Ben-Ari and Bekker 2017).

    In place of the DNC's free list, whose order has no gradient. It sums to 1 also where nothing is
    free, and is spread over all slots that are used alike.

    Args:
        usage: [B, N] in [0, 1].
        strengths: [B], positive.

    Returns:
        Weighting [B, N] that sums to 1.

    >>> softmax_allocation(torch.tensor([[0.0, 1.0]]), torch.tensor([1000.0]))
    tensor([[1., 0.]])
    """
    return torch.softmax(strengths[:, None] * (1 - usage), dim=-1)


def allocate_by_softmax(usage: Tensor, strengths: Tensor, gates: Tensor) -> Tensor:
    """Allocation weightings of several write heads, head after head as `usage.allocate` does it.

    Args:
        usage: [B, N] in [0, 1].
        strengths: [B, H], positive.
        gates: [B, H] in [0, 1], how much each head will write by allocation.

    Returns:
        Weightings [B, H, N].
    """
    weights = []
    for strength, gate in zip(strengths.unbind(1), gates.unbind(1), strict=True):
        weights.append(softmax_allocation(usage, strength))
        usage = usage + (1 - usage) * gate[:, None] * weights[-1]
    return torch.stack(weights, dim=1)


class SoftmaxAllocationParameters(NamedTuple):
    """What `SoftmaxAllocation` takes: free gates [B, R], and of each write head [B, H] the rest."""

    free_gates: Tensor
    allocation_gates: Tensor
    write_gates: Tensor
    strengths: Tensor


@register
@dataclass(frozen=True, kw_only=True)
class SoftmaxAllocation:
    """Count what is in use as the DNC does, and write to what is free by `softmax_allocation`.

    Raises:
        ValueError: if a setting is out of its range.
    """

    strength: Literal["oneplus", "softplus"] = "softplus"
    """range of the strengths: above 1, or above 0"""
    strength_bias: float = 0.0
    """added to the initial bias of the strengths: at 0 a head starts by writing to all free slots
    alike, at 20 to the freest"""
    wipe: bool = False
    """wipe what is freed, so that no key finds it any more: see `memnets.parts.usage.wipe_freed`"""

    def __post_init__(self) -> None:
        check_name("strength", self.strength, STRENGTHS)
        check_numbers(strength_bias=self.strength_bias)
        check_switches(wipe=self.wipe)

    def table(self, read_heads: int, write_heads: int) -> Table:
        """The gates and strengths, of which `SoftmaxAllocationParameters` tells."""
        strengths = Field((write_heads,), STRENGTHS[self.strength], self.strength_bias)
        fields = {
            "free_gates": Field((read_heads,), unit),
            "allocation_gates": Field((write_heads,), unit),
            "write_gates": Field((write_heads,), unit),
            "strengths": strengths,
        }
        return Table(SoftmaxAllocationParameters, fields)

    def initial_state(self, memory: Tensor) -> Tensor:
        """Nothing is used before the first step: usage [B, N] for a memory [B, N, W]."""
        return memory.new_zeros(()).expand(memory.shape[:2])

    def allocate(
        self,
        parameters: SoftmaxAllocationParameters,
        usage: Tensor,
        read_weights: Tensor,
        write_weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Free what was read, count what was written, and choose among what is free.

        Args:
            parameters: gates and strengths.
            usage: [B, N] of the step before.
            read_weights, write_weights: [B, R, N] and [B, H, N] of the step before.

        Returns:
            Usage [B, N] of this step, and the allocation weightings [B, H, N].
        """
        usage = update_usage(usage, write_weights, retention(read_weights, parameters.free_gates))
        gates = parameters.write_gates * parameters.allocation_gates
        return usage, allocate_by_softmax(usage, parameters.strengths, gates)

    def free(
        self, parameters: SoftmaxAllocationParameters, memory: Tensor, read_weights: Tensor
    ) -> Tensor:
        """The memory [B, N, W] that is then written to: as it is, or wiped where it is freed."""
        if not self.wipe:
            return memory
        return wipe_freed(memory, retention(read_weights, parameters.free_gates))

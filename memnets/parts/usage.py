"""By usage: which slots are free (DNC Methods), and which were least recently used (MANN).

Axes: B batch, N memory slots, R read heads, H write heads.

DNC: Graves et al., Nature 538, 2016, Methods. MANN: Santoro et al. 2016, arXiv 1605.06065.
De-allocation that wipes: Csordas and Schmidhuber 2019, arXiv 1904.10278.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from memnets.checks import check_epsilons, check_switches
from memnets.interface import Field, Table, unit
from memnets.parts.registry import register

if TYPE_CHECKING:
    from memnets.parts.heads import NTMMemory


def product(factors: Tensor, dim: int) -> Tensor:
    """Multiply along a short axis; unlike that of `torch.prod`, the gradient has no branch at 0."""
    return reduce(torch.mul, factors.unbind(dim))


def retention(read_weights: Tensor, free_gates: Tensor) -> Tensor:
    """What the free gates keep of each slot, psi = prod_r (1 - f_r w_r(t-1)) (DNC Methods).

    Args:
        read_weights: [B, R, N] of the step before.
        free_gates: [B, R] in [0, 1].

    Returns:
        Retention [B, N] in [0, 1].
    """
    return product(1 - free_gates[..., None] * read_weights, dim=1)


def wipe_freed(memory: Tensor, retention: Tensor) -> Tensor:
    """Wipe what is freed, M_i <- psi_i M_i (Csordas and Schmidhuber 2019, section 3.2).

    In the DNC, a freed slot keeps its content until it is written to, and a key still finds it.

    Args:
        memory: [B, N, W].
        retention: [B, N] in [0, 1]: see `retention`.

    Returns:
        Memory [B, N, W].

    >>> wipe_freed(torch.ones(1, 2, 2), torch.tensor([[1.0, 0.0]]))
    tensor([[[1., 1.],
             [0., 0.]]])
    """
    return memory * retention[..., None]


def update_usage(usage: Tensor, write_weights: Tensor, retention: Tensor) -> Tensor:
    """Usage u = (u + w - u w) psi, with the weightings of the step before (DNC Methods).

    Several write heads act one after another. Computed as u + (1 - u) w, which a full write makes
    exactly 1, and which a write far below the precision of 1 still raises from 0.

    Args:
        usage: [B, N] in [0, 1].
        write_weights: [B, H, N] of the step before.
        retention: [B, N].

    Returns:
        Usage [B, N] in [0, 1].
    """
    for weights in write_weights.unbind(1):
        usage = usage + (1 - usage) * weights
    return usage * retention


def allocation(usage: Tensor, epsilon: float = 1e-6, resolution: float = 2**-16) -> Tensor:
    """Allocation weighting a[phi_j] = (1 - u[phi_j]) prod_{i<j} u[phi_i] (DNC Methods, eq. 1).

    phi lists the slots from the least to the most used; equal usage keeps the order of the slots.
    The product is computed as the exponential of an exclusive cumulative sum of logarithms. The
    order itself has no gradient, as in the paper.

    Args:
        usage: [B, N] in [0, 1].
        epsilon: usage enters the products as epsilon + (1 - epsilon) u, away from log 0.
        resolution: the order is that of usage rounded to multiples of this, so that rounding errors
            do not decide between slots that are used alike; 0 orders by usage as it is.

    Returns:
        Weighting [B, N] that sums to at most 1.

    >>> allocation(torch.tensor([[0.5, 0.0, 1.0]]), epsilon=0.0)
    tensor([[0., 1., 0.]])
    """
    rounded = torch.round(usage / resolution) if resolution else usage
    free_list = torch.argsort(rounded.detach(), dim=-1, stable=True)
    ascending = epsilon + (1 - epsilon) * usage.gather(-1, free_list)
    logarithms = torch.log(ascending[..., :-1])
    before = torch.nn.functional.pad(torch.cumsum(logarithms, dim=-1), (1, 0))
    return torch.zeros_like(usage).scatter(-1, free_list, (1 - ascending) * torch.exp(before))


def allocate(
    usage: Tensor, gates: Tensor, epsilon: float = 1e-6, resolution: float = 2**-16
) -> Tensor:
    """Allocation weightings of several write heads, head after head (as in DeepMind's code).

    Each head's allocation raises the usage that the next head sees by gate * allocation.

    Args:
        usage: [B, N] in [0, 1].
        gates: [B, H] in [0, 1], how much each head will write by allocation: its write gate times
            its allocation gate.
        epsilon, resolution: see `allocation`.

    Returns:
        Weightings [B, H, N].
    """
    weights = []
    for gate in gates.unbind(1):
        weights.append(allocation(usage, epsilon, resolution))
        usage = usage + (1 - usage) * gate[:, None] * weights[-1]
    return torch.stack(weights, dim=1)


class AllocationParameters(NamedTuple):
    """What `Allocation` takes: free gates [B, R], allocation gates and write gates [B, H]."""

    free_gates: Tensor
    allocation_gates: Tensor
    write_gates: Tensor


@register
@dataclass(frozen=True, kw_only=True)
class Allocation:
    """Count what is in use, and write to what is free: the DNC's own (DNC Methods, eq. 1).

    Raises:
        ValueError: if a number is out of its range.
    """

    epsilon: float = 1e-6
    """keeps the gradient of the allocation finite at usage 0: see `allocation`"""
    resolution: float = 2**-16
    """usage nearer than this counts as equal in the free list: see `allocation`"""
    stop_gradient: bool = False
    """let no gradient pass from usage to the write weightings, as DeepMind's code does and the
    paper does not say"""
    wipe: bool = False
    """wipe what is freed, so that no key finds it any more: see `wipe_freed`"""

    def __post_init__(self) -> None:
        check_epsilons(epsilon=self.epsilon, resolution=self.resolution)
        check_switches(stop_gradient=self.stop_gradient, wipe=self.wipe)

    def table(self, read_heads: int, write_heads: int) -> Table:
        """The gates, of which `AllocationParameters` tells."""
        fields = {
            "free_gates": Field((read_heads,), unit),
            "allocation_gates": Field((write_heads,), unit),
            "write_gates": Field((write_heads,), unit),
        }
        return Table(AllocationParameters, fields)

    def initial_state(self, memory: Tensor) -> Tensor:
        """Nothing is used before the first step: usage [B, N] for a memory [B, N, W]."""
        return memory.new_zeros(()).expand(memory.shape[:2])

    def allocate(
        self,
        parameters: AllocationParameters,
        usage: Tensor,
        read_weights: Tensor,
        write_weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Free what was read, count what was written, and choose among what is free.

        Args:
            parameters: the gates.
            usage: [B, N] of the step before.
            read_weights, write_weights: [B, R, N] and [B, H, N] of the step before.

        Returns:
            Usage [B, N] of this step, and the allocation weightings [B, H, N].
        """
        if self.stop_gradient:
            write_weights = write_weights.detach()
        usage = update_usage(usage, write_weights, retention(read_weights, parameters.free_gates))
        gates = parameters.write_gates * parameters.allocation_gates
        return usage, allocate(usage, gates, self.epsilon, self.resolution)

    def free(
        self, parameters: AllocationParameters, memory: Tensor, read_weights: Tensor
    ) -> Tensor:
        """The memory [B, N, W] that is then written to: as it is, or wiped where it is freed.

        Args:
            parameters: the gates.
            memory: [B, N, W] of the step before.
            read_weights: [B, R, N] of the step before.
        """
        if not self.wipe:
            return memory
        return wipe_freed(memory, retention(read_weights, parameters.free_gates))


def least_used(usage: Tensor, count: int) -> Tensor:
    """One-hot weightings of the `count` least-used slots (Santoro et al. 2016, eq. 22).

    Args:
        usage: [B, N].
        count: how many, one for each head; equal usage goes to the lowest slot first.

    Returns:
        Weightings [B, count, N], without a gradient.

    Raises:
        ValueError: if there are fewer slots than heads.

    >>> least_used(torch.tensor([[0.5, 0.1, 0.0]]), 2)
    tensor([[[0., 0., 1.],
             [0., 1., 0.]]])
    """
    if count > usage.shape[-1]:
        raise ValueError(
            f"Each head needs a slot of its own; got {count} heads and {usage.shape[-1]} slots."
        )
    slots = torch.argsort(usage, dim=-1, stable=True)[:, :count]
    # Not one_hot, for which vmap has no rule.
    return (slots[..., None] == torch.arange(usage.shape[-1], device=usage.device)).to(usage.dtype)


class LeastRecentlyUsedParameters(NamedTuple):
    """What `LeastRecentlyUsed` takes: gates [B, count], 1 for the last read."""

    gates: Tensor


@register
@dataclass(frozen=True, kw_only=True)
class LeastRecentlyUsed:
    """Write where the memory was just read, or where it was least used (Santoro et al. 2016).

    Usage decays and counts every access, u(t) = decay * u(t-1) + sum_r w_r(t) + sum_h w_w(t)
    (section 3.2); a gate g chooses between the last read and the least-used slots,
    w = g * mean_r w_r(t-1) + (1 - g) * lu(t-1). The `count` heads of one entry take the least-used,
    the second-least-used, ... slot; two entries do not know of each other. Where the heads stand
    before the first step counts as an access. What the paper wipes by rule before a write (the
    least-used slot), the head's erase vector may wipe here.

    Raises:
        ValueError: if `decay` is not in [0, 1).
    """

    decay: float = 0.95
    """share of the usage that is left after a step"""

    def __post_init__(self) -> None:
        if not isinstance(self.decay, float | int) or not 0 <= self.decay < 1:
            raise ValueError(f"decay must be in [0, 1); got {self.decay!r}.")

    def table(self, count: int, word_size: int) -> Table:
        """Gates [B, count]."""
        return Table(LeastRecentlyUsedParameters, {"gates": Field((count,), unit)})

    def initial_state(self, like: Tensor) -> Tensor:
        """Nothing is used before the first step: zeros [B, N]."""
        return torch.zeros_like(like)

    def __call__(
        self,
        parameters: LeastRecentlyUsedParameters,
        previous_weights: Tensor,
        memory: NTMMemory,
        state: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Choose between the last read and the least used, and count usage."""
        usage = self.decay * state + memory.read_weights.sum(1) + memory.write_weights.sum(1)
        unused = least_used(usage, previous_weights.shape[1])
        last_read = memory.read_weights.mean(1, keepdim=True)
        return torch.lerp(unused, last_read, parameters.gates[..., None]), usage

"""What plugs into the NTM's heads: the contract of an addressing, and the stock addressings.

An addressing is any object, data or an `nn.Module`, with two methods and, if it carries something
from step to step, a third:

    table(count, word_size) -> Table
        What it wants emitted for its `count` heads: a NamedTuple class and a Field for each field.
    __call__(parameters, previous_weights, memory, state) -> (weights, state)
        The weightings [B, count, N], from the NamedTuple that `table` named, the heads' own
        weightings of the step before [B, count, N], and the whole `NTMMemory`: its `memory` as it
        is when the head looks (a read head looks after the write), its weightings those of the
        step before.
    initial_state(like) -> state
        Optional: tensors (or tuples of them) with the batch as the first axis, of the dtype and
        device of `like` [B, N]. Without it the state is the empty tuple.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from memnets import addressing
from memnets.checks import check_epsilons, check_limit, check_name, check_numbers, check_sizes
from memnets.interface import STRENGTHS, Field, Table, real, simplex, unit
from memnets.interface import oneplus as at_least_one
from memnets.memory import NTMMemory


class Addressing(Protocol):
    """What plugs into a head: see the top of this module."""

    def table(self, count: int, word_size: int) -> Table:
        """What it wants emitted for its `count` heads."""
        ...

    def __call__(
        self, parameters: Any, previous_weights: Tensor, memory: NTMMemory, state: Any
    ) -> tuple[Tensor, Any]:
        """The weightings of its heads, and its state after the step."""
        ...


class ContentParameters(NamedTuple):
    """What `Content` takes: keys [B, count, W], strengths [B, count]."""

    keys: Tensor
    strengths: Tensor


class LocationParameters(NamedTuple):
    """What `Location` takes: shifts [B, count, S], sharpenings [B, count]."""

    shifts: Tensor
    sharpenings: Tensor


class FocusParameters(NamedTuple):
    """What `ContentAndLocation` takes; gates [B, count], the rest as above."""

    keys: Tensor
    strengths: Tensor
    gates: Tensor
    shifts: Tensor
    sharpenings: Tensor


class LeastRecentlyUsedParameters(NamedTuple):
    """What `LeastRecentlyUsed` takes: gates [B, count], 1 for the last read."""

    gates: Tensor


def _content_fields(
    count: int, word_size: int, strength: str, limit: float | None
) -> dict[str, Field]:
    check_name("strength", strength, STRENGTHS)
    return {
        "keys": Field((count, word_size), real),
        "strengths": Field((count,), STRENGTHS[strength], limit=limit),
    }


def _location_fields(
    count: int, shift_range: int, sharpening_bias: float, limit: float | None
) -> dict[str, Field]:
    check_sizes(minimum=0, shift_range=shift_range)
    return {
        "shifts": Field((count, 2 * shift_range + 1), simplex),
        "sharpenings": Field((count,), at_least_one, sharpening_bias, limit),
    }


@dataclass(frozen=True)
class Content:
    """Address by content alone: `addressing.content_weights` (NTM eq. 5 and 6).

    No strength is above `sharpness_limit`.
    """

    strength: str = "oneplus"
    similarity_epsilon: float = 1e-6
    sharpness_limit: float | None = None

    def __post_init__(self) -> None:
        check_limit("sharpness_limit", self.sharpness_limit)
        check_epsilons(similarity_epsilon=self.similarity_epsilon)

    def table(self, count: int, word_size: int) -> Table:
        """Keys [B, count, W] and strengths [B, count]."""
        fields = _content_fields(count, word_size, self.strength, self.sharpness_limit)
        return Table(ContentParameters, fields)

    def __call__(
        self, parameters: ContentParameters, previous_weights: Tensor, memory: NTMMemory, state: Any
    ) -> tuple[Tensor, Any]:
        """Weigh by content."""
        weights = addressing.content_weights(
            memory.memory, parameters.keys, parameters.strengths, self.similarity_epsilon
        )
        return weights, state


@dataclass(frozen=True)
class Location:
    """Address by moving from where the head was: shift, then sharpen (NTM eq. 8 and 9).

    `sharpening_bias` is added to the initial bias of the sharpenings: below 0, heads start by
    hardly sharpening. No sharpening is above `sharpness_limit`.
    """

    shift_range: int = 1
    sharpen_epsilon: float = 1e-12
    sharpening_bias: float = -4.0
    sharpness_limit: float | None = None

    def __post_init__(self) -> None:
        check_limit("sharpness_limit", self.sharpness_limit)
        check_numbers(sharpening_bias=self.sharpening_bias)
        check_epsilons(sharpen_epsilon=self.sharpen_epsilon)

    def table(self, count: int, word_size: int) -> Table:
        """Shifts [B, count, S] and sharpenings [B, count]."""
        fields = _location_fields(
            count, self.shift_range, self.sharpening_bias, self.sharpness_limit
        )
        return Table(LocationParameters, fields)

    def __call__(
        self,
        parameters: LocationParameters,
        previous_weights: Tensor,
        memory: NTMMemory,
        state: Any,
    ) -> tuple[Tensor, Any]:
        """Shift where the head was, then sharpen."""
        moved = addressing.shift(previous_weights, parameters.shifts)
        return addressing.sharpen(moved, parameters.sharpenings, self.sharpen_epsilon), state


@dataclass(frozen=True)
class ContentAndLocation:
    """The NTM's own: by content, then by location (`addressing.focus`, NTM figure 2).

    `gate_bias` is added to the initial bias of the gates: below 0, heads start by moving from where
    they are, above 0 by looking for content. `sharpening_bias` is added to that of the sharpenings:
    below 0, heads start by hardly sharpening. No strength and no sharpening is above
    `sharpness_limit`.
    """

    shift_range: int = 1
    strength: str = "oneplus"
    similarity_epsilon: float = 1e-6
    sharpen_epsilon: float = 1e-12
    gate_bias: float = -2.0
    sharpening_bias: float = -4.0
    sharpness_limit: float | None = None

    def __post_init__(self) -> None:
        check_limit("sharpness_limit", self.sharpness_limit)
        check_numbers(gate_bias=self.gate_bias, sharpening_bias=self.sharpening_bias)
        check_epsilons(
            similarity_epsilon=self.similarity_epsilon, sharpen_epsilon=self.sharpen_epsilon
        )

    def table(self, count: int, word_size: int) -> Table:
        """Keys, strengths, gates, shifts and sharpenings, of which `FocusParameters` tells."""
        fields = {
            **_content_fields(count, word_size, self.strength, self.sharpness_limit),
            "gates": Field((count,), unit, self.gate_bias),
            **_location_fields(count, self.shift_range, self.sharpening_bias, self.sharpness_limit),
        }
        return Table(FocusParameters, fields)

    def __call__(
        self, parameters: FocusParameters, previous_weights: Tensor, memory: NTMMemory, state: Any
    ) -> tuple[Tensor, Any]:
        """Weigh by content, then by location."""
        weights = addressing.focus(
            memory.memory,
            previous_weights,
            keys=parameters.keys,
            strengths=parameters.strengths,
            gates=parameters.gates,
            shifts=parameters.shifts,
            sharpenings=parameters.sharpenings,
            similarity_epsilon=self.similarity_epsilon,
            sharpen_epsilon=self.sharpen_epsilon,
        )
        return weights, state


@dataclass(frozen=True)
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
        unused = addressing.least_used(usage, previous_weights.shape[1])
        last_read = memory.read_weights.mean(1, keepdim=True)
        return torch.lerp(unused, last_read, parameters.gates[..., None]), usage

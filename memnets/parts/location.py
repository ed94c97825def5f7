"""By location: where a head was, moved and sharpened (NTM eq. 7 to 9, figure 2).

Axes: B batch, N memory slots, W word, R read heads, S shifts; a write head's H may stand in place
of R.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from memnets.checks import check_epsilons, check_limit, check_numbers, check_sizes
from memnets.interface import Field, Table, simplex, unit
from memnets.interface import oneplus as at_least_one
from memnets.parts.content import Content, content_weights
from memnets.parts.registry import register

if TYPE_CHECKING:
    from memnets.parts.heads import NTMMemory


def interpolate(content_weights: Tensor, previous_weights: Tensor, gates: Tensor) -> Tensor:
    """Gated weighting g c + (1 - g) w(t-1) (NTM eq. 7).

    The weightings are [B, R, N], the gates [B, R] in [0, 1].
    """
    return torch.lerp(previous_weights, content_weights, gates[..., None])


def shift(weights: Tensor, shifts: Tensor) -> Tensor:
    """Circular shift w(i) = sum_j weights(i - j) shifts(j), j = -k..k (NTM eq. 8).

    Args:
        weights: [B, R, N].
        shifts: [B, R, S] on the simplex, S = 2k + 1 odd; the last entry moves slot i to slot i + k.

    Returns:
        Weightings [B, R, N] of the same sum.

    Raises:
        ValueError: if S is even.

    >>> shift(torch.tensor([[[0.0, 0.0, 1.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]]))
    tensor([[[1., 0., 0.]]])
    """
    if shifts.shape[-1] % 2 == 0:
        raise ValueError(f"shifts must be odd in number, from -k to +k; got {shifts.shape[-1]}.")
    reach = shifts.shape[-1] // 2
    moved = [torch.roll(weights, j, dims=-1) for j in range(-reach, reach + 1)]
    return (shifts[..., None, :] @ torch.stack(moved, dim=-2)).squeeze(-2)


def sharpen(weights: Tensor, sharpenings: Tensor, epsilon: float = 1e-12) -> Tensor:
    """Sharpened weighting w^gamma / sum w^gamma = softmax(gamma log w) (NTM eq. 9).

    Args:
        weights: [B, R, N], not negative.
        sharpenings: gamma [B, R], at least 1.
        epsilon: added to the weights, so that the logarithm of 0 and its gradient are finite.

    Returns:
        Weightings [B, R, N] that sum to 1.
    """
    return torch.softmax(sharpenings[..., None] * torch.log(weights + epsilon), dim=-1)


def focus(
    memory: Tensor,
    previous_weights: Tensor,
    keys: Tensor,
    strengths: Tensor,
    gates: Tensor,
    shifts: Tensor,
    sharpenings: Tensor,
    similarity_epsilon: float = 1e-6,
    sharpen_epsilon: float = 1e-12,
) -> Tensor:
    """The NTM's whole addressing, by content then by location (NTM figure 2, eq. 5 to 9).

    Args:
        memory: [B, N, W].
        previous_weights: the heads' weightings of the step before, [B, R, N].
        keys, strengths, gates, shifts, sharpenings: [B, R, W], [B, R], [B, R], [B, R, S], [B, R].
        similarity_epsilon, sharpen_epsilon: see `cosine_similarity` and `sharpen`.

    Returns:
        Weightings [B, R, N] that sum to 1.
    """
    by_content = content_weights(memory, keys, strengths, similarity_epsilon)
    gated = interpolate(by_content, previous_weights, gates)
    return sharpen(shift(gated, shifts), sharpenings, sharpen_epsilon)


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


@register
@dataclass(frozen=True, kw_only=True)
class Location:
    """Address by moving from where the head was: shift, then sharpen (NTM eq. 8 and 9).

    Raises:
        ValueError: if a number is out of its range.
    """

    shift_range: int = 1
    """how many slots a head can move in a step, to either side, k; S = 2k + 1"""
    sharpen_epsilon: float = 1e-12
    """keeps the logarithm in the sharpening finite: see `sharpen`"""
    sharpening_bias: float = -4.0
    """added to the initial bias of the sharpenings: where a weighting is torn between two slots, a
    sharpening makes a small change of it gamma times as large, in every step, until gradients
    explode; with -4, gamma starts at 1.02, with 0 at 1.69"""
    sharpness_limit: float | None = None
    """no sharpening is above it; None: no limit"""

    def __post_init__(self) -> None:
        check_sizes(minimum=0, shift_range=self.shift_range)
        check_limit("sharpness_limit", self.sharpness_limit)
        check_numbers(sharpening_bias=self.sharpening_bias)
        check_epsilons(sharpen_epsilon=self.sharpen_epsilon)

    def table(self, count: int, word_size: int) -> Table:
        """Shifts [B, count, S] and sharpenings [B, count]."""
        fields = {
            "shifts": Field((count, 2 * self.shift_range + 1), simplex),
            "sharpenings": Field(
                (count,), at_least_one, self.sharpening_bias, self.sharpness_limit
            ),
        }
        return Table(LocationParameters, fields)

    def __call__(
        self,
        parameters: LocationParameters,
        previous_weights: Tensor,
        memory: NTMMemory,
        state: Any,
    ) -> tuple[Tensor, Any]:
        """Shift where the head was, then sharpen."""
        moved = shift(previous_weights, parameters.shifts)
        return sharpen(moved, parameters.sharpenings, self.sharpen_epsilon), state


@register
@dataclass(frozen=True, kw_only=True)
class ContentAndLocation:
    """The NTM's own: by content, then by location (`focus`, NTM figure 2).

    Raises:
        ValueError: if a number is out of its range, or the strength's range is not known.
    """

    shift_range: int = 1
    """how many slots a head can move in a step, to either side, k; S = 2k + 1"""
    strength: Literal["oneplus", "softplus"] = "oneplus"
    """range of the key strengths: above 1, or above 0"""
    gate_bias: float = -2.0
    """added to the initial bias of the gates: below 0, heads start by moving from where they are,
    above 0 by looking for content"""
    sharpening_bias: float = -4.0
    """added to the initial bias of the sharpenings: see `Location`"""
    sharpness_limit: float | None = None
    """no key strength and no sharpening is above it; None: no limit"""
    similarity_epsilon: float = 1e-6
    """keeps the cosine similarity of a zero vector finite: see `cosine_similarity`"""
    sharpen_epsilon: float = 1e-12
    """keeps the logarithm in the sharpening finite: see `sharpen`"""

    def __post_init__(self) -> None:
        check_numbers(gate_bias=self.gate_bias)
        self._parts()

    def _parts(self) -> tuple[Content, Location]:
        content = Content(
            strength=self.strength,
            similarity_epsilon=self.similarity_epsilon,
            sharpness_limit=self.sharpness_limit,
        )
        location = Location(
            shift_range=self.shift_range,
            sharpen_epsilon=self.sharpen_epsilon,
            sharpening_bias=self.sharpening_bias,
            sharpness_limit=self.sharpness_limit,
        )
        return content, location

    def table(self, count: int, word_size: int) -> Table:
        """Keys, strengths, gates, shifts and sharpenings, of which `FocusParameters` tells."""
        content, location = self._parts()
        fields = {
            **content.table(count, word_size).fields,
            "gates": Field((count,), unit, self.gate_bias),
            **location.table(count, word_size).fields,
        }
        return Table(FocusParameters, fields)

    def __call__(
        self, parameters: FocusParameters, previous_weights: Tensor, memory: NTMMemory, state: Any
    ) -> tuple[Tensor, Any]:
        """Weigh by content, then by location."""
        weights = focus(
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

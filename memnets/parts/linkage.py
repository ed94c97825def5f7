"""By the order of writes: the temporal link and the weightings that follow it (DNC Methods).

Axes: B batch, N memory slots, R read heads, H write heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memnets.checks import check_epsilons, check_switches
from memnets.interface import Field, Table, oneplus, simplex
from memnets.parts.location import sharpen
from memnets.parts.registry import register


def update_precedence(precedence: Tensor, write_weights: Tensor) -> Tensor:
    """Precedence p = (1 - sum_N w) p + w: how much each slot was the last written (DNC Methods).

    Both arguments and the result are [B, H, N], each head for itself, summing to at most 1.
    """
    return (1 - write_weights.sum(-1, keepdim=True)) * precedence + write_weights


def update_link(link: Tensor, precedence: Tensor, write_weights: Tensor) -> Tensor:
    """Temporal link L_ij = (1 - w_i - w_j) L_ij + w_i p_j(t-1), with L_ii = 0 (DNC Methods).

    L_ij is how much slot i was written right after slot j.

    Args:
        link: [B, H, N, N] of the step before.
        precedence: [B, H, N] of the step before.
        write_weights: [B, H, N] of this step.

    Returns:
        Link [B, H, N, N] in [0, 1], rows and columns summing to at most 1.
    """
    to, since = write_weights[..., :, None], write_weights[..., None, :]
    link = (1 - to - since) * link + to * precedence[..., None, :]
    diagonal = torch.eye(link.shape[-1], dtype=torch.bool, device=link.device)
    return link.masked_fill(diagonal, 0.0)


def directional_weights(link: Tensor, read_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Backward and forward weightings b = L^T w(t-1), f = L w(t-1) (DNC Methods).

    Args:
        link: [B, H, N, N].
        read_weights: [B, R, N] of the step before.

    Returns:
        (backward, forward), each [B, R, H, N]: what was written before, and after, what was read.
    """
    weights = read_weights[:, None]
    backward, forward = weights @ link, weights @ link.transpose(-1, -2)
    return backward.transpose(1, 2), forward.transpose(1, 2)


class SharpenedLinkageParameters(NamedTuple):
    """What `Linkage` takes if it is sharpened: read modes, and sharpenings [B, R, 2H] above 1.

    The sharpenings are in the order of the read modes, of which `LinkageParameters` tells.
    """

    read_modes: Tensor
    sharpenings: Tensor


class LinkageParameters(NamedTuple):
    """What `Linkage` takes: read modes [B, R, 2H + 1] on the simplex.

    They are those of going backward by each write head, forward by each, and of content.
    """

    read_modes: Tensor


@register
@dataclass(frozen=True, kw_only=True)
class Linkage:
    """Follow the order of the writes, backward and forward: the DNC's own (DNC Methods).

    Each write blurs the link a little, and each step along it blurs the weighting further.
    Sharpened (Csordas and Schmidhuber 2019, arXiv 1904.10278, section 3.3), backward and forward
    weightings are raised to powers that the head emits, `w^s / sum w^s`: see `sharpen`.

    Raises:
        ValueError: if `sharpened` is no switch, or the epsilon is not above 0.
    """

    sharpened: bool = False
    """raise backward and forward weightings to powers, one for each way of each read head"""
    sharpen_epsilon: float = 1e-6
    """added to a weighting before it is raised to a power; one that is all 0 becomes uniform"""

    def __post_init__(self) -> None:
        check_switches(sharpened=self.sharpened)
        check_epsilons(sharpen_epsilon=self.sharpen_epsilon)
        if self.sharpen_epsilon == 0:
            raise ValueError(
                "sharpen_epsilon must be above 0, because nothing is linked before the second "
                f"write and a weighting of zeros has no sharpened form; got {self.sharpen_epsilon}."
            )

    def table(self, read_heads: int, write_heads: int) -> Table:
        """Read modes [B, R, 2H + 1]; if sharpened, sharpenings [B, R, 2H]."""
        fields = {"read_modes": Field((read_heads, 2 * write_heads + 1), simplex)}
        if self.sharpened:
            sharpenings = Field((read_heads, 2 * write_heads), oneplus)
            return Table(SharpenedLinkageParameters, {**fields, "sharpenings": sharpenings})
        return Table(LinkageParameters, fields)

    def initial_state(self, memory: Tensor, write_heads: int) -> tuple[Tensor, Tensor]:
        """Nothing is written yet: link [B, H, N, N] and precedence [B, H, N] of zeros."""
        rows, slots, _ = memory.shape
        zero = memory.new_zeros(())  # expanded, not filled: the link alone is B * H * N * N
        link = zero.expand(rows, write_heads, slots, slots)
        return link, zero.expand(rows, write_heads, slots)

    def update(
        self, link: Tensor, precedence: Tensor, write_weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Link and precedence after a write; the link looks at the precedence before it."""
        link = update_link(link, precedence, write_weights)
        return link, update_precedence(precedence, write_weights)

    def mix(
        self,
        parameters: Any,
        link: Tensor,
        read_weights: Tensor,
        by_content: Tensor,
    ) -> Tensor:
        """Mix the ways to read (DNC Methods, "Memory reading").

        Args:
            parameters: the read modes; if sharpened, the sharpenings.
            link: [B, H, N, N] of this step.
            read_weights: [B, R, N] of the step before.
            by_content: content weightings [B, R, N].

        Returns:
            Read weightings [B, R, N].
        """
        backward, forward = directional_weights(link, read_weights)
        if self.sharpened:
            along = torch.cat([backward, forward], dim=2)
            along = sharpen(along, parameters.sharpenings, self.sharpen_epsilon)
            weightings = torch.cat([along, by_content[:, :, None]], dim=2)
        else:
            weightings = torch.cat([backward, forward, by_content[:, :, None]], dim=2)
        return (parameters.read_modes[..., None] * weightings).sum(2)

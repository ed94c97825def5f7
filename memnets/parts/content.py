"""By content: how alike each slot is to a key (NTM eq. 5 and 6; DNC Methods).

Axes: B batch, N memory slots, W word, R read heads; a write head's H may stand in place of R.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from memnets.checks import check_epsilons, check_limit, check_name, check_switches
from memnets.interface import STRENGTHS, Field, Table, real, unit
from memnets.parts.masking import masked_similarity
from memnets.parts.registry import register

if TYPE_CHECKING:
    from memnets.parts.heads import NTMMemory


def cosine_similarity(memory: Tensor, keys: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Cosine of each key with each slot, `k.m / sqrt(|k|^2 |m|^2 + epsilon)` (NTM eq. 6).

    The epsilon keeps value and gradient finite at an empty slot, whose similarity is 0.

    Args:
        memory: [B, N, W].
        keys: [B, R, W].
        epsilon: added under the root, so that `|k| |m|` much below sqrt(epsilon) counts as 0.

    Returns:
        Similarities [B, R, N] in [-1, 1].

    >>> cosine_similarity(torch.eye(2)[None], torch.tensor([[[0.0, 3.0]]]), epsilon=0.0)
    tensor([[[0., 1.]]])
    """
    squared_keys = torch.linalg.vecdot(keys, keys)[:, :, None]
    squared_slots = torch.linalg.vecdot(memory, memory)[:, None, :]
    products = torch.bmm(keys, memory.transpose(1, 2))
    return products / torch.sqrt(squared_keys * squared_slots + epsilon)


def content_weights(
    memory: Tensor, keys: Tensor, strengths: Tensor, epsilon: float = 1e-6
) -> Tensor:
    """Content weighting c = softmax_N(strength * cos(key, M_i)) (NTM eq. 5; DNC Methods).

    Args:
        memory: [B, N, W].
        keys: [B, R, W].
        strengths: [B, R], positive (the DNC's are at least 1).
        epsilon: see `cosine_similarity`.

    Returns:
        Weightings [B, R, N] that sum to 1.
    """
    return torch.softmax(strengths[..., None] * cosine_similarity(memory, keys, epsilon), dim=-1)


class MaskedContentParameters(NamedTuple):
    """What `Content` takes if it is masked; keys and masks [B, count, W], strengths [B, count]."""

    keys: Tensor
    strengths: Tensor
    masks: Tensor


class ContentParameters(NamedTuple):
    """What `Content` takes: keys [B, count, W], strengths [B, count]."""

    keys: Tensor
    strengths: Tensor


@register
@dataclass(frozen=True, kw_only=True)
class Content:
    """Address by content alone: `content_weights` (NTM eq. 5 and 6; DNC Methods).

    Raises:
        ValueError: if a number is out of its range, or the strength's range is not known.
    """

    strength: Literal["oneplus", "softplus"] = "oneplus"
    """range of the key strengths: above 1, or above 0"""
    similarity_epsilon: float = 1e-6
    """keeps the cosine similarity of a zero vector finite: see `cosine_similarity`"""
    sharpness_limit: float | None = None
    """no key strength is above it: the sharper a head is, the more a small change of its key
    changes, and gradients explode; None: no limit"""
    masked: bool = False
    """compare through a mask that each head emits: see `masked_similarity`"""

    def __post_init__(self) -> None:
        check_name("strength", self.strength, STRENGTHS)
        check_limit("sharpness_limit", self.sharpness_limit)
        check_epsilons(similarity_epsilon=self.similarity_epsilon)
        check_switches(masked=self.masked)

    def table(self, count: int, word_size: int) -> Table:
        """Keys [B, count, W] and strengths [B, count]; if masked, masks [B, count, W]."""
        fields = {
            "keys": Field((count, word_size), real),
            "strengths": Field((count,), STRENGTHS[self.strength], limit=self.sharpness_limit),
        }
        if self.masked:
            masks = Field((count, word_size), unit)
            return Table(MaskedContentParameters, {**fields, "masks": masks})
        return Table(ContentParameters, fields)

    def weigh(self, memory: Tensor, parameters: Any) -> Tensor:
        """Weightings [B, count, N] of a memory [B, N, W]."""
        keys, strengths = parameters.keys, parameters.strengths
        if not self.masked:
            return content_weights(memory, keys, strengths, self.similarity_epsilon)
        masks = parameters.masks
        similarity = masked_similarity(memory, keys, masks, self.similarity_epsilon)
        return torch.softmax(strengths[..., None] * similarity, dim=-1)

    def __call__(
        self, parameters: Any, previous_weights: Tensor, memory: NTMMemory, state: Any
    ) -> tuple[Tensor, Any]:
        """Weigh by content, as the addressing of an NTM's heads."""
        return self.weigh(memory.memory, parameters), state

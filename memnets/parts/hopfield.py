"""By a modern Hopfield network: a key that moves to the slots it is nearest to, then a weighting.

Axes: B batch, N memory slots, W word, R read heads; a write head's H may stand in place of R.
Ramsauer et al. 2020, arXiv 2008.02217.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from memnets.checks import check_name, check_sizes
from memnets.interface import STRENGTHS, Field, Table, real
from memnets.parts.content import ContentParameters
from memnets.parts.registry import register

if TYPE_CHECKING:
    from memnets.parts.heads import NTMMemory


def hopfield_weights(memory: Tensor, keys: Tensor, strengths: Tensor, iterations: int) -> Tensor:
    """Weighting p = softmax_N(beta M k), k <- M^T p, so many times (Ramsauer et al. 2020, eq. 3).

    A read by the last is the state after the last update. One iteration is dot-product attention.

    Args:
        memory: stored patterns, [B, N, W].
        keys: where the state k starts, [B, R, W].
        strengths: beta, [B, R], positive.
        iterations: updates, at least 1.

    Returns:
        Weightings [B, R, N] that sum to 1.

    >>> key, strength = torch.tensor([[[0.6, 0.4]]]), torch.tensor([[5.0]])
    >>> [hopfield_weights(torch.eye(2)[None], key, strength, n).amax().item() > 0.9 for n in (1, 3)]
    [False, True]
    """
    weights = torch.softmax(strengths[..., None] * torch.bmm(keys, memory.transpose(1, 2)), dim=-1)
    for _ in range(iterations - 1):
        similarity = torch.bmm(torch.bmm(weights, memory), memory.transpose(1, 2))
        weights = torch.softmax(strengths[..., None] * similarity, dim=-1)
    return weights


@register
@dataclass(frozen=True, kw_only=True)
class Hopfield:
    """Address by the retrieval of a modern Hopfield network: `hopfield_weights`.

    Raises:
        ValueError: if a number is out of its range, or the strength's range is not known.
    """

    iterations: int = 3
    """updates of the key"""
    strength: Literal["oneplus", "softplus"] = "oneplus"
    """range of the key strengths: above 1, or above 0"""

    def __post_init__(self) -> None:
        check_sizes(iterations=self.iterations)
        check_name("strength", self.strength, STRENGTHS)

    def table(self, count: int, word_size: int) -> Table:
        """Keys [B, count, W] and strengths [B, count]."""
        keys, strengths = Field((count, word_size), real), Field((count,), STRENGTHS[self.strength])
        return Table(ContentParameters, {"keys": keys, "strengths": strengths})

    def weigh(self, memory: Tensor, parameters: ContentParameters) -> Tensor:
        """Weightings [B, count, N] of a memory [B, N, W]."""
        return hopfield_weights(memory, *parameters, self.iterations)

    def __call__(
        self, parameters: Any, previous_weights: Tensor, memory: NTMMemory, state: Any
    ) -> tuple[Tensor, Any]:
        """Weigh, as the addressing of an NTM's heads."""
        return self.weigh(memory.memory, parameters), state

"""By decay and addition: linear attention, and RetNet's retention.

Axes: B batch, N memory slots, W word, H write heads.

Katharopoulos et al. 2020, arXiv 2006.16236; Sun et al. 2023, arXiv 2307.08621.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from memnets.interface import Table
from memnets.parts.registry import register
from memnets.parts.rules import Rule


def decay_add(memory: Tensor, weights: Tensor, add_vectors: Tensor, decay: float) -> Tensor:
    """Write M <- gamma M + w v^T (Sun et al. 2023, eq. 6; linear attention has gamma = 1).

    Several heads add to each other; the memory decays once.

    Args:
        memory: [B, N, W].
        weights: write weightings w, [B, H, N].
        add_vectors: v, [B, H, W].
        decay: gamma, the share that is left.

    Returns:
        The memory after the write, [B, N, W].

    >>> one_hot = torch.tensor([[[1.0, 0.0]]])
    >>> decay_add(torch.ones(1, 2, 3), one_hot, torch.full((1, 1, 3), 5.0), 0.5)
    tensor([[[5.5000, 5.5000, 5.5000],
             [0.5000, 0.5000, 0.5000]]])
    """
    return torch.baddbmm(memory, weights.transpose(1, 2), add_vectors, beta=decay)


class DecayAddVectors(NamedTuple):
    """What `DecayAdd` takes: add vectors [B, H, W]."""

    add_vectors: Tensor


@register
@dataclass(frozen=True, kw_only=True)
class DecayAdd(Rule):
    """Let all fade, and add: `decay_add` (Katharopoulos et al. 2020; Sun et al. 2023).

    Raises:
        ValueError: if `add_range` is not a known range, or the decay is not in (0, 1].
    """

    decay: float = 1 - 2**-5
    """share of the memory that is left after a step, that of RetNet's first head; 1: linear
    attention"""

    def __post_init__(self) -> None:
        if not isinstance(self.decay, float | int) or not 0 < self.decay <= 1:
            raise ValueError(f"decay must be in (0, 1]; got {self.decay!r}.")
        super().__post_init__()

    def table(self, write_heads: int, word_size: int) -> Table:
        """Add vectors [B, H, W]."""
        added = self.added(write_heads, word_size)
        return Table(DecayAddVectors, {"add_vectors": added})

    def write(self, memory: Tensor, weights: Tensor, vectors: DecayAddVectors) -> Tensor:
        """The memory [B, N, W] after a write by weightings [B, H, N]."""
        return decay_add(memory, weights, vectors.add_vectors, self.decay)

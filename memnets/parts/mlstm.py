"""By the matrix memory of the xLSTM: exponential gates, normalised reads (arXiv 2405.04517).

Axes: B batch, N memory slots, W word, R read heads, H write heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from memnets.interface import Field, Table, capped, log_unit
from memnets.parts.registry import register
from memnets.parts.rules import Rule, one_by_one


class MLSTMState(NamedTuple):
    """Normaliser n [B, N], stabiliser m [B]; n and memory [B, N, W] are the paper's times e^-m."""

    normaliser: Tensor
    stabiliser: Tensor


class MLSTMVectors(NamedTuple):
    """What `MLSTM` takes: add vectors [B, H, W], logarithms of the two gates [B, H]."""

    add_vectors: Tensor
    log_inputs: Tensor
    log_forgets: Tensor


def mlstm(
    memory: Tensor, weights: Tensor, vectors: MLSTMVectors, state: MLSTMState
) -> tuple[Tensor, MLSTMState]:
    """Write C <- f C + i w v^T, n <- f n + i w, for each w of [B, H, N] in turn (eq. 19 and 20).

    With m' = max(log f + m, log i), f is e^(log f + m - m') and i is e^(log i - m') (eq. 15 to 17).
    """
    normaliser, stabiliser = state.normaliser[:, None], state.stabiliser[:, None, None]
    for w, v, log_input, log_forget in one_by_one(weights, *vectors):
        after = torch.maximum(log_forget + stabiliser, log_input)
        keep, take = torch.exp(log_forget + stabiliser - after), torch.exp(log_input - after) * w
        memory = keep * memory + take.transpose(1, 2) * v
        normaliser, stabiliser = keep * normaliser + take, after
    return memory, MLSTMState(normaliser[:, 0], stabiliser[:, 0, 0])


@register
@dataclass(frozen=True, kw_only=True)
class MLSTM(Rule):
    """Write as an mLSTM: `mlstm`; read `C^T w / max(|n^T w|, e^(-m))` (Beck et al. 2024, eq. 21).

    Raises:
        ValueError: if `add_range` is not a known range, or the bias is not a finite number.

    >>> MLSTM().initial_state(torch.ones(1, 2, 3))
    MLSTMState(normaliser=tensor([[0., 0.]]), stabiliser=tensor([0.]))
    """

    forget_bias: float = 4.0
    """added to the initial bias of the forget gates: with 4, they start at 0.98"""
    write: ClassVar[Callable[..., tuple[Tensor, MLSTMState]]] = staticmethod(mlstm)

    def table(self, write_heads: int, word_size: int) -> Table:
        """Add vectors [B, H, W], logarithms of input and forget gates [B, H]."""
        kept = Field((write_heads,), log_unit, self.forget_bias)
        gates = {"log_inputs": Field((write_heads,), capped), "log_forgets": kept}
        return Table(MLSTMVectors, {"add_vectors": self.added(write_heads, word_size), **gates})

    def initial_state(self, memory: Tensor) -> MLSTMState:
        """Nothing is written before the first step: n = 0 and m = 0."""
        return MLSTMState(torch.zeros_like(memory[:, :, 0]), torch.zeros_like(memory[:, 0, 0]))

    def read(self, memory: Tensor, weights: Tensor, state: MLSTMState) -> Tensor:
        """Read vectors [B, R, W] by weightings [B, R, N]."""
        least = torch.exp(-state.stabiliser)[:, None, None]
        return weights @ memory / (weights @ state.normaliser[..., None]).abs().maximum(least)

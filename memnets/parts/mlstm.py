"""By the matrix memory of the xLSTM (mLSTM): exponential input gates, and normalised reads.

Axes: B batch, N memory slots, W word, R read heads, H write heads. Beck et al. 2024, arXiv
2405.04517; the soft cap of the input gates is that of Beck et al. 2025, arXiv 2503.13427.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from memnets.checks import check_name, check_numbers
from memnets.interface import ADD_RANGES, Field, Table
from memnets.parts.delta_rule import one_by_one
from memnets.parts.registry import register


def capped(x: Tensor) -> Tensor:
    """A number in [-15, 15]: 15 tanh(x / 15), so that its exponential is finite."""
    return 15 * torch.tanh(x / 15)


class MLSTMState(NamedTuple):
    """Normaliser n [B, N] and stabiliser m [B]; n and the memory are the paper's times e^(-m)."""

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
    """Write C <- f C + i w v^T and n <- f n + i w, head after head (eq. 19 and 20).

    With m' = max(log f + m, log i), f is e^(log f + m - m') and i is e^(log i - m') (eq. 15 to 17).
    """
    normaliser, stabiliser = state.normaliser[:, None], state.stabiliser[:, None, None]
    added, *logarithms = vectors
    heads = one_by_one(weights, added, *(gates[..., None] for gates in logarithms))
    for w, v, log_input, log_forget in heads:
        after = torch.maximum(log_forget + stabiliser, log_input)
        keep, take = torch.exp(log_forget + stabiliser - after), torch.exp(log_input - after) * w
        memory = keep * memory + take.transpose(1, 2) * v
        normaliser, stabiliser = keep * normaliser + take, after
    return memory, MLSTMState(normaliser[:, 0], stabiliser[:, 0, 0])


@register
@dataclass(frozen=True, kw_only=True)
class MLSTM:
    """Write as an mLSTM: `mlstm`; read `C^T w / max(|n^T w|, e^(-m))` (Beck et al. 2024, eq. 21).

    Raises:
        ValueError: if `add_range` is not a known range, or the bias is not a finite number.
    """

    add_range: Literal["bounded", "real"] = "bounded"
    """range of the add vectors: see `EraseAdd`"""
    forget_bias: float = 4.0
    """added to the initial bias of the forget gates: with 4, they start at 0.98"""

    def __post_init__(self) -> None:
        check_name("add_range", self.add_range, ADD_RANGES)
        check_numbers(forget_bias=self.forget_bias)

    def table(self, write_heads: int, word_size: int) -> Table:
        """Add vectors [B, H, W], logarithms of input and forget gates [B, H]."""
        added = Field((write_heads, word_size), ADD_RANGES[self.add_range])
        taken = Field((write_heads,), capped)
        kept = Field((write_heads,), logsigmoid, self.forget_bias)
        fields = {"add_vectors": added, "log_inputs": taken, "log_forgets": kept}
        return Table(MLSTMVectors, fields)

    def initial_state(self, memory: Tensor) -> MLSTMState:
        """Nothing is written before the first step: n = 0 and m = 0."""
        return MLSTMState(torch.zeros_like(memory[:, :, 0]), torch.zeros_like(memory[:, 0, 0]))

    def write(
        self, memory: Tensor, weights: Tensor, vectors: MLSTMVectors, state: MLSTMState
    ) -> tuple[Tensor, MLSTMState]:
        """The memory [B, N, W] after a write by weightings [B, H, N], and the state."""
        return mlstm(memory, weights, vectors, state)

    def read(self, memory: Tensor, weights: Tensor, state: MLSTMState) -> Tensor:
        """Read vectors [B, R, W] by weightings [B, R, N]."""
        one = torch.exp(-state.stabiliser)[:, None, None]
        written = torch.bmm(weights, state.normaliser[..., None]).abs()
        return torch.bmm(weights, memory) / torch.maximum(written, one)

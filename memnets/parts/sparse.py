"""Sparse reads and writes: of N words a head reads K, and writes K + 1 (Rae et al. 2016, 3.1, 3.2).

Axes: B batch, N memory slots, W word, R read heads, H write heads; K words that a head reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from memnets.checks import check_epsilons, check_limit, check_name, check_sizes
from memnets.interface import ADD_RANGES, STRENGTHS, Field, Table, real, unit
from memnets.panels import Lines, Panel, Slots
from memnets.parts.registry import register


def sparse_weights(words: Tensor, keys: Tensor, strengths: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Weights of the K words that were found: softmax_K(strength * cos(key, word)) (eq. 2 and 4).

    Args:
        words: [B, R, K, W].
        keys: [B, R, W].
        strengths: [B, R].
        epsilon: see `memnets.parts.content.cosine_similarity`.

    Returns:
        [B, R, K], each of them summing to 1.

    >>> words = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    >>> sparse_weights(words, torch.tensor([[[0.0, 1.0]]]), torch.tensor([[100.0]])).round()
    tensor([[[1., 0.]]])
    """
    products = (words @ keys[..., None]).squeeze(-1)
    squares = torch.linalg.vecdot(words, words) * torch.linalg.vecdot(keys, keys)[..., None]
    return torch.softmax(strengths[..., None] * products * torch.rsqrt(squares + epsilon), dim=-1)


def write_weights(read_weights: Tensor, write_gates: Tensor, reuse_gates: Tensor) -> Tensor:
    """Weights of a write, `alpha (gamma w_r(t-1), 1 - gamma)` (eq. 5): what was read, and unused.

    Args:
        read_weights: of the step before, [B, H, K].
        write_gates: alpha, [B, H] in [0, 1].
        reuse_gates: gamma, [B, H] in [0, 1].

    Returns:
        [B, H, K + 1]; the last is that of the least recently accessed slot.

    >>> write_weights(torch.tensor([[[0.5, 0.5]]]), torch.ones(1, 1), torch.tensor([[0.25]]))
    tensor([[[0.1250, 0.1250, 0.7500]]])
    """
    gates = reuse_gates[..., None]
    return write_gates[..., None] * torch.cat([gates * read_weights, 1 - gates], dim=-1)


class SparseParameters(NamedTuple):
    """What the heads of a sparse memory receive, activated."""

    read_keys: Tensor
    """[B, R, W]"""
    read_strengths: Tensor
    """[B, R], above 0 (above 1 with oneplus)."""
    write_gates: Tensor
    """alpha, [B, H] in [0, 1]: 0 writes nothing."""
    reuse_gates: Tensor
    """gamma, [B, H] in [0, 1]: 1 writes to what was just read, 0 to the least recently accessed."""
    write_vectors: Tensor
    """[B, H, W]"""

    def panels(self, memory: Any, kind: str, head: int) -> dict[str, Panel]:
        """What a picture shows of a head, `read` or `write`, of a record [T, ...]."""
        if kind == "read":
            strengths = {"": self.read_strengths[:, head]}
            return {"gates": Lines("strength", strengths)}
        gates = {"write": self.write_gates[:, head], "reuse": self.reuse_gates[:, head]}
        accessed = Slots("last access of slot", memory.accessed)
        return {"gates": Lines("gates", gates, (0, 1)), "usage": accessed}


@register
@dataclass(frozen=True, kw_only=True)
class Sparse:
    """How the heads of a sparse memory choose words.

    Raises:
        ValueError: if a number is out of its range, or a name is not known.
    """

    top_k: int = 4
    """words that a head reads, K"""
    threshold: float = 0.005
    """a word is accessed in a step if the weights of its reads and writes sum to more than this"""
    strength: Literal["oneplus", "softplus"] = "oneplus"
    """range of the key strengths: above 1, or above 0"""
    strength_bias: float = 0.0
    """added to the initial bias of the key strengths: how sharp a head is at first"""
    sharpness_limit: float | None = None
    """no key strength is above it; None: no limit"""
    add_range: Literal["real", "bounded"] = "real"
    """range of what is written: any number, or [-1, 1]"""
    similarity_epsilon: float = 1e-6
    """keeps the cosine similarity of a zero vector finite"""

    def __post_init__(self) -> None:
        check_sizes(top_k=self.top_k)
        check_name("strength", self.strength, STRENGTHS)
        check_name("add_range", self.add_range, ADD_RANGES)
        check_limit("sharpness_limit", self.sharpness_limit)
        check_epsilons(threshold=self.threshold, similarity_epsilon=self.similarity_epsilon)

    def table(self, read_heads: int, write_heads: int, word_size: int) -> Table:
        """The fields of `SparseParameters`."""
        strength = STRENGTHS[self.strength]
        strengths = Field((read_heads,), strength, self.strength_bias, self.sharpness_limit)
        fields = {
            "read_keys": Field((read_heads, word_size), real),
            "read_strengths": strengths,
            "write_gates": Field((write_heads,), unit),
            "reuse_gates": Field((write_heads,), unit),
            "write_vectors": Field((write_heads, word_size), ADD_RANGES[self.add_range]),
        }
        return Table(SparseParameters, fields)

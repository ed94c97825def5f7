"""Product keys: the best of n^2 words, found among two sets of n keys (Lample et al. 2019).

"Large memory layers with product keys", arXiv 1907.05242, section 3.1. Axes: B batch, N = n^2
memory slots, W word, R read heads, H write heads; K words that a head reads or writes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from memnets.checks import check_epsilons, check_limit, check_name, check_numbers, check_sizes
from memnets.interface import ADD_RANGES, STRENGTHS, Field, Table, real, unit
from memnets.panels import Panel
from memnets.parts.registry import register
from memnets.parts.sparse import access_panels


def product_top(rows: Tensor, columns: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of all sums rows_i + columns_j, and the slots i n + j that they are of.

    None of them is outside of the `count` best rows or columns, so that of N = n^2 sums few are
    made: the result is exact.

    Args:
        rows: [..., n].
        columns: [..., n].
        count: K, at most n^2.

    Returns:
        Sums and slots [..., K], the largest first.

    >>> product_top(torch.tensor([1.0, 3.0]), torch.tensor([0.5, 0.25]), 2)
    (tensor([3.5000, 3.2500]), tensor([2, 3]))
    """
    size = rows.shape[-1]
    first, second = (one.topk(min(count, size), dim=-1) for one in (rows, columns))
    sums = (first.values[..., :, None] + second.values[..., None, :]).flatten(-2)
    slots = (first.indices[..., :, None] * size + second.indices[..., None, :]).flatten(-2)
    best = sums.topk(count, dim=-1)
    return best.values, slots.gather(-1, best.indices)


def product_weights(
    queries: Tensor, strengths: Tensor, keys: Tensor, count: int, epsilon: float = 1e-6
) -> tuple[Tensor, Tensor]:
    """The slots with the K best keys, and softmax_K(strength * (cos_rows + cos_columns) / 2).

    A query has two halves, and so has the key of slot i n + j: row i of the first set of keys, and
    row j of the second. The cosines keep a strength in the range that it has by content.

    Args:
        queries: [B, R, W].
        strengths: [B, R].
        keys: [2, n, W / 2].
        count: K.
        epsilon: see `memnets.parts.content.cosine_similarity`.

    Returns:
        Slots and weights [B, R, K].
    """
    halves = queries.unflatten(-1, (2, -1))
    products = torch.einsum("brhw,hnw->brhn", halves, keys)
    squares = halves.square().sum(-1)[..., None] * keys.square().sum(-1)
    rows, columns = (products / torch.sqrt(squares + epsilon)).unbind(-2)
    sums, slots = product_top(rows, columns, count)
    return slots, torch.softmax(strengths[..., None] * sums / 2, dim=-1)


class ProductParameters(NamedTuple):
    """What the heads of a memory with product keys receive, activated."""

    read_keys: Tensor
    """[B, R, W]"""
    read_strengths: Tensor
    """[B, R], above 0 (above 1 with oneplus)."""
    write_keys: Tensor
    """[B, H, W]"""
    write_strengths: Tensor
    """[B, H]"""
    write_gates: Tensor
    """[B, H] in [0, 1]: 0 writes nothing."""
    write_vectors: Tensor
    """[B, H, W]"""

    def panels(self, memory: Any, kind: str, head: int) -> dict[str, Panel]:
        """What a picture shows of a head, `read` or `write`, of a record [T, ...]."""
        gates = {"write": self.write_gates}
        return access_panels(memory, kind, head, self.read_strengths, gates)


class KeySets(nn.Module):
    """The two sets of n keys, [2, n, W / 2], of n^2 slots."""

    def __init__(
        self,
        memory_size: int,
        word_size: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        shape = (2, math.isqrt(memory_size), word_size // 2)
        self.keys: nn.Parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the keys from the normal distribution: directions of all kinds."""
        nn.init.normal_(self.keys)


@register
@dataclass(frozen=True, kw_only=True)
class ProductKeys:
    """Heads of a sparse memory that choose words by keys which are learned, not by what is in them.

    A write head moves the K words of its key to its vector, by its gate and their weights; a read
    head reads the K words of its key. The slots are a square of a number, and the words are of an
    even size.

    Raises:
        ValueError: if a number is out of its range, or a name is not known.
    """

    top_k: int = 4
    """words that a head reads or writes, K"""
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
        check_numbers(strength_bias=self.strength_bias)
        check_limit("sharpness_limit", self.sharpness_limit)
        check_epsilons(similarity_epsilon=self.similarity_epsilon)

    def table(self, read_heads: int, write_heads: int, word_size: int) -> Table:
        """The fields of `ProductParameters`."""
        activation = STRENGTHS[self.strength]

        def strengths(heads: int) -> Field:
            return Field((heads,), activation, self.strength_bias, self.sharpness_limit)

        fields = {
            "read_keys": Field((read_heads, word_size), real),
            "read_strengths": strengths(read_heads),
            "write_keys": Field((write_heads, word_size), real),
            "write_strengths": strengths(write_heads),
            "write_gates": Field((write_heads,), unit),
            "write_vectors": Field((write_heads, word_size), ADD_RANGES[self.add_range]),
        }
        return Table(ProductParameters, fields)

    def build(
        self,
        memory_size: int,
        word_size: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> KeySets:
        """The keys of a memory.

        Raises:
            ValueError: if the slots are no square of a number, or a word has an odd size.
        """
        side = math.isqrt(memory_size)
        if side * side != memory_size:
            raise ValueError(
                f"Product keys are two sets of n keys for n * n slots; memory_size is {memory_size}"
                f": choose {side * side} or {(side + 1) ** 2}."
            )
        if word_size % 2:
            raise ValueError(
                f"A product key has two halves; word_size is {word_size}: choose {word_size + 1}."
            )
        return KeySets(memory_size, word_size, device, dtype)

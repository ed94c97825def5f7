"""Sparse reads and writes: of N words a head reads K, and writes K + 1 (Rae et al. 2016, 3.1, 3.2).

Axes: B batch, N memory slots, W word, R read heads, H write heads; K words that a head reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from memnets.checks import (
    check_epsilons,
    check_limit,
    check_name,
    check_numbers,
    check_sizes,
    check_switches,
)
from memnets.interface import ADD_RANGES, STRENGTHS, Field, Table, real, unit
from memnets.panels import Lines, Panel, Slots
from memnets.parts.last_access import least_recent, total_weights
from memnets.parts.registry import register
from memnets.parts.search import exact, reach
from memnets.parts.store import InPlace, Words, at, words_of


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
    alike = products / torch.sqrt(squares + epsilon)
    return torch.softmax(strengths[..., None] * alike, dim=-1)


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


def read_words(
    words: Tensor, keys: Tensor, strengths: Tensor, epsilon: float = 1e-6
) -> tuple[Tensor, Tensor]:
    """The weights of the words that were found, as `sparse_weights`, and their sum [B, R, W]."""
    weights = sparse_weights(words, keys, strengths, epsilon)
    return weights, (weights[..., None, :] @ words).squeeze(-2)


def added_words(
    read_weights: Tensor, write_gates: Tensor, reuse_gates: Tensor, vectors: Tensor
) -> tuple[Tensor, Tensor]:
    """The weights of a write, as `write_weights`, and what it adds to each word (eq. 3).

    Args:
        read_weights, write_gates, reuse_gates: see `write_weights`.
        vectors: [B, H, W].

    Returns:
        [B, H, K + 1], and [B, H, K + 1, W].
    """
    weights = write_weights(read_weights, write_gates, reuse_gates)
    return weights, weights[..., None] * vectors[:, :, None]


# Where words are changed in place, the graph of a long sequence is most of what is kept, and there
# is no second derivative anyway: two nodes a step stand for some thirty.


class _Reads(Function):
    """`read_words` as one node of the graph, which keeps less than its equations would."""

    @staticmethod
    def forward(
        ctx: Any, words: Tensor, keys: Tensor, strengths: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor]:
        weights, vectors = read_words(words, keys, strengths, epsilon)
        ctx.epsilon = epsilon
        ctx.save_for_backward(words, keys, strengths, weights)
        return weights, vectors

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, d_weights: Tensor, d_vectors: Tensor
    ) -> tuple[Any, ...]:
        words, keys, strengths, weights = ctx.saved_tensors
        norms, square = torch.linalg.vecdot(words, words), torch.linalg.vecdot(keys, keys)
        square = square[..., None]
        inverse = torch.rsqrt(square * norms + ctx.epsilon)
        alike = (words @ keys[..., None]).squeeze(-1) * inverse
        d_weights = d_weights + (words @ d_vectors[..., None]).squeeze(-1)
        d_x = weights * (d_weights - (weights * d_weights).sum(-1, keepdim=True))
        d_t = strengths[..., None] * d_x * inverse
        d_q = -0.5 * d_t * alike * inverse
        d_keys = (d_t[..., None, :] @ words).squeeze(-2)
        d_keys = d_keys + 2 * (d_q * norms).sum(-1, keepdim=True) * keys
        d_words = weights[..., None] * d_vectors[..., None, :] + d_t[..., None] * keys[..., None, :]
        d_words = d_words + 2 * (d_q * square)[..., None] * words
        return d_words, d_keys, (d_x * alike).sum(-1), None


class _Adds(Function):
    """`added_words` as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        last: Tensor,
        write_gates: Tensor,
        reuse_gates: Tensor,
        vectors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        weights, added = added_words(last, write_gates, reuse_gates, vectors)
        ctx.save_for_backward(last, write_gates, reuse_gates, vectors)
        return weights, added

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, d_weights: Tensor, d_added: Tensor
    ) -> tuple[Any, ...]:
        last, write_gates, reuse_gates, vectors = ctx.saved_tensors
        gate, reuse = write_gates[..., None], reuse_gates[..., None]
        shares = torch.cat([reuse * last, 1 - reuse], dim=-1)
        d_vectors = ((gate * shares)[..., None, :] @ d_added).squeeze(-2)
        d_weights = d_weights + (d_added @ vectors[..., None]).squeeze(-1)
        d_shares = gate * d_weights
        d_last = d_shares[..., :-1]
        d_reuse = (d_last * last).sum(-1) - d_shares[..., -1]
        return reuse * d_last, (d_weights * shares).sum(-1), d_reuse, d_vectors


def access_panels(
    memory: Any, kind: str, head: int, strengths: Tensor, gates: dict[str, Tensor]
) -> dict[str, Panel]:
    """A reader's strength or a writer's gates, and when each slot was last accessed."""
    lines = Lines("strength", {"": strengths[:, head]})
    if kind != "read":
        lines = Lines("gates", {name: gate[:, head] for name, gate in gates.items()}, (0, 1))
    return {"gates": lines, "usage": Slots("last access of slot", memory.accessed)}


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
        gates = {"write": self.write_gates, "reuse": self.reuse_gates}
        return access_panels(memory, kind, head, self.read_strengths, gates)


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
    reuse_bias: float = 0.0
    """added to the initial bias of the reuse gates: below 0, a head writes to new words at first"""
    sharpness_limit: float | None = None
    """no key strength is above it; None: no limit"""
    add_range: Literal["real", "bounded"] = "real"
    """range of what is written: any number, or [-1, 1]"""
    similarity_epsilon: float = 1e-6
    """keeps the cosine similarity of a zero vector finite"""
    read_first: bool = False
    """read the memory as the step before left it: else what is just written is often most like
    the key"""
    keys_like_vectors: bool = False
    """keys start as the vectors that are written, so that at first a head finds what was written
    when the controller's output was like that of now"""

    def __post_init__(self) -> None:
        check_sizes(top_k=self.top_k)
        check_name("strength", self.strength, STRENGTHS)
        check_name("add_range", self.add_range, ADD_RANGES)
        check_switches(read_first=self.read_first, keys_like_vectors=self.keys_like_vectors)
        check_numbers(strength_bias=self.strength_bias, reuse_bias=self.reuse_bias)
        check_limit("sharpness_limit", self.sharpness_limit)
        check_epsilons(threshold=self.threshold, similarity_epsilon=self.similarity_epsilon)

    def table(self, read_heads: int, write_heads: int, word_size: int) -> Table:
        """The fields of `SparseParameters`."""
        strength = STRENGTHS[self.strength]
        strengths = Field((read_heads,), strength, self.strength_bias, self.sharpness_limit)
        like = "write_vectors" if self.keys_like_vectors else None
        fields = {
            "read_keys": Field((read_heads, word_size), real, like=like),
            "read_strengths": strengths,
            "write_gates": Field((write_heads,), unit),
            "reuse_gates": Field((write_heads,), unit, self.reuse_bias),
            "write_vectors": Field((write_heads, word_size), ADD_RANGES[self.add_range]),
        }
        return Table(SparseParameters, fields)


class Written(NamedTuple):
    """What a write leaves."""

    words: Words | InPlace
    slots: Tensor
    """where each head wrote, [B, H, K + 1]"""
    weights: Tensor
    """[B, H, K + 1]"""
    written: Tensor
    """[B]: the words below it were written"""
    until: int
    """no word at or above it can be among the first that a search looks at"""


def write(parameters: Any, state: Any, addressing: Sparse) -> Written:
    """Write as each head is told (eq. 3 and 5, section 3.2): see `memnets.sam.step`.

    Args:
        parameters: with the write fields of `SparseParameters`.
        state: with the fields of `memnets.sam.SAMFields`.
        addressing: K.
    """
    heads = parameters.write_gates.shape[1]
    slots = state.accessed.shape[1]
    words = words_of(state.memory)
    end = reach(state.written, slots, heads)
    until = min(slots, end + addressing.top_k)
    unused = least_recent(state.accessed, end, heads)
    place = torch.cat([state.read_slots[:, :heads], unused[..., None]], dim=-1)
    fresh = state.read_slots[:, :heads] >= state.written[:, None, None]
    last_read = state.read_weights[:, :heads].masked_fill(fresh, 0.0)
    gates = parameters.write_gates, parameters.reuse_gates
    arguments = last_read, *gates, parameters.write_vectors
    if isinstance(words, InPlace):
        weights, added = _Adds.apply(*arguments)
    else:
        weights, added = added_words(*arguments)
    words = words.write(unused, place.flatten(1), added.flatten(1, 2))
    written = torch.maximum(state.written, unused.amax(1) + 1)
    return Written(words, place, weights, written, until)


def read_by_content(
    parameters: Any, done: Written, addressing: Sparse
) -> tuple[Tensor, Tensor, Tensor, Words | InPlace]:
    """Read the words most like each key (eq. 4).

    Args:
        parameters: with the read fields of `SparseParameters`.
        done: the write before.
        addressing: K.

    Returns:
        Slots and their weights [B, R, K], the read vectors [B, R, W], and what is read next.
    """
    epsilon, keys = addressing.similarity_epsilon, parameters.read_keys
    count, until = addressing.top_k, done.until
    found = exact(done.words, done.written, keys, count, until, epsilon)
    read, words = done.words.read(found.flatten(1))
    read = read.view(*found.shape, -1)
    arguments = read, keys, parameters.read_strengths, epsilon
    if isinstance(words, InPlace):
        weights, vectors = _Reads.apply(*arguments)
    else:
        weights, vectors = read_words(*arguments)
    return found, weights, vectors, words


def read_before(
    parameters: Any, state: Any, addressing: Sparse
) -> tuple[Tensor, Tensor, Tensor, Words | InPlace]:
    """Read the memory as the step before left it; what it returns is that of `read_by_content`.

    A word that was never written has a weight of 0, so that no write follows such a read.
    """
    words = words_of(state.memory)
    until = reach(state.written, state.accessed.shape[1], addressing.top_k)
    left = Written(words, state.write_slots, state.write_weights, state.written, until)
    slots, weights, vectors, words = read_by_content(parameters, left, addressing)
    return slots, weights.masked_fill(slots >= state.written[:, None, None], 0.0), vectors, words


def access_times(
    state: Any,
    done: Written,
    words: Words | InPlace,
    slots: Tensor,
    weights: Tensor,
    threshold: float,
) -> Tensor:
    """When each word was last accessed, [B, N], after a write and reads of slots [B, R, K]."""
    seen = weights.detach().masked_fill(slots >= done.written[:, None, None], 0.0)
    where = torch.cat([slots.flatten(1), done.slots.flatten(1)], dim=1)
    both = torch.cat([seen.flatten(1), done.weights.detach().flatten(1)], dim=1)
    now = total_weights(where, both) > threshold
    times = torch.where(now, state.steps[:, None] + 1, at(state.accessed, where))
    return words.put(state.accessed, where, times)

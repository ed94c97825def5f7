"""Heads: what an addressing plugs into, and the step of a memory with any of them.

An addressing is any object, data or an `nn.Module`, with two methods and, if it carries something
from step to step, a third:

    table(count, word_size) -> Table
        What it wants emitted for its `count` heads: a NamedTuple class and a Field for each field.
    __call__(parameters, previous_weights, memory, state) -> (weights, state)
        The weightings [B, count, N], from the NamedTuple that `table` named, the heads' own
        weightings of the step before [B, count, N], and the whole `NTMMemory`: its `memory` as it
        is when the head looks (a read head looks after the write), its weightings those of the
        step before.
    initial_state(like) -> state
        Optional: tensors (or tuples of them) with the batch as the first axis, of the dtype and
        device of `like` [B, N]. Without it the state is the empty tuple.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from memnets.checks import check_name, check_sizes
from memnets.interface import ADD_RANGES, Field, Table, unit
from memnets.parts.writing import read, write


class NTMMemory(NamedTuple):
    """The memory of an NTM and where its heads are."""

    memory: Tensor
    """[B, N, W]"""
    read_weights: Tensor
    """[B, R, N], each weighting in [0, 1] with sum 1 (at most 1 before the first step)."""
    write_weights: Tensor
    """[B, H, N]"""
    addressing: tuple[Any, ...] = ()
    """What addressings with a state of their own carry, one entry a head; else empty."""


class Addressing(Protocol):
    """What plugs into a head: see the top of this module."""

    def table(self, count: int, word_size: int) -> Table:
        """What it wants emitted for its `count` heads."""
        ...

    def __call__(
        self, parameters: Any, previous_weights: Tensor, memory: NTMMemory, state: Any
    ) -> tuple[Tensor, Any]:
        """The weightings of its heads, and its state after the step."""
        ...


class WriteVectors(NamedTuple):
    """What all write heads together write: two tensors [B, H, W]."""

    erase_vectors: Tensor
    add_vectors: Tensor


@dataclass(frozen=True)
class ReadHead:
    """`count` read heads that share an addressing (each with parameters of its own).

    Raises:
        TypeError: if the addressing lacks a part of its contract.
        ValueError: if the count is not a whole number of at least 1.
    """

    addressing: Addressing
    count: int = 1

    def __post_init__(self) -> None:
        _check_head(self)


@dataclass(frozen=True)
class WriteHead:
    """`count` write heads that share an addressing; each also emits an erase and an add vector.

    Raises:
        TypeError: if the addressing lacks a part of its contract.
        ValueError: if the count is not a whole number of at least 1.
    """

    addressing: Addressing
    count: int = 1

    def __post_init__(self) -> None:
        _check_head(self)


Head = ReadHead | WriteHead


def _check_head(head: Head) -> None:
    addressing = head.addressing
    if isinstance(addressing, type) or not (callable(addressing) and hasattr(addressing, "table")):
        raise TypeError(
            "An addressing is an object with table(count, word_size) and a call (see "
            f"memnets.parts.heads), such as ContentAndLocation(); got {addressing!r}."
        )
    check_sizes(count=head.count)


def ordered(heads: Sequence[Head]) -> tuple[Head, ...]:
    """Check a list of heads and put the read heads first, as the interface does.

    Raises:
        TypeError: if an entry is not a head.
        ValueError: if there is no read or no write head.
    """
    if isinstance(heads, ReadHead | WriteHead):
        raise TypeError(f"heads is a list; got {heads!r} alone: put it into one.")
    if not isinstance(heads, list | tuple):
        raise TypeError(f"heads is a list; got {heads!r}.")
    wrong = next((h for h in heads if not isinstance(h, ReadHead | WriteHead)), None)
    if wrong is not None:
        raise TypeError(
            f"heads lists ReadHead(addressing) and WriteHead(addressing); got {wrong!r}."
        )
    readers = tuple(head for head in heads if isinstance(head, ReadHead))
    writers = tuple(head for head in heads if isinstance(head, WriteHead))
    if not readers or not writers:
        raise ValueError(
            f"heads needs at least one ReadHead and one WriteHead; got {len(readers)} and "
            f"{len(writers)}."
        )
    return readers + writers


def tables(heads: Sequence[Head], word_size: int, add_range: str = "real") -> list[Table]:
    """What the interface of `heads` emits: each head's parameters, then all write vectors.

    Raises:
        ValueError: if `add_range` is not a known range.
    """
    check_name("add_range", add_range, ADD_RANGES)
    count = sum(head.count for head in heads if isinstance(head, WriteHead))
    vectors = {
        "erase_vectors": Field((count, word_size), unit),
        "add_vectors": Field((count, word_size), ADD_RANGES[add_range]),
    }
    return [
        *(head.addressing.table(head.count, word_size) for head in heads),
        Table(WriteVectors, vectors),
    ]


def initial_addressing(heads: Sequence[Head], like: Tensor) -> tuple[Any, ...]:
    """Return each addressing's initial state, or the empty tuple where none has any."""
    starts = [getattr(head.addressing, "initial_state", None) for head in heads]
    if not any(starts):
        return ()
    return tuple(start(like) if start else () for start in starts)


def access(
    heads: Sequence[Head], parameters: Sequence[Any], state: NTMMemory, *, read_first: bool = False
) -> tuple[Tensor, NTMMemory]:
    """One step of a memory with any heads: write, then read (or read, then write).

    Args:
        heads: as `ordered` returns them.
        parameters: one NamedTuple for each entry of `tables(heads, word_size)`.
        state: the memory and the weightings of the step before.
        read_first: read the memory as the step before left it.

    Returns:
        Read vectors [B, R, W] and the memory after the step.
    """
    *emitted, vectors = parameters
    carried = state.addressing or ((),) * len(heads)
    readers = sum(isinstance(head, ReadHead) for head in heads)

    def weigh(which: slice, previous: Tensor, seen: NTMMemory) -> tuple[Tensor, tuple[Any, ...]]:
        return _weigh(heads[which], emitted[which], previous, seen, carried[which])

    reading, writing = slice(readers), slice(readers, None)
    write_weights, write_carried = weigh(writing, state.write_weights, state)
    memory = write(state.memory, write_weights, vectors.erase_vectors, vectors.add_vectors)
    seen = state if read_first else state._replace(memory=memory)
    read_weights, read_carried = weigh(reading, state.read_weights, seen)
    kept = read_carried + write_carried if state.addressing else ()
    return read(seen.memory, read_weights), NTMMemory(memory, read_weights, write_weights, kept)


def _weigh(
    heads: Sequence[Head],
    emitted: Sequence[Any],
    previous: Tensor,
    memory: NTMMemory,
    carried: Sequence[Any],
) -> tuple[Tensor, tuple[Any, ...]]:
    """Return the weightings of all heads of one kind, side by side, and what they carry on."""
    if len(heads) == 1:
        weights, kept = heads[0].addressing(emitted[0], previous, memory, carried[0])
        return weights, (kept,)
    own = previous.split([head.count for head in heads], dim=1)
    results = [
        head.addressing(parameters, weights, memory, kept)
        for head, parameters, weights, kept in zip(heads, emitted, own, carried, strict=True)
    ]
    return torch.cat([weights for weights, _ in results], dim=1), tuple(k for _, k in results)

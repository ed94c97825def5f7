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

A rule of writing is any object with `table(write_heads, word_size)` and
`write(memory, weights, vectors)`. One that carries something from step to step adds

    initial_state(memory) -> state
        Tensors (or tuples of them) with the batch as the first axis, for a memory [B, N, W]. Its
        `write` then takes the state as a fourth argument and returns (memory, state).
    read(memory, weights, state) -> read vectors [B, R, W]
        Optional: how read heads read what it wrote, if not by r = M^T w.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from memnets.checks import check_sizes, check_switches
from memnets.interface import Table
from memnets.parts.location import ContentAndLocation
from memnets.parts.registry import register
from memnets.parts.writing import read


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
    writing: Any = ()
    """What a rule of writing with a state of its own carries; else empty."""


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


@register
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


@register
@dataclass(frozen=True)
class WriteHead:
    """`count` write heads that share an addressing; each also emits what it writes.

    Raises:
        TypeError: if the addressing lacks a part of its contract.
        ValueError: if the count is not a whole number of at least 1.
    """

    addressing: Addressing
    count: int = 1

    def __post_init__(self) -> None:
        _check_head(self)


Head = ReadHead | WriteHead


class Writing(Protocol):
    """How write heads write: `memnets.parts.writing.EraseAdd` is the NTM's.

    The top of this module says what a rule with a state of its own has beside this.
    """

    def table(self, write_heads: int, word_size: int) -> Table:
        """What it wants emitted for all write heads together."""
        ...

    def write(self, memory: Tensor, weights: Tensor, vectors: Any) -> Tensor:
        """The memory [B, N, W] after a write by weightings [B, H, N]."""
        ...


@register
@dataclass(frozen=True, kw_only=True)
class Heads:
    """The heads of an NTM: how they choose slots, and when they read.

    Raises:
        TypeError: if an addressing lacks a part of its contract, or an entry is no head.
        ValueError: if there are entries without a read or a write head, or `read` or `write`
            beside them.

    >>> Heads(write=ContentAndLocation(gate_bias=-3.0)).of(4, 1)[0].count
    4
    """

    read: Any = ContentAndLocation()
    """how the read heads choose slots, an addressing"""
    write: Any = None
    """how the write heads choose slots, an addressing; None: as the read heads"""
    read_first: bool = False
    """read the memory as the step before left it; else read it after the write"""
    entries: tuple[Head, ...] = ()
    """heads one by one, in place of `read` and `write`"""

    def __post_init__(self) -> None:
        check_switches(read_first=self.read_first)
        check_addressing(self.read, "read")
        if self.write is not None:
            check_addressing(self.write, "write")
        if isinstance(self.entries, list | tuple) and not self.entries:
            object.__setattr__(self, "entries", ())
            return
        object.__setattr__(self, "entries", ordered(self.entries, "entries"))
        for name, usual in (("read", Heads.read), ("write", None)):
            if getattr(self, name) != usual:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} has no effect beside entries: leave it out, "
                    "and give it to an entry, as in ReadHead(ContentAndLocation(), 4)."
                )

    def of(self, read_heads: int, write_heads: int) -> tuple[Head, ...]:
        """The heads one by one, reads first: the entries, or as many as asked for."""
        if self.entries:
            return self.entries
        write = self.read if self.write is None else self.write
        return ReadHead(self.read, read_heads), WriteHead(write, write_heads)


def check_addressing(addressing: object, name: str = "addressing") -> None:
    """Raise a TypeError for what lacks a part of an addressing's contract."""
    if isinstance(addressing, type) or not (callable(addressing) and hasattr(addressing, "table")):
        raise TypeError(
            "An addressing is an object with table(count, word_size) and a call (see "
            f"memnets.parts.heads), such as ContentAndLocation(); got {name}={addressing!r}."
        )


def _check_head(head: Head) -> None:
    check_addressing(head.addressing)
    check_sizes(count=head.count)


def ordered(heads: Sequence[Head], name: str = "heads") -> tuple[Head, ...]:
    """Check a list of heads and put the read heads first, as the interface does.

    Raises:
        TypeError: if an entry is not a head.
        ValueError: if there is no read or no write head.
    """
    if isinstance(heads, ReadHead | WriteHead):
        raise TypeError(f"{name} is a list; got {heads!r} alone: put it into one.")
    if not isinstance(heads, list | tuple):
        raise TypeError(f"{name} is a list of heads; got {heads!r}.")
    wrong = next((h for h in heads if not isinstance(h, ReadHead | WriteHead)), None)
    if wrong is not None:
        raise TypeError(
            f"{name} lists ReadHead(addressing) and WriteHead(addressing); got {wrong!r}."
        )
    readers = tuple(head for head in heads if isinstance(head, ReadHead))
    writers = tuple(head for head in heads if isinstance(head, WriteHead))
    if not readers or not writers:
        raise ValueError(
            f"{name} needs at least one ReadHead and one WriteHead; got {len(readers)} and "
            f"{len(writers)}."
        )
    return readers + writers


def counts(heads: Sequence[Head]) -> tuple[int, int]:
    """How many read heads and write heads there are."""
    readers = sum(head.count for head in heads if isinstance(head, ReadHead))
    return readers, sum(head.count for head in heads) - readers


def joined(heads: Sequence[Head], read_first: bool) -> Heads:
    """Undo `Heads.of`.

    >>> joined(Heads().of(4, 2), read_first=False) == Heads()
    True
    """
    if [type(head) for head in heads] != [ReadHead, WriteHead]:
        return Heads(entries=tuple(heads), read_first=read_first)
    read, write = (head.addressing for head in heads)
    return Heads(read=read, write=None if write == read else write, read_first=read_first)


def modules(heads: Sequence[Head]) -> Iterator[tuple[str, nn.Module]]:
    """The addressings that are modules, and the names under which a layer has them."""
    for index, head in enumerate(heads):
        if isinstance(head.addressing, nn.Module):
            yield f"addressing_{index}", head.addressing


def check_writing(writing: object) -> None:
    """Raise a TypeError for what lacks a part of a writing rule's contract."""
    if isinstance(writing, type) or not (hasattr(writing, "table") and hasattr(writing, "write")):
        raise TypeError(
            "writing is an object with table(write_heads, word_size) and write(memory, weights, "
            f"vectors), such as EraseAdd(); got {writing!r}."
        )


def tables(heads: Sequence[Head], word_size: int, writing: Writing) -> list[Table]:
    """What the interface of `heads` emits: each head's parameters, then what is written."""
    count = sum(head.count for head in heads if isinstance(head, WriteHead))
    return [
        *(head.addressing.table(head.count, word_size) for head in heads),
        writing.table(count, word_size),
    ]


def initial_addressing(heads: Sequence[Head], like: Tensor) -> tuple[Any, ...]:
    """Return each addressing's initial state, or the empty tuple where none has any."""
    starts = [getattr(head.addressing, "initial_state", None) for head in heads]
    if not any(starts):
        return ()
    return tuple(start(like) if start else () for start in starts)


def initial_writing(writing: Any, memory: Tensor) -> Any:
    """What a rule of writing starts with, or the empty tuple if it carries nothing."""
    start = getattr(writing, "initial_state", None)
    return start(memory) if start else ()


def access(
    heads: Sequence[Head],
    parameters: Sequence[Any],
    state: NTMMemory,
    *,
    writing: Writing,
    read_first: bool = False,
) -> tuple[Tensor, NTMMemory]:
    """One step of a memory with any heads: focus and write, then focus and read (or read first).

    Args:
        heads: as `ordered` returns them, reads first.
        parameters: one NamedTuple for each entry of `tables(heads, word_size, writing)`.
        state: the memory and the weightings of the step before.
        writing: how the write heads write.
        read_first: read the memory as the step before left it.

    Returns:
        Read vectors [B, R, W] and the memory after the step.
    """
    *emitted, vectors = parameters
    carried = state.addressing or ((),) * len(heads)
    readers = sum(isinstance(head, ReadHead) for head in heads)
    reading, writers = slice(readers), slice(readers, None)

    write_weights, write_carried = _weigh(
        heads[writers], emitted[writers], state.write_weights, state, carried[writers]
    )
    memory, kept_writing = _write(writing, state, write_weights, vectors)

    seen = state if read_first else state._replace(memory=memory, writing=kept_writing)
    read_weights, read_carried = _weigh(
        heads[reading], emitted[reading], state.read_weights, seen, carried[reading]
    )
    kept = read_carried + write_carried if state.addressing else ()
    read_vectors = _read(writing, seen, read_weights)
    return read_vectors, NTMMemory(memory, read_weights, write_weights, kept, kept_writing)


def _write(writing: Any, state: NTMMemory, weights: Tensor, vectors: Any) -> tuple[Tensor, Any]:
    """Return the memory after the write, and what the rule carries on."""
    if not hasattr(writing, "initial_state"):
        return writing.write(state.memory, weights, vectors), ()
    return writing.write(state.memory, weights, vectors, state.writing)


def _read(writing: Writing, state: NTMMemory, weights: Tensor) -> Tensor:
    own = getattr(writing, "read", None)
    return read(state.memory, weights) if own is None else own(state.memory, weights, state.writing)


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

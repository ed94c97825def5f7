"""The NTM's heads, and the addressings that plug into them.

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

from memnets import addressing
from memnets.checks import check_sizes
from memnets.interface import STRENGTHS, Field, Table, real, simplex, unit
from memnets.interface import oneplus as at_least_one
from memnets.memory import read, write


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


class ContentParameters(NamedTuple):
    """What `Content` takes: keys [B, count, W], strengths [B, count]."""

    keys: Tensor
    strengths: Tensor


class LocationParameters(NamedTuple):
    """What `Location` takes: shifts [B, count, S], sharpenings [B, count]."""

    shifts: Tensor
    sharpenings: Tensor


class FocusParameters(NamedTuple):
    """What `ContentAndLocation` takes; gates [B, count], the rest as above."""

    keys: Tensor
    strengths: Tensor
    gates: Tensor
    shifts: Tensor
    sharpenings: Tensor


class LeastRecentlyUsedParameters(NamedTuple):
    """What `LeastRecentlyUsed` takes: gates [B, count], 1 for the last read."""

    gates: Tensor


class WriteVectors(NamedTuple):
    """What all write heads together write: two tensors [B, H, W]."""

    erase_vectors: Tensor
    add_vectors: Tensor


def _content_fields(count: int, word_size: int, strength: str) -> dict[str, Field]:
    if strength not in STRENGTHS:
        raise ValueError(f"strength must be one of {', '.join(STRENGTHS)}; got {strength!r}.")
    return {
        "keys": Field((count, word_size), real),
        "strengths": Field((count,), STRENGTHS[strength]),
    }


def _location_fields(count: int, shift_range: int) -> dict[str, Field]:
    check_sizes(minimum=0, shift_range=shift_range)
    return {
        "shifts": Field((count, 2 * shift_range + 1), simplex),
        "sharpenings": Field((count,), at_least_one),
    }


@dataclass(frozen=True)
class Content:
    """Address by content alone: `addressing.content_weights` (NTM eq. 5 and 6)."""

    strength: str = "oneplus"
    similarity_epsilon: float = 1e-6

    def table(self, count: int, word_size: int) -> Table:
        """Keys [B, count, W] and strengths [B, count]."""
        return Table(ContentParameters, _content_fields(count, word_size, self.strength))

    def __call__(
        self, parameters: ContentParameters, previous_weights: Tensor, memory: NTMMemory, state: Any
    ) -> tuple[Tensor, Any]:
        """Weigh by content."""
        weights = addressing.content_weights(
            memory.memory, parameters.keys, parameters.strengths, self.similarity_epsilon
        )
        return weights, state


@dataclass(frozen=True)
class Location:
    """Address by moving from where the head was: shift, then sharpen (NTM eq. 8 and 9)."""

    shift_range: int = 1
    sharpen_epsilon: float = 1e-12

    def table(self, count: int, word_size: int) -> Table:
        """Shifts [B, count, S] and sharpenings [B, count]."""
        return Table(LocationParameters, _location_fields(count, self.shift_range))

    def __call__(
        self,
        parameters: LocationParameters,
        previous_weights: Tensor,
        memory: NTMMemory,
        state: Any,
    ) -> tuple[Tensor, Any]:
        """Shift where the head was, then sharpen."""
        moved = addressing.shift(previous_weights, parameters.shifts)
        return addressing.sharpen(moved, parameters.sharpenings, self.sharpen_epsilon), state


@dataclass(frozen=True)
class ContentAndLocation:
    """The NTM's own: by content, then by location (`addressing.focus`, NTM figure 2).

    `gate_bias` is added to the initial bias of the gates: below 0, heads start by moving from where
    they are, above 0 by looking for content.
    """

    shift_range: int = 1
    strength: str = "oneplus"
    similarity_epsilon: float = 1e-6
    sharpen_epsilon: float = 1e-12
    gate_bias: float = 0.0

    def table(self, count: int, word_size: int) -> Table:
        """Keys, strengths, gates, shifts and sharpenings, of which `FocusParameters` tells."""
        fields = {
            **_content_fields(count, word_size, self.strength),
            "gates": Field((count,), unit, self.gate_bias),
            **_location_fields(count, self.shift_range),
        }
        return Table(FocusParameters, fields)

    def __call__(
        self, parameters: FocusParameters, previous_weights: Tensor, memory: NTMMemory, state: Any
    ) -> tuple[Tensor, Any]:
        """Weigh by content, then by location."""
        weights = addressing.focus(
            memory.memory,
            previous_weights,
            keys=parameters.keys,
            strengths=parameters.strengths,
            gates=parameters.gates,
            shifts=parameters.shifts,
            sharpenings=parameters.sharpenings,
            similarity_epsilon=self.similarity_epsilon,
            sharpen_epsilon=self.sharpen_epsilon,
        )
        return weights, state


@dataclass(frozen=True)
class LeastRecentlyUsed:
    """Write where the memory was just read, or where it was least used (Santoro et al. 2016).

    Usage decays and counts every access, u(t) = decay * u(t-1) + sum_r w_r(t) + sum_h w_w(t)
    (section 3.2); a gate g chooses between the last read and the least-used slots,
    w = g * mean_r w_r(t-1) + (1 - g) * lu(t-1). The `count` heads of one entry take the least-used,
    the second-least-used, ... slot; two entries do not know of each other. Where the heads stand
    before the first step counts as an access. What the paper wipes by rule before a write (the
    least-used slot), the head's erase vector may wipe here.

    Raises:
        ValueError: if `decay` is not in [0, 1).
    """

    decay: float = 0.95

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be in [0, 1); got {self.decay}.")

    def table(self, count: int, word_size: int) -> Table:
        """Gates [B, count]."""
        return Table(LeastRecentlyUsedParameters, {"gates": Field((count,), unit)})

    def initial_state(self, like: Tensor) -> Tensor:
        """Nothing is used before the first step: zeros [B, N]."""
        return torch.zeros_like(like)

    def __call__(
        self,
        parameters: LeastRecentlyUsedParameters,
        previous_weights: Tensor,
        memory: NTMMemory,
        state: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Choose between the last read and the least used, and count usage."""
        usage = self.decay * state + memory.read_weights.sum(1) + memory.write_weights.sum(1)
        unused = addressing.least_used(usage, previous_weights.shape[1])
        last_read = memory.read_weights.mean(1, keepdim=True)
        return torch.lerp(unused, last_read, parameters.gates[..., None]), usage


@dataclass(frozen=True)
class ReadHead:
    """`count` read heads that share an addressing (each with parameters of its own).

    Raises:
        TypeError: if the addressing lacks a part of its contract.
        ValueError: if the count is not a whole number of at least 1.
    """

    addressing: Any
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

    addressing: Any
    count: int = 1

    def __post_init__(self) -> None:
        _check_head(self)


Head = ReadHead | WriteHead


def _check_head(head: Head) -> None:
    addressing = head.addressing
    if isinstance(addressing, type) or not (callable(addressing) and hasattr(addressing, "table")):
        raise TypeError(
            "An addressing is an object with table(count, word_size) and a call (see "
            f"memnets.heads), such as ContentAndLocation(); got {addressing!r}."
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


def tables(heads: Sequence[Head], word_size: int) -> list[Table]:
    """What the interface of `heads` emits: each head's parameters, then all write vectors."""
    count = sum(head.count for head in heads if isinstance(head, WriteHead))
    vectors = {
        "erase_vectors": Field((count, word_size), unit),
        "add_vectors": Field((count, word_size), real),
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
        head.addressing(*given, memory, kept)
        for head, *given, kept in zip(heads, emitted, own, carried, strict=True)
    ]
    return torch.cat([weights for weights, _ in results], dim=1), tuple(k for _, k in results)

"""Words that a sequence changes in place, their gradients, and what puts back how they were.

Axes: B batch, N memory slots, W word; P positions, the words that one step looks at or changes.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

DTYPES = {torch.float32: "float32", torch.float64: "float64", torch.int64: "int64"}


def own_copy(values: Tensor) -> Tensor:
    """A contiguous copy without a graph; of one 0 that is expanded, one whose pages are not there
    until something is written to them.

    >>> own_copy(torch.zeros(()).expand(2, 3)).stride()
    (3, 1)
    """
    values = values.detach()
    expanded = values.device.type == "cpu" and not any(values.stride())
    if expanded and values.dtype in DTYPES and values.flatten()[0] == 0:
        return torch.from_numpy(np.zeros(values.shape, DTYPES[values.dtype]))
    return values.clone(memory_format=torch.contiguous_format)


def check_fits(values: Tensor) -> None:
    """Raise a ValueError for words [B, N, W] of which a copy is larger than this machine's memory.

    >>> check_fits(torch.zeros(2, 3, 4))
    """
    needed, there = values.numel() * values.element_size(), machine_memory()
    if values.device.type == "cpu" and needed > there:
        raise ValueError(
            f"A memory of {' x '.join(map(str, values.shape))} numbers (rows, slots, word) needs "
            f"{needed:,} bytes, and this machine has {there:,}: choose a smaller memory_size, "
            "word_size or batch."
        )


def machine_memory() -> int:
    """Bytes of main memory; more than any memory needs where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return 2**62


class Index(Protocol):
    """What finds words of a buffer, and is told when they change."""

    def changed(self, rows: Tensor) -> None:
        """Note that rows of [B * N, W] have other numbers now, or soon."""


class Graph:
    """Which rows of [B * N, W] one graph of autograd looks at, and the gradient of these alone.

    A read and a write note their rows when they are done; the backward asks for the gradient, and
    where in it their rows are. Each backward has a gradient of its own, so that a graph may be gone
    through twice.
    """

    def __init__(self) -> None:
        self._rows: list[Tensor] = []
        self._places: list[Tensor] = []
        self._distinct: Tensor | None = None
        """the rows of the gradient; None for all"""
        self._values: Tensor | None = None
        self._task: int = -1

    def note(self, rows: Tensor) -> int:
        """Note rows, and return by what number `places` knows them."""
        self._rows.append(rows)
        return len(self._rows) - 1

    def gradient(self, like: Tensor) -> Tensor:
        """The gradient [rows, W] in the backward that is running; `like` has the form of words."""
        task = torch._C._current_graph_task_id()
        if self._values is None or task != self._task:
            self._task = task
            self._values = like.new_zeros(len(self._find()), like.shape[-1])
        return self._values

    def _find(self) -> Tensor:
        """The rows of the gradient, each once; and where in it those are that were noted."""
        distinct = self._distinct
        if distinct is None or len(self._places) != len(self._rows):
            every = torch.cat(self._rows) if self._rows else torch.empty(0, dtype=torch.int64)
            distinct, found = torch.unique(every, return_inverse=True)
            self._places = list(found.split([len(rows) for rows in self._rows]))
            self._distinct = distinct
        return distinct

    def places(self, which: int) -> Tensor:
        """Where in the gradient the rows are that were noted."""
        return self._places[which]

    def begin(self, found: Tensor) -> None:
        """Add the gradient [B, N, W] of the words after the sequence, which is that of all rows."""
        before = self.gradient(found)
        self._values = found.clone(memory_format=torch.contiguous_format).flatten(0, 1)
        if self._distinct is None:
            self._values += before
        else:
            self._values.index_add_(0, self._distinct, before)
        self._distinct, self._places = None, list(self._rows)

    def end(self, like: Tensor) -> Tensor:
        """The gradient of all words, [B, N, W] as `like`, with which the backward has ended."""
        found = self.gradient(like)
        if self._distinct is not None:
            rows = self._distinct
            found = torch.zeros_like(like).flatten(0, 1).index_copy_(0, rows, found)
        self._values = None
        return found.view(like.shape)


class Buffer:
    """Words [B, N, W] that a sequence changes in place, and the gradients of them.

    The graph goes along `token`, a number that stands for all words: each read and each write takes
    it and returns the next one, and so the backward goes through them in the reverse of their
    order. None of them keeps more than its positions; the gradient is one tensor, of the words that
    the graph looks at, to which the backward of a read adds and in which that of a write looks up
    what it needs.
    """

    def __init__(self, values: Tensor, restores: bool = False) -> None:
        check_fits(values)
        self.values: Tensor = own_copy(values)
        """[B, N, W]; what the words are now"""
        self.version: int = 0
        """how many writes led to what the words are now"""
        self.restores: bool = restores
        """whether the backward of a write puts back what was there before it"""
        self.index: Any = None
        """an `Index`, which whoever searches puts here"""
        self._tape: list[list[Undo]] = []
        self._batch = torch.arange(len(values), device=values.device)[:, None]
        self._graph = Graph()

    def begin(self, values: Tensor) -> Tensor:
        """The token of the words before the first write; `values` is where their gradient goes."""
        return _Begin.apply(values, self)

    def read(self, token: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The words [B, P, W] at positions [B, P], and the token that comes next."""
        return _Read.apply(token, self, positions)

    def write(
        self,
        token: Tensor,
        erased: Tensor,
        resting: Tensor | None,
        positions: Tensor,
        added: Tensor,
    ) -> Tensor:
        """Set words to 0, add to words, and return the token of what they are then.

        Args:
            token: of the words as they are.
            erased: positions [B, H] of those that are set to 0.
            resting: rows of the batch in which none is, [B] of bool.
            positions: [B, P].
            added: [B, P, W].
        """
        return _Write.apply(token, self, erased, resting, positions, added)

    def finish(self, token: Tensor) -> Tensor:
        """The words [B, N, W] after a sequence."""
        return _End.apply(token, self)

    def rows(self, positions: Tensor, slots: int) -> Tensor:
        """The rows of [B * slots, W] at which positions [B, P] of a tensor [B, slots, W] are."""
        if positions.shape[0] == 1:
            return positions.flatten()
        return torch.add(positions, self._batch, alpha=slots).flatten()

    def graph(self, goes_on: bool) -> Graph:
        """The graph that what comes next is part of: a new one, unless it goes on with the last."""
        if not goes_on:
            self._graph = Graph()
        return self._graph

    def advance(self, rows: Tensor, kept: bool) -> None:
        """Count a write to `rows` of [B * N, W] that follows, and keep what they hold if `kept`."""
        if self.index is not None:
            self.index.changed(rows)
        flat = self.values.view(-1, self.values.shape[-1])
        puts_back = self.restores and kept
        self.count([Undo(flat, rows, flat.index_select(0, rows))] if puts_back else None)

    def count(self, undone: list[Undo] | None) -> None:
        """Count a write, and keep what undoes it; None: it cannot be undone."""
        self.version += 1
        if undone is None:
            self._tape.clear()  # what lies before this write cannot be put back
        else:
            self._tape.append(undone)

    def note(self, flat: Tensor, rows: Tensor, old: Tensor) -> None:
        """Keep, with the last write, what else is put back when it is undone."""
        if self._tape:
            self._tape[-1].append(Undo(flat, rows, old))

    def restore(self, version: int) -> None:
        """Undo the writes after a version, bit for bit, as far as they were kept."""
        while self.version > version and self._tape:
            undone = self._tape.pop()
            for flat, rows, old in reversed(undone):
                flat.index_copy_(0, rows, old)
            if self.index is not None:
                self.index.changed(undone[0].rows)
            self.version -= 1


class Undo(NamedTuple):
    """What puts back some rows of a tensor."""

    flat: Tensor
    """[rows, ...]"""
    rows: Tensor
    old: Tensor


class _Begin(Function):
    """From the words before a sequence to the token that stands for them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, buffer: Buffer) -> Tensor:
        ctx.buffer, ctx.graph = buffer, buffer.graph(goes_on=False)
        return values.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, _: Tensor
    ) -> tuple[Tensor, None]:
        return ctx.graph.end(ctx.buffer.values), None


class _Read(Function):
    """The words at some positions, and the token that comes next."""

    @staticmethod
    def forward(
        ctx: Any, token: Tensor, buffer: Buffer, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        count, slots, size = buffer.values.shape
        rows = buffer.rows(positions, slots)
        ctx.buffer, ctx.graph = buffer, buffer.graph(ctx.needs_input_grad[0])
        ctx.read = ctx.graph.note(rows) if ctx.needs_input_grad[0] else None
        found = buffer.values.view(-1, size).index_select(0, rows)
        return found.view(count, -1, size), token.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, found: Tensor, token: Tensor
    ) -> tuple[Tensor, None, None]:
        gradient = ctx.graph.gradient(ctx.buffer.values)
        gradient.index_add_(0, ctx.graph.places(ctx.read), found.flatten(0, 1))
        return token, None, None


class _Write(Function):
    """The token that stands for the words after a write, which this does in place."""

    @staticmethod
    def forward(
        ctx: Any,
        token: Tensor,
        buffer: Buffer,
        erased: Tensor,
        resting: Tensor | None,
        positions: Tensor,
        added: Tensor,
    ) -> Tensor:
        ctx.buffer, ctx.resting, ctx.before = buffer, resting, buffer.version
        _, slots, size = buffer.values.shape
        flat, rows = buffer.values.view(-1, size), buffer.rows(positions, slots)
        gone = buffer.rows(erased, slots)
        ctx.graph = buffer.graph(ctx.needs_input_grad[0])
        kept = any(ctx.needs_input_grad)
        if kept:
            ctx.added, ctx.erased = ctx.graph.note(rows), ctx.graph.note(gone)
        buffer.advance(rows, kept)
        _erase(flat, gone, resting)
        flat.index_add_(0, rows, added.flatten(0, 1))
        return token.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, token: Tensor
    ) -> tuple[Any, ...]:
        buffer: Buffer = ctx.buffer
        gradient = ctx.graph.gradient(buffer.values)
        found = gradient.index_select(0, ctx.graph.places(ctx.added))
        _erase(gradient, ctx.graph.places(ctx.erased), ctx.resting)
        if buffer.restores:
            buffer.restore(ctx.before)
        rows, _, size = buffer.values.shape
        return token, None, None, None, None, found.view(rows, -1, size)


def _erase(flat: Tensor, rows: Tensor, resting: Tensor | None) -> None:
    """Set rows of `flat` to 0, but not those of a row of the batch that rests, [B] of bool."""
    if resting is None:
        flat.index_fill_(0, rows, 0.0)
        return
    kept = resting[:, None].expand(-1, rows.shape[0] // resting.shape[0]).reshape(-1, 1)
    # Positions of a row may be there twice; both are then kept or both set to 0.
    flat.index_copy_(0, rows, flat.index_select(0, rows).masked_fill(~kept, 0.0))


class _End(Function):
    """From the last token to the words after a sequence."""

    @staticmethod
    def forward(ctx: Any, token: Tensor, buffer: Buffer) -> Tensor:
        ctx.graph = buffer.graph(ctx.needs_input_grad[0])
        return buffer.values.view_as(buffer.values)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, values: Tensor
    ) -> tuple[Tensor, None]:
        ctx.graph.begin(values)
        return values.new_zeros(()), None

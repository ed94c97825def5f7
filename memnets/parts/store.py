"""A store of words of which a step changes few: as a value, and changed in place over a sequence.

Axes: B batch, N memory slots, W word; P positions, the words that one step looks at or changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def at(values: Tensor, positions: Tensor) -> Tensor:
    """The words [B, ..., W] or the numbers [B, ...] of `values` at positions [B, ...].

    >>> at(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[2, 2]]))
    tensor([[[3.],
             [3.]]])
    """
    flat = positions.flatten(1)
    if values.dim() == 2:
        return values.gather(1, flat).view(positions.shape)
    words = values.gather(1, flat[..., None].expand(-1, -1, values.shape[-1]))
    return words.view(*positions.shape, -1)


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


class Words:
    """Words [B, N, W] as a value: a write makes others of them, and copies all to do so."""

    def __init__(self, values: Tensor) -> None:
        self.values: Tensor = values
        """[B, N, W]"""

    def touch(self, end: int) -> None:
        """Do nothing: see `InPlace.touch`."""

    def read(self, positions: Tensor) -> Tensor:
        """The words [B, P, W] at positions [B, P]."""
        return at(self.values, positions)

    def write(self, erased: Tensor, positions: Tensor, added: Tensor) -> Words:
        """Set words to 0, then add to words; a position may be there several times.

        Args:
            erased: positions [B, H] of those that are set to 0.
            positions: [B, P].
            added: [B, P, W].
        """
        _, slots, size = self.values.shape
        wiped = (erased[..., None] == torch.arange(slots, device=erased.device)).any(1)
        where = positions[..., None].expand(-1, -1, size)
        total = torch.zeros_like(self.values).scatter_add(1, where, added)
        return Words(self.values.masked_fill(wiped[..., None], 0.0) + total)


class Buffer:
    """Words [B, N, W] that a sequence changes in place, and the gradients of them.

    The graph goes along `token`, a number that stands for all words: a read and a write take it,
    a write returns the next one, and so the backward goes through them in the reverse of their
    order. None of them keeps more than its positions; the gradient of all words is one tensor, to
    which the backward of a read adds and in which that of a write looks up what it needs. It is as
    long as the highest position that was touched.
    """

    def __init__(self, values: Tensor) -> None:
        self.values: Tensor = own_copy(values)
        """[B, N, W]; what the words are now"""
        self.touched: int = 0
        """no position is at or above it"""
        self._batch = torch.arange(len(values), device=values.device)[:, None]
        self._gradient: Tensor | None = None
        self._task: int = -1

    def rows(self, positions: Tensor, slots: int) -> Tensor:
        """The rows of [B * slots, W] at which positions [B, P] of a tensor [B, slots, W] are."""
        if positions.shape[0] == 1:
            return positions.flatten()
        return torch.add(positions, self._batch, alpha=slots).flatten()

    def gradient(self) -> Tensor:
        """The gradient of all words, [B * slots, W], in the backward that is running.

        Each backward has one of its own, so that a graph may be gone through twice.
        """
        task = torch._C._current_graph_task_id()
        if self._gradient is None or task != self._task:
            rows, _, size = self.values.shape
            self._task = task
            self._gradient = self.values.new_zeros(rows * self.touched, size)
        return self._gradient

    def end(self, found: Tensor) -> None:
        """Add the gradient [B, N, W] of what the words are after the sequence."""
        rows, _, size = self.values.shape
        whole = found.clone(memory_format=torch.contiguous_format)
        whole[:, : self.touched] += self.gradient().view(rows, -1, size)
        self._gradient = whole.view(-1, size)

    def slots(self, gradient: Tensor) -> int:
        """How many words of each row a gradient is of."""
        return gradient.shape[0] // self.values.shape[0]

    def release(self) -> None:
        """Forget the gradient of a backward that has ended."""
        self._gradient = None


class _Begin(Function):
    """From the words before a sequence to the token that stands for them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, buffer: Buffer) -> Tensor:
        ctx.buffer = buffer
        return values.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, _: Tensor
    ) -> tuple[Tensor, None]:
        buffer: Buffer = ctx.buffer
        rows, slots, size = buffer.values.shape
        found = buffer.gradient().view(rows, -1, size)
        buffer.release()
        if found.shape[1] == slots:
            return found, None
        whole = found.new_zeros(rows, slots, size)
        whole[:, : found.shape[1]] = found
        return whole, None


class _Read(Function):
    @staticmethod
    def forward(ctx: Any, token: Tensor, buffer: Buffer, positions: Tensor) -> Tensor:
        ctx.buffer = buffer
        ctx.save_for_backward(positions)
        rows, slots, size = buffer.values.shape
        found = buffer.values.view(-1, size).index_select(0, buffer.rows(positions, slots))
        return found.view(rows, -1, size)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, found: Tensor
    ) -> tuple[Tensor, None, None]:
        (positions,) = ctx.saved_tensors
        gradient = ctx.buffer.gradient()
        rows = ctx.buffer.rows(positions, ctx.buffer.slots(gradient))
        gradient.index_add_(0, rows, found.flatten(0, 1))
        return found.new_zeros(()), None, None


class _Write(Function):
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
        ctx.buffer = buffer
        ctx.resting = resting
        ctx.save_for_backward(erased, positions)
        _, slots, size = buffer.values.shape
        flat = buffer.values.view(-1, size)
        _erase(flat, buffer.rows(erased, slots), resting)
        flat.index_add_(0, buffer.rows(positions, slots), added.flatten(0, 1))
        return token.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, token: Tensor
    ) -> tuple[Any, ...]:
        erased, positions = ctx.saved_tensors
        gradient = ctx.buffer.gradient()
        slots = ctx.buffer.slots(gradient)
        found = gradient.index_select(0, ctx.buffer.rows(positions, slots))
        _erase(gradient, ctx.buffer.rows(erased, slots), ctx.resting)
        return token, None, None, None, None, found.view(*positions.shape, -1)


def _erase(flat: Tensor, rows: Tensor, resting: Tensor | None) -> None:
    """Set rows of `flat` to 0, but not those of a row of the batch that rests, [B] of bool."""
    if resting is None:
        flat.index_fill_(0, rows, 0.0)
        return
    kept = resting[:, None].expand(-1, rows.shape[0] // resting.shape[0]).reshape(-1, 1)
    # Positions of a row may be there twice; both are then kept or both set to 0.
    flat.index_copy_(0, rows, flat.index_select(0, rows).masked_fill(~kept, 0.0))


class _End(Function):
    @staticmethod
    def forward(ctx: Any, token: Tensor, buffer: Buffer) -> Tensor:
        ctx.buffer = buffer
        return buffer.values.view_as(buffer.values)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, values: Tensor
    ) -> tuple[Tensor, None]:
        ctx.buffer.end(values)
        return values.new_zeros(()), None


class InPlace:
    """The words of a `Buffer` after some writes; the next write ends this version of them."""

    def __init__(self, buffer: Buffer, token: Tensor, resting: Tensor | None = None) -> None:
        self.buffer = buffer
        self.token = token
        self.resting = resting
        """Rows of the batch that a write changes nothing of, [B] of bool; None: no row."""

    @classmethod
    def of(cls, values: Tensor) -> InPlace:
        """Begin a sequence with words [B, N, W], of which this makes the one copy."""
        buffer = Buffer(values)
        return cls(buffer, _Begin.apply(values, buffer))

    @property
    def values(self) -> Tensor:
        """[B, N, W], to look at without a gradient."""
        return self.buffer.values

    def touch(self, end: int) -> None:
        """Say that positions below `end` may be read and written from now on."""
        self.buffer.touched = max(self.buffer.touched, end)

    def rest(self, rows: Tensor) -> InPlace:
        """The same words, of which a write changes nothing in `rows`, [B] of bool."""
        return InPlace(self.buffer, self.token, rows)

    def read(self, positions: Tensor) -> Tensor:
        """The words [B, P, W] at positions [B, P]."""
        return _Read.apply(self.token, self.buffer, positions)

    def write(self, erased: Tensor, positions: Tensor, added: Tensor) -> InPlace:
        """Set words to 0, then add to words: see `Words.write`."""
        if self.resting is not None:
            added = added.masked_fill(self.resting[:, None, None], 0.0)
        arguments = (self.token, self.buffer, erased, self.resting, positions, added)
        return InPlace(self.buffer, _Write.apply(*arguments))

    def end(self) -> Tensor:
        """The words [B, N, W] as a value; nothing may be written from then on."""
        return _End.apply(self.token, self.buffer)

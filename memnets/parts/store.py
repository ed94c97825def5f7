"""A store of words of which a step changes few: as a value, and changed in place over a sequence.

Axes: B batch, N memory slots, W word; P positions, the words that one step looks at or changes.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor

from memnets.parts.buffer import Buffer


def words_of(memory: Tensor | Words | InPlace) -> Words | InPlace:
    """The words of a memory; those of a tensor [B, N, W] are a value."""
    return Words(memory) if isinstance(memory, Tensor) else memory


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


class Words:
    """Words [B, N, W] as a value: a write makes others of them, and copies all to do so."""

    def __init__(self, values: Tensor) -> None:
        self.values: Tensor = values
        """[B, N, W]"""

    def read(self, positions: Tensor) -> tuple[Tensor, Words]:
        """The words [B, P, W] at positions [B, P], and what is read or written next."""
        return at(self.values, positions), self

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

    def put(self, table: Tensor, slots: Tensor, values: Tensor) -> Tensor:
        """The table [B, N] or [B, N, ...] of which the rows at slots [B, P] are `values`.

        A slot may be there several times, with equal values.
        """
        if table.dim() == 2:
            return table.scatter(1, slots, values)
        return table.scatter(1, slots[..., None].expand_as(values), values)


NO_TENSOR = (
    "A shared memory is no tensor, and its state has no rows and no copies of its own: make a "
    "value of it first, memnets.sharing.value(state)."
)


class InPlace:
    """The words of a `Buffer` after some writes; the next write ends this version of them."""

    def __init__(
        self,
        buffer: Buffer,
        token: Tensor,
        *,
        shared: bool = False,
        resting: Tensor | None = None,
    ) -> None:
        self.buffer = buffer
        self.token = token
        self.version: int = buffer.version
        self.shared = shared
        """whether it is carried from call to call, and not made a value after each"""
        self.resting = resting
        """Rows of the batch that a write changes nothing of, [B] of bool; None: no row."""

    @classmethod
    def of(cls, values: Tensor, *, shared: bool = False, restores: bool = False) -> InPlace:
        """Begin with words [B, N, W], of which this makes the one copy."""
        buffer = Buffer(values, restores)
        return cls(buffer, buffer.begin(values), shared=shared)

    @property
    def values(self) -> Tensor:
        """[B, N, W], to look at without a gradient."""
        self.check()
        return self.buffer.values

    def check(self) -> None:
        """Raise if the words have changed since.

        Raises:
            ValueError: if another write, or a backward, made other words of them.
        """
        if self.version != self.buffer.version:
            raise ValueError(
                f"The memory of this state has moved on: the state is of write {self.version}, the "
                f"memory is at write {self.buffer.version}. A shared memory has one state at a "
                "time, that of the last call, or after a backward with restore=True the one before "
                "it; to keep a state, make a value of it in time: memnets.sharing.value(state)."
            )

    def rest(self, rows: Tensor) -> InPlace:
        """The same words, of which a write changes nothing in `rows` either, [B] of bool."""
        still = rows if self.resting is None else self.resting | rows
        return InPlace(self.buffer, self.token, shared=self.shared, resting=still)

    def rest_as(self, old: InPlace) -> InPlace:
        """The same words, of which a write changes nothing in the rows that rest in `old`."""
        return InPlace(self.buffer, self.token, shared=self.shared, resting=old.resting)

    def after(self, token: Tensor) -> InPlace:
        """The words as they are now, that a token stands for."""
        return InPlace(self.buffer, token, shared=self.shared, resting=self.resting)

    def read(self, positions: Tensor) -> tuple[Tensor, InPlace]:
        """The words [B, P, W] at positions [B, P], and what is read or written next."""
        self.check()
        found, token = self.buffer.read(self.token, positions)
        return found, self.after(token)

    def write(self, erased: Tensor, positions: Tensor, added: Tensor) -> InPlace:
        """Set words to 0, then add to words: see `Words.write`."""
        self.check()
        if self.resting is not None:
            added = added.masked_fill(self.resting[:, None, None], 0.0)
        arguments = (self.token, erased, self.resting, positions, added)
        return self.after(self.buffer.write(*arguments))

    def put(self, table: Tensor, slots: Tensor, values: Tensor) -> Tensor:
        """Set rows of a table in place, but not those of rows that rest: see `Words.put`."""
        old = at(table, slots)
        if self.resting is not None:
            still = self.resting.view(-1, *[1] * (old.dim() - 1))
            values = torch.where(still, old, values)
        rows = self.buffer.rows(slots, table.shape[1])
        flat = table.view(-1) if table.dim() == 2 else table.view(-1, table.shape[-1])
        old, values = old.flatten(0, 1), values.flatten(0, 1)
        self.buffer.note(flat, rows, old)
        flat.index_copy_(0, rows, values)
        return table

    def end(self) -> Tensor:
        """The words [B, N, W] as a value; nothing may be written from then on."""
        self.check()
        return self.buffer.finish(self.token)

    def mapped(self, function: Any) -> InPlace:
        """The same words outside of the graph that made them; no other function is known.

        Raises:
            TypeError: if the function is not `Tensor.detach`.
        """
        if function is not Tensor.detach:
            raise TypeError(NO_TENSOR)
        found = self.after(self.token.detach())
        found.version = self.version
        return found

    def __iter__(self) -> NoReturn:
        raise TypeError(NO_TENSOR)

    def __len__(self) -> NoReturn:
        raise TypeError(NO_TENSOR)

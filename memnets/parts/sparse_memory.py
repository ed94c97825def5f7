"""What the states of sparse memories have in common: a sequence changes their tables in place.

Axes: B batch, N memory slots, W word, R read heads, H write heads; K words that a head reads.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from memnets.parts.buffer import own_copy
from memnets.parts.store import InPlace
from memnets.state import select

RECORDED = 1024
"""Of how many slots, the first, a record keeps words and weights."""

Memory = TypeVar("Memory", bound="SparseMemory")


class SparseRecord(NamedTuple):
    """A sparse memory as `memnets.record` keeps it, time first: of the first 1,024 slots."""

    memory: Tensor
    """[B, N, W]"""
    accessed: Tensor
    """[B, N]: the step at which each word was last accessed, counted from 1; 0 for never."""
    read_weights: Tensor
    """[B, R, N]"""
    write_weights: Tensor
    """[B, H, N]"""


class SparseMemory:
    """The methods of a NamedTuple with `memory` [B, N, W], what is known of it, and tables.

    A NamedTuple derived from this has the fields of `memnets.sam.SAMFields` first.
    """

    __slots__ = ()
    tables: tuple[str, ...] = ("accessed",)
    """the fields, besides the memory, of which a sequence changes rows in place"""

    def recorded(self: Any) -> SparseRecord:
        """What a record keeps: the first slots alone, and weightings over all of these."""
        count = min(RECORDED, self.accessed.shape[1])
        return SparseRecord(
            _values(self.memory)[:, :count],
            self.accessed[:, :count].to(self.read_weights.dtype),
            _spread(self.read_slots, self.read_weights, count),
            _spread(self.write_slots, self.write_weights, count),
        )

    def opened(self: Any, *, shared: bool = False, restores: bool = False) -> Any:
        """The same, for a sequence that changes it in place: one copy of it is made."""
        if isinstance(self.memory, InPlace):
            self.memory.check()
            return self
        memory = InPlace.of(self.memory, shared=shared, restores=restores)
        return self._replace(memory=memory, **self._each_table(own_copy))

    def closed(self: Any) -> Any:
        """The same as a value, after a sequence; a shared memory stays as it is."""
        return self if self.memory.shared else self._replace(memory=self.memory.end())

    def copied(self: Any) -> Any:
        """A value of what is in place now; the memory itself has no graph."""
        memory = _values(self.memory).clone()
        return self._replace(memory=memory, **self._each_table(Tensor.clone))

    def _each_table(self: Any, function: Any) -> dict[str, Tensor]:
        return {name: function(getattr(self, name)) for name in self.tables}

    def resting(self: Any, rows: Tensor) -> Any:
        """The same, of which the next step changes nothing in `rows` either, [B] of bool."""
        if not isinstance(self.memory, InPlace):  # a value, of which a step makes another
            return self
        return self._replace(memory=self.memory.rest(rows))

    def select(self: Any, active: Tensor, old: Any) -> Any:
        """The rows of this one where `active` [B] is True, and of another where it is not."""
        if isinstance(self.memory, InPlace):  # in which the other rows rested
            small = [name for name in self._fields if name not in ("memory", *self.tables)]
            pairs = {name: (getattr(self, name), getattr(old, name)) for name in small}
            chosen = {name: select(active, *pair) for name, pair in pairs.items()}
            return self._replace(memory=self.memory.rest_as(old.memory), **chosen)
        if not isinstance(old.memory, InPlace):
            return type(self)(*select(active, tuple(self), tuple(old)))
        if not active.is_meta and not active.any():
            return old
        if old.memory.shared:
            raise ValueError(
                "A shared memory cannot begin anew inside of a sequence: leave out starts, or pass "
                "a value, memnets.sharing.value(state)."
            )
        return type(self)(*select(active, tuple(self), tuple(old.closed()))).opened()


def _values(memory: Any) -> Tensor:
    return memory.values if isinstance(memory, InPlace) else memory


def _spread(slots: Tensor, weights: Tensor, count: int) -> Tensor:
    """Weights [B, R, K] of slots as weightings [B, R, count] over the first slots."""
    weights = weights.masked_fill(slots >= count, 0.0)
    whole = weights.new_zeros(*weights.shape[:-1], count)
    return whole.scatter_add(-1, slots.clamp(max=count - 1), weights)

"""Sparse access memory (Rae et al. 2016, "Scaling memory-augmented neural networks", 1610.09027).

Axes: B batch, T time, N memory slots, W word, R read heads, H write heads, I input, O output;
K words that a head reads.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from memnets.arguments import check_positional
from memnets.backends.registry import Backend
from memnets.checks import check_part, check_sizes
from memnets.layer import MemoryLayer
from memnets.parts.buffer import own_copy
from memnets.parts.controllers import Stack
from memnets.parts.last_access import least_recent, total_weights
from memnets.parts.search import exact, reach
from memnets.parts.sparse import Sparse, SparseParameters, sparse_weights, write_weights
from memnets.parts.start import Start
from memnets.parts.store import InPlace, Words, at
from memnets.registry import register
from memnets.state import detach, select

RECORDED = 1024
"""Of how many slots, the first, a record keeps words and weights."""


class SAMRecord(NamedTuple):
    """The memory of a SAM as `memnets.record` keeps it, time first: of the first 1,024 slots."""

    memory: Tensor
    """[B, N, W]"""
    accessed: Tensor
    """[B, N]: the step at which each word was last accessed, counted from 1; 0 for never."""
    read_weights: Tensor
    """[B, R, N]"""
    write_weights: Tensor
    """[B, H, N]"""


class SAMMemory(NamedTuple):
    """The memory of a SAM, and what is known of its words."""

    memory: Any
    """[B, N, W]"""
    accessed: Tensor
    """[B, N]: the step at which each word was last accessed, counted from 1; 0 for never."""
    steps: Tensor
    """[B]: how many steps were done."""
    written: Tensor
    """[B]: the words below it were written, those at and above it never."""
    read_slots: Tensor
    """[B, R, K]: what each head read, in their order."""
    read_weights: Tensor
    """[B, R, K] on the simplex, of these slots; 0 before the first step."""
    write_slots: Tensor
    """[B, H, K + 1]: where each head wrote; the last is the least recently accessed slot."""
    write_weights: Tensor
    """[B, H, K + 1], of these slots."""

    def recorded(self) -> SAMRecord:
        """What a record keeps: the first slots alone, and weightings over all of these."""
        count = min(RECORDED, self.accessed.shape[1])
        return SAMRecord(
            _values(self.memory)[:, :count],
            self.accessed[:, :count].to(self.read_weights.dtype),
            _spread(self.read_slots, self.read_weights, count),
            _spread(self.write_slots, self.write_weights, count),
        )

    def opened(self, *, shared: bool = False, restores: bool = False) -> SAMMemory:
        """The same, for a sequence that changes it in place: one copy of it is made."""
        if isinstance(self.memory, InPlace):
            self.memory.check()
            return self
        memory = InPlace.of(self.memory, shared=shared, restores=restores)
        return self._replace(memory=memory, accessed=own_copy(self.accessed))

    def copied(self) -> SAMMemory:
        """A value, outside of the graph, of what is in place now."""
        memory = _values(self.memory).clone()
        copy = self._replace(memory=memory, accessed=self.accessed.clone())
        return detach(copy)

    def closed(self) -> SAMMemory:
        """The same as a value, after a sequence; a shared memory stays as it is."""
        if self.memory.shared:
            return self
        return self._replace(memory=self.memory.end())

    def resting(self, rows: Tensor) -> SAMMemory:
        """The same, of which the next step changes nothing in `rows`, [B] of bool."""
        return self._replace(memory=self.memory.rest(rows))

    def select(self, active: Tensor, old: SAMMemory) -> SAMMemory:
        """The rows of this one where `active` [B] is True, and of another where it is not."""
        if isinstance(self.memory, InPlace):  # in which the other rows rested
            small = select(active, tuple(self[2:]), tuple(old[2:]))
            return SAMMemory(self.memory, self.accessed, *small)
        if not isinstance(old.memory, InPlace):
            return SAMMemory(*select(active, tuple(self), tuple(old)))
        if not active.is_meta and not active.any():
            return old
        if old.memory.shared:
            raise ValueError(
                "A shared memory cannot begin anew inside of a sequence: leave out starts, or pass "
                "a value, memnets.sharing.value(state)."
            )
        whole = SAMMemory(*select(active, tuple(self), tuple(old.closed())))
        return whole.opened()


def _values(memory: Any) -> Tensor:
    return memory.values if isinstance(memory, InPlace) else memory


def _spread(slots: Tensor, weights: Tensor, count: int) -> Tensor:
    """Weights [B, R, K] of slots as weightings [B, R, count] over the first slots."""
    weights = weights.masked_fill(slots >= count, 0.0)
    whole = weights.new_zeros(*weights.shape[:-1], count)
    return whole.scatter_add(-1, slots.clamp(max=count - 1), weights)


def step(
    parameters: SparseParameters, state: SAMMemory, *, addressing: Sparse
) -> tuple[Tensor, SAMMemory]:
    """One step of the memory: write, then read.

    Write head h adds to the K words that read head h read the step before, and to the least
    recently accessed word, which is set to 0 first (eq. 3 and 5, section 3.2). A read head reads
    the K words most like its key (eq. 4). Reading a word that was never written is no access, and
    nothing is added to it in the next step: else K equal words would be written at first. So the
    words are handed out in their order, and those below `written` are the ones there are.

    Args:
        parameters: what the heads receive.
        state: the memory after the step before.
        addressing: K, and the settings of the heads.

    Returns:
        Read vectors [B, R, W], and the memory after the step.
    """
    heads = parameters.write_gates.shape[1]
    slots, count = state.accessed.shape[1], addressing.top_k
    words = state.memory if isinstance(state.memory, InPlace) else Words(state.memory)
    end = reach(state.written, slots, heads)
    until = min(slots, end + count)
    words.touch(until)

    unused = least_recent(state.accessed[:, :end], heads)
    place = torch.cat([state.read_slots[:, :heads], unused[..., None]], dim=-1)
    fresh = state.read_slots[:, :heads] >= state.written[:, None, None]
    last_read = state.read_weights[:, :heads].masked_fill(fresh, 0.0)
    weights = write_weights(last_read, parameters.write_gates, parameters.reuse_gates)
    added = weights[..., None] * parameters.write_vectors[:, :, None]
    words = words.write(unused, place.flatten(1), added.flatten(1, 2))
    written = torch.maximum(state.written, unused.amax(1) + 1)

    found = exact(
        words.values[:, :until].detach(),
        written,
        parameters.read_keys,
        count,
        slots,
        addressing.similarity_epsilon,
    )
    read, words = words.read(found.flatten(1))
    read = read.view(*found.shape, -1)
    read_weights = sparse_weights(
        read, parameters.read_keys, parameters.read_strengths, addressing.similarity_epsilon
    )
    vectors = (read_weights[..., None, :] @ read).squeeze(-2)

    steps = state.steps + 1
    seen = read_weights.detach().masked_fill(found >= written[:, None, None], 0.0)
    where = torch.cat([found.flatten(1), place.flatten(1)], dim=1)
    total = total_weights(where, torch.cat([seen.flatten(1), weights.detach().flatten(1)], dim=1))
    times = torch.where(total > addressing.threshold, steps[:, None], at(state.accessed, where))
    accessed = words.set_times(state.accessed, where, times)
    memory = words if isinstance(words, InPlace) else words.values
    return vectors, SAMMemory(memory, accessed, steps, written, found, read_weights, place, weights)


INITIAL_MEMORY = 0.0
"""What every number of the memory is before the first step."""


@register
class SAM(MemoryLayer):
    """A sparse access memory as a layer that is called as `nn.LSTM` is.

    Each step, the controller sees the input and what was read the step before, and emits the
    interface; the heads write, then read (`memnets.sam.step`); the output is linear in the
    controller's output and the read vectors. A sequence copies the memory of its state once, and
    then a step changes K + 1 words a write head in place; docs/sparse.md tells of the costs.

    Args:
        input_size: numbers in each input, I.
        output_size: numbers in each output, O; they are logits.
        memory_size: slots N.
        word_size: numbers in a slot, W.
        read_heads, write_heads: heads that read, R, and heads that write, H; write head h writes to
            what read head h read, so that H is at most R.
        controller: the name of one of `memnets.parts.controllers.CELLS`, a `Stack` of cells, or a
            module with the contract of `memnets.parts.controllers`, whose input_size is input_size
            + read_heads * word_size.
        hidden_size: of a controller given by name.
        addressing: how the heads choose words, and how many of them.
        batch_first: x and y are [B, T, ...].
        backend: what runs the steps, `auto`, `reference`, `compiled` or `fused` (see
            docs/backends.md), or a `Backend`, which can save memory. The fused one does not know
            this layer.
        device, dtype: of the parameters.

    Raises:
        ValueError: if a size is below 1, a number is out of its range, a head reads more words than
            there are, there are more write heads than read heads, or a name is not known.
        TypeError: if a part is not of its kind, or lacks a part of its contract.

    >>> layer = SAM(9, 8, memory_size=1000, word_size=20)
    >>> y, state = layer(torch.zeros(5, 2, 9))
    >>> y.shape, state.memory.memory.shape, state.memory.read_slots.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 1000, 20]), torch.Size([2, 1, 4]))
    """

    part_names: tuple[str, ...] = ("addressing",)

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *more: NoReturn,
        memory_size: int = 16_384,
        word_size: int = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        controller: str | Stack | nn.Module = "lstm",
        hidden_size: int = 100,
        addressing: Sparse = Sparse(),
        batch_first: bool = False,
        backend: str | Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_positional("SAM", more)
        check_sizes(read_heads=read_heads, write_heads=write_heads, word_size=word_size)
        check_part("addressing", addressing, Sparse)
        check_heads(memory_size, read_heads, write_heads, addressing.top_k)
        super().__init__(
            input_size=input_size,
            output_size=output_size,
            memory_size=memory_size,
            word_size=word_size,
            read_heads=read_heads,
            controller=controller,
            hidden_size=hidden_size,
            start=Start(),
            constant=INITIAL_MEMORY,
            tables=[addressing.table(read_heads, write_heads, word_size)],
            batch_first=batch_first,
            backend=backend,
            device=device,
            dtype=dtype,
        )
        self.write_heads: int = write_heads
        self.addressing = addressing

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that make this layer, backend, device and dtype apart."""
        return {
            "input_size": self.input_size,
            "output_size": self.output_size,
            "memory_size": self.memory_size,
            "word_size": self.word_size,
            "read_heads": self.read_heads,
            "write_heads": self.write_heads,
            "controller": getattr(self.controller, "settings", self.controller),
            "addressing": self.addressing,
            "batch_first": self.batch_first,
        }

    def initial_access(self, memory: Tensor) -> SAMMemory:
        """Return the memory with nothing read or written yet; the heads look at the first slots."""
        rows, slots, _ = memory.shape
        count = self.addressing.top_k
        nothing = torch.zeros((), dtype=torch.int64, device=memory.device)
        first = torch.arange(count + 1, device=memory.device).clamp(max=slots - 1)
        zero = memory.new_zeros(())
        return SAMMemory(
            zero.expand(memory.shape),
            accessed=nothing.expand(rows, slots),
            steps=nothing.expand(rows),
            written=nothing.expand(rows),
            read_slots=first[:-1].expand(rows, self.read_heads, -1),
            read_weights=zero.expand(rows, self.read_heads, count),
            write_slots=first.expand(rows, self.write_heads, -1),
            write_weights=zero.expand(rows, self.write_heads, count + 1),
        )

    def access(self, parameters: Any, memory: SAMMemory) -> tuple[Tensor, SAMMemory]:
        """Do one step on the memory with this layer's settings."""
        return step(parameters[0], memory, addressing=self.addressing)

    def named(self, parameters: Any) -> SparseParameters:
        """Return the one table of the interface."""
        return parameters[0]


def check_heads(memory_size: int, read_heads: int, write_heads: int, top_k: int) -> None:
    """Raise a ValueError for heads that a sparse memory cannot have."""
    if top_k > memory_size:
        raise ValueError(
            f"A head reads at most all words; top_k is {top_k} and memory_size {memory_size}: "
            "choose a smaller top_k."
        )
    if write_heads > read_heads:
        raise ValueError(
            "Each write head follows a read head, so that write_heads must be at most read_heads; "
            f"got {write_heads} and {read_heads}."
        )
    if write_heads > memory_size:
        raise ValueError(
            f"Each write head needs a slot of its own; got {write_heads} heads and {memory_size} "
            "slots."
        )

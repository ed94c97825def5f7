"""Sparse access memory (Rae et al. 2016, "Scaling memory-augmented neural networks", 1610.09027).

Axes: B batch, T time, N memory slots, W word, R read heads, H write heads, I input, O output;
K words that a head reads.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from memnets.arguments import check_positional
from memnets.backends.reference import Unrolled
from memnets.backends.registry import Backend, sparse_step, sparse_steps
from memnets.checks import check_part, check_sizes
from memnets.layer import MemoryLayer
from memnets.parts.controllers import Stack
from memnets.parts.product_keys import (
    KeySets,
    ProductKeys,
    ProductParameters,
    product_weights,
)
from memnets.parts.sparse import (
    Sparse,
    SparseParameters,
    access_times,
    read_before,
    read_by_content,
    write,
)
from memnets.parts.sparse_memory import SparseMemory
from memnets.parts.start import Start
from memnets.parts.store import InPlace, words_of
from memnets.registry import register
from memnets.state import State


class SAMFields(NamedTuple):
    """What is in a `SAMMemory`."""

    memory: Any
    """[B, N, W]"""
    accessed: Tensor
    """[B, N]: the step at which each word was last accessed, counted from 1; 0 for never. With
    product keys it stays 0."""
    steps: Tensor
    """[B]: how many steps were done."""
    written: Tensor
    """[B]: the words below it were written, those at and above it never."""
    read_slots: Tensor
    """[B, R, K]: what each head read, in their order."""
    read_weights: Tensor
    """[B, R, K] on the simplex, of these slots; 0 before the first step."""
    write_slots: Tensor
    """[B, H, K + 1]: where each head wrote; the last is the least recently accessed slot. With
    product keys [B, H, K]."""
    write_weights: Tensor
    """Of these slots."""


class SAMMemory(SparseMemory, SAMFields):
    """The memory of a SAM, and what is known of its words: the fields of `SAMFields`."""

    __slots__ = ()


def step(
    parameters: SparseParameters, state: SAMMemory, *, addressing: Sparse
) -> tuple[Tensor, SAMMemory]:
    """One step of the memory: write, then read; with `addressing.read_first`, read, then write.

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
    if addressing.read_first:
        slots, weights, vectors, words = read_before(parameters, state, addressing)
        done = write(parameters, state._replace(memory=words), addressing)
        words = done.words
    else:
        done = write(parameters, state, addressing)
        slots, weights, vectors, words = read_by_content(parameters, done, addressing)
    accessed = access_times(state, done, words, slots, weights, addressing.threshold)
    return vectors, SAMMemory(
        words if isinstance(words, InPlace) else words.values,
        accessed,
        state.steps + 1,
        done.written,
        slots,
        weights,
        done.slots,
        done.weights,
    )


def product_step(
    parameters: ProductParameters, state: SAMMemory, keys: Tensor, *, addressing: ProductKeys
) -> tuple[Tensor, SAMMemory]:
    """One step of a memory with product keys: write, then read.

    Write head h moves the K words of its key, `M_i <- M_i + g w_i (v - M_i)`, all heads from the
    memory of the step before; a read head reads the K words of its key.

    Args:
        parameters: what the heads receive.
        state: the memory after the step before.
        keys: [2, n, W / 2], see `memnets.parts.product_keys`.
        addressing: K, and the settings of the heads.

    Returns:
        Read vectors [B, R, W], and the memory after the step.
    """
    words = words_of(state.memory)
    settings = keys, addressing.top_k, addressing.similarity_epsilon
    place, weights = product_weights(parameters.write_keys, parameters.write_strengths, *settings)
    weights = parameters.write_gates[..., None] * weights
    before, words = words.read(place.flatten(1))
    moved = parameters.write_vectors[:, :, None] - before.view(*place.shape, -1)
    added = (weights[..., None] * moved).flatten(1, 2)
    words = words.write(place.new_empty(len(place), 0), place.flatten(1), added)
    slots, read_weights = product_weights(
        parameters.read_keys, parameters.read_strengths, *settings
    )
    read, words = words.read(slots.flatten(1))
    vectors = (read_weights[..., None, :] @ read.view(*slots.shape, -1)).squeeze(-2)
    return vectors, SAMMemory(
        words if isinstance(words, InPlace) else words.values,
        state.accessed,
        state.steps + 1,
        state.written,
        slots,
        read_weights,
        place,
        weights,
    )


def initial_access(
    memory: Tensor, read_heads: int, write_heads: int, count: int, places: int
) -> SAMMemory:
    """A memory [B, N, W] of which nothing is read or written yet.

    `count` is K, `places` to how many words a head writes.
    """
    rows, slots, _ = memory.shape
    nothing = torch.zeros((), dtype=torch.int64, device=memory.device)
    first = torch.arange(max(count, places), device=memory.device).clamp(max=slots - 1)
    zero = memory.new_zeros(())
    return SAMMemory(
        memory,
        accessed=nothing.expand(rows, slots),
        steps=nothing.expand(rows),
        written=nothing.expand(rows),
        read_slots=first[:count].expand(rows, read_heads, -1),
        read_weights=zero.expand(rows, read_heads, count),
        write_slots=first[:places].expand(rows, write_heads, -1),
        write_weights=zero.expand(rows, write_heads, places),
    )


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
        output_size: numbers in each output, O; they are logits. None: no readout, and the output
            is h of the controller and what was read, side by side; the attribute says the size.
        memory_size: slots N.
        word_size: numbers in a slot, W.
        read_heads, write_heads: heads that read, R, and heads that write, H; write head h writes to
            what read head h read, so that H is at most R.
        controller: the name of one of `memnets.parts.controllers.CELLS`, a `Stack` of cells, or a
            module with the contract of `memnets.parts.controllers`, whose input_size is input_size
            + read_heads * word_size.
        hidden_size: of a controller given by name.
        addressing: how the heads choose words, and how many of them: by content, `Sparse`, or by
            keys of their own, `memnets.parts.product_keys.ProductKeys`.
        batch_first: x and y are [B, T, ...].
        backend: what runs the steps, `auto`, `reference`, `compiled` or `fused` (see
            docs/backends.md), or a `Backend`, which can save memory. The fused one does not know
            this layer.
        device, dtype: of the parameters.

    Raises:
        ValueError: if a size is below 1, a number is out of its range, a head reads more words than
            there are, there are more write heads than read heads, product keys do not fit the
            sizes, or a name is not known.
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
        output_size: int | None,
        *more: NoReturn,
        memory_size: int = 16_384,
        word_size: int = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        controller: str | Stack | nn.Module = "lstm",
        hidden_size: int = 100,
        addressing: Sparse | ProductKeys = Sparse(),
        batch_first: bool = False,
        backend: str | Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_positional("SAM", more)
        check_sizes(read_heads=read_heads, write_heads=write_heads, word_size=word_size)
        by_content = not isinstance(addressing, ProductKeys)
        if by_content:
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
        self.product_keys: KeySets | None = None
        if not by_content:
            self.product_keys = addressing.build(memory_size, word_size, device, dtype)

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that make this layer, backend, device and dtype apart."""
        return {
            "input_size": self.input_size,
            "output_size": self.readout_size,
            "memory_size": self.memory_size,
            "word_size": self.word_size,
            "read_heads": self.read_heads,
            "write_heads": self.write_heads,
            "controller": self.controller_settings,
            "addressing": self.addressing,
            "batch_first": self.batch_first,
        }

    def constant_memory(self, constant: Tensor, slots: tuple[int, int]) -> Tensor:
        """A memory [N, W] of one number, which takes no room."""
        return constant.expand(slots)

    def initial_access(self, memory: Tensor) -> SAMMemory:
        """Return the memory with nothing read or written yet; the heads look at the first slots."""
        count = self.addressing.top_k
        places = count + (self.product_keys is None)
        return initial_access(memory, self.read_heads, self.write_heads, count, places)

    def at_once(self, x: Tensor, state: State) -> Unrolled | None:
        """Do all steps of x [T, B, I] by the kernel, or nothing, where it returns None."""
        return sparse_steps(self, x, state) if type(self) is SAM else None

    def access(self, parameters: Any, memory: SAMMemory) -> tuple[Tensor, SAMMemory]:
        """Do one step on the memory with this layer's settings."""
        if isinstance(self.addressing, ProductKeys):
            assert self.product_keys is not None
            keys = self.product_keys.keys.to(memory.read_weights.dtype)
            return product_step(parameters[0], memory, keys, addressing=self.addressing)
        found = sparse_step(self.backend, parameters[0], memory, self.addressing)
        return found or step(parameters[0], memory, addressing=self.addressing)

    def named(self, parameters: Any) -> SparseParameters | ProductParameters:
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

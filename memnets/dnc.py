"""The Differentiable Neural Computer (Graves et al., Nature 538, 2016, Methods).

Axes: B batch, T time, N memory slots, W word, R read heads, H write heads, I input, O output.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from memnets.arguments import check_positional
from memnets.backends.cpu.written import stock
from memnets.backends.registry import Backend
from memnets.checks import check_sizes
from memnets.interface import Table
from memnets.layer import MemoryLayer
from memnets.panels import Lines, Panel, Shares, Slots
from memnets.parts.content import Content, ContentParameters
from memnets.parts.controllers import Stack
from memnets.parts.linkage import Linkage, LinkageParameters
from memnets.parts.start import Start
from memnets.parts.usage import Allocation, AllocationParameters
from memnets.parts.writing import EraseAdd, WriteVectors, read
from memnets.registry import register


class DNCInterface(NamedTuple):
    """What the controller of a DNC emits, activated (DNC Methods, "Interface parameters")."""

    read_keys: Tensor
    """[B, R, W]"""
    read_strengths: Tensor
    """[B, R], at least 1."""
    write_keys: Tensor
    """[B, H, W]"""
    write_strengths: Tensor
    """[B, H], at least 1."""
    erase_vectors: Tensor
    """[B, H, W] in [0, 1]."""
    write_vectors: Tensor
    """[B, H, W]"""
    free_gates: Tensor
    """[B, R] in [0, 1]: 1 frees what the head read the step before."""
    allocation_gates: Tensor
    """[B, H] in [0, 1]: 1 writes to the least-used slot, 0 by content."""
    write_gates: Tensor
    """[B, H] in [0, 1]: 0 writes nothing."""
    read_modes: Tensor
    """[B, R, 2H + 1] on the simplex: backward of each write head, forward of each, content."""

    def panels(self, memory: DNCMemory, kind: str, head: int) -> dict[str, Panel]:
        """What a picture shows of a head, `read` or `write`, of a record [T, ...]."""
        if kind == "write":
            gates = {
                "write": self.write_gates[:, head],
                "allocation": self.allocation_gates[:, head],
            }
            usage = Slots("usage of slot", memory.usage)
            return {"gates": Lines("gates", gates, (0, 1)), "usage": usage}
        modes = self.read_modes[:, head]
        count = modes.shape[1] // 2
        shares = {
            "backward": modes[:, :count].sum(1),
            "forward": modes[:, count : 2 * count].sum(1),
            "content": modes[:, -1],
        }
        return {
            "gates": Lines("free gate", {"": self.free_gates[:, head]}, (0, 1)),
            "usage": Shares("read modes", shares),
        }


class DNCMemory(NamedTuple):
    """The memory of a DNC, and what is known of its slots."""

    memory: Tensor
    """[B, N, W]"""
    usage: Tensor
    """[B, N] in [0, 1]."""
    link: Any
    """[B, H, N, N]: entry i, j is how much slot i was written right after slot j; without a
    linkage the empty tuple, and so is the precedence."""
    precedence: Any
    """[B, H, N]: how much each slot was the last written."""
    read_weights: Tensor
    """[B, R, N], each summing to at most 1."""
    write_weights: Tensor
    """[B, H, N], each summing to at most 1."""


class DNCParameters(NamedTuple):
    """What each part of a DNC receives, activated: the fields of `DNCInterface`, part by part."""

    read: Any
    """Of the read heads' content: a `ContentParameters`."""
    write: Any
    """Of the write heads' content: a `ContentParameters`."""
    vectors: WriteVectors
    allocation: Any
    """An `AllocationParameters`."""
    linkage: Any = ()
    """A `LinkageParameters`; empty without a linkage."""


def access(
    interface: DNCInterface,
    state: DNCMemory,
    *,
    content: Content = Content(),
    allocation: Allocation = Allocation(),
    linkage: Linkage | None = Linkage(),
) -> tuple[Tensor, DNCMemory]:
    """One step of the memory with the paper's parts: see `step`.

    Args:
        interface: activated parameters.
        state: the memory after the step before.
        content, allocation, linkage: the parts, with their settings; without a linkage (None), read
            heads go by content and the read modes are not looked at.

    Returns:
        Read vectors [B, R, W], and the memory after the step.

    >>> B, N, W = 1, 3, 2
    >>> one = torch.ones(B, 1)
    >>> modes = torch.tensor([[[0.0, 0.0, 1.0]]])
    >>> state = DNC(1, 1, memory_size=N, word_size=W, read_heads=1).initial_state(B).memory
    >>> word = torch.tensor([[[3.0, 4.0]]])
    >>> interface = DNCInterface(word, 100 * one, word, one, 0 * word, word, one, one, one, modes)
    >>> read_vectors, state = access(interface, state)
    >>> read_vectors, state.write_weights.argmax()
    (tensor([[[3.0000, 4.0000]]]), tensor(0))
    """
    parameters = DNCParameters(
        ContentParameters(interface.read_keys, interface.read_strengths),
        ContentParameters(interface.write_keys, interface.write_strengths),
        WriteVectors(interface.erase_vectors, interface.write_vectors),
        AllocationParameters(
            interface.free_gates, interface.allocation_gates, interface.write_gates
        ),
        LinkageParameters(interface.read_modes),
    )
    return step(parameters, state, content=content, allocation=allocation, linkage=linkage)


WRITING = EraseAdd(add_range="real")
"""How every DNC writes: what is added has no range (DNC Methods)."""


def step(
    parameters: DNCParameters,
    state: DNCMemory,
    *,
    content: Any,
    allocation: Any,
    linkage: Any,
) -> tuple[Tensor, DNCMemory]:
    """One step of the memory: free and allocate, write, link, read (DNC Methods).

    Args:
        parameters: what each part receives.
        state: the memory after the step before.
        content, allocation, linkage: the parts; without a linkage (None), read heads go by content.

    Returns:
        Read vectors [B, R, W], and the memory after the step.
    """
    usage, allocated = allocation.allocate(
        parameters.allocation, state.usage, state.read_weights, state.write_weights
    )
    by_content = content.weigh(state.memory, parameters.write)
    gates = parameters.allocation.allocation_gates[..., None]
    write_gates = parameters.allocation.write_gates[..., None]
    write_weights = write_gates * (gates * allocated + (1 - gates) * by_content)
    memory = allocation.free(parameters.allocation, state.memory, state.read_weights)
    memory = WRITING.write(memory, write_weights, parameters.vectors)

    link, precedence = state.link, state.precedence
    read_weights = content.weigh(memory, parameters.read)
    if linkage is not None:
        link, precedence = linkage.update(link, precedence, write_weights)
        read_weights = linkage.mix(parameters.linkage, link, state.read_weights, read_weights)
    return read(memory, read_weights), DNCMemory(
        memory, usage, link, precedence, read_weights, write_weights
    )


INITIAL_MEMORY = 0.0
"""What every number of the memory is before the first step, unless `start` says otherwise."""


@stock
@register
class DNC(MemoryLayer):
    """A Differentiable Neural Computer as a layer that is called as `nn.LSTM` is.

    Each step, the controller sees the input and what was read the step before, and emits the
    interface; the memory is freed, written, linked and read (`memnets.dnc.step`); the output is
    linear in the controller's output and the read vectors.

    Args:
        input_size: numbers in each input, I.
        output_size: numbers in each output, O; they are logits. None: no readout, and the output
            is h of the controller and what was read, side by side; the attribute says the size.
        memory_size: slots N. A step costs N^2 for each write head, for the link.
        word_size: numbers in a slot, W.
        read_heads, write_heads: heads that read, R, and heads that write, H; the paper has H = 1,
            more follow DeepMind's code.
        controller: the name of one of `memnets.parts.controllers.CELLS`, a `Stack` of cells, or a
            module with the contract of `memnets.parts.controllers`, whose input_size is input_size
            + read_heads * word_size.
        hidden_size: of a controller given by name.
        content: how a key is compared with the slots.
        allocation: how usage is counted, and what is free to write to.
        linkage: how the order of the writes is followed; None: read heads go by content alone, and
            nothing costs N^2.
        start: the state before the first step; a memory of 0, or all but usage, link, precedence
            and weightings learned.
        batch_first: x and y are [B, T, ...].
        backend: what runs the steps, `auto`, `reference`, `compiled` or `fused` (see
            docs/backends.md), or a `Backend`, which can save memory.
        device, dtype: of the parameters.

    Raises:
        ValueError: if a size is below 1, a number is out of its range, a name is not known, parts
            do not fit together, or an argument has no effect beside another.
        TypeError: if a part lacks a part of its contract.

    >>> layer = DNC(9, 8, memory_size=16, word_size=20, read_heads=2)
    >>> y, state = layer(torch.zeros(5, 2, 9))
    >>> y.shape, state.memory.link.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 1, 16, 16]))
    >>> DNC(9, 8, linkage=None).initial_state(2).memory.link
    ()
    """

    part_names: tuple[str, ...] = ("content", "allocation", "linkage")

    def __init__(
        self,
        input_size: int,
        output_size: int | None,
        *more: NoReturn,
        memory_size: int = 128,
        word_size: int = 20,
        read_heads: int = 4,
        write_heads: int = 1,
        controller: str | Stack | nn.Module = "lstm",
        hidden_size: int = 100,
        content: Any = Content(),
        allocation: Any = Allocation(),
        linkage: Any = Linkage(),
        start: Start = Start(),
        batch_first: bool = False,
        backend: str | Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_positional("DNC", more)
        check_sizes(read_heads=read_heads, write_heads=write_heads, word_size=word_size)
        _check_parts(content, allocation, linkage)
        super().__init__(
            input_size=input_size,
            output_size=output_size,
            memory_size=memory_size,
            word_size=word_size,
            read_heads=read_heads,
            controller=controller,
            hidden_size=hidden_size,
            start=start,
            constant=INITIAL_MEMORY,
            tables=tables(read_heads, write_heads, word_size, content, allocation, linkage),
            batch_first=batch_first,
            backend=backend,
            device=device,
            dtype=dtype,
        )
        self.write_heads = write_heads
        self.content = content
        self.allocation = allocation
        self.linkage = linkage

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
            "content": self.content,
            "allocation": self.allocation,
            "linkage": self.linkage,
            "start": self.start,
            "batch_first": self.batch_first,
        }

    def initial_access(self, memory: Tensor) -> DNCMemory:
        """Return the memory with nothing used, written or read yet."""
        rows, slots, _ = memory.shape
        zero = memory.new_zeros(())  # expanded, not filled
        link, precedence = (), ()
        if self.linkage is not None:
            link, precedence = self.linkage.initial_state(memory, self.write_heads)
        return DNCMemory(
            memory,
            usage=self.allocation.initial_state(memory),
            link=link,
            precedence=precedence,
            read_weights=zero.expand(rows, self.read_heads, slots),
            write_weights=zero.expand(rows, self.write_heads, slots),
        )

    def access(self, parameters: Any, memory: DNCMemory) -> tuple[Tensor, DNCMemory]:
        """Do one step on the memory with this layer's parts."""
        return step(
            DNCParameters(*parameters),
            memory,
            content=self.content,
            allocation=self.allocation,
            linkage=self.linkage,
        )

    def look(self, parameters: Any, memory: DNCMemory) -> tuple[Tensor, DNCMemory]:
        """Read the memory without a write: usage, links and precedence stay as they are."""
        given = DNCParameters(*parameters)
        weights = self.content.weigh(memory.memory, given.read)
        if self.linkage is not None:
            weights = self.linkage.mix(given.linkage, memory.link, memory.read_weights, weights)
        return read(memory.memory, weights), memory._replace(read_weights=weights)

    def named(self, parameters: Any) -> Any:
        """Return a `DNCInterface` for the paper's parts, a `DNCParameters` for others."""
        kinds = [ContentParameters, ContentParameters, WriteVectors]
        kinds += [AllocationParameters, LinkageParameters]
        if [type(one) for one in parameters] != kinds:
            return DNCParameters(*parameters)
        return DNCInterface(*(one for table in parameters for one in table))


def tables(
    read_heads: int,
    write_heads: int,
    word_size: int,
    content: Any,
    allocation: Any,
    linkage: Any,
) -> list[Table]:
    """What the interface of a DNC emits, in the order of `DNCParameters`.

    With the paper's parts W*R + 3*W*H + 2*R + 3*H + R*(2H + 1) numbers, with one write head the
    paper's W*R + 3*W + 5*R + 3.
    """
    found = [
        content.table(read_heads, word_size),
        content.table(write_heads, word_size),
        WRITING.table(write_heads, word_size),
        allocation.table(read_heads, write_heads),
    ]
    return found if linkage is None else [*found, linkage.table(read_heads, write_heads)]


CONTRACTS: dict[str, tuple[str, ...]] = {
    "content": ("table", "weigh"),
    "allocation": ("table", "initial_state", "allocate", "free"),
    "linkage": ("table", "initial_state", "update", "mix"),
}
"""The methods that each part of a DNC must have: see `Content`, `Allocation` and `Linkage`."""


def _check_parts(content: object, allocation: object, linkage: object) -> None:
    parts = {"content": content, "allocation": allocation, "linkage": linkage}
    for name, part in parts.items():
        missing = [method for method in CONTRACTS[name] if not hasattr(part, method)]
        if (isinstance(part, type) or missing) and not (name == "linkage" and part is None):
            lacks = f"lacks {', '.join(missing)}" if missing else "is a class"
            raise TypeError(
                f"{name} is an object with the methods {', '.join(CONTRACTS[name])}, such as "
                f"{name.capitalize()}(); {part!r} {lacks}."
            )

"""The Neural Turing Machine (Graves, Wayne, Danihelka 2014, arXiv 1410.5401).

Axes: B batch, T time, N memory slots, W word, R read heads, H write heads, S shifts, I input,
O output.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from memnets.arguments import check_positional
from memnets.backends.cpu.written import stock
from memnets.backends.registry import Backend
from memnets.checks import check_sizes
from memnets.layer import MemoryLayer
from memnets.panels import Lines, Panel
from memnets.parts import heads as plugged
from memnets.parts.controllers import Stack
from memnets.parts.heads import Head, Heads, NTMMemory, ReadHead, WriteHead
from memnets.parts.location import ContentAndLocation, FocusParameters
from memnets.parts.start import Start
from memnets.parts.writing import EraseAdd, WriteVectors
from memnets.registry import register


class NTMInterface(NamedTuple):
    """What the controller of an NTM with the stock heads emits, activated."""

    read_keys: Tensor
    """[B, R, W]"""
    read_strengths: Tensor
    """[B, R], above 0 (above 1 with oneplus)."""
    read_gates: Tensor
    """[B, R] in [0, 1]: 1 takes the content weighting, 0 the weighting of the step before."""
    read_shifts: Tensor
    """[B, R, S] on the simplex, from -k to +k."""
    read_sharpenings: Tensor
    """[B, R], at least 1."""
    write_keys: Tensor
    """[B, H, W], and the same for the write heads."""
    write_strengths: Tensor
    write_gates: Tensor
    write_shifts: Tensor
    write_sharpenings: Tensor
    erase_vectors: Tensor
    """[B, H, W] in [0, 1]."""
    add_vectors: Tensor
    """[B, H, W], in [-1, 1] if add_range is `bounded`."""

    def panels(self, memory: NTMMemory, kind: str, head: int) -> dict[str, Panel]:
        """What a picture shows of a head, `read` or `write`, of a record [T, ...]."""
        values = {
            name: getattr(self, f"{kind}_{name}")[:, head]
            for name in ("gates", "shifts", "sharpenings")
        }
        reach = values["shifts"].shape[-1] // 2
        offsets = torch.arange(-reach, reach + 1, dtype=values["shifts"].dtype)
        shift = (values["shifts"].cpu() * offsets).sum(-1)
        return {
            "gate": Lines("content gate", {"": values["gates"]}, (0, 1)),
            "shift": Lines("mean shift\n(slots)", {"": shift}, (-reach, reach)),
            "sharpening": Lines("sharpening", {"": values["sharpenings"]}),
        }


def access(
    interface: NTMInterface,
    state: NTMMemory,
    *,
    addressing: ContentAndLocation | None = None,
    read_first: bool = False,
) -> tuple[Tensor, NTMMemory]:
    """One step of the memory with the stock heads: focus and write, then focus and read.

    Each head focuses by `location.focus` (NTM eq. 5 to 9); the write is eq. 3 and 4, the read
    eq. 2. The read heads look at the memory after the write.

    Args:
        interface: activated parameters.
        state: the memory and the weightings of the step before.
        addressing: the heads' epsilons; None is `ContentAndLocation()`.
        read_first: read the memory as the step before left it.

    Returns:
        Read vectors [B, R, W], and the memory and weightings after the step.

    >>> state = NTM(1, 1, memory_size=4, word_size=2).initial_state(1).memory
    >>> one = torch.ones(1, 1)
    >>> stay = torch.tensor([[[0.0, 1.0, 0.0]]])
    >>> read = (torch.ones(1, 1, 2), 100 * one, one, stay, one)
    >>> write = (torch.ones(1, 1, 2), one, 0 * one, stay, 100 * one)
    >>> vectors = (torch.ones(1, 1, 2), torch.tensor([[[3.0, 4.0]]]))
    >>> read_vectors, state = access(NTMInterface(*read, *write, *vectors), state)
    >>> read_vectors
    tensor([[[3., 4.]]])
    """
    focus = ContentAndLocation() if addressing is None else addressing
    heads = (
        ReadHead(focus, interface.read_keys.shape[1]),
        WriteHead(focus, interface.write_keys.shape[1]),
    )
    parameters = (
        FocusParameters(*interface[:5]),
        FocusParameters(*interface[5:10]),
        WriteVectors(*interface[10:]),
    )
    return plugged.access(heads, parameters, state, writing=EraseAdd(), read_first=read_first)


INITIAL_MEMORY = 1e-6
"""What every number of the memory is before the first step, unless `start` says otherwise."""
FIRST_SLOT_WEIGHT = 0.9
"""Where a learned initial weighting starts: mostly, not wholly, on slot 0, so that it can move."""


@stock
@register
class NTM(MemoryLayer):
    """A Neural Turing Machine as a layer that is called as `nn.LSTM` is.

    Each step, the controller sees the input and what was read the step before, and emits the
    interface; the heads write, then read (`memnets.ntm.access`); the output is linear in the
    controller's output and the read vectors (section 3 of the paper). The defaults are those that
    train; `memnets.paper.ntm` has the paper's.

    Args:
        input_size: numbers in each input, I.
        output_size: numbers in each output, O; they are logits. None: no readout, and the output
            is h of the controller and what was read, side by side; the attribute says the size.
        memory_size: slots N.
        word_size: numbers in a slot, W.
        read_heads, write_heads: heads that read, R, and heads that write, H.
        controller: the name of one of `memnets.parts.controllers.CELLS`, a `Stack` of cells, or a
            module with the contract of `memnets.parts.controllers`, whose input_size is input_size
            + read_heads * word_size.
        hidden_size: of a controller given by name.
        heads: how the heads choose slots and when they read, a `Heads`; or a list of `ReadHead`
            and `WriteHead` entries, which then also say how many there are.
        writing: what a write does to the memory.
        start: the state before the first step; a memory of 1e-6 and weightings on slot 0, or all
            of it learned (the paper's bias values).
        batch_first: x and y are [B, T, ...].
        backend: what runs the steps, `auto`, `reference`, `compiled` or `fused` (see
            docs/backends.md), or a `Backend`, which can save memory.
        device, dtype: of the parameters.

    Raises:
        ValueError: if a size is below 1, a number is out of its range, a name is not known, parts
            do not fit together, or an argument has no effect beside another.
        TypeError: if a part is not of its kind, or lacks a part of its contract.

    >>> layer = NTM(9, 8)
    >>> y, state = layer(torch.zeros(5, 2, 9))
    >>> y.shape, state.memory.memory.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 128, 20]))
    >>> y, state = layer(torch.zeros(3, 2, 9), state)
    >>> NTM(9, 8, heads=Heads(read=ContentAndLocation(shift_range=2))).interface.linear.out_features
    96
    """

    part_names: tuple[str, ...] = ("heads", "read_first", "writing")

    def __init__(
        self,
        input_size: int,
        output_size: int | None,
        *more: NoReturn,
        memory_size: int = 128,
        word_size: int = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        controller: str | Stack | nn.Module = "lstm",
        hidden_size: int = 100,
        heads: Heads | Sequence[Head] = Heads(),
        writing: Any = EraseAdd(),
        start: Start = Start(),
        batch_first: bool = False,
        backend: str | Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_positional("NTM", more)
        check_sizes(read_heads=read_heads, write_heads=write_heads, word_size=word_size)
        if not isinstance(heads, Heads):
            heads = Heads(entries=plugged.ordered(heads))
        plugged.check_writing(writing)
        entries = heads.of(read_heads, write_heads)
        counts = plugged.counts(entries)
        for name, asked, count in (
            ("read_heads", read_heads, counts[0]),
            ("write_heads", write_heads, counts[1]),
        ):
            if asked not in (1, count):
                raise ValueError(
                    f"{name}={asked!r} has no effect beside heads, which list {count}: leave it "
                    "out, and give the count to the entry, as in ReadHead(ContentAndLocation(), 4)."
                )
        super().__init__(
            input_size=input_size,
            output_size=output_size,
            memory_size=memory_size,
            word_size=word_size,
            read_heads=counts[0],
            controller=controller,
            hidden_size=hidden_size,
            start=start,
            constant=INITIAL_MEMORY,
            tables=plugged.tables(entries, word_size, writing),
            batch_first=batch_first,
            backend=backend,
            device=device,
            dtype=dtype,
        )
        self.heads: tuple[Head, ...] = entries
        self.write_heads: int = counts[1]
        self.read_first: bool = heads.read_first
        self.writing: Any = writing
        for name, part in plugged.modules(entries):  # so that parameters are the layer's
            self.add_module(name, part)
        self.start_weights: nn.Parameter | None = None
        if start.learned:
            size = (sum(counts), memory_size)
            self.start_weights = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self._reset_weights()

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
            "heads": plugged.joined(self.heads, self.read_first),
            "writing": self.writing,
            "start": self.start,
            "batch_first": self.batch_first,
        }

    def reset_parameters(self) -> None:
        """Draw all parameters anew: see `MemoryLayer.reset_parameters`."""
        super().reset_parameters()
        self._reset_weights()

    @torch.no_grad()
    def _reset_weights(self) -> None:
        if self.start_weights is not None:
            odds = FIRST_SLOT_WEIGHT / (1 - FIRST_SLOT_WEIGHT) * max(self.memory_size - 1, 1)
            self.start_weights.zero_()
            self.start_weights[:, 0] = math.log(odds)

    def initial_access(self, memory: Tensor) -> NTMMemory:
        """Return the memory with every head at its initial weighting."""
        rows, slots, _ = memory.shape
        if self.start_weights is None:
            first = torch.eye(1, slots, device=memory.device, dtype=memory.dtype)
            read_weights = first.expand(rows, self.read_heads, -1)
            write_weights = first.expand(rows, self.write_heads, -1)
        else:
            weights = torch.softmax(self.start_weights.to(memory.dtype), dim=-1)
            both = weights.expand(rows, -1, -1).split([self.read_heads, self.write_heads], dim=1)
            read_weights, write_weights = both
        carried = plugged.initial_addressing(self.heads, like=memory[:, :, 0])
        kept = plugged.initial_writing(self.writing, memory)
        return NTMMemory(memory, read_weights, write_weights, carried, kept)

    def access(self, parameters: Any, memory: NTMMemory) -> tuple[Tensor, NTMMemory]:
        """Do one step on the memory with this layer's heads."""
        return plugged.access(
            self.heads, parameters, memory, writing=self.writing, read_first=self.read_first
        )

    def look(self, parameters: Any, memory: NTMMemory) -> tuple[Tensor, NTMMemory]:
        """Read the memory without a write: the write heads stay where they are."""
        vectors, after = plugged.access(
            self.heads, parameters, memory, writing=self.writing, read_first=True
        )
        readers = sum(isinstance(head, plugged.ReadHead) for head in self.heads)
        carried = after.addressing[:readers] + memory.addressing[readers:]
        return vectors, memory._replace(read_weights=after.read_weights, addressing=carried)

    def named(self, parameters: Any) -> Any:
        """Return an `NTMInterface` for one read and one write entry by content and location."""
        if [type(one) for one in parameters] == [FocusParameters, FocusParameters, WriteVectors]:
            return NTMInterface(*(one for table in parameters for one in table))
        return parameters

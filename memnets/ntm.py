"""The Neural Turing Machine (Graves, Wayne, Danihelka 2014, arXiv 1410.5401).

Axes: B batch, T time, N memory slots, W word, R read heads, H write heads, S shifts, I input,
O output.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from memnets.arguments import check_controller_sizes, check_effective, check_positional, defaults
from memnets.backends.cpu.written import stock
from memnets.checks import check_epsilons, check_numbers, check_sizes, check_switches
from memnets.layer import MemoryLayer
from memnets.parts import heads as plugged
from memnets.parts.heads import Head, NTMMemory, ReadHead, WriteHead, WriteVectors
from memnets.parts.location import ContentAndLocation, FocusParameters


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


def access(
    interface: NTMInterface,
    state: NTMMemory,
    *,
    read_first: bool = False,
    similarity_epsilon: float = 1e-6,
    sharpen_epsilon: float = 1e-12,
) -> tuple[Tensor, NTMMemory]:
    """One step of the memory with the stock heads: focus and write, then focus and read.

    Each head focuses by `location.focus` (NTM eq. 5 to 9); the write is eq. 3 and 4, the read
    eq. 2. The read heads look at the memory after the write.

    Args:
        interface: activated parameters.
        state: the memory and the weightings of the step before.
        read_first: read the memory as the step before left it.
        similarity_epsilon, sharpen_epsilon: see `memnets.parts.location.focus`.

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
    addressing = ContentAndLocation(
        shift_range=interface.read_shifts.shape[-1] // 2,
        similarity_epsilon=similarity_epsilon,
        sharpen_epsilon=sharpen_epsilon,
    )
    heads = (
        ReadHead(addressing, interface.read_keys.shape[1]),
        WriteHead(addressing, interface.write_keys.shape[1]),
    )
    return plugged.access(heads, sections(interface), state, read_first=read_first)


def sections(interface: NTMInterface) -> tuple[FocusParameters, FocusParameters, WriteVectors]:
    """Split an interface into what each stock head, and then the write, takes."""
    return (
        FocusParameters(*interface[:5]),
        FocusParameters(*interface[5:10]),
        WriteVectors(*interface[10:]),
    )


STOCK_SETTINGS = (
    "shift_range",
    "strength",
    "gate_bias",
    "write_gate_bias",
    "sharpening_bias",
    "sharpness_limit",
    "similarity_epsilon",
    "sharpen_epsilon",
)
"""The arguments that describe the addressing of the stock heads."""
FIRST_SLOT_WEIGHT = 0.9
"""Where a learned initial weighting starts: mostly, not wholly, on slot 0, so that it can move."""


@stock
class NTM(MemoryLayer):
    """A Neural Turing Machine as a layer that is called as `nn.LSTM` is.

    Each step, the controller sees the input and what was read the step before, and emits the
    interface; the heads write, then read (`memnets.ntm.access`); the output is linear in the
    controller's output and the read vectors (section 3 of the paper). The defaults are those that
    train; `memnets.paper.ntm` has the paper's.

    Args:
        input_size: numbers in each input, I.
        output_size: numbers in each output, O; they are logits.
        memory_size: slots N.
        word_size: numbers in a slot, W.
        read_heads, write_heads: R and H.
        controller: the name of one of `memnets.parts.controllers.CELLS`, or a module with the
            contract of `memnets.parts.controllers`, whose input_size is input_size + read_heads *
            word_size.
        hidden_size, num_layers, skip_connections: of a controller given by name.
        shift_range: how far a head may move in a step, k; S = 2k + 1.
        heads: `ReadHead` and `WriteHead` entries that replace the stock heads. What describes the
            stock heads is then left out: read_heads, write_heads, shift_range, strength,
            sharpness_limit, their biases and epsilons; each addressing has its own.
        initial_memory: what every number of the memory holds before the first step.
        learned_initial_state: learn the state before the first step (the paper's bias values):
            memory, read vectors, weightings and controller; else memory as above, weightings on
            slot 0, the rest 0.
        memory_spread: of a learned memory, the standard deviation of the normally distributed
            numbers that are added to it at first: slots that differ can be told apart by content.
        read_first: read the memory as the step before left it.
        strength: the range of key strengths, `oneplus` (above 1) or `softplus` (above 0).
        gate_bias: added to the initial bias of the gates: below 0, heads start by moving from where
            they are, above 0 by looking for content.
        write_gate_bias: the same for the write heads alone; None is gate_bias. Below 0 beside a
            gate_bias above 0, write heads start by moving on while read heads look for content.
        sharpening_bias: added to the initial bias of the sharpenings. Where a weighting is torn
            between two slots, a sharpening makes a small change of it gamma times as large, and a
            head that goes by location does so in every step, until gradients explode; with -4,
            gamma starts at 1.02, with 0 at 1.69.
        sharpness_limit: no strength and no sharpening is above it; None is no limit. They grow with
            the controller's output, and the sharper a head is, the more a small change of what it
            looks for, or of where it was, changes: gradients explode.
        add_range: the range of the add vectors: `bounded`, in [-1, 1] by a tanh, so that a memory
            grows by at most a constant in a step and not with what was read, or `real`.
        similarity_epsilon, sharpen_epsilon: see `memnets.parts.location.focus`.
        batch_first: x and y are [B, T, ...].
        backend: what runs the steps, `auto`, `reference` or `compiled`: see docs/backends.md.
        checkpoint_every: K, to train in less memory: segments of K steps are computed again in the
            backward. None keeps everything.
        device, dtype: of the parameters.

    Raises:
        ValueError: if a size is below 1, a number is out of its range, a name is not known, parts
            do not fit together, or an argument has no effect beside another.
        TypeError: if a controller or a head lacks a part of its contract.

    >>> layer = NTM(9, 8)
    >>> y, state = layer(torch.zeros(5, 2, 9))
    >>> y.shape, state.memory.memory.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 128, 20]))
    >>> y, state = layer(torch.zeros(3, 2, 9), state)
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *more: NoReturn,
        memory_size: int = 128,
        word_size: int = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        controller: str | nn.Module = "lstm",
        hidden_size: int = 100,
        num_layers: int = 1,
        skip_connections: bool = False,
        shift_range: int = 1,
        heads: Sequence[Head] | None = None,
        initial_memory: float = 1e-6,
        learned_initial_state: bool = False,
        memory_spread: float = 0.0,
        read_first: bool = False,
        strength: str = "oneplus",
        gate_bias: float = -2.0,
        write_gate_bias: float | None = None,
        sharpening_bias: float = -4.0,
        sharpness_limit: float | None = None,
        add_range: str = "bounded",
        similarity_epsilon: float = 1e-6,
        sharpen_epsilon: float = 1e-12,
        batch_first: bool = False,
        backend: str = "auto",
        checkpoint_every: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name in _DEFAULTS}
        check_positional("NTM", more)
        check_controller_sizes(arguments, _DEFAULTS)
        if heads is not None:
            _check_heads_arguments(arguments)
        check_sizes(read_heads=read_heads, write_heads=write_heads, word_size=word_size)
        check_epsilons(similarity_epsilon=similarity_epsilon, sharpen_epsilon=sharpen_epsilon)
        check_switches(read_first=read_first)
        if heads is None:
            reading = ContentAndLocation(
                shift_range=shift_range,
                strength=strength,
                similarity_epsilon=similarity_epsilon,
                sharpen_epsilon=sharpen_epsilon,
                gate_bias=gate_bias,
                sharpening_bias=sharpening_bias,
                sharpness_limit=sharpness_limit,
            )
            writing = reading
            if write_gate_bias is not None:
                check_numbers(write_gate_bias=write_gate_bias)
                writing = replace(reading, gate_bias=write_gate_bias)
            heads = [ReadHead(reading, read_heads), WriteHead(writing, write_heads)]
        ordered = plugged.ordered(heads)
        super().__init__(
            input_size=input_size,
            output_size=output_size,
            memory_size=memory_size,
            word_size=word_size,
            read_heads=sum(head.count for head in ordered if isinstance(head, ReadHead)),
            controller=controller,
            hidden_size=hidden_size,
            num_layers=num_layers,
            skip_connections=skip_connections,
            initial_memory=initial_memory,
            learned_initial_state=learned_initial_state,
            memory_spread=memory_spread,
            tables=plugged.tables(ordered, word_size, add_range),
            arguments=arguments,
            batch_first=batch_first,
            backend=backend,
            checkpoint_every=checkpoint_every,
            device=device,
            dtype=dtype,
        )
        self.heads = ordered
        self.stock: bool = arguments["heads"] is None
        self.write_heads: int = sum(head.count for head in ordered if isinstance(head, WriteHead))
        self.read_first = read_first
        for index, head in enumerate(ordered):
            if isinstance(head.addressing, nn.Module):  # so that its parameters are the layer's
                self.add_module(f"addressing_{index}", head.addressing)
        self.start_weights: nn.Parameter | None = None
        if learned_initial_state:
            size = (self.read_heads + self.write_heads, memory_size)
            self.start_weights = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self._reset_weights()

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
        return NTMMemory(memory, read_weights, write_weights, carried)

    def gather(self, emitted: tuple[Any, ...]) -> NTMInterface | tuple[Any, ...]:
        """Return an `NTMInterface` for the stock heads, one NamedTuple a table for others."""
        if not self.stock:
            return emitted
        return NTMInterface(*(parameter for table in emitted for parameter in table))

    def access(self, parameters: Any, memory: NTMMemory) -> tuple[Tensor, NTMMemory]:
        """Do one step on the memory with this layer's heads."""
        if self.stock:
            parameters = sections(parameters)
        return plugged.access(self.heads, parameters, memory, read_first=self.read_first)


_DEFAULTS: dict[str, Any] = defaults(NTM)


def _check_heads_arguments(arguments: dict[str, Any]) -> None:
    """Raise a ValueError for an argument that describes the stock heads beside `heads`."""
    remedy = "give the count to the entry of heads, as in ReadHead(ContentAndLocation(), 4)"
    counts = ("read_heads", "write_heads")
    check_effective(arguments, _DEFAULTS, counts, beside="heads", remedy=remedy)
    remedy = "give it to the addressing, as in ContentAndLocation(shift_range=2)"
    check_effective(arguments, _DEFAULTS, STOCK_SETTINGS, beside="heads", remedy=remedy)

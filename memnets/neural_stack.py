"""The neural stack and queue (Grefenstette, Hermann, Suleyman, Blunsom 2015, arXiv 1506.02516).

Axes: B batch, T time, N memory slots, W word, I input, O output.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from memnets.arguments import check_positional
from memnets.backends.registry import Backend
from memnets.checks import check_name
from memnets.interface import Field, Table, bounded, unit
from memnets.layer import MemoryLayer
from memnets.panels import Lines, Panel, Slots
from memnets.parts.controllers import Stack
from memnets.parts.start import Start
from memnets.registry import register

ORDERS = ("stack", "queue")


class NeuralStackInterface(NamedTuple):
    """What the controller emits, activated (section 3.3)."""

    values: Tensor
    """v: what is pushed, [B, W] in [-1, 1]."""
    push_signals: Tensor
    """d: how much of it, [B, 1] in [0, 1]."""
    pop_signals: Tensor
    """u: how much is popped before that, [B, 1] in [0, 1]."""

    def panels(self, memory: NeuralStackMemory, kind: str, head: int) -> dict[str, Panel]:
        """What a picture shows of its one head, of a record [T, ...]."""
        name = "push" if kind == "write" else "pop"
        values = getattr(self, f"{name}_signals")[:, 0]
        signal = Lines(f"{name} signal", {"": values}, (0, 1))
        return {name: signal, "usage": Slots("strength of slot", memory.strengths)}


class NeuralStackMemory(NamedTuple):
    """What is stored: slot i was pushed i steps ago."""

    memory: Tensor
    """V: the values, [B, N, W]."""
    strengths: Tensor
    """s: how much is left of each, [B, N] in [0, 1]."""
    read_weights: Tensor
    """[B, 1, N], summing to at most 1."""
    write_weights: Tensor
    """[B, 1, N]: the push signal, on slot 0."""


def ahead(strengths: Tensor, order: str) -> Tensor:
    """How much is popped or read before each slot: of a stack what is younger, of a queue older.

    The sums over j > i (stack) and j < i (queue) of eq. 2 and 3, and of section 3.4.

    Args:
        strengths: [B, N].
        order: `stack` or `queue`.

    Returns:
        [B, N], at least 0.

    >>> ahead(torch.tensor([[0.5, 0.2, 0.1]]), "stack")
    tensor([[0.0000, 0.5000, 0.7000]])
    """
    if order == "queue":
        return ahead(strengths.flip(-1), "stack").flip(-1)
    return nn.functional.pad(strengths.cumsum(-1)[..., :-1], (1, 0))


def access(
    interface: NeuralStackInterface, state: NeuralStackMemory, *, order: str = "stack"
) -> tuple[Tensor, NeuralStackMemory]:
    """One step: pop, push, read (eq. 1 to 3).

    `s_i = max(0, s_i - max(0, u - ahead_i))` of what was there, d of what is pushed, and the read
    vector is the sum of `min(s_i, max(0, 1 - ahead_i)) V_i`. The paper's memory grows by a slot a
    step; here the oldest of N slots is lost then, whatever is left of it.

    Args:
        interface: activated parameters.
        state: the memory after the step before.
        order: `stack` reads and pops the youngest first, `queue` the oldest.

    Returns:
        Read vectors [B, 1, W], and the memory after the step.

    >>> state = NeuralStack(1, 1, memory_size=3, word_size=1).initial_state(1).memory
    >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    >>> for value in (1.0, 2.0):
    ...     push = NeuralStackInterface(torch.full((1, 1), value), one, zero)
    ...     read, state = access(push, state)
    >>> pop = NeuralStackInterface(zero, zero, one)
    >>> read.item(), access(pop, state)[0].item()
    (2.0, 1.0)
    """
    popped = torch.relu(interface.pop_signals - ahead(state.strengths, order))
    left = torch.relu(state.strengths - popped)
    pushed = interface.push_signals
    strengths = torch.cat([pushed, left[:, :-1]], dim=1)
    memory = torch.cat([interface.values[:, None], state.memory[:, :-1]], dim=1)
    weights = torch.minimum(strengths, torch.relu(1 - ahead(strengths, order)))[:, None]
    written = nn.functional.pad(pushed, (0, strengths.shape[1] - 1))[:, None]
    return weights @ memory, NeuralStackMemory(memory, strengths, weights, written)


@register
class NeuralStack(MemoryLayer):
    """A controller with a differentiable stack or queue, called as `nn.LSTM` is.

    Each step, the controller sees the input and what was read the step before, and emits a value
    and how much of it is pushed, and how much is popped (`memnets.neural_stack.access`); the output
    is linear in the controller's output and the read vector.

    Args:
        input_size: numbers in each input, I.
        output_size: numbers in each output, O; they are logits. None: no readout, and the output
            is h of the controller and what was read, side by side; the attribute says the size.
        memory_size: slots N: what was pushed longer ago is lost.
        word_size: numbers in a slot, W.
        order: `stack` reads and pops the youngest first, `queue` the oldest.
        controller: the name of one of `memnets.parts.controllers.CELLS`, a `Stack` of cells, or a
            module with the contract of `memnets.parts.controllers`, whose input_size is input_size
            + word_size.
        hidden_size: of a controller given by name.
        batch_first: x and y are [B, T, ...].
        backend: what runs the steps, `auto`, `reference`, `compiled` or `fused` (see
            docs/backends.md), or a `Backend`, which can save memory. The fused one does not know
            this layer.
        device, dtype: of the parameters.

    Raises:
        ValueError: if a size is below 1, or a name is not known.
        TypeError: if the controller lacks a part of its contract.

    >>> layer = NeuralStack(9, 8)
    >>> y, state = layer(torch.zeros(5, 2, 9))
    >>> y.shape, state.memory.strengths.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 128]))
    """

    part_names: tuple[str, ...] = ("order",)

    def __init__(
        self,
        input_size: int,
        output_size: int | None,
        *more: NoReturn,
        memory_size: int = 128,
        word_size: int = 20,
        order: Literal["stack", "queue"] = "stack",
        controller: str | Stack | nn.Module = "lstm",
        hidden_size: int = 100,
        batch_first: bool = False,
        backend: str | Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_positional("NeuralStack", more)
        check_name("order", order, ORDERS)
        fields = {
            "values": Field((word_size,), bounded),
            "push_signals": Field((1,), unit),
            "pop_signals": Field((1,), unit),
        }
        super().__init__(
            input_size=input_size,
            output_size=output_size,
            memory_size=memory_size,
            word_size=word_size,
            read_heads=1,
            controller=controller,
            hidden_size=hidden_size,
            start=Start(),
            constant=0.0,
            tables=[Table(NeuralStackInterface, fields)],
            batch_first=batch_first,
            backend=backend,
            device=device,
            dtype=dtype,
        )
        self.write_heads: int = 1
        self.order = order

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that make this layer, backend, device and dtype apart."""
        return {
            "input_size": self.input_size,
            "output_size": self.readout_size,
            "memory_size": self.memory_size,
            "word_size": self.word_size,
            "order": self.order,
            "controller": self.controller_settings,
            "batch_first": self.batch_first,
        }

    def initial_access(self, memory: Tensor) -> NeuralStackMemory:
        """Return the memory with nothing pushed yet."""
        nothing = memory.new_zeros(()).expand(memory.shape[:2])
        return NeuralStackMemory(memory, nothing, nothing[:, None], nothing[:, None])

    def access(
        self, parameters: Any, memory: NeuralStackMemory
    ) -> tuple[Tensor, NeuralStackMemory]:
        """Do one step on the memory."""
        return access(parameters[0], memory, order=self.order)

    def named(self, parameters: Any) -> NeuralStackInterface:
        """Return the one table of the interface."""
        return parameters[0]

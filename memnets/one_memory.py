"""Whole layers one above the other on one memory, which they use in turn.

Axes: B batch, T time, R read heads, W word, I input, O output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from memnets.calls import call, step
from memnets.layer import Advanced, MemoryLayer
from memnets.stacked import Layers
from memnets.state import State, difference, without_batch


class Turns(NamedTuple):
    """What the layers on one memory carry apart from it: the `controller` of their `State`."""

    controllers: tuple[Any, ...]
    """The state of the controller of each layer, from the first on."""
    read_vectors: tuple[Tensor, ...]
    """What each layer but the last has read, [B, R, W]; the last's are those of the `State`."""


def in_turn(
    layers: Sequence[MemoryLayer],
    x_t: Tensor,
    states: Sequence[State],
    *,
    shared: Sequence[str],
    handed: Callable[[MemoryLayer, Advanced], Tensor],
) -> list[Advanced]:
    """Do one step of each layer, the first layer first.

    A layer has the parts of a `State` that are `shared` from the layer before it, and the first
    layer from the last one, of the step before; all else is its own.

    Args:
        layers: one or more.
        x_t: [B, I], what the first layer sees.
        states: of each layer, after the step before.
        shared: `memory`, `read_vectors` or both.
        handed: what the layer above sees, of a layer and what its step made.
    """
    before, made = states[-1], []
    for layer, state in zip(layers, states, strict=True):
        found = state._replace(**{name: getattr(before, name) for name in shared})
        made.append(layer.advance(x_t, found))
        before = made[-1].state
        if len(made) < len(layers):
            x_t = handed(layer, made[-1])
    return made


class OneMemory(Layers):
    """Layers as one, on one memory; those of `memnets.Stacked` have a memory each.

    At every step the layers act in turn, the first layer first: each sees the outputs of the layer
    below, and finds the memory as that layer left it; the first one finds it as the last layer left
    it the step before. In the memory are also the weightings that heads move on from and, of a DNC,
    usage and links: all accesses are one sequence of accesses, as with `share_memory` in PyPI's
    dnc. Controllers, interfaces, readouts and read vectors are each layer's own.

    The call is that of `memnets.NTM`, and the state a `memnets.State` with one `memory`. The steps
    run in Python, on the backend `reference`.

    Args:
        layers: two or more, the first layer first, whose memories are of one kind and size. The
            memory begins as that of the first layer.
        dropout: the share of the numbers that are set to 0 between the layers in training, drawn
            anew at each step.

    Raises:
        TypeError: if a layer is not a `memnets.MemoryLayer`.
        ValueError: if the layers or their memories do not fit together, a layer above the first
            learns how its memory begins, a layer asks for a backend that cannot serve, or as
            `memnets.Stacked` does.

    >>> import torch, memnets
    >>> sizes = {"memory_size": 16, "word_size": 5, "hidden_size": 10}
    >>> below = memnets.DNC(3, None, **sizes)
    >>> both = OneMemory([below, memnets.DNC(below.output_size, 2, **sizes)], dropout=0.1)
    >>> y, state = both(torch.zeros(6, 4, 3), lengths=[6, 2, 3, 1])
    >>> y.shape, state.memory.memory.shape
    (torch.Size([6, 4, 2]), torch.Size([4, 16, 5]))
    """

    backend: str = "reference"

    def __init__(self, layers: Sequence[MemoryLayer], *, dropout: float = 0.0) -> None:
        super().__init__(layers, dropout=dropout)
        _check_memories(self._layers)
        self.checkpoint_every: int | None = self._layers[0].checkpoint_every

    @property
    def _layers(self) -> list[Any]:
        return list(self._each())

    @property
    def some_weight(self) -> Tensor:
        """A weight of the first layer, whose dtype and device are those of all."""
        return self._layers[0].some_weight

    def initial_state(self, batch_size: int | None = None) -> State:
        """Return the state before the first step; without a batch size, that of unbatched input.

        Raises:
            ValueError: if the batch size is not a whole number of at least 1.
        """
        states = [
            layer.initial_state(1 if batch_size is None else batch_size) for layer in self._each()
        ]
        state = _joined(states, states[0].memory)
        return state if batch_size is not None else without_batch(state)

    def advance(self, x_t: Tensor, state: State) -> Advanced:
        """Do one step without the readout: x_t [B, I] and a batched state; nothing is checked.

        `h` and the read vectors are those of the last layer, `interface` has all layers'.
        """
        controllers, reads = state.controller
        states = [
            State(controller, state.memory, read)
            for controller, read in zip(controllers, (*reads, state.read_vectors), strict=True)
        ]
        made = in_turn(self._layers, x_t, states, shared=("memory",), handed=self._handed)
        after = _joined([one.state for one in made], made[-1].state.memory)
        return Advanced(made[-1].h, tuple(one.interface for one in made), after)

    def at_once(self, x: Tensor, state: State) -> None:
        """Do nothing: no kernel does the steps of these layers, which `advance` does."""

    def output(self, h: Tensor, read_vectors: Tensor) -> Tensor:
        """Return the logits of the last layer, for its h [..., hidden] and reads [..., R, W]."""
        return self._layers[-1].output(h, read_vectors)

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Do one step of all layers: see `memnets.MemoryLayer.step`."""
        callee: Any = self  # which has all that the reference uses of a layer
        return step(callee, x_t, state)

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        *,
        starts: Tensor | None = None,
        restart: State | None = None,
    ) -> tuple[Any, State]:
        """Run all layers over a sequence: see `memnets.MemoryLayer.forward`."""
        callee: Any = self
        return call(callee, x, state, lengths, starts, restart)

    def _handed(self, layer: MemoryLayer, made: Advanced) -> Tensor:
        return self._dropped(layer.output(made.h, made.state.read_vectors))


def _joined(states: Sequence[State], memory: Any) -> State:
    """The state of all layers out of that of each, and the one memory."""
    below = Turns(
        tuple(one.controller for one in states), tuple(one.read_vectors for one in states[:-1])
    )
    return State(below, memory, states[-1].read_vectors)


def _check_memories(layers: Sequence[Any]) -> None:
    for place, layer in enumerate(layers):
        name = f"layers[{place}]"
        if not isinstance(layer, MemoryLayer):
            raise TypeError(
                f"{name} must have a memory, such as memnets.NTM(9, 8); got {type(layer).__name__}."
            )
        if layer.backend not in ("auto", "reference"):
            raise ValueError(
                "Layers on one memory run step by step, on the backend reference; "
                f'{name}.backend is {layer.backend!r}: make it with backend="reference".'
            )
        if place and layer.start_memory is not None:
            raise ValueError(
                f"The memory begins as that of the first layer; {name} learns another beginning: "
                "make it without start=Start(learned=True)."
            )
    memories = [layer.initial_state(1).memory for layer in layers]
    for place, memory in enumerate(memories[1:], start=1):
        found = difference(memories[0], memory, f"that of layers[{place}]")
        if found:
            raise ValueError(
                f"Layers on one memory must have memories of one form: {found}. Make the layers "
                "with the same sizes, heads and kind, or use memnets.Stacked, a memory each."
            )

"""Whole layers one above the other, each with a memory of its own.

Axes: B batch, T time, I input, O output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from memnets.checks import check_layer, check_share


class StackedState(NamedTuple):
    """The states of all layers."""

    layers: tuple[Any, ...]
    """One for each layer, from the first on."""


class Layers(nn.Module):
    """Layers one above the other: what `Stacked` and `memnets.OneMemory` have alike."""

    def __init__(self, layers: Sequence[Any], *, dropout: float = 0.0) -> None:
        super().__init__()
        check_share(dropout=dropout)
        layers = list(layers) if isinstance(layers, Sequence | nn.ModuleList) else [layers]
        _check_layers(layers)
        self.layers: nn.ModuleList = nn.ModuleList(layers)
        self.dropout = dropout
        self.input_size: int = layers[0].input_size
        self.output_size: int = layers[-1].output_size
        self.batch_first: bool = layers[0].batch_first

    def reset_parameters(self) -> None:
        """Draw the parameters of all layers anew, the first layer first."""
        for layer in self._each():
            layer.reset_parameters()

    def _each(self) -> Iterator[Any]:
        return iter(self.layers)

    def _dropped(self, y: Any) -> Any:
        if not (self.dropout and self.training):
            return y
        if isinstance(y, PackedSequence):
            return y._replace(data=nn.functional.dropout(y.data, self.dropout))
        return nn.functional.dropout(y, self.dropout)

    def extra_repr(self) -> str:
        """Show the dropout."""
        return f"dropout={self.dropout}"


class Stacked(Layers):
    """Layers as one: the first sees x, each other one the outputs of the layer below it.

    As `nn.LSTM(num_layers=..., dropout=...)` is, but that the layers may differ in all but
    `batch_first`, and be of any kind: what is needed of one is what `memnets.MemoryLayer` has, the
    sizes, `batch_first`, `initial_state(batch_size)`, and the call
    `(x, state, lengths=...) -> (y, state)`. A `memnets.Bidirectional` is a layer here, and a stack
    is one there. Layers on one memory are a `memnets.OneMemory`.

    Args:
        layers: two or more, the first layer first. One with `output_size=None` hands on h and what
            was read; its attribute `output_size` says how many numbers that is.
        dropout: the share of the numbers that are set to 0 between the layers in training.

    Raises:
        TypeError: if a layer lacks what is needed of it.
        ValueError: if the layers do not fit together, are fewer than two or not there once each,
            or dropout is not in [0, 1).

    >>> import torch, memnets
    >>> below = memnets.NTM(3, None, hidden_size=10, word_size=5)
    >>> both = Stacked([below, memnets.DNC(below.output_size, 2)], dropout=0.1)
    >>> y, state = both(torch.zeros(5, 4, 3), lengths=[5, 2, 3, 1])
    >>> below.output_size, y.shape, type(state.layers[1].memory).__name__
    (15, torch.Size([5, 4, 2]), 'DNCMemory')
    """

    def initial_state(self, batch_size: int | None = None) -> StackedState:
        """Return the state before the first step; without a batch size, that of unbatched input.

        Raises:
            ValueError: as the layers do.
        """
        return StackedState(tuple(layer.initial_state(batch_size) for layer in self._each()))

    def step(self, x_t: Tensor, state: StackedState | None = None) -> tuple[Tensor, StackedState]:
        """Do one step of all layers, which need a `step`; in training with a dropout of its own.

        Args:
            x_t: [B, I], or [I] with an unbatched state.
            state: from `initial_state` or an earlier call; None starts anew.

        Raises:
            ValueError, TypeError: as the layers do, and if the state is no `StackedState`.
        """
        after = []
        for layer, before in zip(self._each(), self._states("state", state), strict=True):
            x_t, now = layer.step(self._dropped(x_t) if after else x_t, before)
            after.append(now)
        return x_t, StackedState(tuple(after))

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: StackedState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        *,
        starts: Tensor | None = None,
        restart: StackedState | None = None,
    ) -> tuple[Any, StackedState]:
        """Run all layers over a sequence.

        Args:
            x: [T, B, I] ([B, T, I] with `batch_first`), [T, I] unbatched, or a PackedSequence.
            state: from `initial_state` or an earlier call; None starts anew.
            lengths: how many steps each row has.
            starts: where rows begin anew, in all layers, which must take them.
            restart: from what, as `state`.

        Returns:
            The outputs of the last layer, and the states of all after their last steps.

        Raises:
            ValueError, TypeError: as the layers do, and if a state is no `StackedState`.
        """
        begins = self._states("restart", restart)
        after = []
        for place, before in enumerate(self._states("state", state)):
            anew = {} if starts is None else {"starts": starts, "restart": begins[place]}
            if restart is not None and starts is None:
                raise ValueError("restart is what rows begin anew from; pass starts, or leave it.")
            x, now = self.layers[place](
                self._dropped(x) if place else x, before, lengths=lengths, **anew
            )
            after.append(now)
        return x, StackedState(tuple(after))

    def _states(self, name: str, state: StackedState | None) -> tuple[Any, ...]:
        if state is None:
            return (None,) * len(self.layers)
        if not isinstance(state, StackedState) or len(state.layers) != len(self.layers):
            raise TypeError(
                f"{name} must be a StackedState of {len(self.layers)} layers, as initial_state or "
                f"a call returns; got {type(state).__name__}."
            )
        return state.layers


def _check_layers(layers: list[Any]) -> None:
    for place, layer in enumerate(layers):
        check_layer(f"layers[{place}]", layer)
    differ = len(set(map(id, layers)))
    if len(layers) < 2 or differ < len(layers):
        raise ValueError(
            f"layers must be two or more, each another one; got {len(layers)}, of which {differ} "
            "differ: a memory is that of one layer."
        )
    for place, (below, above) in enumerate(pairwise(layers)):
        if below.output_size != above.input_size:
            raise ValueError(
                f"Each layer sees the outputs of the one below: layers[{place}].output_size is "
                f"{below.output_size}, and layers[{place + 1}].input_size is {above.input_size}."
            )
        if below.batch_first != above.batch_first:
            raise ValueError(
                f"All layers must have one batch_first; got {below.batch_first} and "
                f"{above.batch_first}: make them with the same."
            )

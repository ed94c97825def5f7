"""A call of a layer: what it is given is checked, then its backend runs the steps.

Axes: B batch, T time, I input, O output.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from memnets.backends.reference import Starts, Unrolled
from memnets.backends.registry import Check, unroll
from memnets.backends.spec import Steps
from memnets.checks import autocasts, check_input, checked_lengths, checked_starts
from memnets.state import State, difference, with_batch, without_batch


class Callee(Steps, Protocol):
    """What a call uses of a layer: `memnets.MemoryLayer` has all of it."""

    batch_first: bool

    def output(self, h: Tensor, read_vectors: Tensor) -> Tensor:
        """The logits for h [..., hidden] and read vectors [..., R, W]."""
        ...

    def __call__(self, x: Tensor, state: State | None) -> tuple[Any, State]:
        """Run over a sequence."""
        ...


def prepare(layer: Callee, x: Tensor, state: State | None) -> tuple[Tensor, State]:
    """Check x and the state; return x as [T, B, I] and the state, the initial one for None.

    Raises:
        ValueError, TypeError: as the call of the layer.
    """
    steps, started = _batched(layer, x, state)
    if started is None:
        return steps, layer.initial_state(steps.shape[1])
    _check_state(layer, started, steps.shape[1], x.dim() == 3)
    return steps, started


def prepare_starts(
    layer: Callee, x: Tensor, starts: Tensor | None, restart: State | None
) -> Starts | None:
    """Check starts and the state to begin from; return the mask as [T, B], and that state.

    Args:
        layer: whose call it is.
        x: as the layer takes it, checked by `prepare`.
        starts: as the layer takes it.
        restart: as the layer takes it.

    Raises:
        ValueError, TypeError: as the call of the layer.
    """
    if starts is None:
        if restart is not None:
            raise ValueError(
                "restart is what rows begin anew from where starts is set, and there are no "
                "starts: pass starts, or leave out restart; x begins from state."
            )
        return None
    mask = checked_starts(starts, x, batch_first=layer.batch_first)
    rows = mask.shape[1]
    if restart is None:
        return Starts(mask, layer.initial_state(rows))
    _check_kind("restart", restart)
    batched = x.dim() == 3
    fresh: State = restart if batched else with_batch(restart)
    _check_state(layer, fresh, rows, batched, "restart")
    return Starts(mask, fresh)


def call(
    layer: Callee,
    x: Tensor | PackedSequence,
    state: State | None,
    lengths: Tensor | Sequence[int] | None,
    starts: Tensor | None,
    restart: State | None,
) -> tuple[Any, State]:
    """Run a layer over a tensor or a packed sequence: see `MemoryLayer.forward`."""
    if not isinstance(x, PackedSequence):
        return run(layer, x, state, lengths, starts, restart)
    if lengths is not None:
        raise ValueError("A PackedSequence has its lengths; leave out the argument.")
    if starts is not None or restart is not None:
        raise ValueError(
            "starts and restart need a padded x, whose steps and rows the mask has; x is a "
            "PackedSequence: unpack it by pad_packed_sequence, and pass its lengths."
        )
    return run_packed(layer, x, state)


def step(layer: Callee, x_t: Tensor, state: State | None) -> tuple[Tensor, State]:
    """Do one step by a call of the layer: see `MemoryLayer.step`."""
    if not isinstance(x_t, Tensor) or x_t.dim() not in (1, 2):
        shape = tuple(getattr(x_t, "shape", ())) or type(x_t).__name__
        raise ValueError(f"x_t must be [B, I] or [I]; got the shape {shape}.")
    time = 1 if layer.batch_first and x_t.dim() == 2 else 0
    y, after = layer(x_t.unsqueeze(time), state)
    return y.squeeze(time), after


def run(
    layer: Callee,
    x: Tensor,
    state: State | None,
    lengths: Tensor | Sequence[int] | None,
    starts: Tensor | None,
    restart: State | None,
) -> tuple[Tensor, State]:
    """Run a layer over a tensor: see `MemoryLayer.forward`."""
    if isinstance(x, Tensor) and x.dim() == 2 and lengths is not None:
        raise ValueError("lengths needs a batch; x is unbatched, [T, I].")
    steps, started = _batched(layer, x, state)
    begins = prepare_starts(layer, x, starts, restart)
    check = None
    if started is not None:
        check = partial(_check_state, layer, started, steps.shape[1], x.dim() == 3)
    y, after = _run(layer, steps, started, checked_lengths(lengths, steps), begins, check)
    if x.dim() == 2:
        return y.squeeze(1), without_batch(after)
    return (rearrange(y, "t b o -> b t o") if layer.batch_first else y), after


def run_packed(
    layer: Callee, x: PackedSequence, state: State | None
) -> tuple[PackedSequence, State]:
    """Run a layer over a packed sequence: see `MemoryLayer.forward`."""
    if x.data.dim() != 2:
        shape = tuple(x.data.shape)
        raise ValueError(f"x must be packed from sequences [T, I]; its data is {shape}.")
    padded, lengths = pad_packed_sequence(x, batch_first=layer.batch_first)
    steps, started = prepare(layer, padded, state)
    y, after = _run(layer, steps, started, lengths)
    order = x.sorted_indices
    if order is not None:
        y, lengths = y.index_select(1, order), lengths[order.cpu()]
    packed = pack_padded_sequence(y, lengths)
    return PackedSequence(packed.data, x.batch_sizes, order, x.unsorted_indices), after


def _batched(layer: Callee, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
    """Check x and the kind of the state; return x as [T, B, I] and the state with a batch axis."""
    weight = layer.some_weight
    check_input(x, input_size=layer.input_size, batch_first=layer.batch_first, weight=weight)
    if state is not None:
        _check_kind("state", state)
    if x.dim() == 2:
        return x.unsqueeze(1), None if state is None else with_batch(state)
    return (rearrange(x, "b t i -> t b i") if layer.batch_first else x), state


def _check_kind(name: str, state: object) -> None:
    if not isinstance(state, State):
        raise TypeError(
            f"{name} must be a memnets.State, as initial_state or a call returns; got "
            f"{type(state).__name__}."
        )


def _check_state(
    layer: Callee, state: State, rows: int, batched: bool, name: str = "state"
) -> None:
    # Under autocast a controller may carry a state in half precision.
    wanted = layer.initial_state(rows)
    dtypes = not autocasts(layer.some_weight.device.type)
    found = difference(wanted, state, name, dtypes=dtypes)
    if found:
        raise ValueError(
            f"The {name} is not of this layer and batch: {found}. Make it with "
            f"initial_state({rows if batched else ''})."
        )


def _run(
    layer: Callee,
    x: Tensor,
    state: State | None,
    lengths: Tensor | None,
    starts: Starts | None = None,
    check: Check | None = None,
) -> tuple[Tensor, State]:
    """Return y [T, B, O], 0 past a row's length, and the state after; `check` is of `unroll`."""
    if lengths is None:
        return _output(layer, unroll(layer, x, state, None, starts, check))
    padding = torch.arange(x.shape[0], device=lengths.device)[:, None] >= lengths
    padding = padding.to(x.device)
    if starts is not None:
        starts = starts._replace(mask=starts.mask & ~padding)
    padding = padding[..., None]
    x = x.masked_fill(padding, 0)
    y, after = _output(layer, unroll(layer, x, state, lengths, starts, check))
    return y.masked_fill(padding, 0), after


def _output(layer: Callee, made: Unrolled) -> tuple[Tensor, State]:
    y = layer.output(made.h, made.read_vectors) if made.y is None else made.y
    return y, made.state

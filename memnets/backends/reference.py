"""The loop over time as it is read, and its segments that the backward computes again.

Axes: B batch, T time, I input, R read heads, W word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from memnets.backends.spec import Steps
from memnets.state import State, closed, opened, resting, select


class Unrolled(NamedTuple):
    """What a backend returns."""

    h: Tensor
    """The controller's output at every step, [T, B, hidden]."""
    read_vectors: Tensor
    """[T, B, R, W]"""
    state: State
    y: Tensor | None = None
    """The logits [T, B, O], where a backend makes them too."""


class Starts(NamedTuple):
    """Where rows begin anew, and from what."""

    mask: Tensor
    """Whether the row begins anew before the step, bool [T, B]; False past a row's length."""
    state: State
    """What it begins from, with the batch axis."""


RunSteps = Callable[[Steps, Tensor, State, Tensor | None, int, Starts | None], Unrolled]
"""What runs some steps of a sequence: called as `steps` is."""


def reference(
    layer: Steps,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
    starts: Starts | None = None,
) -> Unrolled:
    """Run the step once for each time, in Python.

    Args:
        layer: whose `advance` is called.
        x: [T, B, I].
        state: with the batch axis.
        lengths: [B] on the CPU, or None where every row is T long.
        checkpoint_every: see `in_segments`.
        starts: where rows begin anew; None for nowhere.

    Returns:
        What the readout sees of every step, and the state after each row's last step.
    """
    return in_segments(steps, layer, x, state, lengths, checkpoint_every, starts)


def steps(
    layer: Steps,
    x: Tensor,
    state: State,
    remaining: Tensor | None,
    whole: int,
    starts: Starts | None,
) -> Unrolled:
    """Run the steps of x [T, B, I] one after another.

    Args:
        layer: whose `advance` is called.
        x: [T, B, I].
        state: with the batch axis.
        remaining: how many steps from here each row goes on for (below 1: it has ended), [B] on
            x's device, or None where no row ends in x.
        whole: how many steps from here all rows go on for; only steps after those are masked.
        starts: of these steps.
    """
    h: list[Tensor] = []
    read_vectors: list[Tensor] = []
    state, begins = opened(state), _begins(starts, len(x))
    unmasked, asks = len(x) if remaining is None else min(whole, len(x)), True
    for t, x_t in enumerate(x.unbind(0)):
        if t < len(h):  # done together with one before it
            continue
        if starts is not None and (begins is None or begins[t]):
            state = begin_anew(starts.mask[t], starts.state, state)
        together = layer.at_once(x[t : _end(begins, t, unmasked)], state) if asks else None
        asks = together is not None
        if together is not None:
            if len(together.h) == len(x):
                return together._replace(state=closed(together.state))
            h += together.h.unbind(0)
            read_vectors += together.read_vectors.unbind(0)
            state = together.state
            continue
        if remaining is None or t < whole:
            advanced = layer.advance(x_t, state)
            state = advanced.state
        else:
            active = remaining > t
            advanced = layer.advance(x_t, resting(~active, state))
            state = select(active, advanced.state, state)
        h.append(advanced.h)
        read_vectors.append(advanced.state.read_vectors)
    return Unrolled(torch.stack(h), torch.stack(read_vectors), closed(state))


def _begins(starts: Starts | None, time: int) -> list[bool] | None:
    """At which steps any row begins anew; None where no number can be looked at at once."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return None
    if starts is None:
        return [False] * time
    on_host = starts.mask.device.type == "cpu"  # for a GPU's the host would wait
    return starts.mask.any(1).tolist() if on_host else None


def _end(begins: list[bool] | None, t: int, unmasked: int) -> int:
    """Up to which step all rows go on from step t, and none begins anew; t where that is masked."""
    if begins is None:
        return t
    return next((s for s in range(t + 1, unmasked) if begins[s]), max(t, unmasked))


def in_segments(
    run: RunSteps,
    layer: Steps,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None,
    starts: Starts | None,
) -> Unrolled:
    """Run a sequence, and let the backward compute segments of it again instead of keeping them.

    Args:
        run: what runs some steps, as `steps` does.
        layer, x, state, lengths, starts: see `reference`.
        checkpoint_every: steps in a segment, K. Kept are the states between segments and, in the
            backward, what one segment makes: T/K states and K steps. None, and a sequence of at
            most K steps: one segment, and everything in it is kept.

    Raises:
        ValueError: if there is more than one segment inside a transform of torch.func.
    """
    remaining = None if lengths is None else lengths.to(x.device)
    whole = x.shape[0] if lengths is None else _shortest(lengths)
    every = checkpoint_every
    if every is None or every >= x.shape[0] or not torch.is_grad_enabled():
        return run(layer, x, state, remaining, whole, starts)
    if torch._C._are_functorch_transforms_active():
        raise ValueError(
            f"checkpoint_every={every} cannot be served inside grad, vmap and the other transforms "
            "of torch.func, which do not support it; use a layer with checkpoint_every=None there."
        )
    parts = []
    for start in range(0, x.shape[0], every):
        left = None if remaining is None else remaining - start
        inside = slice(start, start + every)
        arguments = (layer, x[inside], state, left, whole - start, of_steps(starts, inside))
        part = checkpoint(run, *arguments, use_reentrant=False)
        assert isinstance(part, Unrolled)
        parts.append(part)
        state = part.state
    return joined(parts)


def _shortest(lengths: Tensor) -> int:
    """How many steps all rows have; 0 in a graph, which is made before the lengths are there."""
    return 0 if torch.compiler.is_compiling() else int(lengths.min())


def of_steps(starts: Starts | None, inside: slice) -> Starts | None:
    """The part of `starts` that is of some steps."""
    return None if starts is None else starts._replace(mask=starts.mask[inside])


def joined(parts: Sequence[Unrolled]) -> Unrolled:
    """Put what was run one after another together."""
    if len(parts) == 1:
        return parts[0]
    return Unrolled(
        torch.cat([part.h for part in parts]),
        torch.cat([part.read_vectors for part in parts]),
        parts[-1].state,
    )


def begin_anew(begins: Tensor, fresh: State, state: State) -> State:
    """Return the state with the rows for which `begins` [B] is True from `fresh`."""
    return select(begins, fresh, state)

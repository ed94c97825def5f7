"""The loop over time: the one seam between a layer and the backend that runs its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from memnets.state import State, map_tensors

if TYPE_CHECKING:
    from memnets.layer import MemoryLayer


class Unrolled(NamedTuple):
    """What a backend returns."""

    h: Tensor
    """The controller's output at every step, [T, B, hidden]."""
    read_vectors: Tensor
    """[T, B, R, W]"""
    state: State


def reference(layer: MemoryLayer, x: Tensor, state: State, lengths: Tensor | None) -> Unrolled:
    """Run the step once for each time, in Python.

    Args:
        layer: whose `advance` is called.
        x: [T, B, I].
        state: with the batch axis.
        lengths: [B] on the CPU, or None where every row is T long.

    Returns:
        What the readout sees of every step, and the state after each row's last step.
    """
    shortest = x.shape[0] if lengths is None else int(lengths.min())
    ends = None if lengths is None else lengths.to(x.device)
    h, read_vectors = [], []
    for t, x_t in enumerate(x.unbind(0)):
        advanced = layer.advance(x_t, state)
        if ends is None or t < shortest:
            state = advanced.state
        else:
            state = _where(ends > t, advanced.state, state)
        h.append(advanced.h)
        read_vectors.append(advanced.state.read_vectors)
    return Unrolled(torch.stack(h), torch.stack(read_vectors), state)


def _where(active: Tensor, new: State, old: State) -> State:
    def choose(after: Tensor, before: Tensor) -> Tensor:
        return torch.where(active.view(-1, *[1] * (after.dim() - 1)), after, before)

    return map_tensors(choose, new, old)


BACKENDS: dict[str, Callable[..., Unrolled]] = {
    "auto": reference,
    "reference": reference,
}


def unroll(
    layer: MemoryLayer, x: Tensor, state: State, lengths: Tensor | None, backend: str
) -> Unrolled:
    """Run `layer` over x [T, B, I] on the backend of that name; see `reference`."""
    return BACKENDS[backend](layer, x, state, lengths)

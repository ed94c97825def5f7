"""The one seam between a layer and the backend that runs its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from memnets.compiled import compiled
from memnets.reference import Unrolled, reference
from memnets.state import State

if TYPE_CHECKING:
    from memnets.layer import MemoryLayer

Backend = Callable[["MemoryLayer", Tensor, State, Tensor | None, int | None], Unrolled]
"""Called with (layer, x, state, lengths, checkpoint_every) as `reference` is; raises a ValueError
with the reason and the remedy if it cannot serve a call."""

BACKENDS: dict[str, Backend] = {
    "auto": reference,
    "reference": reference,
    "compiled": compiled,
}


def unroll(layer: MemoryLayer, x: Tensor, state: State, lengths: Tensor | None) -> Unrolled:
    """Run `layer` over x [T, B, I] on its backend; see `memnets.reference.reference`."""
    return BACKENDS[layer.backend](layer, x, state, lengths, layer.checkpoint_every)

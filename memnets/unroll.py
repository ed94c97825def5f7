"""The one seam between a layer and the backend that runs its steps."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from memnets import fused
from memnets.compiled import compiled
from memnets.reference import Unrolled, reference
from memnets.state import State

if TYPE_CHECKING:
    from memnets.layer import MemoryLayer

Backend = Callable[["MemoryLayer", Tensor, State, Tensor | None, int | None], Unrolled]
"""Called with (layer, x, state, lengths, checkpoint_every) as `reference` is; raises a ValueError
with the reason and the remedy if it cannot serve a call."""

logger: logging.Logger = logging.getLogger("memnets")


def by_kernel(
    layer: MemoryLayer,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
) -> Unrolled:
    """Run the whole sequence as one kernel: see `memnets.fused`.

    Raises:
        ValueError: if the kernel cannot serve the call, with the reason.
    """
    reason = fused.supports(layer, x, state)
    if reason is not None:
        raise ValueError(
            f'backend="fused" cannot serve this call. {reason} Use backend="auto", which takes '
            'the reference then, or "compiled".'
        )
    return fused.run(layer, x, state, lengths, checkpoint_every)


def auto(
    layer: MemoryLayer,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
) -> Unrolled:
    """Take the fused backend where it can serve the call, else the reference; log once which."""
    if torch.compiler.is_compiling():
        return reference(layer, x, state, lengths, checkpoint_every)
    reason = fused.supports(layer, x, state)
    if reason is None:
        _say_once("memnets runs on the fused backend.")
        return fused.run(layer, x, state, lengths, checkpoint_every)
    _say_once(f"memnets runs on the reference backend, the fused one cannot serve. {reason}")
    return reference(layer, x, state, lengths, checkpoint_every)


@functools.lru_cache(maxsize=64)
def _say_once(sentence: str) -> None:
    logger.info(sentence)


BACKENDS: dict[str, Backend] = {
    "auto": auto,
    "reference": reference,
    "compiled": compiled,
    "fused": by_kernel,
}


def unroll(layer: MemoryLayer, x: Tensor, state: State, lengths: Tensor | None) -> Unrolled:
    """Run `layer` over x [T, B, I] on its backend; see `memnets.reference.reference`."""
    return BACKENDS[layer.backend](layer, x, state, lengths, layer.checkpoint_every)

"""The one seam between a layer and the backend that runs its steps."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from memnets.backends import cpu as fused
from memnets.backends.compiled import compiled
from memnets.backends.reference import Unrolled, reference
from memnets.state import State

if TYPE_CHECKING:
    from memnets.layer import MemoryLayer

Backend = Callable[["MemoryLayer", Tensor, State, Tensor | None, int | None], Unrolled]
"""Called with (layer, x, state, lengths, checkpoint_every) as `reference` is; raises a ValueError
with the reason and the remedy if it cannot serve a call."""

logger: logging.Logger = logging.getLogger("memnets")


SLOWER = 30
"""How many times the reference takes of the kernel's time, on one core (docs/results.md)."""


class PerformanceWarning(UserWarning):
    """The results are right, and come many times slower than they could."""


class Choice(NamedTuple):
    """The backend that serves a call."""

    backend: str
    """Its name; never `auto`."""
    reason: str | None
    """Why the fused backend does not serve the call; None where it does, or was not asked for."""


def choose(layer: MemoryLayer, x: Tensor, state: State) -> Choice:
    """Say which backend runs a layer over x [T, B, I] from a state.

    Raises:
        ValueError: if the layer's backend is `fused` and cannot serve the call.
    """
    if layer.backend not in ("auto", "fused"):
        return Choice(layer.backend, None)
    reason = fused.supports(layer, x, state)
    if reason is None:
        return Choice("fused", None)
    if layer.backend == "fused":
        raise ValueError(_refusal(reason))
    return Choice("reference", reason)


def _refusal(reason: str) -> str:
    return (
        f'backend="fused" cannot serve this call. {reason} Use backend="auto", which takes the '
        'reference then, or "compiled".'
    )


def by_kernel(
    layer: MemoryLayer,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
) -> Unrolled:
    """Run the whole sequence as one kernel: see `memnets.backends.cpu`.

    Raises:
        ValueError: if the kernel cannot serve the call, with the reason.
    """
    reason = fused.supports(layer, x, state)
    if reason is not None:
        raise ValueError(_refusal(reason))
    return fused.run(layer, x, state, lengths, checkpoint_every)


def auto(
    layer: MemoryLayer,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
) -> Unrolled:
    """Take the fused backend where it can serve the call, else the reference; log once which.

    Warns:
        PerformanceWarning: once, if this machine has no kernel.
    """
    if torch.compiler.is_compiling():
        return reference(layer, x, state, lengths, checkpoint_every)
    reason = fused.supports(layer, x, state)
    if reason is None:
        _say_once("memnets runs on the fused backend.")
        return fused.run(layer, x, state, lengths, checkpoint_every)
    _say_once(f"memnets runs on the reference backend, the fused one cannot serve. {reason}")
    dtype = layer.readout.weight.dtype
    if dtype in fused.NUMBERS and reason == fused.reason_against(dtype):
        _warn_once(reason)
    return reference(layer, x, state, lengths, checkpoint_every)


@functools.lru_cache(maxsize=64)
def _say_once(sentence: str) -> None:
    logger.info(sentence)


@functools.lru_cache(maxsize=64)
def _warn_once(reason: str) -> None:
    warnings.warn(
        f"memnets runs on its reference backend, some {SLOWER} times slower than its kernel. "
        f"{reason}",
        PerformanceWarning,
        stacklevel=2,
    )


BACKENDS: dict[str, Backend] = {
    "auto": auto,
    "reference": reference,
    "compiled": compiled,
    "fused": by_kernel,
}


def unroll(layer: MemoryLayer, x: Tensor, state: State, lengths: Tensor | None) -> Unrolled:
    """Run `layer` over x [T, B, I] on its backend; see `memnets.backends.reference.reference`."""
    return BACKENDS[layer.backend](layer, x, state, lengths, layer.checkpoint_every)

"""The one seam between a layer and the backend that runs its steps."""

from __future__ import annotations

import functools
import inspect
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memnets.backends import cpu as fused
from memnets.backends import cuda
from memnets.backends.compiled import compiled
from memnets.backends.cpu import graphs
from memnets.backends.cpu.engines import ENGINES
from memnets.backends.cpu.host import Host
from memnets.backends.cpu.sparse_sequence import steps as steps_in_place
from memnets.backends.cpu.sparse_step import step as sparse_step_in_place
from memnets.backends.cuda.device import Device
from memnets.backends.reference import Starts, Unrolled, reference
from memnets.backends.spec import Steps
from memnets.checks import check_name, check_sizes
from memnets.parts.registry import register
from memnets.parts.sparse import Sparse
from memnets.state import State

Unroll = Callable[[Steps, Tensor, State, Tensor | None, int | None, Starts | None], Unrolled]
"""Called with (layer, x, state, lengths, checkpoint_every, starts) as `reference` is; raises a
ValueError with the reason and the remedy if it cannot serve a call."""
Check = Callable[[], None]
"""Raises a ValueError for a state that the caller passed in and that is not the layer's."""

logger: logging.Logger = logging.getLogger("memnets")


SLOWER = 30
"""How many times the reference takes of the kernel's time, on one core (docs/results.md)."""


@register
@dataclass(frozen=True)
class Backend:
    """What runs the steps of a layer.

    Raises:
        ValueError: if there is no backend of that name, or `checkpoint_every` is below 1.

    >>> Backend("reference", checkpoint_every=50).name
    'reference'
    """

    name: str = "auto"
    """`auto`, `reference`, `compiled`, `fused` or `cuda`: see docs/backends.md"""
    checkpoint_every: int | None = None
    """to train in less memory, segments of this many steps are computed again in the backward;
    None keeps everything"""

    def __post_init__(self) -> None:
        check_name("backend", self.name, BACKENDS)
        if self.checkpoint_every is not None:
            check_sizes(checkpoint_every=self.checkpoint_every)


class PerformanceWarning(UserWarning):
    """The results are right, and come many times slower than they could."""


class Choice(NamedTuple):
    """The backend that serves a call."""

    backend: str
    """Its name; never `auto`."""
    reason: str | None
    """Why the fused backend does not serve the call; None where it does, or was not asked for."""


def choose(layer: Steps, x: Tensor, state: State) -> Choice:
    """Say which backend runs a layer over x [T, B, I] from a state.

    Raises:
        ValueError: if the layer's backend is `fused` or `cuda` and cannot serve the call.
    """
    if layer.backend == "cuda":
        _check_cuda(layer, x, state, None)
    if layer.backend not in ("auto", "fused"):
        return Choice(layer.backend, None)
    if graphs.in_graph():
        reason = graphs.supports(layer, x, state, None, "cpu")
    else:
        reason = fused.supports(layer, x, state)
    if reason is None:
        return Choice("fused", None)
    if layer.backend == "fused":
        raise ValueError(_refusal(reason))
    return Choice("reference", reason)


def stepper(layer: Steps, x: Tensor, state: State) -> fused.Stepper | None:
    """Prepare to run a layer over x [T, B, I] step by step from a state, which is written to.

    None if it is to run by its own `step`.

    Raises:
        ValueError: if the layer's backend is `fused` and cannot serve the call.
    """
    served = choose(layer, x, state).backend == "fused" and not graphs.in_graph()
    return fused.stepper(layer, state) if served else None


def _refusal(reason: str) -> str:
    return (
        f'backend="fused" cannot serve this call. {reason} Use backend="auto", which takes the '
        'reference then, or "compiled".'
    )


def by_kernel(
    layer: Steps,
    x: Tensor,
    state: State | None,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
    starts: Starts | None = None,
    *,
    check: Check | None = None,
) -> Unrolled:
    """Run the whole sequence as one kernel: see `memnets.backends.cpu`.

    Raises:
        ValueError: if the kernel cannot serve the call, with the reason.
    """
    found = _on_kernel(layer, x, state, lengths, checkpoint_every, starts, check)
    if isinstance(found, str):
        raise ValueError(_refusal(found))
    return found


def _on_kernel(
    layer: Steps,
    x: Tensor,
    state: State | None,
    lengths: Tensor | None,
    checkpoint_every: int | None,
    starts: Starts | None,
    check: Check | None,
) -> Unrolled | str:
    """Run the kernel, inside of a graph as an operator; or say why it cannot serve the call."""
    reason = None
    if not torch.compiler.is_compiling():  # which cannot follow what looks at a layer
        reason = fused.supports(layer, x, state, starts)
        if reason is None:
            return fused.run(layer, x, state, lengths, checkpoint_every, starts)
    if check is not None:
        check()
    if reason is not None and not graphs.in_graph():
        return reason
    begun = layer.initial_state(x.shape[1]) if state is None else state
    reason = graphs.supports(layer, x, begun, starts, "cpu")
    if reason is not None:
        return reason
    call = lengths, checkpoint_every, starts
    return graphs.run(layer, x, begun, *call, engine="cpu", anew=state is None)


def by_cuda(
    layer: Steps,
    x: Tensor,
    state: State | None,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
    starts: Starts | None = None,
) -> Unrolled:
    """Run the whole sequence as one kernel on a GPU: see `memnets.backends.cuda`.

    Raises:
        ValueError: if the kernel cannot serve the call, with the reason.
    """
    if state is None:
        state = layer.initial_state(x.shape[1])
    _check_cuda(layer, x, state, starts)
    if graphs.in_graph():
        call = lengths, checkpoint_every, starts
        return graphs.run(layer, x, state, *call, engine="cuda", anew=False)
    return cuda.run(layer, x, state, lengths, checkpoint_every, starts)


def _check_cuda(layer: Steps, x: Tensor, state: State, starts: Starts | None) -> None:
    if graphs.in_graph():
        reason = graphs.supports(layer, x, state, starts, "cuda")
    else:
        reason = cuda.supports(layer, x, state, starts)
    if reason is not None:
        raise ValueError(
            f'backend="cuda" cannot serve this call. {reason} Use backend="auto" or "compiled".'
        )


def auto(
    layer: Steps,
    x: Tensor,
    state: State | None,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
    starts: Starts | None = None,
    *,
    check: Check | None = None,
) -> Unrolled:
    """Take the fused backend where it can serve the call, else the reference; log once which.

    Warns:
        PerformanceWarning: once, if this machine has no kernel.
    """
    found = _on_kernel(layer, x, state, lengths, checkpoint_every, starts, check)
    compiling = torch.compiler.is_compiling()
    if not isinstance(found, str):
        if not compiling:
            _say_once("memnets runs on the fused backend.")
        return found
    if not compiling:
        _say_why(layer, found)
    if state is None:
        state = layer.initial_state(x.shape[1])
    return reference(layer, x, state, lengths, checkpoint_every, starts)


def _say_why(layer: Steps, reason: str) -> None:
    """Log why the reference serves; warn if that is for want of a kernel on this machine."""
    _say_once(f"memnets runs on the reference backend, the fused one cannot serve. {reason}")
    dtype = layer.some_weight.dtype
    if dtype in fused.NUMBERS and reason == fused.reason_against(dtype):
        _warn_once(reason)


@functools.lru_cache(maxsize=64)
def _say_once(sentence: str) -> None:
    logger.info(sentence)


@functools.lru_cache(maxsize=64)
def _warn_once(reason: str) -> None:
    warnings.warn(
        f"memnets runs on its reference backend, some {SLOWER} times slower than its kernel. "
        f"{reason}",
        PerformanceWarning,
        stacklevel=_users_level(),
    )


def _users_level() -> int:
    """How many calls above the caller that of the user is, who is in neither memnets nor torch."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and _package(frame) in ("memnets", "torch"):
        level, frame = level + 1, frame.f_back
    return level


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


BACKENDS: dict[str, Unroll] = {
    "auto": auto,
    "reference": reference,
    "compiled": compiled,
    "fused": by_kernel,
    "cuda": by_cuda,
}
ENGINES.update(cpu=Host(), cuda=Device())


def unroll(
    layer: Steps,
    x: Tensor,
    state: State | None,
    lengths: Tensor | None,
    starts: Starts | None = None,
    check: Check | None = None,
) -> Unrolled:
    """Run `layer` over x [T, B, I] on its backend; see `memnets.backends.reference.reference`.

    A state of None is the layer's `initial_state`, which the kernel need not make anew where it is
    constant. `check` makes one to compare a given state with; the kernel takes no state but of the
    layer's own form, so where it serves there is no need for that.
    """
    backend, every = BACKENDS[layer.backend], layer.checkpoint_every
    if backend in (auto, by_kernel) and (check is None or fused.knows_states(layer)):
        if not (state is not None or torch.compiler.is_compiling() or fused.makes_constants(layer)):
            state = layer.initial_state(x.shape[1])
        run = auto if backend is auto else by_kernel
        return run(layer, x, state, lengths, every, starts, check=check)
    if check is not None:
        check()
    if state is None:
        state = layer.initial_state(x.shape[1])
    return backend(layer, x, state, lengths, every, starts)


def sparse_steps(layer: Any, x: Tensor, state: State) -> Unrolled | None:
    """Several steps of a sparse memory by the kernel: see `memnets.backends.cpu.sparse_sequence`.

    None, and nothing is done, where the layer is to do one after another.
    """
    if not len(x) or layer.backend not in ("auto", "fused"):
        return None
    found = steps_in_place(layer, x, state)
    return None if found is None else Unrolled(*found)


def sparse_step(
    backend: str, parameters: Any, state: Any, settings: Sparse
) -> tuple[Tensor, Any] | None:
    """A step of a sparse memory by the kernel: see `memnets.backends.cpu.sparse_step.step`.

    None, and nothing is done, where the layer's own step is to do it.
    """
    return (
        sparse_step_in_place(parameters, state, settings) if backend in ("auto", "fused") else None
    )

"""The fused backend: a whole sequence as one kernel, in C++ for the CPU (docs/fused.md).

It computes what the reference computes, step by step and gradient by gradient, many times faster.
`python -m memnets` says whether this machine can use it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memnets.backends.cpu.again import Again, form_of_memory, memory_of
from memnets.backends.cpu.division import RECORD_BUDGET, numbers_a_step, segment, threads
from memnets.backends.cpu.known import (
    inner_modules,
    reason_against_readout,
    reason_in_modes,
    reason_in_tensors,
)
from memnets.backends.cpu.library import NUMBERS, UnavailableError, reason_against
from memnets.backends.cpu.node import Sequences, forward
from memnets.backends.cpu.planned import (
    Planned,
    first_state,
    form_of,
    knows_states,
    latest_plan,
    makes_constants,
    planned,
    shapes_of,
)
from memnets.backends.cpu.problems import READOUT, Call, tensors_of
from memnets.backends.cpu.stepper import Stepper
from memnets.backends.reference import Starts, Unrolled
from memnets.backends.spec import Steps
from memnets.state import State, map_tensors

__all__ = [
    "NUMBERS",
    "RECORD_BUDGET",
    "Stepper",
    "UnavailableError",
    "cast",
    "knows_states",
    "makes_constants",
    "reason_against",
    "run",
    "stepper",
    "supports",
    "threads",
    "unserved",
]


def supports(
    layer: Steps,
    x: Tensor,
    state: State | None,
    starts: Starts | None = None,
) -> str | None:
    """Say in a sentence why the kernel cannot serve a call; None where it can: see `unserved`."""
    return unserved(layer, x, state, starts) or reason_against(layer.some_weight.dtype)


def unserved(
    layer: Steps,
    x: Tensor,
    state: State | None,
    starts: Starts | None,
    device: torch.device | None = None,
) -> str | None:
    """Say in a sentence what of a call a kernel cannot serve; None if it can serve all of it.

    Args:
        layer: as the class has it, or changed.
        x: [T, B, I].
        state: with the batch axis; None is the layer's own, which `makes_constants`.
        starts: where rows begin anew, and from what.
        device: where all tensors must be; None is the CPU.
    """
    modules = inner_modules(layer)
    known = planned(layer, modules)
    reason = known.reason or reason_in_modes()
    if reason is not None:
        return reason
    dtype = layer.some_weight.dtype
    if dtype not in NUMBERS:
        return f"It computes in float32 and float64; the layer is {dtype}."
    parameters = [p for m in modules for p in m._parameters.values() if p is not None]
    if x.shape[2] != layer.input_size:
        return f"It knows inputs of {layer.input_size} numbers; these have {x.shape[2]}."
    shown = [x]
    if state is not None:
        form, carried = form_of(state)
        if form != known.form:
            return "It knows states of the form that the layer's initial_state makes, not this one."
        reason = _reason_in_form(carried, shapes_of(known, x.shape[1]))
        if reason is not None:
            return reason
        shown += carried
    cast = torch.is_autocast_enabled("cpu" if device is None else device.type)
    return (
        reason_in_tensors(parameters, dtype, device)
        or reason_in_tensors(shown, None if cast else dtype, device)
        or (None if starts is None else _reason_in_starts(layer, x, starts, known, device))
    )


def _reason_in_starts(
    layer: Steps, x: Tensor, starts: Starts, known: Planned, device: torch.device | None
) -> str | None:
    """Say what of the starts the kernel cannot take: the mask, or the state to begin from."""
    form, restart = form_of(starts.state)
    if form != known.form:
        return "It knows states of the form that the layer's initial_state makes; a restart is not."
    if starts.mask.shape != x.shape[:2]:
        shapes = tuple(x.shape[:2]), tuple(starts.mask.shape)
        return f"It knows starts [T, B] = {shapes[0]}; these are {shapes[1]}."
    cast = torch.is_autocast_enabled("cpu" if device is None else device.type)
    return (
        reason_in_tensors([starts.mask], torch.bool, device)
        or reason_in_tensors(restart, None if cast else layer.some_weight.dtype, device)
        or _reason_in_form(restart, shapes_of(known, x.shape[1]))
    )


def _reason_in_form(carried: list[Tensor], wanted: list[tuple[int, ...]]) -> str | None:
    """Say which shapes the kernel cannot read; a layer may make an initial state of its own."""
    shapes = [tensor.shape for tensor in carried]
    if shapes != wanted:
        return f"It knows states with the shapes {wanted}; this one has {list(map(tuple, shapes))}."
    return None


def run(
    layer: Steps,
    x: Tensor,
    state: State | None,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
    starts: Starts | None = None,
) -> Unrolled:
    """Run a sequence x [T, B, I] that `supports` has nothing against; see `reference`.

    Under autocast too the kernel computes in the layer's own dtype: that is exact, and faster than
    products in half precision.
    """
    started = first_state(layer, x.shape[1]) if state is None else state
    if not torch.is_autocast_enabled("cpu"):
        readout: Any = layer.readout
        small = readout is not None and readout.weight.numel() <= READOUT
        logits = small and reason_against_readout(layer) is None
        return _run(layer, x, started, lengths, checkpoint_every, starts, logits)
    dtype = layer.some_weight.dtype
    with torch.autocast("cpu", enabled=False):
        started = map_tensors(lambda tensor: tensor.to(dtype), started)
        begun = cast(starts, dtype)
        return _run(layer, x.to(dtype), started, lengths, checkpoint_every, begun, False)


def cast(starts: Starts | None, dtype: torch.dtype) -> Starts | None:
    """Give the state of the starts another dtype."""
    if starts is None:
        return None
    return starts._replace(state=map_tensors(lambda tensor: tensor.to(dtype), starts.state))


def _run(
    layer: Steps,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None,
    starts: Starts | None,
    readout: bool,
) -> Unrolled:
    plan = latest_plan(layer)
    tensors = tensors_of(layer, x, state, None if starts is None else starts.state)
    flat = tensors.flat() if torch.is_grad_enabled() else []
    training = any(tensor.requires_grad for tensor in flat)
    module: Any = layer.readout
    logits: list[Any] = [module.weight, module.bias] if readout else []
    if not training and flat and any(parameter.requires_grad for parameter in logits):
        logits = []  # a readout that is trained alone needs no backward of the kernel
    if logits:
        tensors = tensors._replace(readout=logits)
        flat += logits if training else []
    time, batch = x.shape[:2]
    again = Again(layer, form_of_memory(state.memory))
    step = batch * numbers_a_step(plan) * x.element_size()
    call = Call(
        plan,
        None if lengths is None else lengths.to(torch.int64, copy=True),  # read in the backward
        None if starts is None else starts.mask.clone(memory_format=torch.contiguous_format),
        segment(time, step, checkpoint_every) if training else min(time, 1),
        threads(batch),
        training,
        bool(logits),
        again,
    )
    outputs = Sequences.apply(call, *flat) if training else forward(call, tensors)[0]
    h, read_vectors, end_reads, *rest = outputs
    states, depth = plan.states, plan.problem.depth
    end_controller = tuple(tuple(rest[i * states : (i + 1) * states]) for i in range(depth))
    end_memory = memory_of(again.memory, rest[depth * states :][: len(tensors.memory)])
    y = outputs[-1] if logits else None
    reads = state.read_vectors.shape
    end = State(end_controller, end_memory, end_reads.view(reads))
    return Unrolled(h, read_vectors.view(time, *reads), end, y)


def stepper(layer: Steps, state: State) -> Stepper | None:
    """Prepare the steps of a layer that `supports` has nothing against, from a state on.

    None if its output is not what the kernel computes: the layer has a readout, or a method or a
    hook around it, that the kernel does not know.
    """
    if reason_against_readout(layer) is not None:
        return None
    return Stepper(layer, state, threads(state.read_vectors.shape[0]))

"""The kernel on a GPU: the sources of the fused backend, compiled by NVRTC (docs/gpu.md).

No GPU was at hand: it has run on an emulator alone, so `auto` does not choose it.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from memnets.backends import cpu as fused
from memnets.backends.cpu.again import Again, form_of_memory, memory_of
from memnets.backends.cpu.division import segment
from memnets.backends.cpu.planned import latest_plan
from memnets.backends.cpu.problems import Call, tensors_of
from memnets.backends.cpu.shipped import UnavailableError
from memnets.backends.cuda import driver, kernels, nvrtc
from memnets.backends.cuda.node import Sequences, forward
from memnets.backends.cuda.sizes import bytes_a_step
from memnets.backends.reference import Starts, Unrolled
from memnets.backends.spec import Steps
from memnets.state import State, map_tensors

__all__ = ["run", "supports"]

MOST_HEADS = 16
"""Of one kind, for which a thread has room (csrc/warp.h)."""


def supports(layer: Steps, x: Tensor, state: State | None, starts: Starts | None) -> str | None:
    """Say in a sentence why the kernel cannot serve this call; None where it can.

    Args:
        layer: as the class has it, or changed.
        x: [T, B, I].
        state: with the batch axis; None is the layer's own.
        starts: where rows begin anew, and from what.
    """
    device = layer.some_weight.device
    return (
        reason_against(device)
        or fused.unserved(layer, x, state, starts, device)
        or _reason_in_sizes(layer)
    )


@functools.cache
def reason_against(device: torch.device) -> str | None:
    """Say why a device cannot run the kernel; None where it can."""
    if device.type != "cuda":
        return f"It runs on a GPU; the layer is on {device}."
    if torch.version.hip is not None:
        return "It is for NVIDIA's GPUs: its vectors are 32 threads, those of AMD have up to 64."
    try:
        driver.library()
        nvrtc.library()
    except UnavailableError as error:
        return str(error)
    return None


def _reason_in_sizes(layer: Steps) -> str | None:
    problem = latest_plan(layer).problem
    heads, most = max(problem.read_heads, problem.write_heads), kernels.most_layers()
    if heads > MOST_HEADS:
        return f"It takes up to {MOST_HEADS} heads of a kind; the layer has {heads}."
    if problem.depth > most:
        return f"It takes controllers of up to {most} layers; this one has {problem.depth}."
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

    Under autocast too the kernel computes in the layer's own dtype.
    """
    started = layer.initial_state(x.shape[1]) if state is None else state
    kind, dtype = layer.some_weight.device.type, layer.some_weight.dtype
    if not torch.is_autocast_enabled(kind):
        return _run(layer, x, started, lengths, checkpoint_every, starts)
    with torch.autocast(kind, enabled=False):
        started = map_tensors(lambda tensor: tensor.to(dtype), started)
        begun = fused.cast(starts, dtype)
        return _run(layer, x.to(dtype), started, lengths, checkpoint_every, begun)


def _run(
    layer: Steps,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None,
    starts: Starts | None,
) -> Unrolled:
    plan = latest_plan(layer)
    tensors = tensors_of(layer, x, state, None if starts is None else starts.state)
    flat: list[Any] = tensors.flat() if torch.is_grad_enabled() else []
    training = any(tensor.requires_grad for tensor in flat)
    time, batch = x.shape[:2]
    again = Again(layer, form_of_memory(state.memory))
    step = bytes_a_step(plan.problem, batch, x.element_size())
    call = Call(
        plan,
        # A copy: the backward reads it too.
        None if lengths is None else lengths.to(x.device, torch.int64, copy=True),
        None if starts is None else starts.mask.clone(memory_format=torch.contiguous_format),
        segment(time, step, checkpoint_every) if training else min(time, 1),
        1,
        training,
        False,
        again,
    )
    outputs = Sequences.apply(call, *flat) if training else forward(call, tensors)[0]
    h, read_vectors, end_reads, *rest = outputs
    states, depth = plan.states, plan.problem.depth
    end_controller = tuple(tuple(rest[i * states : (i + 1) * states]) for i in range(depth))
    end_memory = memory_of(again.memory, rest[depth * states :])
    reads = state.read_vectors.shape
    end = State(end_controller, end_memory, end_reads.view(reads))
    return Unrolled(h, read_vectors.view(time, *reads), end, None)

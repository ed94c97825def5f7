"""The kernel on a GPU: the sources of the fused backend, compiled by NVRTC (docs/gpu.md).

No GPU was at hand: it has run on an emulator alone, so `auto` does not choose it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memnets.backends import cpu as fused
from memnets.backends.cpu.again import Again, form_of_memory, memory_of
from memnets.backends.cpu.division import segment
from memnets.backends.cpu.planned import latest_plan
from memnets.backends.cpu.problems import Call, tensors_of
from memnets.backends.cuda.device import reason_against, reason_in_sizes
from memnets.backends.cuda.node import Sequences, forward
from memnets.backends.cuda.sizes import numbers_a_step
from memnets.backends.reference import Starts, Unrolled
from memnets.backends.spec import Steps
from memnets.state import State, map_tensors

__all__ = ["run", "supports"]


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
        or reason_in_sizes(latest_plan(layer))
    )


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
    step = batch * numbers_a_step(plan.problem) * x.element_size()
    call = Call(
        plan,
        None if lengths is None else lengths.to(torch.int64, copy=True),  # read in the backward
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

"""The fused backend: a whole sequence as one kernel, in C++ for the CPU (docs/fused.md).

It computes what the reference computes, step by step and gradient by gradient, many times faster.
`python -m memnets.fused` says whether this machine can use it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from memnets.fused.library import UnavailableError, reason_against
from memnets.fused.node import Call, Sequences, Tensors, forward
from memnets.fused.plan import Plan
from memnets.fused.planned import latest_plan, modules_of, planned
from memnets.fused.products import parameters_of
from memnets.reference import Unrolled
from memnets.state import State

if TYPE_CHECKING:
    from memnets.layer import MemoryLayer

__all__ = ["RECORD_BUDGET", "UnavailableError", "run", "supports", "threads"]

RECORD_BUDGET = 2**30
"""How many bytes of the memory's records a training call keeps at most for its backward; a longer
sequence is kept in segments, which the backward makes again (as with `checkpoint_every`)."""

ROWS_A_THREAD = 4
"""Below this many rows for each, another thread costs more than it brings."""


def threads(batch_size: int) -> int:
    """Return how many threads such a call takes: torch's number, with at least 4 rows for each."""
    return max(1, min(torch.get_num_threads(), batch_size // ROWS_A_THREAD))


def supports(layer: MemoryLayer, x: Tensor, state: State) -> str | None:
    """Say in a sentence why the kernel cannot serve this call; None where it can."""
    return planned(layer).reason or _call_reason(layer, x) or reason_against(x.dtype)


def _call_reason(layer: MemoryLayer, x: Tensor) -> str | None:
    dtype = x.dtype
    if dtype not in (torch.float32, torch.float64):
        return f"It computes in float32 and float64; the input is {dtype}."
    if not x.is_cpu:
        return f"It runs on the CPU; the layer or its input is on {x.device}."
    for module in modules_of(layer):
        for parameter in module._parameters.values():
            if parameter is not None and not (parameter.is_cpu and parameter.dtype == dtype):
                return "All parameters and the input must be on the CPU, of one dtype."
        hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
        if hooks and module is not layer and module is not layer.readout:
            name = type(module).__name__
            return f"The hooks of its {name} would not be called: it runs all steps at once."
    if torch.is_autocast_enabled("cpu"):
        return "It does not follow autocast."
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return "torch is tracing the layer."
    if torch._C._are_functorch_transforms_active():
        return "A transform of torch.func is at work."
    if torch.autograd.forward_ad._current_level >= 0:
        return "It has no forward-mode derivative."
    return None


def run(
    layer: MemoryLayer,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
) -> Unrolled:
    """Run a sequence x [T, B, I] that `supports` has nothing against; see `memnets.reference`."""
    plan = latest_plan(layer)
    controller: Any = layer.controller
    tensors = Tensors(
        x,
        layer.interface.linear.weight,
        layer.interface.linear.bias,
        state.read_vectors.flatten(1),
        [parameters_of(cell) for cell in controller.cells],
        state.controller,
        [part for part in state.memory if isinstance(part, Tensor)],
    )
    flat = tensors.flat()
    training = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in flat)
    time, batch = x.shape[:2]
    call = Call(
        plan,
        None if lengths is None else lengths.to(torch.int64),
        _segment(plan, x, checkpoint_every) if training else min(time, 1),
        threads(batch),
        training,
    )
    outputs = Sequences.apply(call, *flat) if training else forward(call, tensors)[0]
    h, read_vectors, *ends = outputs
    end_reads, *rest = ends
    states, depth = plan.states, plan.problem.depth
    end_controller = tuple(tuple(rest[i * states : (i + 1) * states]) for i in range(depth))
    end_memory = state.memory._replace(
        **dict(zip(state.memory._fields, rest[depth * states :], strict=False))
    )
    shape = (layer.read_heads, layer.word_size)
    end = State(end_controller, end_memory, end_reads.unflatten(1, shape))
    return Unrolled(h, read_vectors.unflatten(2, shape), end)


def _segment(plan: Plan, x: Tensor, checkpoint_every: int | None) -> int:
    """How many steps' records to keep at once: all that the budget allows, else sqrt(T)."""
    time, batch = x.shape[:2]
    if checkpoint_every is not None:
        return min(checkpoint_every, time)
    problem = plan.problem
    rows = problem.word + 8 * (problem.read_heads + problem.write_heads)
    if problem.dnc:
        rows += problem.write_heads * problem.slots
    whole = time * batch * rows * problem.slots * x.element_size()
    return time if whole <= RECORD_BUDGET else math.isqrt(time - 1) + 1

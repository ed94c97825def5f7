"""A step of a sparse memory in C++, as one node of the graph: see csrc/sparse_step.h.

Axes: B batch, N memory slots, W word, R read heads, H write heads; K words that a head reads,
L links of a word.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from memnets.backends.cpu.library import load
from memnets.backends.cpu.sparse_plan import SparseStep
from memnets.backends.cpu.sparse_tensors import (
    HEADS,
    Sizes,
    are_known,
    first_step,
    no_such_slots,
    records,
    set_addresses,
    sizes_of,
    undo,
)
from memnets.parts.sparse import Sparse
from memnets.parts.store import InPlace

GIVEN = ("read_weights", *HEADS)
"""What has a gradient, in the order in which `_Step` takes it."""
D_MADE = ("d_read_vectors", "d_next_read_weights", "d_next_write_weights")
ROWS = torch.contiguous_format


class Call(NamedTuple):
    """One step, to be done."""

    sizes: Sizes
    settings: Sparse
    state: Any
    carried: dict[str, Tensor]
    """what is carried on without a gradient, by its names in the state"""
    upcoming: dict[str, Tensor]
    """what the step makes of it"""
    trains: bool
    """whether a backward may follow"""


def step(parameters: Any, state: Any, settings: Sparse) -> tuple[Tensor, Any] | None:
    """Do what `memnets.sam.step` and `memnets.sdnc.step` do; or nothing, where it returns None.

    Raises:
        ValueError: if the state names slots that there are not.
    """
    sizes = sizes_of(state, settings, parameters.write_gates.shape[-1])
    if sizes is None:
        return None
    given, shapes = parameters._asdict(), sizes.of_heads()
    if not are_known(given, shapes, state.read_weights.dtype):
        return None
    carried = {name: getattr(state, name).contiguous() for name in sizes.carried}
    upcoming = {name: torch.empty_like(one, memory_format=ROWS) for name, one in carried.items()}
    places = sizes.batch, sizes.write_heads, sizes.top_k + 1
    upcoming["write_slots"] = state.steps.new_empty(places)
    words: InPlace = state.memory
    call = Call(sizes, settings, state, carried, upcoming, torch.is_grad_enabled())
    numbers = state.read_weights, *(given[name] for name in shapes)
    token, vectors, read_weights, written = _Step.apply(call, words.token, *numbers)
    after = {**upcoming, "read_weights": read_weights, "write_weights": written}
    return vectors, state._replace(memory=words.after(token), **after)


class _Step(Function):
    """From the token of the words, what was read last and what the heads receive, to the next."""

    @staticmethod
    def forward(ctx: Any, call: Call, token: Tensor, *numbers: Tensor) -> tuple[Tensor, ...]:
        sizes, settings, state, carried, upcoming, trains = call
        words: InPlace = state.memory
        buffer, kept = words.buffer, trains and any(ctx.needs_input_grad)
        given = dict(zip(GIVEN, [one.contiguous() for one in numbers], strict=False))
        made = {
            "read_vectors": torch.empty_like(given["read_keys"]),
            "next_read_weights": torch.empty_like(given["read_weights"]),
            "next_write_weights": token.new_empty(upcoming["write_slots"].shape),
        }
        recorded, resting = records(sizes, 1, state), words.resting
        undone, places = None, {}
        if kept and buffer.restores:
            places, (undone,) = undo(sizes, state, recorded["rows"])
        if resting is not None:
            places["resting"] = resting = resting.contiguous()
        after = {f"next_{name}": one for name, one in upcoming.items()}
        tensors = {**carried, **after, **given, **made, **recorded, **places}
        ctx.problem = problem = first_step(sizes, settings, state, 1, tensors)
        if not load(token.dtype).memnets_sparse_step(ctypes.byref(problem)):
            raise no_such_slots(sizes.slots)
        ctx.set_materialize_grads(False)
        ctx.buffer, ctx.before, ctx.resting = buffer, buffer.version, resting
        buffer.count(undone)
        if kept:
            ctx.graph = buffer.graph(ctx.needs_input_grad[1])
            ctx.noted = ctx.graph.note(recorded.pop("rows")[0])
            ctx.save_for_backward(*given.values(), *recorded.values())
        return token.clone(), *made.values()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, d_token: Tensor | None, *d_made: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        saved, buffer = ctx.saved_tensors, ctx.buffer
        names = GIVEN if ctx.problem.links else GIVEN[:-1]
        found = [torch.empty_like(one) for one in saved[: len(names)]]
        tensors = dict(zip((*names, "kept", "merged"), saved, strict=False))
        tensors |= {f"d_{name}": one for name, one in zip(names, found, strict=True)}
        coming = zip(D_MADE, d_made, strict=True)
        tensors |= {name: one.contiguous() for name, one in coming if one is not None}
        tensors["gradient"] = ctx.graph.gradient(buffer.values)
        tensors["rows"] = ctx.graph.places(ctx.noted)
        problem = SparseStep.from_buffer_copy(ctx.problem)
        set_addresses(problem, tensors)
        load(buffer.values.dtype).memnets_sparse_step_backward(ctypes.byref(problem))
        if buffer.restores:
            buffer.restore(ctx.before)
        return None, d_token, *found

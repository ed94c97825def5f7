"""Several steps of a layer with a sparse memory in C++, as one node of the graph.

The controller is one LSTM: see csrc/sparse_sequence.h. Axes: B batch, T time, W word, R read heads,
H write heads, I input; K words that a head reads.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from memnets.backends.cpu import known
from memnets.backends.cpu.library import load
from memnets.backends.cpu.plan import Field, places
from memnets.backends.cpu.sparse_plan import SparseSequence, SparseStep
from memnets.backends.cpu.sparse_tensors import (
    PRECEDENCE,
    Sizes,
    addresses,
    in_place,
    no_such_slots,
    records,
    set_addresses,
    sizes_of,
    sketch,
    undo,
)
from memnets.backends.cpu.written import rewritten
from memnets.backends.spec import tables_of
from memnets.checks import autocasts
from memnets.interface import Interface
from memnets.parts.controllers import Controller, LSTMCell
from memnets.parts.sparse import Sparse
from memnets.parts.store import InPlace
from memnets.state import State


class Sequence(NamedTuple):
    """Several steps, to be done."""

    sizes: Sizes
    settings: Sparse
    memory: Any
    """the state of the memory before them"""
    where: dict[str, int]
    """where among the interface's numbers those of each head are"""
    fields: ctypes.Array[Field]
    carried: dict[str, Tensor]
    """[T + 1, B, ...]: what is carried on without a gradient, by its names in the state"""


def steps(layer: Any, x: Tensor, state: State) -> tuple[Tensor, Tensor, State] | None:
    """Do the steps of x [T, B, I]; or nothing, where it returns None.

    Args:
        layer: a `memnets.SAM` or a `memnets.SDNC`.
        x: [T, B, I].
        state: opened.

    Returns:
        h [T, B, hidden], the read vectors [T, B, R, W], and the state after the last step.

    Raises:
        ValueError: if the state names slots that there are not.
    """
    if not _are_known(layer, x, state):
        return None
    memory, settings = state.memory, layer.addressing
    sizes = sizes_of(memory, settings, layer.write_heads)
    if sizes is None:
        return None
    tables, fields = places(tables_of(layer.interface.tables))
    where = {name: place for table in tables for name, place in table.items()}
    names = ("steps", "written", "read_slots", *(PRECEDENCE if sizes.links else ()))
    carried = {name: _timed(getattr(memory, name), len(x)) for name in names}
    call = Sequence(sizes, settings, memory, where, (Field * len(fields))(*fields), carried)
    words: InPlace = memory.memory
    ((h, cell),) = state.controller
    given = words.token, memory.read_weights, x, state.read_vectors, h, cell
    made = _Steps.apply(call, *given, *_weights(layer))
    token, hidden, reads, cell, read_weights, write_weights, write_slots = made
    after = {name: one[-1].clone() for name, one in carried.items()}
    after |= {"read_weights": read_weights, "write_weights": write_weights}
    after |= {"memory": words.after(token), "write_slots": write_slots}
    return hidden, reads, State(((hidden[-1], cell),), memory._replace(**after), reads[-1])


def _weights(layer: Any) -> list[Tensor]:
    cell, linear = layer.controller.cells[0], layer.interface.linear
    return [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh, linear.weight, linear.bias]


def _are_known(layer: Any, x: Tensor, state: State) -> bool:
    """Whether the kernel knows all of a layer, and its tensors, but for the memory's."""
    controller, interface = layer.controller, layer.interface
    if type(controller) is not Controller or type(interface) is not Interface:
        return False
    if [type(cell) for cell in controller.cells] != [LSTMCell] or layer.schedule is not None:
        return False
    if known.REPLACED & layer.__dict__.keys() or rewritten() or autocasts(x.device.type):
        return False
    wanted = [layer.addressing.table(layer.read_heads, layer.write_heads, layer.word_size)]
    if tables_of(interface.tables[:1]) != tables_of(wanted):
        return False
    if known.reason_in_modes() or known.reason_in_modules(layer):
        return False
    shape, hidden = (x.shape[1], controller.hidden_size), state.controller
    reads = (x.shape[1], layer.read_heads, layer.word_size)
    if [[one.shape for one in cell] for cell in hidden] != [[shape, shape]]:
        return False
    tensors = x, state.read_vectors, *hidden[0], *_weights(layer)
    right = state.read_vectors.shape == reads and x.shape[2] == layer.input_size
    return right and known.reason_in_tensors(tensors, layer.some_weight.dtype) is None


def _timed(first: Tensor, time: int) -> Tensor:
    """A tensor with T + 1 times, of which only the first is set."""
    made = first.new_empty(time + 1, *first.shape)
    made[0] = first.detach()
    return made


class _Steps(Function):
    """From the token of the words and all that goes into steps to all that comes out of them."""

    @staticmethod
    def forward(
        ctx: Any,
        call: Sequence,
        token: Tensor,
        read_weights: Tensor,
        x: Tensor,
        reads: Tensor,
        h: Tensor,
        cell: Tensor,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        sizes, settings, memory, where, fields, carried = call
        words: InPlace = memory.memory
        buffer, kept = words.buffer, any(ctx.needs_input_grad)
        time, batch, inputs = x.shape
        x, *weights = (one.contiguous() for one in (x, *weights))
        of_input, own, *biases, interface, bias = weights
        numbers, hidden = interface.shape
        made = {
            "gates": torch.addmm(
                biases[0] + biases[1], x.view(-1, inputs), of_input[:, :inputs].t()
            ),
            "cell": _timed(cell, time),
            "h": _timed(h, time),
            "read_vectors": _timed(reads, time),
            "raw": x.new_empty(time, batch, numbers),
            "values": x.new_empty(time, batch, numbers),
            "read_weights": _timed(read_weights, time),
        }
        writes = batch, sizes.write_heads, sizes.count + 1
        written = x.new_empty(time, *writes), carried["steps"].new_empty(time, *writes)
        recorded, undone, kept_places = records(sizes, time, memory), [None] * time, {}
        if kept and buffer.restores:
            kept_places, undone = undo(sizes, memory, recorded["rows"])
        step = SparseStep(
            *sizes,
            settings.read_first,
            settings.threshold,
            settings.similarity_epsilon,
            **sketch(words, memory.written, time * sizes.write_heads + sizes.count),
            **addresses({**in_place(memory), **carried, **recorded, **kept_places}),
            **addresses({f"next_{name}": one[1] for name, one in carried.items()}),
            next_write_weights=written[0].data_ptr(),
            next_write_slots=written[1].data_ptr(),
            next_read_weights=made["read_weights"][1].data_ptr(),
            heads_row=numbers,
        )
        ctx.step = step
        problem = SparseSequence(
            time,
            hidden,
            numbers,
            len(fields),
            ctypes.addressof(fields),
            ctypes.pointer(step),
            of_input.shape[1],
        )
        ctx.problem, ctx.fields, ctx.where = problem, fields, where
        _point(problem, step, made, where, (of_input, own, interface, bias))
        step.read_vectors = made["read_vectors"][1].data_ptr()
        done = load(x.dtype).memnets_sparse_sequence(ctypes.byref(problem))
        ctx.buffer, ctx.before = buffer, buffer.version
        for one in undone:
            buffer.count(one)
        if done < time:
            raise no_such_slots(sizes.slots)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(last := written[1][-1].clone())
        if kept:
            ctx.graph = buffer.graph(ctx.needs_input_grad[1])
            ctx.noted = ctx.graph.note(recorded.pop("rows").view(-1))
            ctx.save_for_backward(
                x, of_input, own, interface, bias, *made.values(), *recorded.values()
            )
        outputs = made["h"][1:], made["read_vectors"][1:], made["cell"][-1]
        weightings = made["read_weights"][-1], written[0][-1]
        return token.clone(), *(one.clone() for one in (*outputs, *weightings)), last

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        d_token: Tensor | None,
        d_h: Tensor | None,
        d_reads: Tensor | None,
        d_cell: Tensor | None,
        *d_weightings: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        x, of_input, own, interface, bias, *saved = ctx.saved_tensors
        buffer = ctx.buffer
        made = dict(zip(MADE, saved, strict=False))
        time, batch, inputs = x.shape
        step = SparseStep.from_buffer_copy(ctx.step)
        problem = SparseSequence.from_buffer_copy(ctx.problem)
        problem.first = ctypes.pointer(step)
        recorded = {name: made.pop(name) for name in ("kept", "merged") if name in made}
        _point(problem, step, made, ctx.where, (of_input, own, interface, bias))
        found = {
            "d_cell": torch.zeros_like(made["cell"][0]) if d_cell is None else d_cell.clone(),
            "d_gates": torch.empty_like(made["gates"]),
            "d_raw": torch.empty_like(made["raw"]),
            "d_values": torch.empty_like(made["values"][0]),
            "d_start_h": torch.empty_like(made["h"][0]),
            "d_start_reads": torch.empty_like(made["read_vectors"][0]),
            "d_weights": torch.empty_like(made["read_weights"][0]),
        }
        for name, one in (("d_h", d_h), ("d_read_vectors", d_reads)):
            if one is not None:
                found[name] = one.contiguous()
        set_addresses(problem, found)
        d_last = torch.empty_like(found["d_weights"])
        heads = {f"d_{name}": found["d_values"][:, place:] for name, place in ctx.where.items()}
        incoming = ("d_next_read_weights", "d_next_write_weights")
        coming = {
            name: one.contiguous()
            for name, one in zip(incoming, d_weightings[:2], strict=True)
            if one is not None
        }
        gradient = ctx.graph.gradient(buffer.values)
        pointed = {
            "gradient": gradient,
            "rows": ctx.graph.places(ctx.noted),
            "d_read_weights": d_last,
        }
        set_addresses(step, {**recorded, **heads, **coming, **pointed})
        load(x.dtype).memnets_sparse_sequence_backward(ctypes.byref(problem))
        if buffer.restores:
            buffer.restore(ctx.before)
        d_gates, d_raw = found["d_gates"], found["d_raw"].flatten(0, 1)
        seen = [x.flatten(0, 1), made["read_vectors"][:-1].flatten(0, 1).flatten(1)]
        d_bias = d_gates.sum(0)
        d_x = (d_gates @ of_input[:, :inputs]).view_as(x) if ctx.needs_input_grad[3] else None
        return (
            None,
            d_token,
            d_last,
            d_x,
            found["d_start_reads"],
            found["d_start_h"],
            found["d_cell"],
            torch.cat([d_gates.t() @ one for one in seen], dim=1),
            d_gates.t() @ made["h"][:-1].flatten(0, 1),
            d_bias,
            d_bias,
            d_raw.t() @ made["h"][1:].flatten(0, 1),
            d_raw.sum(0),
        )


MADE = (
    "gates",
    "cell",
    "h",
    "read_vectors",
    "raw",
    "values",
    "read_weights",
    "kept",
    "merged",
)
"""What `_Steps` keeps of its steps, in this order."""


def _point(
    problem: SparseSequence,
    step: SparseStep,
    made: dict[str, Tensor],
    where: dict[str, int],
    weights: tuple[Tensor, ...],
) -> None:
    """Set where a sequence finds its weights, and what is made and kept."""
    of_input, own, interface, bias = weights
    inputs = of_input.shape[1] - made["read_vectors"][0, 0].numel()
    named = {"own_weights": own, "interface_weights": interface, "interface_bias": bias}
    kept = {name: one for name, one in made.items() if name != "read_weights"}
    set_addresses(problem, {"input_weights": of_input[:, inputs:], **named, **kept})
    heads = {name: made["values"][:, :, place:] for name, place in where.items()}
    set_addresses(step, {"read_weights": made["read_weights"], **heads})

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
from memnets.backends.cpu.plan import Field as FieldPlace
from memnets.backends.cpu.plan import places
from memnets.backends.cpu.sparse_plan import SparseSequence, SparseStep
from memnets.backends.cpu.sparse_tensors import (
    Sizes,
    addresses,
    first_step,
    no_such_slots,
    records,
    set_addresses,
    sizes_of,
    undo,
)
from memnets.backends.cpu.written import rewritten
from memnets.backends.spec import tables_of
from memnets.checks import autocasts
from memnets.interface import Field, Interface, simplex
from memnets.interface import sizes_of as sizes_of_tables
from memnets.parts.controllers import Controller, LSTMCell
from memnets.parts.sparse import Sparse
from memnets.state import State


class Sequence(NamedTuple):
    """Several steps, to be done."""

    sizes: Sizes
    settings: Sparse
    memory: Any
    """the state of the memory before them"""
    where: dict[str, int]
    """where among the interface's numbers those of each head are"""
    fields: ctypes.Array[FieldPlace]
    carried: dict[str, Tensor]
    """[T + 1, B, ...]: what is carried on without a gradient, by its names in the state"""
    trains: bool
    """whether a backward may follow"""


UNTRAINED = 64
"""How many steps are done at once where no backward follows: what they make is not kept."""


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
    sizes = sizes_of(state.memory, layer.addressing, layer.write_heads)
    if sizes is None or state.memory.memory.resting is not None:
        return None
    if not _are_known(layer, sizes, x, state):
        return None
    tables, fields = places(tables_of(layer.interface.tables))
    where = {name: place for table in tables for name, place in table.items()}
    known_fields = (FieldPlace * len(fields))(*fields)
    trains = torch.is_grad_enabled()
    hidden, reads = [], []
    for part in x.split(len(x) if trains else UNTRAINED):
        call = Sequence(sizes, layer.addressing, state.memory, where, known_fields, {}, trains)
        h, vectors, state = _run(call, layer, part, state)
        hidden.append(h)
        reads.append(vectors)
    if len(hidden) == 1:
        return hidden[0], reads[0], state
    return torch.cat(hidden), torch.cat(reads), state


def _run(call: Sequence, layer: Any, x: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
    memory, words = call.memory, call.memory.memory
    carried = {name: _timed(getattr(memory, name), len(x)) for name in call.sizes.carried}
    ((h, cell),) = state.controller
    given = words.token, memory.read_weights, x, state.read_vectors, h, cell
    made = _Steps.apply(call._replace(carried=carried), *given, *_weights(layer))
    token, hidden, reads, cell, read_weights, write_weights, write_slots = made
    after = {name: one[-1].clone() for name, one in carried.items()}
    after |= {"read_weights": read_weights, "write_weights": write_weights}
    after |= {"memory": words.after(token), "write_slots": write_slots}
    return hidden, reads, State(((hidden[-1], cell),), memory._replace(**after), reads[-1])


def _weights(layer: Any) -> list[Tensor]:
    cell, linear = layer.controller.cells[0], layer.interface.linear
    return [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh, linear.weight, linear.bias]


def _are_known(layer: Any, sizes: Sizes, x: Tensor, state: State) -> bool:
    """Whether the kernel knows all of a layer, and its tensors, but for the memory's."""
    controller, interface = layer.controller, layer.interface
    if type(controller) is not Controller or type(interface) is not Interface:
        return False
    if [type(cell) for cell in controller.cells] != [LSTMCell] or layer.schedule is not None:
        return False
    if known.REPLACED & layer.__dict__.keys() or rewritten() or autocasts(x.device.type):
        return False
    if known.reason_in_modes() or known.reason_in_modules(layer) or not _emits(layer, sizes):
        return False
    shape, hidden = (sizes.batch, controller.hidden_size), state.controller
    if [[one.shape for one in cell] for cell in hidden] != [[shape, shape]]:
        return False
    shapes = x.shape[1:], state.read_vectors.shape
    reads = sizes.batch, sizes.read_heads, sizes.word
    tensors = x, state.read_vectors, *hidden[0], *_weights(layer)
    right = shapes == ((sizes.batch, layer.input_size), reads)
    return right and known.reason_in_tensors(tensors, state.memory.read_weights.dtype) is None


def _emits(layer: Any, sizes: Sizes) -> bool:
    """Whether the interface of a layer is that of its part, and has the sizes of its memory."""
    heads = sizes.read_heads, sizes.write_heads, sizes.word
    wanted = [layer.addressing.table(*heads).fields]
    if sizes.links:
        wanted.append({"read_modes": Field((sizes.read_heads, 3), simplex)})
    found = [dict(table.fields) for table in layer.interface.tables]
    same = found == wanted and (layer.read_heads, layer.word_size) == heads[::2]
    return same and layer.interface.sizes == sizes_of_tables(layer.interface.tables)


def _timed(first: Tensor, time: int) -> Tensor:
    """A tensor with T + 1 times, of which only the first is set."""
    made = first.new_empty(time + 1, *first.shape)
    made[0] = first.detach()
    return made


class _Steps(Function):
    """From the token of the words and all that goes into steps to all that comes out of them."""

    @staticmethod
    def forward(
        ctx: Any, call: Sequence, token: Tensor, last: Tensor, x: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        sizes, buffer = call.sizes, call.memory.memory.buffer
        kept = call.trains and any(ctx.needs_input_grad)
        x, weights = x.contiguous(), [one.contiguous() for one in tensors[3:]]
        made = _made(call, last, x, tensors[:3], weights)
        recorded, places, undone = records(sizes, len(x), call.memory), {}, [None] * len(x)
        if kept and buffer.restores:
            places, undone = undo(sizes, call.memory, recorded["rows"])
        step = _step(call, made, {**recorded, **places})
        problem = _problem(call, step, made, weights)
        done = load(x.dtype).memnets_sparse_sequence(ctypes.byref(problem))
        ctx.call, ctx.step = call._replace(memory=None, carried={}), step
        ctx.buffer, ctx.before = buffer, buffer.version
        for one in undone:
            buffer.count(one)
        if done < len(x):
            raise no_such_slots(sizes.slots)
        ctx.set_materialize_grads(False)
        if kept:
            ctx.graph = buffer.graph(ctx.needs_input_grad[1])
            ctx.noted = ctx.graph.note(recorded.pop("rows").view(-1))
            saved = {name: made[name] for name in SAVED} | recorded
            ctx.save_for_backward(x, *weights, *saved.values())
        outputs = made["h"][1:], made["read_vectors"][1:], made["cell"][-1]
        outputs += tuple(made[name][-1] for name in ("read_weights", *WRITTEN))
        results = tuple(one.clone() for one in outputs)
        ctx.mark_non_differentiable(results[-1])
        return token.clone(), *results

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, d_token: Tensor | None, *d_results: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        weights, buffer = saved[:6], ctx.buffer
        made: dict[str, Tensor] = dict(zip((*SAVED, "kept", "merged"), saved[6:], strict=False))
        step = SparseStep.from_buffer_copy(ctx.step)
        d_last = torch.empty_like(made["read_weights"][0])
        recorded = {name: made[name] for name in ("kept", "merged") if name in made}
        recorded["gradient"] = ctx.graph.gradient(buffer.values)
        recorded["rows"] = ctx.graph.places(ctx.noted)
        set_addresses(step, {**recorded, "d_read_weights": d_last})
        problem = _problem(ctx.call, step, made, weights)
        found = _gradients(ctx.call, problem, step, made, d_results)
        load(x.dtype).memnets_sparse_sequence_backward(ctypes.byref(problem))
        if buffer.restores:
            buffer.restore(ctx.before)
        starts = (found[name] for name in ("d_start_reads", "d_start_h", "d_cell"))
        d_x, *d_weights = _products(x, weights[0], made, found, ctx.needs_input_grad[3])
        return None, d_token, d_last, d_x, *starts, *d_weights


SAVED = ("gates", "cell", "h", "read_vectors", "raw", "values", "read_weights")
"""What is made of T or T + 1 times and kept for the backward; `kept` and `merged` follow."""
WRITTEN = ("write_weights", "write_slots")


def _made(
    call: Sequence, last: Tensor, x: Tensor, starts: Any, weights: list[Tensor]
) -> dict[str, Tensor]:
    """The tensors that the steps fill, with what is there before the first."""
    time, batch, inputs = x.shape
    of_input, biases, numbers = weights[0][:, :inputs], weights[2] + weights[3], len(weights[5])
    reads, h, cell = starts
    places = time, batch, call.sizes.write_heads, call.sizes.top_k + 1
    return {
        "gates": torch.addmm(biases, x.view(-1, inputs), of_input.t()),
        "cell": _timed(cell, time),
        "h": _timed(h, time),
        "read_vectors": _timed(reads, time),
        "raw": x.new_empty(time, batch, numbers),
        "values": x.new_empty(time, batch, numbers),
        "read_weights": _timed(last, time),
        "write_weights": x.new_empty(places),
        "write_slots": x.new_empty(places, dtype=torch.int64),
    }


def _step(call: Sequence, made: dict[str, Tensor], recorded: dict[str, Tensor]) -> SparseStep:
    """The first step, but for what the heads receive."""
    sizes, settings, memory = call.sizes, call.settings, call.memory
    time = len(made["raw"])
    later = {**call.carried, "read_weights": made["read_weights"]}
    upcoming = {f"next_{name}": one[1] for name, one in later.items()}
    upcoming |= {f"next_{name}": made[name] for name in WRITTEN}
    step = first_step(sizes, settings, memory, time, {**call.carried, **upcoming, **recorded})
    set_addresses(step, {"read_vectors": made["read_vectors"][1]})
    step.heads_row = made["raw"].shape[-1]
    return step


def _problem(
    call: Sequence, step: SparseStep, made: dict[str, Tensor], weights: list[Tensor]
) -> SparseSequence:
    """All steps: where they find their weights, and what they make."""
    of_input, own, _, _, interface, bias = weights
    inputs = of_input.shape[1] - call.sizes.read_heads * call.sizes.word
    given = {"own_weights": own, "interface_weights": interface, "interface_bias": bias}
    given["input_weights"] = of_input[:, inputs:]
    given |= {name: made[name] for name in SAVED if name != "read_weights"}
    heads = {name: made["values"][:, :, place:] for name, place in call.where.items()}
    set_addresses(step, {**heads, "read_weights": made["read_weights"]})
    numbers, hidden = interface.shape
    return SparseSequence(
        len(made["raw"]),
        hidden,
        numbers,
        len(call.fields),
        ctypes.addressof(call.fields),
        ctypes.pointer(step),
        of_input.shape[1],
        **addresses(given),
    )


def _gradients(
    call: Sequence,
    problem: SparseSequence,
    step: SparseStep,
    made: dict[str, Tensor],
    d_results: tuple[Tensor | None, ...],
) -> dict[str, Tensor]:
    """The tensors of gradients, by the names of `SparseSequence`; the kernel is told of them."""
    d_h, d_reads, d_cell, *d_weightings, _ = d_results
    cell = made["cell"][0]
    found = {
        "d_cell": torch.zeros_like(cell) if d_cell is None else d_cell.clone(),
        "d_gates": torch.empty_like(made["gates"]),
        "d_raw": torch.empty_like(made["raw"]),
        "d_values": torch.empty_like(made["values"][0]),
        "d_start_h": torch.empty_like(cell),
        "d_start_reads": torch.empty_like(made["read_vectors"][0]),
        "d_weights": torch.empty_like(made["read_weights"][0]),
    }
    coming = {"d_h": d_h, "d_read_vectors": d_reads}
    found |= {name: one.contiguous() for name, one in coming.items() if one is not None}
    set_addresses(problem, found)
    names = "d_next_read_weights", "d_next_write_weights"
    found |= {
        name: one.contiguous()
        for name, one in zip(names, d_weightings, strict=True)
        if one is not None
    }
    set_addresses(step, {name: found[name] for name in names if name in found})
    heads = {f"d_{name}": found["d_values"][:, place:] for name, place in call.where.items()}
    set_addresses(step, heads)
    return found


def _products(
    x: Tensor, of_input: Tensor, made: dict[str, Tensor], found: dict[str, Tensor], asked: bool
) -> tuple[Tensor | None, ...]:
    """The gradients of x and of the weights, in the order of `_weights`, by those of each step."""
    d_gates, d_raw = found["d_gates"], found["d_raw"].flatten(0, 1)
    inputs = x.shape[-1]
    reads = made["read_vectors"][:-1].flatten(0, 1).flatten(1)
    before, after = (made["h"][part].flatten(0, 1) for part in (slice(-1), slice(1, None)))
    d_bias = d_gates.sum(0)
    return (
        (d_gates @ of_input[:, :inputs]).view_as(x) if asked else None,
        torch.cat([d_gates.t() @ x.flatten(0, 1), d_gates.t() @ reads], dim=1),
        d_gates.t() @ before,
        d_bias,
        d_bias,
        d_raw.t() @ after,
        d_raw.sum(0),
    )

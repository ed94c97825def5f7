"""A step of a sparse memory in C++, as one node of the graph: see csrc/sparse_step.h.

Axes: B batch, N memory slots, W word, R read heads, H write heads; K words that a head reads, L links
of a word.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from memnets.backends.cpu.library import load
from memnets.backends.cpu.scanning import serves, sketch_of
from memnets.backends.cpu.sparse_plan import SparseStep
from memnets.parts.buffer import Undo
from memnets.parts.search import reach
from memnets.parts.sparse import Sparse
from memnets.parts.store import InPlace

HEADS = (
    "read_keys",
    "read_strengths",
    "write_gates",
    "reuse_gates",
    "write_vectors",
    "read_modes",
)
"""What the heads receive; a SAM has no modes."""
GIVEN = ("read_weights", *HEADS)
D_MADE = ("d_read_vectors", "d_next_read_weights", "d_next_write_weights")
ROWS = torch.contiguous_format
TABLES = ("before_slots", "before_weights", "after_slots", "after_weights")
PRECEDENCE = ("precedence_slots", "precedence_weights")


class Sizes(NamedTuple):
    """The sizes of a step, named as in `SparseStep`."""

    batch: int
    slots: int
    word: int
    read_heads: int
    write_heads: int
    count: int
    links: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the state and of what the heads receive."""
        rows, slots, word, readers, writers, count, links = self
        found = {
            "memory": (rows, slots, word),
            "accessed": (rows, slots),
            "steps": (rows,),
            "written": (rows,),
            "read_slots": (rows, readers, count),
            "read_weights": (rows, readers, count),
            "read_keys": (rows, readers, word),
            "read_strengths": (rows, readers),
            "write_gates": (rows, writers),
            "reuse_gates": (rows, writers),
            "write_vectors": (rows, writers, word),
        }
        if links:
            found |= dict.fromkeys(TABLES, (rows, slots, links))
            found |= dict.fromkeys(PRECEDENCE, (rows, links))
            found["read_modes"] = (rows, readers, 3)
        return found


INTEGERS = frozenset(
    ("accessed", "steps", "written", "read_slots", "before_slots", "after_slots", PRECEDENCE[0])
)


def sizes_of(parameters: Any, state: Any, settings: Sparse) -> Sizes | None:
    """The sizes of a step that the kernel knows; None of one that it does not."""
    words = state.memory
    if not isinstance(words, InPlace) or type(settings) is not Sparse:
        return None
    values = words.values
    links = state.before_slots.shape[-1] if hasattr(state, "before_slots") else 0
    heads = parameters.read_strengths.shape[-1], parameters.write_gates.shape[-1]
    sizes = Sizes(*values.shape, *heads, settings.top_k, links)
    tensors = {**state._asdict(), **parameters._asdict(), "memory": values}
    shapes = sizes.shapes()
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            return None
        if tensor.dtype != (torch.int64 if name in INTEGERS else values.dtype):
            return None
    in_place = [tensors[name] for name in ("memory", "accessed", *TABLES) if name in shapes]
    known = serves(values.dtype, *(tensors[name] for name in shapes))
    return sizes if known and all(one.is_contiguous() for one in in_place) else None


class Next(NamedTuple):
    """What a step makes that has no gradient."""

    steps: Tensor
    written: Tensor
    read_slots: Tensor
    write_slots: Tensor
    precedence_slots: Tensor | None = None
    precedence_weights: Tensor | None = None


class Call(NamedTuple):
    """One step, to be done."""

    sizes: Sizes
    settings: Sparse
    state: Any
    upcoming: Next


def step(parameters: Any, state: Any, settings: Sparse) -> tuple[Tensor, Any] | None:
    """Do what `memnets.sam.step` and `memnets.sdnc.step` do; or nothing, where it returns None.

    Raises:
        ValueError: if the state names slots that there are not.
    """
    sizes = sizes_of(parameters, state, settings)
    if sizes is None:
        return None
    made = [torch.empty_like(one, memory_format=ROWS) for one in (state.steps, state.written)]
    made.append(torch.empty_like(state.read_slots, memory_format=ROWS))
    places = sizes.batch, sizes.write_heads, sizes.count + 1
    made.append(state.steps.new_empty(places))
    if sizes.links:
        made += [torch.empty_like(getattr(state, n), memory_format=ROWS) for n in PRECEDENCE]
    upcoming = Next(*made)
    names = HEADS if sizes.links else HEADS[:-1]
    numbers = [getattr(parameters, name) for name in names]
    words: InPlace = state.memory
    call = Call(sizes, settings, state, upcoming)
    token, vectors, *weights = _Step.apply(call, words.token, state.read_weights, *numbers)
    changed = {name: one for name, one in upcoming._asdict().items() if one is not None}
    changed["read_weights"], changed["write_weights"] = weights
    return vectors, state._replace(memory=words.after(token), **changed)


def _addresses(tensors: dict[str, Tensor]) -> dict[str, int]:
    return {name: tensor.data_ptr() for name, tensor in tensors.items()}


def _of_state(call: Call) -> dict[str, Tensor]:
    """The tensors of the state before and after a step that have no gradient, by their names."""
    state, sizes = call.state, call.sizes
    names = (
        "accessed",
        "steps",
        "written",
        "read_slots",
        *((*TABLES, *PRECEDENCE) if sizes.links else ()),
    )
    found = {name: getattr(state, name).contiguous() for name in names}
    found["memory"] = state.memory.values
    if state.memory.resting is not None:
        found["resting"] = state.memory.resting.contiguous()
    return found | {
        f"next_{n}": one for n, one in call.upcoming._asdict().items() if one is not None
    }


def _records(call: Call, like: Tensor) -> dict[str, Tensor]:
    """Where the kernel puts what a backward needs, by name."""
    sizes, steps = call.sizes, call.state.steps
    reads, writes = sizes.read_heads * sizes.count, call.upcoming.write_slots[0].numel()
    looked_at = reads * (2 if sizes.links else 1) + writes
    kept = load(like.dtype).memnets_sparse_kept(ctypes.byref(SparseStep(*sizes)))
    found = {
        "rows": steps.new_empty(sizes.batch * looked_at),
        "kept": like.new_empty(sizes.batch, kept),
    }
    if sizes.links:
        candidates = reads * (2 * sizes.links + 1)
        found["merged"] = steps.new_empty(sizes.batch, candidates, dtype=torch.int32)
    return found


def _undo(call: Call, rows: Tensor) -> tuple[dict[str, Tensor], list[Undo]]:
    """Where the kernel puts what a step overwrites, by name; and what puts it back."""
    sizes, state = call.sizes, call.state
    values, writes = state.memory.values, call.upcoming.write_slots.numel()
    accesses = writes + call.upcoming.read_slots.numel()
    near = writes * (1 + 2 * sizes.links) + sizes.batch * sizes.links
    linked = rows.new_empty(near)
    undone = [
        Undo(values.view(-1, sizes.word), rows[-writes:], values.new_empty(writes, sizes.word)),
        Undo(state.accessed.view(-1), rows[-accesses:], rows.new_empty(accesses)),
    ]
    for name in TABLES if sizes.links else ():
        table = getattr(state, name).view(-1, sizes.links)
        undone.append(Undo(table, linked, table.new_empty(near, sizes.links)))
    names = ("old_words", "old_accessed", *(f"old_{name}" for name in TABLES))
    places = {name: one.old for name, one in zip(names, undone, strict=False)}
    return places | {"link_rows": linked}, undone


def _sketch(words: InPlace, written: Tensor, more: int) -> dict[str, int]:
    """The sketch of the words, where there is one; it has those that were written, and `more`."""
    place, row = sketch_of(words, reach(written, words.values.shape[1], more))
    index = words.buffer.index
    return (
        {}
        if index is None
        else {"sketch": index.place, "sketch_row": index.row, "sketched": place is not None}
    )


class _Step(Function):
    """From the token of the words, what was read last and what the heads receive, to the next."""

    @staticmethod
    def forward(
        ctx: Any, call: Call, token: Tensor, last: Tensor, *numbers: Tensor
    ) -> tuple[Tensor, ...]:
        sizes, settings, state, upcoming = call
        words: InPlace = state.memory
        buffer, kept = words.buffer, any(ctx.needs_input_grad)
        given = dict(zip(GIVEN, [one.contiguous() for one in (last, *numbers)], strict=False))
        made = {
            "read_vectors": torch.empty_like(given["read_keys"]),
            "next_read_weights": torch.empty_like(given["read_weights"]),
            "next_write_weights": last.new_empty(upcoming.write_slots.shape),
        }
        records, of_state = _records(call, last), _of_state(call)
        undo, undone = _undo(call, records["rows"]) if kept and buffer.restores else ({}, None)
        problem = SparseStep(
            *sizes,
            settings.read_first,
            settings.threshold,
            settings.similarity_epsilon,
            **_sketch(words, state.written, sizes.write_heads + sizes.count),
            **_addresses({**of_state, **given, **made, **records, **undo}),
        )
        if not load(last.dtype).memnets_sparse_step(ctypes.byref(problem)):
            raise ValueError(
                f"The slots of a state must be in [0, {sizes.slots}), and those that were written "
                f"at most {sizes.slots}; this state names others: begin with one of initial_state."
            )
        ctx.set_materialize_grads(False)
        ctx.buffer, ctx.before, ctx.problem = buffer, buffer.version, problem
        buffer.count(undone)
        if kept:
            ctx.resting, ctx.graph = of_state.get("resting"), buffer.graph(ctx.needs_input_grad[1])
            ctx.noted = ctx.graph.note(records.pop("rows"))
            ctx.save_for_backward(*given.values(), *records.values())
        return token.clone(), *made.values()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, d_token: Tensor | None, *d_made: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        saved, buffer = ctx.saved_tensors, ctx.buffer
        gradient = ctx.graph.gradient(buffer.values)
        count = len(GIVEN) if ctx.problem.links else len(GIVEN) - 1
        tensors = dict(zip((*GIVEN[:count], "kept", "merged"), saved, strict=False))
        found = [torch.empty_like(one) for one in saved[:count]]
        tensors |= {f"d_{name}": one for name, one in zip(GIVEN, found, strict=False)}
        for name, one in zip(D_MADE, d_made, strict=True):
            if one is not None:
                tensors[name] = one.contiguous()
        tensors |= {"gradient": gradient, "rows": ctx.graph.places(ctx.noted)}
        problem = SparseStep.from_buffer_copy(ctx.problem)
        for name, address in _addresses(tensors).items():
            setattr(problem, name, address)
        load(gradient.dtype).memnets_sparse_step_backward(ctypes.byref(problem))
        if buffer.restores:
            buffer.restore(ctx.before)
        return None, d_token, *found

"""What the kernel is told about a layer: sizes, places and settings, as plain C structures.

The structures mirror csrc/problem.h field by field; `first_difference` compares them with those of
a library when it is loaded.

Axes: B batch, T time, N memory slots, W word, R read heads, H write heads.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from ctypes import POINTER, c_double, c_int64, c_void_p
from itertools import zip_longest
from typing import Any

from torch import nn

from memnets.backends.cpu.sparse_plan import SparseSequence, SparseStep
from memnets.backends.spec import ControllerSpec, Spec, TableSpec
from memnets.interface import Activation, bounded, oneplus, positive, real, simplex, unit
from memnets.parts.content import Content
from memnets.parts.controllers import (
    ElmanCell,
    FeedforwardCell,
    GRUCell,
    LSTMCell,
    TanhFeedforwardCell,
)
from memnets.parts.location import ContentAndLocation, Location

CELL_NAMES = ("lstm", "gru", "elman", "feedforward", "feedforward_tanh")
LSTM, GRU, ELMAN, FEEDFORWARD, FEEDFORWARD_TANH = range(5)
# What the kernel was written for; of the cells that are registered, it refuses all others.
CELLS: dict[type[nn.Module], int] = {
    LSTMCell: LSTM,
    GRUCell: GRU,
    ElmanCell: ELMAN,
    FeedforwardCell: FEEDFORWARD,
    TanhFeedforwardCell: FEEDFORWARD_TANH,
}
RANGES: dict[Activation, int] = {
    real: 0,
    unit: 1,
    oneplus: 2,
    positive: 3,
    simplex: 4,
    bounded: 5,
}
ADDRESSINGS = (Content, Location, ContentAndLocation)
STATE_PARTS = 6
NTM_PARTS = (0, 1, 2)
"""Memory, read weights, write weights."""
DNC_PARTS = (0, 1, 2, 3, 4, 5)
"""Memory, usage, link, precedence, read weights, write weights."""
UNLINKED_PARTS = (0, 1, 4, 5)
MOST_PAST = 3
"""From a link of how many steps before the kernel's backward can make that before a step."""
ABSENT = -1


class Layer(ctypes.Structure):
    """One layer of the controller."""

    _fields_ = [
        *((name, c_int64) for name in ("width", "reads", "below", "own", "rows")),
        *((name, c_int64) for name in ("inputs", "input_stride")),
        *((name, c_void_p) for name in ("input_weights", "own_weights", "bias_ih", "bias_hh")),
        ("from_input", c_void_p),
        ("from_input_row", c_int64),
        *((name, c_void_p) for name in ("z", "gates", "cell")),
        *((name, c_void_p) for name in ("start_h", "start_c", "restart_h", "restart_c")),
        *((name, c_void_p) for name in ("end_h", "end_c", "d_gates", "d_start_h", "d_start_c")),
        *((name, c_void_p) for name in ("d_restart_h", "d_restart_c", "d_end_h", "d_end_c")),
        *((n, c_void_p) for n in ("d_input_weights", "d_own_weights", "d_bias_ih", "d_bias_hh")),
    ]


class Field(ctypes.Structure):
    """A run of the interface's numbers with one range."""

    _fields_ = [
        *((name, c_int64) for name in ("start", "count", "range", "group")),
        ("limit", c_double),
    ]


class Head(ctypes.Structure):
    """Where a head of an NTM finds its parameters."""

    _fields_ = [
        *((n, c_int64) for n in ("key", "mask", "strength", "gate", "shifts", "sharpening")),
        ("shift_range", c_int64),
        *((name, c_double) for name in ("similarity_epsilon", "sharpen_epsilon")),
    ]


class DncPlaces(ctypes.Structure):
    """Where a DNC finds its parameters, and its settings."""

    _fields_ = [
        *((n, c_int64) for n in ("read_keys", "read_strengths", "write_keys", "write_strengths")),
        *((n, c_int64) for n in ("free_gates", "allocation_gates", "write_gates", "read_modes")),
        *((n, c_int64) for n in ("read_masks", "write_masks", "sharpenings", "wipe")),
        ("stop_usage_gradient", c_int64),
        *((n, c_double) for n in ("similarity_epsilon", "allocation_epsilon", "usage_resolution")),
        ("sharpen_epsilon", c_double),
    ]


class Problem(ctypes.Structure):
    """Everything that one call of the kernel is given."""

    _fields_ = [
        *((n, c_int64) for n in ("time", "batch", "slots", "word", "read_heads", "write_heads")),
        *((n, c_int64) for n in ("hidden", "depth", "cell", "skip")),
        *((n, c_int64) for n in ("threads", "times_kept", "segment", "span", "links_every")),
        ("direct", c_int64),
        ("layers", POINTER(Layer)),
        ("lengths", c_void_p),
        ("starts", c_void_p),
        *((name, c_int64) for name in ("numbers", "fields_count")),
        ("fields", POINTER(Field)),
        *((n, c_void_p) for n in ("interface_weights", "interface_bias", "raw", "values", "d_raw")),
        *((name, c_void_p) for name in ("d_interface_weights", "d_interface_bias")),
        *((name, c_void_p) for name in ("x", "h", "read_vectors")),
        ("logits", c_int64),
        *((name, c_void_p) for name in ("readout_weights", "readout_bias", "y", "d_y")),
        *((name, c_void_p) for name in ("d_readout_weights", "d_readout_bias")),
        *((name, c_void_p) for name in ("d_h", "d_read_vectors")),
        *(
            (name, c_void_p)
            for name in ("start_reads", "end_reads", "d_start_reads", "d_end_reads")
        ),
        ("restart_reads", c_void_p),
        ("d_restart_reads", c_void_p),
        ("heads", POINTER(Head)),
        ("dnc", POINTER(DncPlaces)),
        *((name, c_int64) for name in ("read_first", "erase_vectors", "write_vectors")),
        ("records", c_void_p),
        ("written", c_void_p),
        ("links", c_void_p),
        ("records_spent", c_int64),
        ("checkpoints", c_void_p),
        ("fresh", c_void_p),
        *((name, c_void_p * STATE_PARTS) for name in ("start", "end", "d_start", "d_end")),
        *((name, c_void_p * STATE_PARTS) for name in ("restart", "d_restart")),
    ]


STRUCTURES: tuple[type[ctypes.Structure], ...] = (
    Layer,
    Field,
    Head,
    DncPlaces,
    Problem,
    SparseStep,
    SparseSequence,
)


def layout(structures: Sequence[type[ctypes.Structure]] = STRUCTURES) -> list[str]:
    """Say how what is shared with the kernel lies in memory, a line each, as csrc/layout.h does.

    >>> layout()[0]
    'Layer.width: integer of 8 bytes at 0'
    """
    lines = []
    for structure in structures:
        for name, kind, *_ in structure._fields_:
            place = getattr(structure, name)
            lines.append(
                f"{structure.__name__}.{name}: {_kind(kind)} of {place.size} bytes at "
                f"{place.offset}"
            )
    cells = [f"Cell.{name} = {number}" for number, name in enumerate(CELL_NAMES)]
    ranges = [f"Range.{one.__name__} = {RANGES[one]}" for one in RANGES]
    return [*lines, *cells, *ranges, f"most_past = {MOST_PAST}"]


def _kind(kind: Any) -> str:
    if issubclass(kind, ctypes.Array):
        kind = kind._type_
    return {c_int64: "integer", c_double: "real"}.get(kind, "address")


def first_difference(theirs: str) -> str | None:
    """Say where a library's layout first differs from this one; None where they are the same."""
    for ours, other in zip_longest(layout(), theirs.splitlines(), fillvalue="nothing more"):
        if ours != other:
            return f"it has {other!r} where this version has {ours!r}"
    return None


def places(tables: Sequence[TableSpec]) -> tuple[list[dict[str, int]], list[Field]]:
    """Where each table's fields begin among the interface's numbers, and all fields in order."""
    where: list[dict[str, int]] = []
    fields = []
    start = 0
    for table in tables:
        where.append({})
        for name, field in table.fields:
            count = math.prod(field.shape)
            where[-1][name] = start
            range_number = RANGES[field.activation]
            limit = math.inf if field.limit is None else field.limit
            fields.append(Field(start, count, range_number, field.shape[-1], limit))
            start += count
    return where, fields


def heads(entries: Any, where: list[dict[str, int]], word_size: int) -> list[Head]:
    """One `Head` for each head of an NTM, in the order of the entries, which is reads first."""
    found = []
    for entry, table in zip(entries, where, strict=False):
        addressing = entry.addressing
        shift_range = getattr(addressing, "shift_range", 0)
        # Fields hold one number a head, but for keys and shifts.
        sizes = {"keys": word_size, "masks": word_size, "shifts": 2 * shift_range + 1}
        names = ("keys", "masks", "strengths", "gates", "shifts", "sharpenings")
        for index in range(entry.count):
            parts = [
                table[name] + index * sizes.get(name, 1) if name in table else ABSENT
                for name in names
            ]
            found.append(
                Head(
                    *parts,
                    shift_range,
                    getattr(addressing, "similarity_epsilon", 0.0),
                    getattr(addressing, "sharpen_epsilon", 0.0),
                )
            )
    return found


def controller_layers(controller: ControllerSpec, reads: int) -> list[Layer]:
    """What z of each layer holds: see `Layer` in csrc/problem.h."""
    made = []
    hidden = controller.hidden_size
    for depth, cell in enumerate(controller.cells):
        layer = Layer(reads=ABSENT, below=ABSENT, own=ABSENT)
        if depth == 0 or controller.skip_connections:
            layer.reads, layer.width = 0, reads
        if depth > 0:
            layer.below, layer.width = layer.width, layer.width + hidden
        if not issubclass(cell, FeedforwardCell):
            layer.own, layer.width = layer.width, layer.width + hidden
        layer.rows = hidden * (4 if issubclass(cell, LSTMCell | GRUCell) else 1)
        made.append(layer)
    return made


class Plan:
    """What does not change from call to call: the problem's sizes, places and settings.

    `states` is how many tensors a layer of the controller carries (2 of an LSTM, 0 of one that is
    feed-forward), `parameters` how many parameters it has, `memory_parts` where in the problem's
    `start` and its like each tensor of the memory's state stands, `links` how many links there are.
    """

    def __init__(self, spec: Spec) -> None:
        where, fields = places(spec.tables)
        cell: Any = spec.controller.cells[0]
        self.states: int = cell.state_tensors
        self.parameters: int = 4 if self.states else 2  # one without a state has none for it
        self.links: int = spec.write_heads if spec.part("linkage") else 0
        self.memory_parts: tuple[int, ...] = NTM_PARTS if spec.part("heads") else DNC_PARTS
        if self.memory_parts is DNC_PARTS and not self.links:
            self.memory_parts = UNLINKED_PARTS
        stacked = controller_layers(spec.controller, spec.read_heads * spec.word_size)
        self.layers: ctypes.Array[Layer] = (Layer * len(stacked))(*stacked)
        self.fields: ctypes.Array[Field] = (Field * len(fields))(*fields)
        self.problem: Problem = Problem(
            slots=spec.memory_size,
            word=spec.word_size,
            read_heads=spec.read_heads,
            write_heads=spec.write_heads,
            hidden=spec.controller.hidden_size,
            depth=len(stacked),
            cell=CELLS[cell],
            skip=spec.controller.skip_connections,
            numbers=sum(spec.sizes),
            fields_count=len(fields),
        )
        self.problem.fields = self.fields
        if spec.part("heads"):
            self._plan_ntm(spec, where)
        else:
            self._plan_dnc(spec, where)

    def shapes(self, batch: int) -> list[tuple[int, ...]]:
        """The shapes of a state's tensors, in the order of `memnets.state.leaves`."""
        p = self.problem
        slots, heads = p.slots, (p.read_heads, p.write_heads)
        controller = [(batch, p.hidden)] * (p.depth * self.states)
        weights = [(batch, count, slots) for count in heads]
        more = []
        if p.dnc:
            more = [(batch, slots)]
        if self.links:
            more += [(batch, self.links, slots, slots), (batch, self.links, slots)]
        reads = (batch, p.read_heads, p.word)
        return [*controller, (batch, slots, p.word), *more, *weights, reads]

    def _plan_ntm(self, spec: Spec, where: list[dict[str, int]]) -> None:
        found = heads(spec.part("heads"), where, spec.word_size)
        self.heads: ctypes.Array[Head] = (Head * len(found))(*found)
        self.problem.heads = self.heads
        self.problem.read_first = spec.part("read_first")
        self.problem.erase_vectors = where[-1]["erase_vectors"]
        self.problem.write_vectors = where[-1]["add_vectors"]

    def _plan_dnc(self, spec: Spec, where: list[dict[str, int]]) -> None:
        read, write, vectors, gates, *more = where
        along = more[0] if more else {}
        content, allocation = spec.part("content"), spec.part("allocation")
        linkage = spec.part("linkage")
        self.dnc: DncPlaces = DncPlaces(
            read_keys=read["keys"],
            read_strengths=read["strengths"],
            write_keys=write["keys"],
            write_strengths=write["strengths"],
            **gates,
            read_modes=along.get("read_modes", ABSENT),
            sharpenings=along.get("sharpenings", ABSENT),
            sharpen_epsilon=linkage.sharpen_epsilon if linkage else 0.0,
            wipe=allocation.wipe,
            read_masks=read.get("masks", ABSENT),
            write_masks=write.get("masks", ABSENT),
            stop_usage_gradient=allocation.stop_gradient,
            similarity_epsilon=content.similarity_epsilon,
            allocation_epsilon=allocation.epsilon,
            usage_resolution=allocation.resolution,
        )
        self.problem.dnc = ctypes.pointer(self.dnc)
        self.problem.erase_vectors = vectors["erase_vectors"]
        self.problem.write_vectors = vectors["add_vectors"]

"""The specs that the kernel was written for: what it follows of a layer, and why not of another.

It refuses by name all that is not here: a class, a setting, a range, a table of the interface.

Axes: W word, R read heads, H write heads.
"""

from __future__ import annotations

import math
from types import NoneType
from typing import Any

import numpy as np

from memnets.backends.cpu.plan import ADDRESSINGS, CELLS, RANGES
from memnets.backends.cpu.written import LAYERS
from memnets.backends.spec import ControllerSpec, Spec, TableSpec, tables_of
from memnets.interface import Field, Interface, bounded, real, simplex
from memnets.parts import heads
from memnets.parts.content import Content
from memnets.parts.controllers import Controller, Stack
from memnets.parts.heads import ReadHead, WriteHead
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.usage import Allocation
from memnets.parts.writing import EraseAdd

SLOTS: dict[str, type] = {
    "writing": EraseAdd,
    "content": Content,
    "allocation": Allocation,
    "linkage": Linkage,
}
"""The attributes of a layer that hold one part, and the one class that the kernel knows."""
OPTIONAL = frozenset({"linkage"})
"""Those of which the kernel also knows None: a layer without such a part."""
HONOURED: dict[type, frozenset[str]] = {
    Content: frozenset({"strength", "similarity_epsilon", "sharpness_limit", "masked"}),
    Location: frozenset({"shift_range", "sharpen_epsilon", "sharpening_bias", "sharpness_limit"}),
    ContentAndLocation: frozenset(
        {
            *("shift_range", "strength", "gate_bias", "sharpening_bias", "sharpness_limit"),
            *("similarity_epsilon", "sharpen_epsilon"),
        }
    ),
    EraseAdd: frozenset({"add_range"}),
    Allocation: frozenset({"epsilon", "resolution", "stop_gradient", "wipe"}),
    Linkage: frozenset({"sharpened", "sharpen_epsilon"}),
}
"""The settings of each part that the kernel follows: one that is added to a part is refused until
it is here, or has the value in `NEUTRAL`."""
NEUTRAL: dict[type, dict[str, object]] = {Stack: {"residual": False}}
"""Settings that the kernel does not follow, and the value with which they change nothing."""
SHARPNESS = ("strengths", "sharpenings")
"""Fields that multiply what a softmax is taken of."""
SMALLEST = float(np.finfo(np.float32).tiny)
SWITCHES = ("read_first", "stop_gradient", "masked", "wipe", "sharpened")


def reason_in_spec(spec: Spec) -> str | None:
    """Say in a sentence what of a spec the kernel does not know; None if it knows all of it.

    >>> import memnets
    >>> reason_in_spec(memnets.NTM(9, 8).spec) is None
    True
    >>> reason_in_spec(memnets.NTM(9, 8, controller="indrnn").spec)[:27]
    'It knows the cells LSTMCell'
    """
    return (
        reason_in_model(spec.model)
        or _reason_in_parts(spec)
        or _reason_in_heads(spec)
        or _reason_in_controller(spec.controller)
        or _reason_in_interface(spec)
        or _reason_in_settings(spec)
    )


def reason_in_model(model: type) -> str | None:
    """Say why the kernel does not compute what a class of layers does."""
    if model in LAYERS:
        return None
    names = " and ".join(f"memnets.{kind.__name__}" for kind in LAYERS)
    return f"It knows {names}; {model.__name__} is another class."


def _reason_in_parts(spec: Spec) -> str | None:
    for name, part in spec.parts:
        kind = SLOTS.get(name)
        if kind is None or (part is None and name in OPTIONAL):
            continue
        if type(part) is not kind:
            return f"It knows {kind.__name__} as {name}; this layer has {part!r}."
    schedule = getattr(spec.part("wiring"), "schedule", None)
    if schedule is not None:
        return f"It knows layers that write at every step; this one has {schedule!r}."
    return None


def _reason_in_heads(spec: Spec) -> str | None:
    entries = spec.part("heads")
    if entries is None:
        return None
    for head in entries:
        part = head.addressing
        if type(head) not in (ReadHead, WriteHead) or type(part) not in ADDRESSINGS:
            return f"It knows content and location addressing; a head has {part!r}."
    readers = [head.count for head in entries if type(head) is ReadHead]
    writers = [head.count for head in entries if type(head) is WriteHead]
    first = [type(head) for head in entries[: len(readers)]]
    counts = sum(readers), sum(writers)
    if counts != (spec.read_heads, spec.write_heads) or WriteHead in first:
        return f"Its heads must be {counts} for read_heads and write_heads, reads first."
    return None


def parts_of(spec: Spec) -> list[Any]:
    """The parts that a spec lists, of whatever class."""
    found = [head.addressing for head in spec.part("heads") or ()]
    return found + [part for name, part in spec.parts if name in SLOTS and part is not None]


def _reason_in_settings(spec: Spec) -> str | None:
    """What is wrong with the settings: a tensor may be learned, and changes in place."""
    sizes = ("input_size", "memory_size", "word_size", "read_heads", "write_heads")
    settings = [(name, getattr(spec, name)) for name in sizes]
    settings.append(("read_first", spec.part("read_first")))
    for part in parts_of(spec):
        kind, neutral = type(part), NEUTRAL.get(type(part), {})
        for name, value in vars(part).items():
            known = name in HONOURED[kind] or (name in neutral and value is neutral[name])
            if not known:
                return f"It knows {kind.__name__} without the setting {name}={value!r}."
        settings += vars(part).items()
    for table in spec.tables:
        settings += [(f"the limit of {name}", field.limit) for name, field in table.fields]
    for name, value in settings:
        if type(value) not in (bool, int, float, str, NoneType):
            return f"It knows settings that are plain numbers; {name} is {value!r}."
        if name in SWITCHES and type(value) not in (bool, NoneType):
            return f"It knows switches that are True or False; {name} is {value!r}."
        if name in ("similarity_epsilon", "sharpen_epsilon") and value < SMALLEST:
            return f"It takes numbers below {SMALLEST:.2g} as 0, and divides by {name}={value}."
    return None


def _reason_in_controller(controller: ControllerSpec) -> str | None:
    if controller.kind is not Controller:
        return f"It knows the controllers of memnets; this one is a {controller.kind.__name__}."
    for kind in controller.cells:
        if kind not in CELLS:
            names = ", ".join(known.__name__ for known in CELLS)
            found = f"{kind.__module__}.{kind.__qualname__}"
            return f"It knows the cells {names}; the controller has a {found}."
    if len(set(controller.cells)) != 1:
        names = ", ".join(kind.__name__ for kind in controller.cells) or "none"
        return f"It knows controllers with cells of one kind; this one has {names}."
    if controller.residual is not NEUTRAL[Stack]["residual"]:
        return f"It knows controllers without the setting residual={controller.residual!r}."
    return None


def _reason_in_interface(spec: Spec) -> str | None:
    if spec.interface is not Interface:
        found = f"{spec.interface.__module__}.{spec.interface.__qualname__}"
        return f"It knows memnets.interface.Interface; this one is {found}."
    wanted = _tables(spec)
    if len(spec.tables) != len(wanted):
        return f"It knows an interface of {len(wanted)} tables; this one has {len(spec.tables)}."
    for table, expected in zip(spec.tables, wanted, strict=True):
        if table.kind is not expected.kind:
            return f"It knows a table of {expected.kind.__name__}; this one is {table.kind!r}."
        reason = _reason_in_fields(table, expected)
        if reason is not None:
            return reason
    sizes = tuple(math.prod(field.shape) for table in wanted for _, field in table.fields)
    if spec.sizes != sizes:
        return f"Its interface must be split into {sizes}; it is into {spec.sizes}."
    return None


def _reason_in_fields(table: TableSpec, expected: TableSpec) -> str | None:
    shapes = [(name, field.shape) for name, field in table.fields]
    expected_shapes = [(name, field.shape) for name, field in expected.fields]
    if shapes != expected_shapes:
        return f"It knows a table with the shapes {expected_shapes}; this one has {shapes}."
    for name, field in table.fields:
        if type(field) is not Field or field.activation not in RANGES:
            return f"It knows the ranges of memnets.interface; {name} has another range."
        if name.endswith(SHARPNESS) and field.activation in (real, bounded):
            return f"It knows strengths and sharpenings of at least 0; {name} can be below."
        if field.activation is simplex and field.limit is not None:
            return f"It knows limits of single numbers; {name} is on the simplex and has one."
    return None


def _tables(spec: Spec) -> tuple[TableSpec, ...]:
    """What the interface must emit, in the order in which the kernel reads it."""
    word, writers = spec.word_size, spec.write_heads
    if spec.part("heads") is not None:
        return tables_of(heads.tables(spec.part("heads"), word, spec.part("writing")))
    content, linkage = spec.part("content"), spec.part("linkage")
    tables = [
        content.table(spec.read_heads, word),
        content.table(writers, word),
        EraseAdd().table(writers, word),
        spec.part("allocation").table(spec.read_heads, writers),
    ]
    if linkage is not None:
        tables.append(linkage.table(spec.read_heads, writers))
    return tables_of(tables)

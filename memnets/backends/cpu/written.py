"""Classes and modules as they were written: what the kernel computes is what is in them.

The kernel computes the functions of the classes in `stock` and of what those are made of. A method
or a function that is replaced later is not what the kernel computes; each call looks for one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple, TypeVar

from torch import nn

from memnets import interface
from memnets.backends.cpu.plan import ADDRESSINGS, CELLS
from memnets.interface import Field, Interface
from memnets.parts import content, heads, linkage, location, masking, rules, usage, writing
from memnets.parts.content import Content
from memnets.parts.controllers import Cell, Controller
from memnets.parts.linkage import Linkage
from memnets.parts.rules import Rule
from memnets.parts.usage import Allocation
from memnets.parts.writing import EraseAdd

Kind = TypeVar("Kind", bound=type)

LAYERS: list[type] = []
"""The classes of layers that the kernel knows: see `stock`."""


class Written(NamedTuple):
    """A class or a module as it was written."""

    space: Any
    now: Mapping[str, Any]
    """What is in it."""
    seen: dict[str, Any]
    """What was in it: while that is the same, nothing needs a closer look."""
    functions: dict[str, Any]
    """What it computes with: functions, of a class static methods and properties, and of a module
    the part that it writes with."""
    whole: bool
    """Whether a name that is added counts: one of a class may hide what it inherits."""


_as_written: list[Written] = []
_parts: list[tuple[str, Any, dict[str, Any]]] = []
"""The parts that modules hold, by name, and the settings that they were written with."""
FUNCTIONS = (FunctionType, BuiltinFunctionType, staticmethod, classmethod, property)
OPERATORS = frozenset({"__call__", "__getattr__", "__getattribute__"})
"""Of the names with underscores around them, those that change what an object computes; others
Python itself adds to a class, when it is pickled or its annotations are asked for."""


def stock(kind: Kind) -> Kind:
    """Decorate a class of layers: the kernel computes what it and its module are at this moment."""
    LAYERS.append(kind)
    _remember(sys.modules[kind.__module__])
    for base in kind.__mro__:
        if base.__module__.startswith("memnets."):
            _remember(base)
    return kind


def _remember(space: Any) -> None:
    if all(space is not written.space for written in _as_written):
        known = (*FUNCTIONS, EraseAdd)
        functions = {n: value for n, value in vars(space).items() if isinstance(value, known)}
        for name, value in functions.items():
            if isinstance(value, EraseAdd):
                _parts.append((f"{space.__name__}.{name}", value, dict(vars(value))))
        whole = isinstance(space, type)
        _as_written.append(Written(space, vars(space), dict(vars(space)), functions, whole))


for _space in (
    *(nn.Linear, nn.ModuleList),
    *(interface, content, masking, location, usage, linkage, rules, writing, heads),
    *(sys.modules[kind.__module__] for kind in (Controller, Cell, *CELLS)),
    *(
        Controller,
        Cell,
        *CELLS,
        Interface,
        Field,
        *ADDRESSINGS,
        Rule,
        EraseAdd,
        Content,
        Allocation,
        Linkage,
    ),
):
    _remember(_space)


_call, _getattr = nn.Module.__call__, nn.Module.__getattr__


def _is(now: Any, written: Any) -> bool:
    """Whether a method of modules is as written, or what torch.fx has in its place while it traces,
    which calls that.
    """
    return now is written or (
        getattr(now, "__globals__", {}).get("__name__") == "torch.fx._symbolic_trace"
    )


def rewritten() -> str | None:
    """The name of a function that is not what its class or module was written with, if any."""
    if not (_is(nn.Module.__call__, _call) and _is(nn.Module.__getattr__, _getattr)):
        return "torch.nn.Module.__call__"
    for name, part, settings in _parts:
        if vars(part) != settings:
            return name
    for space, now, seen, functions, whole in _as_written:
        if now == seen:
            continue
        replaced = [name for name, value in functions.items() if now.get(name) is not value]
        if whole:
            # A property in place of a default hides the setting of every object.
            added = [
                name
                for name, value in sorted(now.items())
                if name not in seen or (isinstance(value, FUNCTIONS) and seen[name] is not value)
            ]
            replaced += [n for n in added if not n.startswith("__") or n in OPERATORS]
        if replaced:
            return f"{space.__name__}.{replaced[0]}"
        seen.clear()
        seen.update(now)
    return None

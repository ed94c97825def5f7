"""The parts of a model as options: their flags, their places, and a part chosen by its name."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import docstring_parser

from memnets import Backend, Stack
from memnets.backends.registry import BACKENDS
from memnets.parts.controllers import CELLS
from memnets.parts.registry import PARTS
from memnets.parts.wiring import WiredStack

BY_FIELD: dict[type, tuple[str, Any]] = {
    Stack: ("cell", CELLS),
    WiredStack: ("cell", CELLS),
    Backend: ("name", BACKENDS),
}
"""Parts that are chosen by the value of one field: of which, and from what."""


class Flag(NamedTuple):
    """One option of a tree of dataclasses."""

    path: str
    """names of the fields that lead to it, with dots"""
    hint: Any
    """its type; None of a part, which is chosen by name"""
    value: Any
    text: str
    """what the docstring of its class says"""


def flags(options: Any, prefix: str = "") -> Iterator[Flag]:
    """Every option of a dataclass, and of the parts that are in it.

    >>> from memnets import Heads
    >>> [flag.path for flag in flags(Heads())][:3]
    ['read', 'read.shift_range', 'read.strength']
    """
    hints, texts = typing.get_type_hints(type(options)), field_texts(type(options))
    places = slots(options)
    by_name, _ = BY_FIELD.get(type(options), ("", ()))
    for field in dataclasses.fields(options):
        if field.name == by_name:
            continue
        value, path = getattr(options, field.name), f"{prefix}{field.name}"
        text = texts.get(field.name) or field.metadata.get("help", "")
        if isinstance(value, tuple):
            continue  # heads one by one are for Python
        if field.name in places:
            yield Flag(path, None, value, text)
        elif not dataclasses.is_dataclass(value):
            yield Flag(path, hints[field.name], value, text)
        if dataclasses.is_dataclass(value):
            yield from flags(value, f"{path}.")


def field_texts(kind: type) -> dict[str, str]:
    """The string under each field of a dataclass, which explains it.

    >>> field_texts(Stack)["num_layers"]
    'how many cells'
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):  # each has the texts of its own fields
        if dataclasses.is_dataclass(base):
            parsed = docstring_parser.parse_from_object(base)
            found |= {one.arg_name: one.description or "" for one in parsed.params}
    return {name: " ".join(text.split()) for name, text in found.items()}


def name_of(part: Any) -> str:
    """The name by which a part is chosen.

    >>> name_of(Stack(cell="gru")), name_of(None)
    ('gru', 'None')
    """
    if type(part) in BY_FIELD:
        return getattr(part, BY_FIELD[type(part)][0])
    return "None" if part is None else type(part).__name__


def replaced(options: Any, values: Mapping[str, Any]) -> Any:
    """Options with other values, by their paths; a part is given by its name.

    >>> from memnets import Heads
    >>> replaced(Heads(), {"read": "location", "read.shift_range": 2}).read.shift_range
    2

    Raises:
        ValueError: there is no such part, or the options do not take a value.
    """
    changes: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        first, _, rest = path.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = value
        else:
            changes[first] = value
    for name in changes.keys() & set(slots(options)):
        changes[name] = _part(name, getattr(options, name), str(changes[name]))
    for name, below in inner.items():
        changes[name] = replaced(changes.get(name, getattr(options, name)), below)
    try:
        return dataclasses.replace(options, **changes)
    except TypeError as error:
        raise ValueError(str(error)) from error


def slots(options: Any) -> list[str]:
    """The fields that take a part of another class, or by the name of what it has."""
    hints = typing.get_type_hints(type(options))
    return [
        field.name
        for field in dataclasses.fields(options)
        if type(getattr(options, field.name)) in BY_FIELD or hints[field.name] is Any
    ]


def _part(name: str, current: Any, word: str) -> Any:
    if type(current) in BY_FIELD:
        field, valid = BY_FIELD[type(current)]
        if word not in valid:
            raise ValueError(f"{name} must be one of {', '.join(valid)}; got {word!r}")
        return dataclasses.replace(current, **{field: word})
    if word.lower() == "none":
        return None
    known = {_plain(kind.__name__): kind for kind in PARTS.values()}
    if _plain(word) not in known:
        raise ValueError(f"{name} must be None or one of {', '.join(PARTS)}; got {word!r}")
    kind = known[_plain(word)]
    if type(current) is kind:  # chosen again: it keeps what a recipe or a resumed run says of it
        return current
    try:
        return kind()
    except TypeError as error:
        raise ValueError(f"{name} cannot be a {kind.__name__} by name alone: {error}") from error


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def in_words(options: Any) -> list[str]:
    """Say what each flag that takes a part by its name can be given.

    >>> in_words(Backend("fused"))
    []
    """
    found = []
    for path, hint, value, _ in flags(options):
        if hint is None:
            _, names = BY_FIELD.get(type(value), ("", PARTS))
            flag = path.replace("_", "-")
            found.append(f"{flag} is {name_of(value)}, and takes {', '.join(names)}.")
    return found


def full_path(options: Any, name: str) -> str | None:
    """The path that a name stands for: itself, or the one path that ends in it; else None.

    A name that also begins another flag's stands for nothing: `memory` may be meant for
    `memory_size`.

    >>> from memnets import Heads
    >>> full_path(Heads(), "shift_range"), full_path(Heads(), "read.strength")
    ('read.shift_range', 'read.strength')
    """
    paths: Sequence[str] = [flag.path for flag in flags(options)]
    if name in paths:
        return name
    ends = [path for path in paths if path.endswith(f".{name}")]
    begun = any(path.rpartition(".")[2].startswith(f"{name}_") for path in paths)
    return ends[0] if len(ends) == 1 and not begun else None

"""The parts by name: what writes them as data for JSON, and makes them from it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type)

PARTS: dict[str, type] = {}
"""Every registered part, by the name of its class."""


def register(kind: Kind) -> Kind:
    """Register a part: decorate its class, a frozen dataclass.

    A layer with registered parts alone has a `config`, `memnets.from_config` and `memnets.load`
    rebuild it, and `train.py` takes the part by name.

    Raises:
        TypeError: if the class is no frozen dataclass.
        ValueError: if another class is registered under its name, or a field is named `part`.

    >>> from dataclasses import dataclass
    >>> @register
    ... @dataclass(frozen=True, kw_only=True)
    ... class Sharp:
    ...     factor: float = 2.0
    >>> from_data(as_data(Sharp(factor=3.0)))
    Sharp(factor=3.0)
    """
    if not isinstance(kind, type):
        raise TypeError(f"register decorates a class; got {kind!r}.")
    if not getattr(vars(kind).get("__dataclass_params__"), "frozen", False):
        raise TypeError(
            f"A part is a frozen dataclass; {kind.__name__} is none: decorate it with "
            "@dataclass(frozen=True, kw_only=True) below @register."
        )
    if "part" in kind.__dataclass_fields__:
        raise ValueError(
            f"A part is written as data under the key 'part', which is also a field of "
            f"{kind.__name__}: give the field another name."
        )
    known = PARTS.setdefault(kind.__name__, kind)
    if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(
            f"A name is registered once; {kind.__name__} is {known.__module__}."
            f"{known.__qualname__}: give yours another name."
        )
    PARTS[kind.__name__] = kind
    return kind


def as_data(value: Any, name: str = "value") -> Any:
    """Write a part, and what is in it, as data that JSON can hold.

    >>> as_data((1, None))
    [1, None]

    Raises:
        ValueError: if something is neither plain data nor a registered part.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [as_data(one, f"{name}[{index}]") for index, one in enumerate(value)]
    kind = type(value)
    if PARTS.get(kind.__name__) is kind:
        fields = {
            field.name: as_data(getattr(value, field.name), f"{name}.{field.name}")
            for field in dataclasses.fields(value)
        }
        return {"part": kind.__name__, **fields}
    raise ValueError(
        f"{name} is an object of the class {kind.__name__} and cannot be written as data: make it "
        "a frozen dataclass with @memnets.register, or keep the code that builds the layer, and "
        "its state_dict()."
    )


def from_data(data: Any) -> Any:
    """Make what `as_data` wrote.

    Raises:
        ValueError: if a part is not registered, or does not take its settings.
    """
    if isinstance(data, list):
        return tuple(from_data(one) for one in data)
    if not isinstance(data, Mapping):
        return data
    settings = {name: from_data(value) for name, value in data.items() if name != "part"}
    name = data.get("part")
    if not isinstance(name, str) or name not in PARTS:
        raise ValueError(
            f"There is no part {name!r}; registered are {', '.join(PARTS)}. Import the module that "
            "defines it first, with @memnets.register."
        )
    try:
        return PARTS[name](**settings)
    except TypeError as error:
        raise ValueError(f"The part {name} has other settings: {error}.") from error

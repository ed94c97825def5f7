"""The arguments that a layer was made with: their defaults, and the layer as data and in words."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn


def defaults(kind: type[nn.Module]) -> dict[str, Any]:
    """The arguments that a constructor takes by name, in their order, and their defaults.

    >>> defaults(nn.Softmax), defaults(nn.ReLU)
    ({'dim': None}, {'inplace': False})
    """
    return {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is not parameter.VAR_POSITIONAL
    }


def as_data(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that say what a layer computes, which JSON can hold.

    Raises:
        ValueError: if one is an object.
    """
    kept = {n: value for n, value in arguments.items() if n not in ("device", "dtype", "backend")}
    for name, value in kept.items():
        if value is not None and not isinstance(value, str | int | float | bool):
            raise ValueError(
                f"{name} is an object and cannot be written as data; keep the code that builds "
                f"the layer, and its state_dict()."
            )
    return kept


def in_words(arguments: Mapping[str, Any], standard: Mapping[str, Any]) -> str:
    """The two sizes of a layer and what differs from the defaults.

    >>> in_words({"input_size": 9, "output_size": 8, "word_size": 5}, {"word_size": 20})
    '9, 8, word_size=5'
    """
    shown = [f"{arguments['input_size']}, {arguments['output_size']}"]
    for name, value in arguments.items():
        if name in ("input_size", "output_size", "device", "dtype"):
            continue
        if isinstance(value, nn.Module) or value == standard.get(name):
            continue
        shown.append(f"{name}={value!r}")
    return ", ".join(shown)


def check_positional(kind: str, more: tuple[object, ...]) -> None:
    """Raise a TypeError for what was passed by position after a layer's two sizes."""
    if more:
        raise TypeError(
            f"{kind} takes two arguments by position, input_size and output_size; got {more[0]!r} "
            f"as a third. Pass the others by name, as in memory_size={more[0]!r}."
        )


def check_effective(
    arguments: Mapping[str, object],
    standard: Mapping[str, object],
    names: Iterable[str],
    *,
    beside: str,
    remedy: str,
) -> None:
    """Raise a ValueError for the first argument that was passed, and has no effect.

    One that equals its default cannot be told from one that was left out, and is taken.

    Args:
        arguments: what a constructor got, and its defaults, `standard`.
        names: of the arguments without effect.
        beside: the argument that takes their effect.
        remedy: what to do instead.
    """
    for name in names:
        if arguments[name] != standard[name]:
            raise ValueError(
                f"{name}={arguments[name]!r} has no effect beside {beside}: leave it out, and "
                f"{remedy}."
            )


def check_controller_sizes(arguments: Mapping[str, object], standard: Mapping[str, object]) -> None:
    """Raise a ValueError for a size of the controller beside a controller that is an object."""
    if not isinstance(arguments["controller"], str):
        check_effective(
            arguments,
            standard,
            ("hidden_size", "num_layers", "skip_connections"),
            beside="a controller that is an object",
            remedy="make the controller with it",
        )

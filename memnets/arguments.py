"""The arguments that a layer was made with: their defaults, and the layer in words."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
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


def named(kind: type[nn.Module]) -> set[str]:
    """The names of the arguments that a constructor takes one by one.

    >>> named(nn.Softmax)
    {'dim'}
    """
    parameters = inspect.signature(kind).parameters.items()
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name for name, parameter in parameters if parameter.kind not in many}


def in_words(arguments: Mapping[str, Any], standard: Mapping[str, Any]) -> str:
    """The two sizes of a layer and what differs from the defaults.

    >>> in_words({"input_size": 9, "output_size": 8, "word_size": 5}, {"word_size": 20})
    '9, 8, word_size=5'
    """
    shown = [f"{arguments['input_size']}, {arguments['output_size']}"]
    for name, value in arguments.items():
        # A controller is a module, which shows itself.
        if name in ("input_size", "output_size", "controller") or value == standard.get(name):
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

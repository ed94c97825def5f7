"""Whether what a file says has the form that it must have: types of configurations, checkpoints."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal

from torch import Tensor


def check_types(values: Any, place: str = "") -> None:
    """Refuse a dataclass that holds a value of another type than its field has.

    Raises:
        ValueError: naming the first such field, its value and its type.

    >>> @dataclasses.dataclass
    ... class Options:
    ...     size: int = 3
    >>> check_types(Options(size="4"), "run.")
    Traceback (most recent call last):
    ...
    ValueError: run.size must be int, got '4'
    """
    hints = typing.get_type_hints(type(values))
    for field in dataclasses.fields(values):
        value, hint = getattr(values, field.name), hints[field.name]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            check_types(value, f"{place}{field.name}.")
        elif not _is(value, hint):
            shown = hint.__name__ if isinstance(hint, type) else str(hint)
            raise ValueError(f"{place}{field.name} must be {shown}, got {value!r:.80}")


def _is(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_is(value, part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, tuple | list)
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


OPTIONAL = ("curriculum", "non_finite", "processes", "surroundings")
"""What checkpoints from before there was such a thing lack."""


def check_checkpoint(saved: dict[str, Any], fresh: dict[str, Any]) -> None:
    """Refuse a checkpoint that has not the form of one that is made now.

    Raises:
        ValueError: naming the part that is missing or of another kind.
    """
    for name, wanted in fresh.items():
        if name not in saved:
            if name in OPTIONAL:
                continue
            raise ValueError(f"it has no {name}")
        given = saved[name]
        kinds = (str, type(None)) if name == "wandb_id" else (type(wanted),)
        if type(given) not in kinds:
            raise ValueError(f"its {name} is a {type(given).__name__}, not {kinds[0].__name__}")
        if name in ("best", "sums", "non_finite") and not all(map(_is_number, given.values())):
            raise ValueError(f"its {name} holds what is no number")
    if saved["step"] < 0:
        raise ValueError(f"its step is {saved['step']}, below 0")
    given, wanted = saved.get("curriculum", {}), fresh["curriculum"]
    if given and {k: type(v) for k, v in given.items()} != {k: type(v) for k, v in wanted.items()}:
        raise ValueError(f"its curriculum is {given!r:.200}, not one like {wanted!r:.200}")


def check_same_run(config: Any, other: Any) -> None:
    """Refuse the configuration of another run: weights of the same shapes would load.

    Raises:
        ValueError: naming what differs, such as the seed or the optimiser.
    """
    options = ("task_options", "optimizer_options", "curriculum_options")
    for name in ("task", "model", "optimizer", "curriculum", "seed", *options):
        if getattr(other, name) != getattr(config, name):
            raise ValueError(f"its {name} is {getattr(other, name)}, not {getattr(config, name)}")


def check_optimizer(optimizer: Any) -> None:
    """Refuse what an optimiser has loaded if a tensor of it is not of its parameter's shape.

    Raises:
        ValueError: naming the two shapes.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                shapes = f"{tuple(value.shape)}, not {tuple(parameter.shape)}"
                raise ValueError(f"its optimizer's {name} has the shape {shapes}")


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)

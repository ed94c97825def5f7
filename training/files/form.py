"""Whether what a file says has the form that it must have: types of configurations, checkpoints."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


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
    return hint is Any or isinstance(value, hint)


OPTIONAL = ("core_seconds", "curriculum", "non_finite", "processes", "runtime")
"""What checkpoints from before there was such a thing lack."""


def check_part(saved: dict[str, Any], name: str, like: Any) -> Any:
    """Return a part of a checkpoint, which must be of the same kind as another.

    Raises:
        ValueError: it is missing or of another kind.
    """
    if name not in saved:
        raise ValueError(f"it has no {name}")
    found = saved[name]
    kinds = (str, type(None)) if name == "wandb_id" else (type(like),)
    if type(found) not in kinds:
        raise ValueError(f"its {name} is a {type(found).__name__}, not {kinds[0].__name__}")
    return found


def check_checkpoint(saved: dict[str, Any], fresh: dict[str, Any]) -> None:
    """Refuse a checkpoint that has not the form of one that is made now.

    Raises:
        ValueError: naming the part that is missing or of another kind.
    """
    for name, wanted in fresh.items():
        if name not in saved and name in OPTIONAL:
            continue
        found = check_part(saved, name, wanted)
        if name in ("best", "sums", "non_finite") and not all(map(_is_number, found.values())):
            raise ValueError(f"its {name} holds what is no number")
    if saved["step"] < 0:
        raise ValueError(f"its step is {saved['step']}, below 0")
    found, wanted = saved.get("curriculum", {}), fresh["curriculum"]
    if found and {k: type(v) for k, v in found.items()} != {k: type(v) for k, v in wanted.items()}:
        raise ValueError(f"its curriculum is {found!r:.200}, not one like {wanted!r:.200}")


MOMENTS = {"Adam": ("exp_avg", "exp_avg_sq"), "GravesRMSProp": ("square", "mean", "update")}
"""What each optimiser keeps of a parameter, in tensors like the parameter."""


def check_weights(found: Mapping[str, Any], layer: nn.Module) -> None:
    """Refuse weights that are not of the layer's dtypes, which torch would convert.

    Raises:
        ValueError: naming the first such weight.
    """
    for name, wanted in layer.state_dict().items():
        if name in found:  # the layer names those that are missing
            _check_like(found[name], wanted, f"weight {name}")


def check_optimizer(
    saved: dict[str, Any], optimizer: Optimizer, parameters: Mapping[str, Tensor]
) -> None:
    """Refuse a state that is not one of this optimiser: its step would write past a short tensor.

    Args:
        saved: what the optimiser's `state_dict` was.
        optimizer: a fresh one of these parameters.
        parameters: those that are trained, by their names, in the optimiser's order.

    Raises:
        ValueError: naming the first tensor that is not like its parameter.
    """
    moments = MOMENTS[type(optimizer).__name__]
    wanted = {*moments, "step"} if isinstance(optimizer, torch.optim.Adam) else set(moments)
    named = dict(enumerate(parameters.items()))
    for index, state in saved["state"].items():
        if type(index) is not int or index not in named:
            raise ValueError(
                f"its optimizer has a state of {index!r}, and the parameters are 0 to "
                f"{len(named) - 1}"
            )
        name, parameter = named[index]
        if not isinstance(state, dict) or set(state) != wanted:
            raise ValueError(
                f"its optimizer has {', '.join(map(str, state))} of {name}, not "
                f"{', '.join(sorted(wanted))}"
            )
        for moment in moments:
            _check_like(state[moment], parameter, f"optimizer's {moment} of {name}")
        if "step" in wanted:
            _check_count(state["step"], f"optimizer's step of {name}")
    for group in saved["param_groups"]:
        if not _is_number(group["lr"]):
            raise ValueError(f"its optimizer's lr is {group['lr']!r:.80}, not a number")


def _check_like(value: Any, wanted: Tensor, name: str) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"its {name} is a {type(value).__name__}, not a tensor")
    found, needed = _form(value), _form(wanted)
    if found != needed or value.is_meta:
        shown = "without numbers" if value.is_meta else f"of {found}"
        raise ValueError(f"its {name} is a tensor {shown}, not of {needed}")


def _form(value: Tensor) -> str:
    layout = "" if value.layout is torch.strided else f", {value.layout}"
    return f"shape {tuple(value.shape)}, {value.dtype}{layout}"


def _check_count(value: Any, name: str) -> None:
    _check_like(value, torch.zeros(()), name)
    count = float(value)
    if not (count >= 0 and count.is_integer()):
        raise ValueError(f"its {name} is {count}, not a whole number of at least 0")


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)

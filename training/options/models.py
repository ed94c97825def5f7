"""All models, and the flags of each: its constructor's arguments, with type and help text."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterator
from typing import Annotated, Any

import docstring_parser
import torch
import tyro
from torch import Tensor, nn

import memnets
from memnets.parts.registry import as_data
from tasks import by_path
from tasks.by_path import PlaceError
from training import baselines  # noqa: F401 - each registers itself
from training.baselines.memory import HIDDEN_SIZE, PARTS
from training.baselines.registry import MODELS, Model, Style, styles, with_memory

__all__ = [
    "MODELS",
    "Style",
    "argument_texts",
    "check_call",
    "find",
    "options_class",
    "styles",
    "with_memory",
]

NOT_FLAGS = ("batch_first", "device", "dtype")
"""arguments that the trainer gives, or leaves as they are"""
GREY = "#777777"
"""of a model that is in no registry"""


def find(name: str) -> Model:
    """The model of a name in `MODELS`, or of a class that is named by its place, `module:Class`.

    A class is imported, and from then on in `MODELS` under its place. It is an `nn.Module` whose
    constructor takes the sizes of input and output first, and whose call returns the outputs
    [T, B, O] of inputs [T, B, I], and a state. What else its constructor takes becomes flags.

    Raises:
        ValueError: there is no such model (the message lists those there are), or no such class,
            or it is no model.

    >>> find("lstm").style.label
    'LSTM'
    """
    if by_path.is_path(name) and name not in MODELS:
        MODELS[name] = _entry(name, by_path.load(name))
    if name not in MODELS:
        raise ValueError(
            f"there is no model {name!r}: choose one of {', '.join(MODELS)}, or name a class of "
            "your own as module:Class"
        )
    return MODELS[name]


def _entry(path: str, kind: type) -> Model:
    """What the trainer has to know of a model that is in no registry."""
    if not issubclass(kind, nn.Module):
        raise PlaceError(f"the model {path} must be a torch.nn.Module, got {kind!r}")
    sizes = list(inspect.signature(kind).parameters.values())[:2]
    if len(sizes) < 2 or any(one.kind is not one.POSITIONAL_OR_KEYWORD for one in sizes):
        raise PlaceError(
            f"the model {path} must take the sizes of input and output first, as in "
            f"__init__(self, input_size, output_size, ...), got {inspect.signature(kind)}"
        )
    memory = issubclass(kind, memnets.MemoryLayer)
    return Model(
        style=Style(path, GREY, "-"),
        constructor=kind,
        family="steady" if memory else "baseline",
        guess={"run.sequences": 100_000},
        parts=PARTS if memory else {},
        not_flags=HIDDEN_SIZE if memory else (),
    )


def check_call(
    name: str,
    layer: nn.Module,
    input_size: int,
    output_size: int,
    *,
    lengths: bool = False,
    goes_on: bool = False,
) -> None:
    """Refuse a model of another package whose call is not that of the memory layers.

    Args:
        name: of the model.
        layer: made of it.
        input_size, output_size: of the task.
        lengths: whether the batches of the task have lengths.
        goes_on: whether the task asks for a few steps at a time.

    Raises:
        PlaceError: it fails, or returns something else than outputs [T, B, O] and a state.
    """
    x, wanted = torch.zeros(2, 3, input_size), [2, 3, output_size]
    given = {"lengths": torch.tensor([2, 1, 2])} if lengths else {}
    with torch.no_grad():
        try:
            found = layer(x, **given)
        except Exception as error:  # whatever its code does
            beside = " and, for this task, lengths=[2, 1, 2]" if lengths else ""
            raise PlaceError(
                f"the model {name} must take inputs [T, B, I], but of {list(x.shape)}{beside} it "
                f"says: {type(error).__name__}: {error}"
            ) from error
    pair = isinstance(found, tuple) and len(found) == 2
    shape = list(found[0].shape) if pair and isinstance(found[0], Tensor) else None
    if shape != wanted:
        got = f"outputs {shape}" if shape else f"a {type(found).__name__}"
        raise PlaceError(
            f"the model {name} must return (outputs, state), of inputs {list(x.shape)} the outputs "
            f"{wanted}, [T, B, O], got {got}"
        )
    if goes_on:
        try:
            with torch.no_grad():
                layer(x, found[1])
        except Exception as error:
            raise PlaceError(
                f"for this task, the model {name} must take inputs and the state that it returned, "
                f"to go on from there, but it says: {type(error).__name__}: {error}"
            ) from error


@functools.cache  # one class a model: its instances are compared
def options_class(name: str) -> type:
    """A dataclass of the flags of a model: the arguments of its constructor, with their defaults.

    A part, a dataclass, has flags of its own below its name.

    Raises:
        ValueError: the constructor's docstring does not explain an argument, or an argument of a
            class of another package has no default that can be written down.

    >>> options_class("lstm")()
    LSTMOptions(hidden_size=256, num_layers=3)
    """
    model, own = MODELS[name], by_path.is_path(name)
    texts = argument_texts(inspect.getdoc(model.constructor) or "")
    found: list[tuple[str, Any, Any]] = []
    for key, parameter in _arguments(name, model):
        if key not in texts and not own:
            raise ValueError(
                f"the docstring of {model.constructor.__name__} must explain {key} under `Args:`, "
                "because it becomes a flag"
            )
        default, text = model.parts.get(key, parameter.default), texts.get(key, "")
        if own:
            _check_default(name, key, default)
        kind = parameter.annotation
        if kind is parameter.empty or (dataclasses.is_dataclass(default) and kind is not Any):
            kind = type(default)  # in place of the ways to write it in Python
        kept = dataclasses.field(default=default, metadata={"help": text})
        found.append((key, Annotated[kind, tyro.conf.arg(help=text)], kept))
    title = model.constructor.__name__ if own else name.upper()
    return dataclasses.make_dataclass(f"{title}Options", found, frozen=True)


def _arguments(name: str, model: Model) -> Iterator[tuple[str, inspect.Parameter]]:
    """The arguments of a constructor that are flags: all but the two sizes and `NOT_FLAGS`."""
    try:
        parameters = inspect.signature(model.constructor, eval_str=True).parameters
    except NameError as error:  # a type that is imported for type checkers alone
        raise PlaceError(f"the types of the arguments of {name} must be importable: {error}") from (
            error
        )
    for key, parameter in list(parameters.items())[2:]:
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if not variadic and key not in (*NOT_FLAGS, *model.not_flags):
            yield key, parameter


def _check_default(name: str, key: str, default: Any) -> None:
    if default is inspect.Parameter.empty:
        raise PlaceError(f"the argument {key} of {name} must have a default: it becomes a flag")
    try:
        as_data(default, key)
    except ValueError as error:
        raise PlaceError(f"the arguments of {name} become flags, but {error}") from error


def argument_texts(docstring: str) -> dict[str, str]:
    """The text of each argument under `Args:`.

    >>> argument_texts("A layer.\\n\\nArgs:\\n    size: width of it,\\n        in units")
    {'size': 'width of it, in units'}
    """
    parsed = docstring_parser.parse(docstring, docstring_parser.DocstringStyle.GOOGLE)
    return {
        name.strip(): " ".join((one.description or "").split())
        for one in parsed.params
        for name in one.arg_name.split(",")
    }

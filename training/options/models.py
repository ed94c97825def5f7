"""All models, and the flags of each: its constructor's arguments, with type and help text."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Annotated, Any

import docstring_parser
import tyro

from training import baselines  # noqa: F401 - each registers itself
from training.baselines.registry import MODELS, Style, styles, with_memory

__all__ = ["MODELS", "Style", "argument_texts", "options_class", "styles", "with_memory"]

NOT_FLAGS = ("batch_first", "device", "dtype")
"""keyword-only arguments that the trainer gives, or leaves as they are"""


@functools.cache  # one class a model: its instances are compared
def options_class(name: str) -> type:
    """A dataclass of the flags of a model: the arguments of its constructor, with their defaults.

    A part, a dataclass, has flags of its own below its name.

    Raises:
        ValueError: the constructor's docstring does not explain an argument.

    >>> options_class("lstm")()
    LSTMOptions(hidden_size=256, num_layers=3)
    """
    model = MODELS[name]
    texts = argument_texts(inspect.getdoc(model.constructor) or "")
    found: list[tuple[str, Any, Any]] = []
    for key, parameter in inspect.signature(model.constructor, eval_str=True).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY or key in (*NOT_FLAGS, *model.not_flags):
            continue
        if key not in texts:
            raise ValueError(
                f"the docstring of {model.constructor.__name__} must explain {key} under `Args:`, "
                "because it becomes a flag"
            )
        default, text = model.parts.get(key, parameter.default), texts[key]
        kind = parameter.annotation
        if dataclasses.is_dataclass(default) and kind is not Any:
            kind = type(default)  # in place of the ways to write it in Python
        kept = dataclasses.field(default=default, metadata={"help": text})
        found.append((key, Annotated[kind, tyro.conf.arg(help=text)], kept))
    return dataclasses.make_dataclass(f"{name.upper()}Options", found, frozen=True)


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

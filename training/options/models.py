"""All models, and the flags of each: its constructor's arguments, with type and help text."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import tyro

from memnets.parts.controllers import CELLS
from training import baselines  # noqa: F401 - each registers itself
from training.baselines.registry import MODELS, Look, looks, with_memory

__all__ = [
    "MODELS",
    "MODEL_FIELDS",
    "Look",
    "argument_texts",
    "flag_texts",
    "looks",
    "options_class",
    "with_memory",
]

# The arguments of the memory layers that become flags: type and help text. Defaults are the
# constructors'. Those of a baseline are explained in its own docstring.
MODEL_FIELDS: dict[str, tuple[Any, str]] = {
    "memory_size": (int, "memory slots (N)"),
    "word_size": (int, "numbers in each memory slot (W)"),
    "read_heads": (int, "heads that read (R)"),
    "write_heads": (int, "heads that write (H)"),
    "controller": (
        Literal[tuple(CELLS)],  # pyright: ignore[reportInvalidTypeForm]
        "the controller network",
    ),
    "hidden_size": (int, "hidden units in each layer of the controller"),
    "num_layers": (int, "layers of the controller"),
    "skip_connections": (
        bool,
        "the papers' deep form: every layer sees the input, the readout sees every layer",
    ),
    "shift_range": (int, "how many slots a head can shift its weighting by, to either side"),
    "initial_memory": (float, "what every number of the memory is before the first step"),
    "learned_initial_state": (bool, "learn the state that every sequence starts from"),
    "memory_spread": (float, "how much the slots of a learned initial memory differ at first"),
    "gate_bias": (float, "added to the initial bias of the gates between content and location"),
    "write_gate_bias": (float | None, "the same for the write heads alone; None: gate_bias"),
    "sharpening_bias": (float, "added to the initial bias of the sharpenings of the weightings"),
    "sharpness_limit": (float | None, "no strength and no sharpening is above it; None: no limit"),
    "add_range": (
        Literal["real", "bounded"],
        "what a head adds to a number: anything, or within [-1, 1]",
    ),
    "read_first": (bool, "read before writing in each step (the default writes first)"),
    "strength": (Literal["oneplus", "softplus"], "how key strengths are made positive"),
    "similarity_epsilon": (float, "keeps the cosine similarity of a zero vector finite"),
    "sharpen_epsilon": (float, "keeps the logarithm in the sharpening finite"),
    "allocation_epsilon": (float, "keeps the gradient of the allocation finite at usage 0"),
    "usage_resolution": (float, "usage nearer than this counts as equal in the free list"),
    "stop_usage_gradient": (bool, "no gradient through the usage (as in DeepMind's code)"),
    "backend": (
        Literal["auto", "reference", "compiled", "fused"],
        "what runs the steps (docs/backends.md)",
    ),
    "checkpoint_every": (
        int | None,
        "to save memory, compute segments of this many steps again in the backward; None: none",
    ),
}


NOT_FLAGS = ("batch_first", "device", "dtype")
"""keyword-only arguments that the trainer gives, or leaves as they are"""


@functools.cache  # one class a model: its instances are compared
def options_class(name: str) -> type:
    """A dataclass of the flags of a model, with its constructor's defaults; texts as metadata.

    Raises:
        ValueError: the constructor's docstring does not explain an argument.

    >>> options_class("lstm")()
    LSTMOptions(hidden_size=256, num_layers=3)
    """
    constructor = MODELS[name].constructor
    table = MODEL_FIELDS if MODELS[name].memory else _explained(constructor)
    parameters = inspect.signature(constructor).parameters
    found = [
        (
            key,
            Annotated[kind, tyro.conf.arg(help=text)],
            dataclasses.field(default=parameters[key].default, metadata={"help": text}),
        )
        for key, (kind, text) in table.items()
        if key in parameters
    ]
    return dataclasses.make_dataclass(f"{name.upper()}Options", found, frozen=True)


def flag_texts(options: Any) -> dict[str, str]:
    """The help text of each flag of a model, from an instance of its `options_class`.

    >>> flag_texts(options_class("lstm")())["hidden_size"]
    'hidden units in each layer'
    """
    return {field.name: field.metadata["help"] for field in dataclasses.fields(options)}


def _explained(constructor: Callable[..., Any]) -> dict[str, tuple[Any, str]]:
    """The type and the text of each keyword-only argument, from the signature and the docstring."""
    texts = argument_texts(inspect.getdoc(constructor) or "")
    found: dict[str, tuple[Any, str]] = {}
    for name, parameter in inspect.signature(constructor, eval_str=True).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY or name in NOT_FLAGS:
            continue
        if name not in texts:
            raise ValueError(
                f"the docstring of {constructor.__name__} must explain {name} under `Args:`, "
                "because it becomes a flag"
            )
        found[name] = (parameter.annotation, texts[name])
    return found


def argument_texts(docstring: str) -> dict[str, str]:
    """The text of each argument under `Args:`, as `inspect.getdoc` indents it.

    >>> argument_texts("A layer.\\n\\nArgs:\\n    size: width of it,\\n        in units")
    {'size': 'width of it, in units'}
    """
    section = re.search(r"^Args:\n((?: .*\n?|\n)*)", docstring, re.MULTILINE)
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.M)
    return {name: " ".join(text.split()) for name, text in entries}

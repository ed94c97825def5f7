"""The registry of models: what each is called, how figures draw it, and what builds it.

The constructor's arguments become the flags of `--model NAME`. The memory layers are registered in
`memory.py`, each baseline in its own file beside this one. `training.options.models` imports them
all: the rest of the trainer takes `MODELS` from there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from torch import nn

import memnets
from training.baselines.costs import Costs

Family = Literal["steady", "calm", "baseline"]
"""the names in `training.options.recipes.FAMILIES`"""


class Style(NamedTuple):
    """How tables and figures show a model: the same everywhere."""

    label: str
    colour: str
    """of `memnets.inspect.palette`"""
    line: str
    """style of the line in matplotlib's notation, for print"""


class Variant(NamedTuple):
    """Values of an option that give a model a row and a colour of its own in the results.

    The option of a part has a dot: `controller.cell`.
    """

    style: Style
    option: str
    values: tuple[object, ...]


def nothing_to_note(device: str, precision: str) -> list[str]:
    """The notes of a model that computes everything as asked for."""
    return []


@dataclass(frozen=True, kw_only=True)
class Model:
    """One entry of the registry."""

    style: Style
    constructor: Callable[..., nn.Module]
    """called with the input size and the output size, and by keyword with the options, and with
    `device` if it takes one"""
    family: Family
    """the settings of the optimiser that its first guess starts from"""
    guess: Mapping[str, Any] = field(default_factory=dict)
    """what the first guess adds, by the names of the flags"""
    parts: Mapping[str, Any] = field(default_factory=dict)
    """what the trainer gives, in place of the constructor's default, for an argument that takes
    a part: the flags below its name are the part's"""
    not_flags: tuple[str, ...] = ()
    """arguments that a part has too"""
    variants: tuple[Variant, ...] = ()
    notes: Callable[[str, str], list[str]] = nothing_to_note
    """says for a device and a precision what will be computed otherwise than asked for"""
    costs: Costs | None = None
    """the operations of a memory, which `benchmarks.limits` compares with the time of a step"""

    def build(
        self, input_size: int, output_size: int, device: str, options: Mapping[str, Any]
    ) -> nn.Module:
        """The network of these options on a device, also where its constructor takes no device."""
        given = {**options}
        if "device" in inspect.signature(self.constructor).parameters:
            given["device"] = device
        return self.constructor(input_size, output_size, **given).to(device)

    @property
    def memory(self) -> bool:
        """Whether it has a memory: to draw, and to look into step by step."""
        kind = self.constructor
        return isinstance(kind, type) and issubclass(kind, memnets.MemoryLayer)

    def style_of(self, options: Mapping[str, object]) -> Style:
        """The style under these options: that of the first variant that they match, or its own.

        >>> MODELS["ntm"].style_of({"controller": {"cell": "feedforward"}}).label
        'NTM, feed-forward'
        """
        for variant in self.variants:
            value: Any = options
            for name in variant.option.split("."):
                value = value.get(name) if isinstance(value, Mapping) else None
            if value in variant.values:
                return variant.style
        return self.style


MODELS: dict[str, Model] = {}
"""by the value of `--model`"""

Constructor = TypeVar("Constructor", bound=Callable[..., nn.Module])


def register(
    name: str,
    style: Style,
    *,
    family: Family = "baseline",
    guess: Mapping[str, Any] | None = None,
    notes: Callable[[str, str], list[str]] = nothing_to_note,
    variants: tuple[Variant, ...] = (),
    parts: Mapping[str, Any] | None = None,
    not_flags: tuple[str, ...] = (),
    costs: Costs | None = None,
) -> Callable[[Constructor], Constructor]:
    """Register the decorated class under a name that `--model` then takes.

    Every keyword-only argument of its constructor but `batch_first`, `device` and `dtype` becomes
    a flag: the type is its annotation, and the help its text under `Args:` in the docstring.

    Raises:
        ValueError: the name or the label is taken.
    """

    def add(constructor: Constructor) -> Constructor:
        if name in MODELS:
            raise ValueError(f"a model is registered once; there is a {name!r}: take another name")
        if style.label in styles():
            raise ValueError(f"labels differ, got {style.label!r} again: take another for {name!r}")
        MODELS[name] = Model(
            style=style,
            constructor=constructor,
            family=family,
            guess=guess or {},
            notes=notes,
            variants=variants,
            parts=parts or {},
            not_flags=not_flags,
            costs=costs,
        )
        return constructor

    return add


def styles() -> dict[str, Style]:
    """Every style, by its label.

    >>> styles()["DNC"].line
    '-.'
    """
    return {style.label: style for style in _styles()}


def _styles() -> Iterator[Style]:
    for model in MODELS.values():
        yield model.style
        yield from (variant.style for variant in model.variants)


def with_memory(layer: nn.Module) -> memnets.MemoryLayer | None:
    """The layer, if it has a memory to record and draw; None for any other network.

    >>> with_memory(nn.LSTM(1, 1)) is None
    True
    """
    return layer if isinstance(layer, memnets.MemoryLayer) else None

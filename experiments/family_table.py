"""The table of the family as data: every model and variant that is registered, and the tasks.

A part, a cell or a model that registers itself is a member from then on.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import memnets
from memnets.parts.controllers import CELLS
from memnets.parts.registry import PARTS
from training.options.models import MODELS, options_class
from training.options.parts import name_of, replaced

SEQUENCES = 512
"""in each test"""
TIMED = 16
"""sequences of the batch whose steps are timed"""

SMALL: dict[str, Any] = {"memory_size": 4, "word_size": 2, "hidden_size": 3}


class Member(NamedTuple):
    """A model with some of its settings."""

    label: str
    """in the table; unique"""
    model: str
    """of `--model`"""
    settings: Mapping[str, Any]
    """of its options, by their paths, as in `training.options.parts.replaced`"""
    computation: int = 0
    """steps before the answer for each step of the input, as in `experiments.computation`"""

    @property
    def name(self) -> str:
        """The label as the name of a file.

        >>> Member("DNC, masked content", "dnc", {}).name
        'dnc-masked-content'
        """
        return "-".join("".join(c if c.isalnum() else " " for c in self.label.lower()).split())


class Lesson(NamedTuple):
    """A task, at sizes that a short training can reach, and at sizes that it never sees."""

    title: str
    task: str
    trained: Mapping[str, int]
    """fields of the task in training"""
    longer: Mapping[str, int]
    """fields that are others in the test of length"""
    sizes: str
    """both in words"""


LESSONS = (
    Lesson(
        "copy",
        "copy",
        {"bits": 4, "max_length": 8},
        {"min_length": 16, "max_length": 16},
        "1 to 8 vectors of 4 bits; longer: 16",
    ),
    Lesson(
        "associative recall",
        "associative_recall",
        {"bits": 4, "item_length": 1, "max_items": 4},
        {"min_items": 8, "max_items": 8},
        "2 to 4 items of one 4-bit vector; longer: 8 items",
    ),
    Lesson(
        "key-value recall",
        "key_value_recall",
        {"max_pairs": 4, "slots": 1},
        {"min_pairs": 8, "max_pairs": 8},
        "1 to 4 pairs, asked next; longer: 8 pairs",
    ),
    Lesson(
        "reverse",
        "reverse",
        {"bits": 4, "max_length": 8},
        {"min_length": 16, "max_length": 16},
        "1 to 8 vectors of 4 bits; longer: 16",
    ),
    Lesson(
        "parity",
        "parity_check",
        {"max_length": 10},
        {"min_length": 20, "max_length": 20},
        "1 to 10 symbols; longer: 20",
    ),
    Lesson(
        "nth farthest",
        "nth_farthest",
        {"vectors": 4, "labels": 8, "dimensions": 4},
        {"vectors": 8},
        "4 vectors of 4 numbers; longer: 8 vectors",
    ),
)

# What belongs together under one name, beside all that can be told from the registries.
NAMED = (
    Member("DNC, masked content", "dnc", {"content.masked": True}),
    Member("DNC, wiping", "dnc", {"allocation.wipe": True}),
    Member("DNC, sharpened links", "dnc", {"linkage.sharpened": True}),
    Member(
        "DNC, all three of Csordas",
        "dnc",
        {"content.masked": True, "allocation.wipe": True, "linkage.sharpened": True},
    ),
    Member("DNC, without links", "dnc", {"linkage": "none"}),
    Member("NTM, feed-forward", "ntm", {"controller": "feedforward"}),
)

PLACES = {"ntm": ("writing", "heads.read", "heads.write"), "dnc": ("content", "allocation")}
"""where a memory model takes a part by its name"""


def members() -> tuple[Member, ...]:
    """Every model, its variants, and each part and cell where it fits; each label once.

    >>> [member.label for member in members()][:3]
    ['NTM', 'DNC', 'Neural stack']
    """
    plain = [Member(model.style.label, name, {}) for name, model in MODELS.items() if name != "rnn"]
    found = [*plain, *NAMED]
    for name in MODELS:
        found += [*_parts(name), *_ways(name)]
    # The LSTM cell by itself is no LSTM of torch, which is a baseline of its own.
    found += [Member(f"cell {cell}", "rnn", {"controller": cell}) for cell in CELLS]
    return tuple(found)


def _parts(name: str) -> Iterator[Member]:
    """The model with each registered part that fits in one of its places."""
    for place in PLACES.get(name, ()):
        for part in PARTS.values():
            options = options_class(name)()
            try:
                chosen = replaced(options, {place: part.__name__})
                if chosen == options:
                    continue
                fields = {key: value for key, value in vars(chosen).items() if key not in SMALL}
                small = {k: v for k, v in SMALL.items() if k in vars(chosen)}
                MODELS[name].constructor(3, 2, **fields, **small)
            except (TypeError, ValueError):
                continue  # it is for another place
            label = f"{MODELS[name].style.label}, {place.replace('.', ' ')} {name_of(part())}"
            yield Member(label, name, {place: part.__name__})


def _ways(name: str) -> Iterator[Member]:
    """The model with each value of an option that names a way, other than its default."""
    options = options_class(name)()
    for field, hint in typing.get_type_hints(type(options)).items():
        if typing.get_origin(hint) is Literal:
            for value in typing.get_args(hint):
                if value != getattr(options, field):
                    yield Member(
                        f"{MODELS[name].style.label}, {field} {value}", name, {field: value}
                    )


def memory_size(member: Member) -> int | None:
    """Whether a member has slots: those it is trained with, or None."""
    kind: Any = MODELS[member.model].constructor
    return 32 if isinstance(kind, type) and issubclass(kind, memnets.MemoryLayer) else None

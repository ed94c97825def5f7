"""Parts as data: what is registered is written for JSON, and made from it again."""

import dataclasses
import json
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from unittest import mock

import pytest

from memnets.backends.registry import Backend
from memnets.parts import registry
from memnets.parts.content import Content
from memnets.parts.controllers import Stack
from memnets.parts.heads import Heads, ReadHead, WriteHead
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.normalised_interface import NormalisedInterface
from memnets.parts.product_keys import ProductKeys
from memnets.parts.registry import PARTS, as_data, from_data, register
from memnets.parts.sparse import Sparse
from memnets.parts.start import Start
from memnets.parts.uniform_writing import UniformWriting
from memnets.parts.usage import Allocation, LeastRecentlyUsed
from memnets.parts.wiring import WiredStack
from memnets.parts.writing import EraseAdd

CONTENT = Content(strength="softplus", similarity_epsilon=1e-3, sharpness_limit=2.5)
LOCATION = Location(shift_range=2, sharpen_epsilon=1e-9, sharpening_bias=0.25, sharpness_limit=2.5)
FOCUS = ContentAndLocation(
    shift_range=2,
    strength="softplus",
    gate_bias=-3.5,
    sharpening_bias=0.25,
    sharpness_limit=2.5,
    similarity_epsilon=1e-3,
    sharpen_epsilon=1e-9,
)
CHANGED = [
    CONTENT,
    LOCATION,
    FOCUS,
    LeastRecentlyUsed(decay=0.5),
    Allocation(epsilon=1e-3, resolution=2**-4, stop_gradient=True, wipe=True),
    Linkage(sharpened=True, sharpen_epsilon=1e-4),
    Sparse(sharpness_limit=9.0),
    ProductKeys(sharpness_limit=9.0),
    EraseAdd(add_range="real"),
    Start(memory=0.1, learned=True, spread=0.3),
    Stack(cell="gru", hidden_size=7, num_layers=3, skip_connections=True, residual=True),
    WiredStack(
        **vars(
            Stack(cell="gru", hidden_size=7, num_layers=3, skip_connections=True, residual=True)
        ),
        schedule=UniformWriting(interval=2),
        interface=NormalisedInterface(epsilon=0.1),
        bypass_dropout=0.25,
    ),
    Backend("reference", checkpoint_every=7),
    ReadHead(FOCUS, 3),
    WriteHead(LeastRecentlyUsed(decay=0.5), 2),
    Heads(read=CONTENT, write=LOCATION, read_first=True),
    Heads(entries=(ReadHead(FOCUS, 3), ReadHead(CONTENT, 2), WriteHead(LOCATION, 2))),
]
"""Parts in which each setting differs from its default; of any other, `changed` makes one."""


def other(value: Any, hint: Any) -> Any:
    """A setting of the same type that is not this one."""
    if typing.get_origin(hint) is Literal:
        return next(choice for choice in typing.get_args(hint) if choice != value)
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value / 2 + 0.25


def changed(kind: type) -> Any:
    """A part whose settings of plain types all differ from their defaults."""
    hints = typing.get_type_hints(kind)
    plain = [field for field in dataclasses.fields(kind) if type(field.default) in PLAIN]
    return kind(**{field.name: other(field.default, hints[field.name]) for field in plain})


PLAIN = (bool, int, float, str)
STOCK = [kind for kind in PARTS.values() if kind.__module__.startswith("memnets.")]
HAVING = (Heads, Stack, WiredStack, Backend)  # which take other parts, or names
EVERY = CHANGED + [changed(kind) for kind in STOCK if kind not in {*HAVING, ReadHead, WriteHead}]


@pytest.fixture(autouse=True)
def _registered_here_only() -> Iterator[None]:
    """What a test registers is gone after it."""
    with mock.patch.dict(registry.PARTS):
        yield


def test_every_setting_of_every_part_is_changed_above() -> None:
    for kind in STOCK:
        for field in dataclasses.fields(kind):
            values = [getattr(part, field.name) for part in EVERY if type(part) is kind]
            assert any(value != field.default for value in values), (kind, field.name)


@pytest.mark.parametrize("part", EVERY, ids=lambda part: type(part).__name__)
def test_a_part_through_json(part: Any) -> None:
    data = as_data(part)
    assert data["part"] == type(part).__name__
    assert set(data) == {"part", *(field.name for field in dataclasses.fields(part))}
    again = from_data(json.loads(json.dumps(data, allow_nan=False)))
    assert type(again) is type(part)
    assert again == part


def test_settings_that_are_left_out_have_their_defaults() -> None:
    """What a person writes, or what was saved before a setting existed."""
    assert from_data({"part": "Start", "learned": True}) == Start(learned=True)
    assert from_data({"part": "Linkage"}) == Linkage()


def test_plain_data_is_itself() -> None:
    for value in (None, "lstm", 3, 0.5, True):
        assert from_data(as_data(value)) is value
    assert as_data((1, [2, None])) == [1, [2, None]]
    assert from_data([1, [2, None]]) == (1, (2, None))


def test_register_and_its_round_trip() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Own:
        inner: Any = None
        numbers: tuple[float, ...] = ()

    own = Own(inner=CONTENT, numbers=(0.5, 2.0))
    with pytest.raises(ValueError, match=r"value is an object of the class Own and cannot be writ"):
        as_data(own)
    assert register(Own) is Own
    assert PARTS["Own"] is Own
    assert from_data(json.loads(json.dumps(as_data(own)))) == own
    assert register(Own) is Own  # again, as when its module is run again


def test_a_class_that_is_defined_again_takes_the_place_of_the_first() -> None:
    """As in a notebook, where a cell is run again."""
    made = []
    for factor in (1.0, 2.0):

        @register
        @dataclass(frozen=True, kw_only=True)
        class Own:
            value: float = factor

        made.append(Own)
    assert PARTS["Own"] is made[1]
    assert from_data({"part": "Own"}).value == 2.0
    with pytest.raises(ValueError, match="value is an object of the class Own"):
        as_data(made[0]())


def test_what_is_no_frozen_dataclass_is_not_registered() -> None:
    class Plain:
        pass

    @dataclass
    class Thawed:
        size: int = 1

    class Inheriting(Content):  # frozen is its base, and so it would be written as its base
        pass

    for kind in (Plain, Thawed, Inheriting):
        with pytest.raises(
            TypeError,
            match=rf"A part is a frozen dataclass; {kind.__name__} is none: decorate it with "
            r"@dataclass\(frozen=True, kw_only=True\) below @register",
        ):
            register(kind)
        assert kind.__name__ not in PARTS


@pytest.mark.parametrize("value", [3, "Content", None, CONTENT], ids=str)
def test_what_is_no_class_is_not_registered(value: Any) -> None:
    with pytest.raises(TypeError, match="register decorates a class; got"):
        register(value)


def test_a_field_that_data_would_take_for_the_name_of_a_part() -> None:
    fields = {"__annotations__": {"part": str}, "part": "Linkage"}
    own = dataclass(frozen=True, kw_only=True)(type("Odd", (), fields))
    with pytest.raises(ValueError, match="also a field of Odd: give the field another name"):
        register(own)
    assert "Odd" not in PARTS


def test_a_name_that_is_taken() -> None:
    own = dataclass(frozen=True, kw_only=True)(type("Content", (), {}))
    with pytest.raises(
        ValueError,
        match=r"A name is registered once; Content is memnets\.parts\.content\.Content: give yours",
    ):
        register(own)
    assert PARTS["Content"] is Content
    with pytest.raises(ValueError, match="of the class Content and cannot be written"):
        as_data(own())


@pytest.mark.parametrize("name", ["Magic", "", "content", None, 3, []])
def test_a_part_that_is_not_known(name: Any) -> None:
    with pytest.raises(
        ValueError, match=r"There is no part .*; registered are .*Content, .*Import the module tha"
    ):
        from_data({"part": name, "strength": "oneplus"})


def test_data_that_names_no_part() -> None:
    with pytest.raises(ValueError, match="There is no part None; registered are"):
        from_data({"strength": "oneplus"})


@pytest.mark.parametrize("data", [{"magic": 1}, {"gate_bias": 0.0}, {1: 2}], ids=str)
def test_a_setting_that_is_not_known(data: Any) -> None:
    with pytest.raises(ValueError, match=r"The part Content has other settings: .*"):
        from_data({"part": "Content", **data})


def test_a_setting_out_of_its_range() -> None:
    with pytest.raises(
        ValueError, match="similarity_epsilon must be at least 0 and finite; got -1"
    ):
        from_data({"part": "Content", "similarity_epsilon": -1.0})


def test_an_object_inside_is_named_by_its_path() -> None:
    head = ReadHead(CONTENT)
    object.__setattr__(head, "count", object())
    with pytest.raises(ValueError, match=r"heads\[1\]\.count is an object of the class object"):
        as_data([WriteHead(CONTENT), head], "heads")

"""How a task registers itself: what the decorator refuses, and in which words."""

import ast
import dataclasses
import re
from pathlib import Path
from unittest import mock

import pytest

import tasks
from tasks.registry import MEMBERS, TASKS, register

FOLDER = Path(tasks.__file__).parent
TASK = dataclasses.dataclass(frozen=True, kw_only=True)


@pytest.fixture(autouse=True)
def registry_as_it_was():
    with mock.patch.dict(TASKS):
        yield


def members() -> dict[str, object]:
    return dict.fromkeys(MEMBERS, lambda task: None)


def test_the_name_of_a_task_is_that_of_its_file():
    for name, kind in TASKS.items():
        assert kind.__module__ == f"tasks.{name}"
        assert f'\n@register("{name}")\n' in (FOLDER / f"{name}.py").read_text()
        assert getattr(tasks, kind.__name__) is kind


def test_the_package_only_imports():
    """A new task is a line here: no folder is scanned, and nothing is computed."""
    doc, *body, names = ast.parse((FOLDER / "__init__.py").read_text()).body
    assert isinstance(doc, ast.Expr)
    assert all(isinstance(statement, ast.ImportFrom) for statement in body)
    assert isinstance(names, ast.Assign)
    assert names.targets[0].id == "__all__"


def test_a_task_of_ones_own_can_be_made_by_its_name():
    kind = register("my_task")(TASK(type("Mine", (tasks.Copy,), {"__module__": "mine"})))
    assert TASKS["my_task"] is kind
    assert tasks.make("my_task", bits=3) == kind(bits=3)


def test_a_class_that_is_defined_again_replaces_its_former_self():
    first, second = (register("again")(TASK(type("Again", (), members()))) for _ in range(2))
    assert first is not second
    assert TASKS["again"] is second


def test_a_name_is_taken_once():
    message = (
        "each task must have a name of its own, but 'copy' is both tasks.copy.Copy and "
        "tasks.reverse.Reverse: rename one of them"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        register("copy")(tasks.Reverse)
    assert TASKS["copy"] is tasks.Copy


@pytest.mark.parametrize("name", ["", "Copy", "copy-2", "2_copy", "copy_", "a copy", "copy\n"])
def test_a_name_that_is_no_flag_is_refused(name):
    message = f"must be words in lower case joined by underscores, got {name!r}: pass one such as"
    with pytest.raises(ValueError, match=re.escape(message)):
        register(name)


@pytest.mark.parametrize(
    "kind",
    [
        type("Plain", (), members()),
        dataclasses.dataclass(type("Thawed", (), members())),
        type("Derived", (tasks.Copy,), {}),
    ],
    ids=lambda kind: kind.__name__,
)
def test_a_class_that_is_no_frozen_dataclass_is_refused(kind):
    message = (
        f"the task 'wrong' (class {kind.__name__}) must be a frozen dataclass: put @register above "
        "@dataclass(frozen=True, kw_only=True)"
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        register("wrong")(kind)
    assert "wrong" not in TASKS


@pytest.mark.parametrize(
    ("options", "got"),
    [({}, "none"), ({"default": None}, "None"), ({"default": True}, "True")],
    ids=["none", "None", "bool"],
)
def test_a_field_without_a_plain_default_is_refused(options, got):
    content = {**members(), "__annotations__": {"size": "int"}}
    if options:
        content["size"] = options["default"]
    message = (
        "the task 'wrong' (class Wrong) must have a number or a word as the default of each "
        f"field, got {got} for size: give it one"
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        register("wrong")(TASK(type("Wrong", (), content)))


def test_a_missing_member_is_named():
    content = {name: value for name, value in members().items() if name not in ("solve", "grid")}
    message = (
        "the task 'wrong' (class Wrong) must have every member of tasks.base.Task, but has no "
        "solve, grid: write them by the example of tasks/copy.py"
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        register("wrong")(TASK(type("Wrong", (), content)))
    content["solve"] = None
    with pytest.raises(TypeError, match=r"but has no grid: write it by the example"):
        register("wrong")(TASK(type("Wrong", (), content)))

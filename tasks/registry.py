"""The tasks by their names: each registers itself by one decorator, in its own file.

A task of another package goes by its place, `module:Class`, and needs no decorator.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import TypeVar, cast

from tasks import by_path
from tasks.base import Task

Kind = TypeVar("Kind", bound=type)

TASKS: dict[str, type[Task]] = {}
MEMBERS = tuple(name for name in vars(Task) if not name.startswith("_"))


def register(name: str) -> Callable[[Kind], Kind]:
    """Enter a task class in `TASKS` under the name that `--task` takes, if it has all it needs.

    It stands above `@dataclass(frozen=True, kw_only=True)`. A class that is defined again, as in a
    notebook, replaces its former self.

    Raises:
        ValueError: the name is no name for a flag, or another class has it.
        TypeError: the class is no frozen dataclass of numbers and words, or a member of
            `tasks.base.Task` is missing; the message says which.

    >>> @register("lottery")
    ... @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Lottery:
    ...     tickets: int = 10
    Traceback (most recent call last):
    ...
    TypeError: the task 'lottery' (class Lottery) must have every member of tasks.base.Task, ...
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ValueError(
            f"the name of a task must be words in lower case joined by underscores, got {name!r}: "
            'pass one such as "repeat_copy"'
        )

    def enter(kind: Kind) -> Kind:
        problem = next(_problems(kind), None)
        if problem is not None:
            raise TypeError(f"the task {name!r} (class {kind.__name__}) must {problem}")
        if name in TASKS and _place(TASKS[name]) != _place(kind):
            raise ValueError(
                f"each task must have a name of its own, but {name!r} is both "
                f"{_place(TASKS[name])} and {_place(kind)}: rename one of them"
            )
        TASKS[name] = cast("type[Task]", kind)  # as _problems has made sure
        return kind

    return enter


def find(name: str) -> type[Task]:
    """The class of a task by its name in `TASKS`, or by `module:Class`.

    A class that is named by its place is imported, and checked as `register` does.

    Raises:
        ValueError: there is no such task (the message lists those there are), or no such class, or
            it is no task; the message says what it lacks.

    >>> find("tasks.copy:Copy") is find("copy")
    True
    """
    if by_path.is_path(name):
        kind = by_path.load(name)
        problem = next(_problems(kind), None)
        if problem is not None:
            raise by_path.PlaceError(f"the task {name} must {problem}")
        return cast("type[Task]", kind)
    if name not in TASKS:
        raise ValueError(
            f"there is no task {name!r}: choose one of {', '.join(TASKS)}, or name a class of your "
            "own as module:Class"
        )
    return TASKS[name]


def _place(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _problems(kind: type) -> Iterator[str]:
    """What a class must be to be a task, as far as it is not."""
    parameters = vars(kind).get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        yield "be a frozen dataclass: put @register above @dataclass(frozen=True, kw_only=True)"
        return
    for field in dataclasses.fields(kind):
        if isinstance(field.default, bool) or not isinstance(field.default, int | float | str):
            default = "none" if field.default is dataclasses.MISSING else repr(field.default)
            yield (
                f"have a number or a word as the default of each field, got {default} for "
                f"{field.name}: give it one"
            )
    missing = [member for member in MEMBERS if not hasattr(kind, member)]
    if missing:
        yield (
            f"have every member of tasks.base.Task, but has no {', '.join(missing)}: write "
            f"{'it' if len(missing) == 1 else 'them'} by the example of tasks/copy.py"
        )


def make(name: str, **options: int | float | str) -> Task:
    """A task by its name (`find`), with the given fields instead of its defaults.

    Raises:
        ValueError: there is no such task or no such field (the message lists those that
            there are), or the task refuses a value.

    >>> make("priority_sort", bits=4)
    PrioritySort(bits=4, length=20, answer_length=16)
    """
    kind = find(name)
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(
            f"the task {name} has no option {', '.join(unknown)}: it has {', '.join(known)}"
        )
    return kind(**options)

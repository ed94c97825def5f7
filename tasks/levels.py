"""The levels of a task: its axes of difficulty as one ladder, from 1 to `levels(task)`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tasks.base import Task, check_size


def levels(task: Task) -> int:
    """The number of levels of a task: as many as there are values on its longest axis, 1 at least.

    >>> from tasks.repeat_copy import RepeatCopy
    >>> levels(RepeatCopy(max_length=10, max_repeats=4))
    10
    """
    return 1 + max((axis.hardest - axis.easiest for axis in task.axes), default=0)


def at_level(task: Task, level: int | None) -> Task:
    """The task at one level, where all axes have gone the same share of their way; None: itself.

    Raises:
        ValueError: the task has no such level.

    >>> from tasks.repeat_copy import RepeatCopy
    >>> task = at_level(RepeatCopy(max_length=10, max_repeats=4), 7)
    >>> (task.min_length, task.max_length, task.min_repeats, task.max_repeats)
    (7, 7, 3, 3)
    """
    if level is None:
        return task
    top = levels(task)
    check_level(level, top)
    values: dict[str, Any] = {}
    for axis in task.axes:
        # Rounded to the nearest value, in whole numbers; a task with one level is at its top.
        way, span = (level - 1, top - 1) if top > 1 else (1, 1)
        value = axis.easiest + ((axis.hardest - axis.easiest) * 2 * way + span) // (2 * span)
        values |= dict.fromkeys(axis.fields, value)
    return replace(task, **values)


def check_level(level: int, levels: int) -> None:
    """Refuses a level that is not on the ladder.

    Raises:
        ValueError: naming the level and the highest one.
    """
    check_size("level", level)
    if level > levels:
        raise ValueError(
            f"level must be from 1 to the {levels} levels of the task, got level={level}: "
            f"pass a level of at most {levels}"
        )

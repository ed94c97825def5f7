"""The grid of sizes at which a trained network is measured, most of them never trained on."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from tasks.base import Task


def grid(task: Task) -> dict[str, Task]:
    """The task at every combination of the sizes of its grid, named by them.

    Combinations that the task refuses are left out, such as more items than its bits can tell
    apart. A task without a grid has what it is evaluated on at the end of training.

    >>> from tasks.repeat_copy import RepeatCopy
    >>> list(grid(RepeatCopy()))[:4]
    ['length_10_repeats_10', 'length_10_repeats_15', 'length_10_repeats_20', 'length_15_repeats_10']
    """
    if not task.grid:
        return task.evaluations()
    found: dict[str, Task] = {}
    for values in itertools.product(*(sizes.values for sizes in task.grid)):
        options: dict[str, Any] = {}
        names: list[str] = []
        for sizes, value in zip(task.grid, values, strict=True):
            each = value if isinstance(value, tuple) else (value,) * len(sizes.fields)
            options |= dict(zip(sizes.fields, each, strict=True))
            names.append(f"{sizes.name}_{each[0]}")
        try:
            found["_".join(names)] = replace(task, **options)
        except ValueError:
            continue
    return found


def coordinates(name: str) -> dict[str, int]:
    """The sizes in the name of a variant.

    >>> coordinates("length_10_repeats_20")
    {'length': 10, 'repeats': 20}
    """
    words = name.split("_")
    pairs = zip(words[::2], words[1::2], strict=False)
    return {word: int(value) for word, value in pairs if value.isdigit()}

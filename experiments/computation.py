"""Computation steps between what a task shows and what it asks, as Deletang et al. (2023) add them.

>>> import torch
>>> from tasks.base import draw
>>> from tasks.even_pairs import EvenPairs
>>> task = with_computation(EvenPairs(min_length=2, max_length=2), 2)
>>> print(draw(task.sample(1, torch.Generator().manual_seed(0))))
inputs   0 | . . . . . . .
         1 | # # . . . . .
         2 | . . . . . . #
         3 | . . # # # # .
targets  0 |             #
         1 |             .
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

import torch

from tasks.base import Axis, Batch, Task
from tasks.costs import Cost
from tasks.planning import planned


def with_computation(task: Task, multiple: int) -> Task:
    """The task with so many times its input's length of steps before the answer; 0: as it is."""
    if multiple == 0:
        return task
    sizes = {name: getattr(task, name) for name in ("min_length", "max_length")}
    return cast("Task", Computation(inner=task, multiple=multiple, **sizes))


@dataclass(frozen=True, kw_only=True)
class Computation:
    """A task of strings, whose inputs have a channel more: 1 on the computation steps.

    The answers stay what they are, and are asked `multiple` times the length of the input later.
    """

    inner: Any
    """the task"""
    multiple: int
    """computation steps for each step of the input"""
    min_length: int
    """of the task, so that a curriculum changes it"""
    max_length: int
    """the same"""

    @property
    def task(self) -> Task:
        """The inner task at these lengths."""
        sizes = {"min_length": self.min_length, "max_length": self.max_length}
        return dataclasses.replace(self.inner, **sizes)

    @property
    def input_size(self) -> int:
        """The channels of the task, and that of the computation steps."""
        return self.task.input_size + 1

    @property
    def output_size(self) -> int:
        """Those of the task."""
        return self.task.output_size

    @property
    def cost(self) -> Cost:
        """That of the task."""
        return self.task.cost

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Those of the task."""
        return self.task.axes

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences of the task, and puts the steps before their answers."""
        batch = self.task.sample(batch_size, generator)
        shown = int((batch.mask != 0).any(1).int().argmax())
        added = self.multiple * shown
        longer = planned(batch, added)
        sign = torch.zeros_like(longer.inputs[..., :1])
        sign[shown : shown + added] = 1
        return longer._replace(inputs=torch.cat([longer.inputs, sign], -1))

    def chance_cost(self) -> float:
        """That of the task."""
        return self.task.chance_cost()

    def chance_errors(self) -> float:
        """That of the task."""
        return self.task.chance_errors()

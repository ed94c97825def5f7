"""What the graph tasks of the DNC's paper share: lessons, sizes, channels."""

from __future__ import annotations

import abc
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch

from tasks import triples
from tasks.base import Axis, Rows, Sizes, Task, check_size, random_size
from tasks.triples import LABELS


class Lesson(NamedTuple):
    """What a lesson of a curriculum draws from: ranges, from least to most."""

    nodes: tuple[int, int]
    degree: tuple[int, int]
    """of the edges that leave a node"""
    path: tuple[int, int]
    """of the edges of a path, or of a relation"""


class GraphTask(abc.ABC):
    """What a task has that asks for paths on random graphs.

    A task derives from it once, and is final; it has its fields `lesson`, `nodes`, `degree` and
    `path` itself, with their texts.
    """

    input_size = triples.INPUT_SIZE
    output_size = triples.TRIPLE_SIZE
    cost = triples.TRIPLES
    lessons: tuple[Lesson, ...]
    lesson: int
    nodes: int
    degree: int
    path: int

    def __post_init__(self) -> None:
        check_size("lesson", self.lesson)
        last = len(self.lessons)
        if self.lesson > last:
            raise ValueError(
                f"lesson must be from 1 to {last}, got lesson={self.lesson}: pass one of them"
            )
        for name in ("nodes", "degree", "path"):
            check_size(name, getattr(self, name), minimum=0)
        if self.nodes == 1 or self.nodes > LABELS:
            raise ValueError(
                f"nodes must be from 2 to {LABELS}, which have a label each, got "
                f"nodes={self.nodes}: pass 0 for those of the lesson"
            )
        least = self.ranges.nodes[0]
        if self.degree >= least:
            raise ValueError(
                f"degree must be below the number of nodes, which is at least {least}, got "
                f"degree={self.degree}: raise nodes or lower degree"
            )

    @property
    def ranges(self) -> Lesson:
        """The ranges that sizes are drawn from."""
        fixed = (self.nodes, self.degree, self.path)
        pairs = zip(self.lessons[self.lesson - 1], fixed, strict=True)
        return Lesson(*((size, size) if size else pair for pair, size in pairs))

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return triples.INPUT_ROWS

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return triples.OUTPUT_ROWS

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The lessons."""
        return (Axis(("lesson",), 1, self.lesson),)

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """None: what is measured are the sizes of `evaluations`."""
        return ()

    def degrees(self, generator: torch.Generator) -> list[int]:
        """How many edges leave each node of the graphs of a batch."""
        ranges = self.ranges
        nodes = random_size(*ranges.nodes, generator)
        return [min(random_size(*ranges.degree, generator), nodes - 1) for _ in range(nodes)]

    def at_sizes(self, sizes: tuple[tuple[int, int], ...]) -> dict[str, Task]:
        """Graphs of so many nodes, four edges each, and paths of so many steps."""
        this: Any = self
        return {
            f"nodes_{nodes}_path_{path}": cast(
                "Task", replace(this, nodes=nodes, degree=4, path=path)
            )
            for nodes, path in sizes
        }

"""What the graph tasks of the DNC's paper share: lessons, sizes, channels."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from tasks import graph_files, triples
from tasks.base import Axis, Rows, Sizes, Task, check_size, random_size
from tasks.graph_files import GraphFile
from tasks.graphs import Graphs, random_graphs
from tasks.triples import LABELS


class Lesson(NamedTuple):
    """What a lesson of a curriculum draws from: ranges, from least to most."""

    nodes: tuple[int, int]
    degree: tuple[int, int]
    """of the edges that leave a node"""
    path: tuple[int, int]
    """of the edges of a path, or of a relation"""


class GraphTask(abc.ABC):
    """What a task has that asks for paths on random graphs, or on the graph of a file.

    A task derives from it once, and is final; it has its fields `lesson`, `map_file`, `on_map`,
    `nodes`, `degree` and `path` itself, with their texts.
    """

    input_size = triples.INPUT_SIZE
    output_size = triples.TRIPLE_SIZE
    cost = triples.TRIPLES
    lessons: tuple[Lesson, ...]
    lesson: int
    map_file: str
    on_map: int
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
        if not isinstance(self.map_file, str):
            raise ValueError(f"map_file must be a path, got {self.map_file!r}: pass it as text")
        check_size("on_map", self.on_map, minimum=0)
        if self.on_map > bool(self.map_file):
            raise ValueError(
                f"on_map must be 0, or 1 where there is a map_file, got on_map={self.on_map} and "
                f"map_file={self.map_file!r}: pass on_map=0, or the file"
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

    @property
    def map(self) -> GraphFile | None:
        """The graph of the file on which sequences are drawn; None: they are on random graphs.

        Raises:
            ValueError: there is no such file, or it is of another form.
        """
        return graph_files.read(self.map_file) if self.on_map else None

    def graphs(self, generator: torch.Generator) -> Callable[[int], Graphs]:
        """What makes so many graphs of the sizes of one batch, which are drawn first."""
        known = self.map
        if known is not None:
            return lambda count: graph_files.labelled(known, count, generator)
        ranges = self.ranges
        nodes = random_size(*ranges.nodes, generator)
        degrees = [min(random_size(*ranges.degree, generator), nodes - 1) for _ in range(nodes)]
        return lambda count: random_graphs(count, degrees, generator)

    def at_sizes(self, sizes: tuple[tuple[int, int], ...], on_map: int) -> dict[str, Task]:
        """Graphs of so many nodes, four edges each, and paths of so many steps.

        Where there is a map, that too, with paths of `on_map` steps.
        """
        this: Any = self
        found: dict[str, Task] = {
            f"nodes_{nodes}_path_{path}": replace(this, nodes=nodes, degree=4, path=path, on_map=0)
            for nodes, path in sizes
        }
        if self.map_file:
            found[f"map_path_{on_map}"] = replace(this, on_map=1, path=on_map)
        return found

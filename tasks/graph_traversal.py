"""The traversal task of the DNC's paper: read a graph, then follow a path of edges in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks import triples
from tasks.base import Batch, Task, check_size, random_size
from tasks.graph_files import GraphFile
from tasks.graph_task import GraphTask, Lesson
from tasks.graphs import Graphs, shuffled, walk
from tasks.registry import register
from tasks.solved import Paper, Solved
from tasks.triples import BLANK, END, Phase, blank, decode, encode, ended, lay_out

LESSONS = (
    Lesson((3, 10), (2, 4), (1, 1)),
    Lesson((3, 10), (2, 4), (1, 2)),
    Lesson((5, 10), (2, 4), (1, 3)),
    Lesson((5, 10), (2, 4), (1, 4)),
    Lesson((10, 15), (2, 4), (1, 4)),
    Lesson((10, 15), (2, 4), (1, 5)),
    Lesson((10, 20), (2, 4), (1, 5)),
    Lesson((10, 20), (2, 4), (1, 6)),
    Lesson((10, 30), (2, 4), (1, 6)),
    Lesson((10, 30), (2, 4), (1, 7)),
    Lesson((10, 30), (2, 4), (1, 8)),
    Lesson((10, 30), (2, 4), (1, 9)),
    Lesson((10, 40), (2, 6), (1, 10)),
    Lesson((10, 40), (2, 6), (1, 20)),
)
"""Extended data table 3."""


@register("graph_traversal")
@dataclass(frozen=True, kw_only=True)
class GraphTraversal(GraphTask):
    """Read the edges of a graph, then start at a node and follow edges by their labels.

    Graves et al. 2016 (Nature 538; Methods, "Graph task descriptions"). The edges are shown as
    triples of labels (source, edge, destination), one a step, in random order. The query has a
    triple for each step of a random walk: the first without its destination, the others with the
    edge alone. The answer, without any input, is the complete triples, and then the triple 0-0-0,
    the end. Only edges of one node have labels that differ, so that a network has to look for a
    node and an edge at once. A sequence is right if all of its triples are (`exact_match`).

    How large graphs are and how long paths, a lesson of the paper's curriculum says:
    `--curriculum lessons` goes through them. The sequences of a batch have as many nodes, edges and
    steps as each other. Inputs [T, B, 92]: three digits for each of the three labels, one-hot, the
    start of a phase, and where to answer. Targets [T, B, 90], of which each ten are one softmax.

    The paper tests seven steps on a map of the London Underground: the file of `map_file`, whose
    names get other numbers in every sequence (`tasks.graph_files` has the form).

    Raises:
        ValueError: a size is out of its range. When sequences on a map are drawn: the file is not
            there, is of another form, or has a node that no edge leaves.

    A graph of three nodes, each with one edge, and a path of two steps:

    >>> task = GraphTraversal(nodes=3, degree=1, path=2)
    >>> print(triples.text(task.sample(1, torch.Generator().manual_seed(0))))
    452-326-247 247-767-452 574-767-452
    452-326-_ _-767-_
    [452-326-247] [247-767-452] [0-0-0]
    """

    lessons = LESSONS
    lesson: int = len(LESSONS)
    """Lesson of the paper, from 1 to 14: the ranges of nodes, edges of a node, and steps."""
    map_file: str = ""
    """File of a graph on which evaluations measure too, such as the map of an underground."""
    on_map: int = 0
    """1: all sequences are on the graph of that file; 0: on random graphs."""
    nodes: int = 0
    """Nodes of a graph; 0: uniform over the lesson's range, one number a batch."""
    degree: int = 0
    """Edges that leave each node; 0: uniform over the lesson's range, one number a node."""
    path: int = 0
    """Steps of a path; 0: uniform over the lesson's range, one number a batch."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        if self.map is not None:
            check_ways_on(self.map)
        graphs = self.graphs(generator)
        path = random_size(*self.ranges.path, generator)
        return traverse(graphs(batch_size), path, generator)

    def chance_cost(self) -> float:
        """29.9 bits for each step of a path: all digits are as likely, and the end is no secret."""
        return triples.TRIPLE_BITS * self.chance_errors()

    def chance_errors(self) -> float:
        """All triples of a path: the same answer everywhere is right once in a billion steps."""
        return sum(self.ranges.path) / 2

    @property
    def solved(self) -> Solved:
        """Nine of ten sequences right, at least."""
        return Solved(
            "wrong_triples",
            0.1,
            "The paper passes a lesson with 90% of the sequences right, and a sequence that is not "
            "has at least one wrong triple.",
            Paper(
                "Graves et al. 2016, extended data table 3: mean of 20 networks on lesson 14",
                {
                    "DNC": "99.0 ± 1.1% of sequences right, after about a million",
                    "LSTM": "37% of lesson 1 right, after almost two million: the best network",
                },
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, by looking up each edge in a dictionary."""
        described, asked, due = triples.phases(inputs)
        labels = decode(inputs[..., : triples.TRIPLE_SIZE])
        targets = inputs.new_zeros(*inputs.shape[:2], self.output_size, dtype=torch.float32)
        rows = zip(triples.numbers(labels[described]), triples.numbers(labels[asked]), strict=True)
        for row, (graph, query) in enumerate(rows):
            leads = {(source, edge): destination for source, edge, destination in graph}
            at, found = query[0][0], []
            for _, edge, _ in query:
                found.append((at, edge, leads[at, edge]))
                at = leads[at, edge]
            targets[due, row] = encode(torch.tensor([*found, END], device=inputs.device))
        return targets

    def evaluations(self) -> dict[str, Task]:
        """Graphs and paths of fixed sizes, up to the paper's largest; seven steps on the map."""
        return self.at_sizes(((10, 1), (10, 4), (20, 6), (30, 7), (40, 10), (40, 20)), 7)


def check_ways_on(known: GraphFile) -> None:
    """Refuse a map with a node in which a walk ends.

    Raises:
        ValueError: naming the node.
    """
    left = {source for source, _, _ in known.edges}
    for node, name in enumerate(known.nodes):
        if node not in left:
            raise ValueError(
                f"an edge must leave every node of a map to traverse, but none leaves {name}: add "
                "the way back, if there is one"
            )


def traverse(graphs: Graphs, path: int, generator: torch.Generator) -> Batch:
    """The batch that asks for a random walk of so many steps on each of these graphs."""
    edges = graphs.triples()
    walked = walk(graphs, path, generator)
    steps = edges.gather(1, walked[..., None].expand(-1, -1, 3))
    query = steps.clone()
    query[:, :, 2] = BLANK
    query[:, 1:, 0] = BLANK
    answer = ended(steps)
    return lay_out([Phase(shuffled(edges, generator)), Phase(query), Phase(blank(answer), answer)])

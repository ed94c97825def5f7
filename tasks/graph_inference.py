"""The inference task of the DNC's paper: find where a relation leads that stands for some edges."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor

from tasks import triples
from tasks.base import Batch, Task, check_size
from tasks.graph_files import GraphFile
from tasks.graph_task import GraphTask, Lesson
from tasks.graphs import shuffled
from tasks.registry import register
from tasks.solved import Paper, Solved
from tasks.transduction import python_generator
from tasks.triples import BLANK, TRIPLE_SIZE, Phase, blank, decode, encode, lay_out

EDGES = 10  # labels of single edges, from 0 on
EACH = 100  # relations of each length
SHORTEST, LONGEST = 2, 5
ROUNDS, TRIES = 30, 300  # of labelling a graph, and of placing a relation in it

LESSONS = (
    Lesson((3, 3), (2, 2), (2, 2)),
    Lesson((3, 5), (2, 2), (2, 2)),
    Lesson((4, 6), (2, 4), (2, 2)),
    Lesson((4, 6), (2, 4), (2, 2)),
    Lesson((6, 12), (2, 4), (2, 2)),
    Lesson((12, 18), (2, 4), (2, 2)),
    Lesson((4, 6), (2, 4), (2, 3)),
    Lesson((6, 12), (2, 4), (2, 3)),
    Lesson((12, 18), (2, 4), (2, 3)),
    Lesson((4, 6), (2, 4), (2, 4)),
    Lesson((4, 6), (2, 4), (2, 4)),
    Lesson((6, 12), (2, 4), (2, 4)),
    Lesson((12, 18), (2, 4), (2, 4)),
    Lesson((4, 6), (2, 4), (2, 5)),
    Lesson((6, 12), (2, 4), (2, 5)),
    Lesson((12, 18), (2, 4), (2, 5)),
    Lesson((20, 25), (2, 4), (2, 5)),
)
"""Extended data table 4, in which lessons 3 and 4, and 10 and 11, are the same."""


@functools.cache
def relations() -> dict[int, tuple[int, ...]]:
    """The edges of each relation, by its label: the same at all times, as for the paper's networks.

    Labels 10 to 109 stand for two edges, 110 to 209 for three, and so on to 409. Each of the
    lengths has a hundred different sequences, of two edges all there are.

    >>> relations()[10], relations()[409]
    ((9, 8), (6, 5, 2, 8, 8))
    """
    draws = Random(2016)  # whose random() is the same in every version of Python
    found: dict[int, tuple[int, ...]] = {}
    for length in range(SHORTEST, LONGEST + 1):
        numbers = sorted(range(EDGES**length), key=lambda _: draws.random())[:EACH]
        for label, number in enumerate(numbers, start=first_label(length)):
            found[label] = tuple(int(digit) for digit in f"{number:0{length}}")
    return found


def first_label(length: int) -> int:
    """The first of the hundred labels of relations of so many edges.

    >>> first_label(2), first_label(5)
    (10, 310)
    """
    return EDGES + EACH * (length - SHORTEST)


def digit_odds(lengths: tuple[int, int]) -> Tensor:
    """How likely each digit is at the three places of a relation's label, [3, 10], float64.

    Args:
        lengths: the fewest and the most edges that it stands for; all are as likely.
    """
    labels = torch.arange(first_label(lengths[0]), first_label(lengths[1]) + EACH)
    codes = encode(labels[:, None]).view(-1, 3, 10)
    return codes.double().mean(0)


@register("graph_inference")
@dataclass(frozen=True, kw_only=True)
class GraphInference(GraphTask):
    """Read the edges of a graph, then tell where relations lead, which stand for several edges.

    Graves et al. 2016 (Nature 538; Methods, "Inference"). The edges of a node have labels from 0 to
    9, all different. A relation is a label from 10 to 409 that stands for two to five edges, one
    after the other: 400 of them, the same in all sequences (`relations`), which are never shown. A
    query is a triple (source, relation, _), and some blank steps to think follow; the answer is one
    step, the triple with its destination. A sequence has several queries on its graph, and is right
    if all its answers are (`exact_match`).

    A relation and a start are drawn, and edges on the way that have no label yet get those that it
    needs; then the others any that their node has not given. The paper does not say how it does it.
    Inputs [T, B, 92] and targets [T, B, 90] are those of the traversal task.

    The paper tests relations of four edges in a family tree, here of `map_file`
    (`tasks.graph_files` has the form): each of its at most ten kinds of edges, such as `mother`, is
    a number from 0 to 9, another one in every sequence, and asked for are those of its chains of
    edges that then are a relation.

    Raises:
        ValueError: a size is out of its range. When sequences are drawn: the relations have no
            place in the graphs, or the file is not there or of another form.

    Two queries on a graph of three nodes, without steps to think:

    >>> task = GraphInference(nodes=3, degree=2, path=2, queries=2, planning_steps=0)
    >>> print(triples.text(task.sample(1, torch.Generator().manual_seed(0))))
    453-1-248 575-2-248 453-3-575 248-5-453 575-9-453 248-0-575
    248-101-_
    [248-101-248]
    248-94-_
    [248-94-575]
    >>> relations()[101], relations()[94]
    ((0, 2), (5, 3))
    """

    lessons = LESSONS
    lesson: int = len(LESSONS)
    """Lesson of the paper, from 1 to 17: the ranges of nodes, edges of a node, and relations."""
    map_file: str = ""
    """File of a graph on which evaluations measure too, such as a family tree."""
    on_map: int = 0
    """1: all sequences are on the graph of that file; 0: on random graphs."""
    nodes: int = 0
    """Nodes of a graph; 0: uniform over the lesson's range, one number a batch."""
    degree: int = 0
    """Edges that leave each node; 0: uniform over the lesson's range, one number a node."""
    path: int = 0
    """Edges that a relation stands for, 2 to 5; 0: uniform over the lesson's range."""
    queries: int = 3
    """Queries in a sequence."""
    planning_steps: int = 10
    """Blank steps before each answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size("queries", self.queries)
        check_size("planning_steps", self.planning_steps, minimum=0)
        if self.degree > EDGES:
            raise ValueError(
                f"degree must be at most {EDGES}, as there are labels of single edges, got "
                f"degree={self.degree}: pass fewer"
            )
        if self.path and not SHORTEST <= self.path <= LONGEST:
            raise ValueError(
                f"path must be from {SHORTEST} to {LONGEST}, the edges that a relation stands for, "
                f"or 0, got path={self.path}: pass 0 for those of the lesson"
            )

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        graphs = self.graphs(generator)(batch_size)
        draws, sources = python_generator(generator), graphs.sources.tolist()
        known, lengths = self.map, self.ranges.path
        placed = [
            _place(sources, ends, self.queries, lengths, draws)
            if known is None
            else relate(known, self.queries, lengths, draws)
            for ends in graphs.destinations.tolist()
        ]
        edges, asked = (
            torch.tensor(part, device=generator.device) for part in zip(*placed, strict=True)
        )
        labels = [graphs.nodes.gather(1, asked[..., end]) for end in (0, 2)]
        answers = torch.stack([labels[0], asked[..., 1], labels[1]], dim=-1)
        told = shuffled(graphs._replace(edges=edges).triples(), generator)
        return lay_out([Phase(told), *self._asking(answers)])

    def _asking(self, answers: Tensor) -> Iterator[Phase]:
        """The phases after the graph, for the answers [B, queries, 3]."""
        for answer in answers.split(1, dim=1):
            query = answer.clone()
            query[..., 2] = BLANK
            yield Phase(query)
            if self.planning_steps:
                yield Phase(blank(query).expand(-1, self.planning_steps, -1))
            yield Phase(blank(answer), answer)

    def chance_cost(self) -> float:
        """What each answer's digits cost, of which those of the relation are not all as likely."""
        digits = torch.special.entr(digit_odds(self.ranges.path)).sum() / math.log(2)
        return self.queries * (6 * math.log2(10) + float(digits))

    def chance_errors(self) -> float:
        """All answers: the same one everywhere is right once in millions of times."""
        return float(self.queries)

    @property
    def solved(self) -> Solved:
        """Nine of ten sequences right, at least."""
        return Solved(
            "wrong_triples",
            0.1,
            "The paper passes a lesson with 90% of the sequences right, and a sequence that is not "
            "has at least one wrong triple.",
            Paper(
                "Graves et al. 2016, extended data table 4: mean of 20 networks on lesson 17",
                {"DNC": "95.5 ± 2.2% of sequences right"},
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, by following the edges of each relation."""
        described, *_ = triples.phases(inputs)
        labels = decode(inputs[..., :TRIPLE_SIZE])
        asked = (labels[:, 0, 1] >= EDGES) & (labels[:, 0, 1] != BLANK)
        due = inputs[:, 0, triples.ANSWER] == 1
        targets = inputs.new_zeros(*inputs.shape[:2], self.output_size, dtype=torch.float32)
        rows = zip(triples.numbers(labels[described]), triples.numbers(labels[asked]), strict=True)
        for row, (graph, queries) in enumerate(rows):
            leads = {(source, edge): end for source, edge, end in graph}
            found: list[tuple[int, int, int]] = []
            for source, relation, _ in queries:
                at = source
                for edge in relations()[relation]:
                    at = leads[at, edge]
                found.append((source, relation, at))
            targets[due, row] = encode(torch.tensor(found, device=inputs.device))
        return targets

    def evaluations(self) -> dict[str, Task]:
        """Graphs and relations of fixed sizes, up to the paper's largest, and those of four edges
        in the family tree.
        """
        return self.at_sizes(((6, 2), (12, 3), (18, 4), (25, 5)), 4)


class _Placed(NamedTuple):
    """What a graph of a batch is asked."""

    edges: list[int]
    """the label of each edge"""
    queries: list[tuple[int, int, int]]
    """the node of the start, the label of a relation, the node where it leads"""


def _place(
    sources: list[int], ends: list[int], queries: int, lengths: tuple[int, int], draws: Random
) -> _Placed:
    """Label the edges of a graph so that some relations lead somewhere in it.

    Raises:
        ValueError: that was tried in vain.
    """
    nodes = range(max(sources) + 1)
    leaving = [[edge for edge, source in enumerate(sources) if source == node] for node in nodes]
    for _ in range(ROUNDS):
        labels: dict[int, int] = {}
        asked = [
            _query(leaving, ends, labels, draws.randint(*lengths), draws) for _ in range(queries)
        ]
        found = [query for query in asked if query is not None]
        if len(found) == queries:
            for edges in leaving:
                given = {labels.get(edge) for edge in edges}
                unused = [label for label in range(EDGES) if label not in given]
                draws.shuffle(unused)
                labels |= {edge: unused.pop() for edge in edges if edge not in labels}
            return _Placed([labels[edge] for edge in range(len(ends))], found)
    raise ValueError(
        f"{queries} relations of {lengths[0]} to {lengths[1]} edges must have a place in a graph, "
        f"but have none in one of {len(leaving)} nodes: pass more nodes, a higher degree or fewer "
        "queries"
    )


def relate(graph: GraphFile, queries: int, lengths: tuple[int, int], draws: Random) -> _Placed:
    """Number the kinds of edges of a graph so that some chains of its edges are relations.

    Raises:
        ValueError: there are more kinds than numbers, or that was tried in vain.
    """
    if len(graph.kinds) > EDGES:
        raise ValueError(
            f"the edges of a graph for inference must be of at most {EDGES} kinds, got "
            f"{len(graph.kinds)} ({', '.join(graph.kinds)}): leave out some of them"
        )
    labels = {edges: label for label, edges in relations().items()}
    for _ in range(TRIES):
        numbers = draws.sample(range(EDGES), len(graph.kinds))
        found = [
            (start, labels[edges], end)
            for start, kinds, end in chains(graph, draws.randint(*lengths))
            if (edges := tuple(numbers[kind] for kind in kinds)) in labels
        ]
        if found:
            asked = [draws.choice(found) for _ in range(queries)]
            return _Placed([numbers[kind] for _, kind, _ in graph.edges], asked)
    raise ValueError(
        f"a chain of {lengths[0]} to {lengths[1]} edges of the graph must be a relation, but none "
        "or hardly any is: pass a graph with more edges"
    )


@functools.lru_cache(maxsize=64)
def chains(graph: GraphFile, length: int) -> list[tuple[int, tuple[int, ...], int]]:
    """All ways along so many edges: the start, the kinds of the edges, and the end."""
    found = [(node, (), node) for node in range(len(graph.nodes))]
    for _ in range(length):
        found = [
            (start, (*kinds, kind), end)
            for start, kinds, at in found
            for source, kind, end in graph.edges
            if source == at
        ]
    return found


def _query(
    leaving: list[list[int]], ends: list[int], labels: dict[int, int], length: int, draws: Random
) -> tuple[int, int, int] | None:
    """Draw a start and a relation, and add the labels that it needs; None: tried in vain."""
    for _ in range(TRIES):
        relation = first_label(length) + draws.randrange(EACH)
        at = start = draws.randrange(len(leaving))
        needed = dict(labels)
        for label in relations()[relation]:
            edges = [e for e in leaving[at] if needed.get(e) == label]
            edges = edges or [e for e in leaving[at] if e not in needed]
            if not edges:
                break
            edge = draws.choice(edges)
            needed[edge] = label
            at = ends[edge]
        else:
            labels.update(needed)
            return start, relation, at
    return None

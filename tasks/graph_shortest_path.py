"""The shortest-path task of the DNC's paper: read a graph, then move from a node to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks import triples
from tasks.acting import Network
from tasks.base import Batch, Task, check_outputs, check_size, random_size
from tasks.graph_planner import Planner, plan
from tasks.graph_task import GraphTask, Lesson
from tasks.graphs import Graphs, shuffled, uniform
from tasks.registry import register
from tasks.solved import Paper, Solved
from tasks.triples import BLANK, TRIPLE_SIZE, Phase, blank, decode, encode, lay_out

ROUNDS = 1000
"""of drawing graphs until each has a path of the length"""

LESSONS = (
    Lesson((5, 10), (1, 2), (2, 2)),
    Lesson((5, 20), (1, 2), (2, 2)),
    Lesson((10, 20), (1, 2), (2, 2)),
    Lesson((10, 20), (1, 2), (2, 3)),
    Lesson((10, 20), (1, 3), (2, 3)),
    Lesson((10, 20), (2, 3), (2, 3)),
    Lesson((10, 20), (2, 3), (2, 4)),
    Lesson((10, 20), (2, 4), (2, 4)),
    Lesson((10, 25), (2, 4), (2, 4)),
    Lesson((10, 25), (2, 4), (2, 5)),
    Lesson((10, 25), (2, 4), (2, 5)),
    Lesson((15, 25), (2, 4), (2, 5)),
    Lesson((15, 25), (2, 5), (2, 5)),
    Lesson((20, 25), (2, 5), (2, 5)),
    Lesson((20, 25), (2, 6), (2, 5)),
)
"""Extended data table 5, in which lessons 10 and 11 are the same."""


def wrong_moves(logits: Tensor, batch: Batch) -> Tensor:
    """How many scored moves are not the first of a shortest path from where they start, [B].

    A move is the likeliest of the edges that leave the node, and the inputs say which node that is.
    A NaN or a tie counts as wrong.

    Raises:
        ValueError: the logits have another shape than the targets.
    """
    check_outputs(logits, batch)
    planner, at = read(batch.inputs)
    wrong = torch.zeros_like(batch.mask[0])
    for step, nodes in enumerate(at, start=len(batch.mask) - len(at)):
        scores, good = planner.scores(logits[step], nodes), planner.good(nodes)
        best = scores.masked_fill(~good, -torch.inf).amax(1)
        other = scores.masked_fill(good, -torch.inf).amax(1)
        alone = (scores == best[:, None]).sum(1) == 1
        wrong += ~((best > other) & alone) * batch.mask[step]
    return wrong


MOVES = triples.TRIPLES._replace(errors_name="wrong_moves", errors=wrong_moves)
"""The cost is that of all nine digits; a path is a shortest one if none of its moves is wrong."""


@register("graph_shortest_path")
@dataclass(frozen=True, kw_only=True)
class GraphShortestPath(GraphTask):
    """Read the edges of a graph, then move from one node to another by as few edges as can be.

    Graves et al. 2016 (Nature 538; Methods, "Shortest path" and "Structured prediction"). The edges
    are shown as in the traversal task; the query is one triple, (source, _, destination), and blank
    steps to plan follow. Each step of the answer is a move, the likeliest of the edges that leave
    the node; the input of the next step shows it. The target of a step is the first edge of a
    shortest path from the node that was reached, of several the one that was described first.

    The sequences that are drawn move as a planner does. In training, the moves are the network's
    own at some steps, and in evaluations at all of them (`act`): a path is right if it is a
    shortest one (`exact_match`). The answer takes as many steps as a shortest path. From a node
    without a way to the goal nothing is scored. Inputs [T, B, 92] and targets [T, B, 90] are those
    of the traversal task.

    The paper tests paths of four on a map of the London Underground, `map_file`, as for traversal.

    Raises:
        ValueError: a size is out of its range. When sequences are drawn: no graph has such a path,
            or the file of the map is not there or of another form.

    A graph of three nodes, a path of two moves and one step to plan:

    >>> task = GraphShortestPath(nodes=3, degree=1, path=2, planning_steps=1)
    >>> print(triples.text(task.sample(1, torch.Generator().manual_seed(0))))
    574-767-452 452-326-247 247-767-452
    574-_-247
    _-_-_
    [574-767-452] 574-767-452[452-326-247]
    """

    lessons = LESSONS
    cost = MOVES
    lesson: int = len(LESSONS)
    """Lesson of the paper, from 1 to 15: the ranges of nodes, edges of a node, and moves."""
    map_file: str = ""
    """File of a graph on which evaluations measure too, such as the map of an underground."""
    on_map: int = 0
    """1: all sequences are on the graph of that file; 0: on random graphs."""
    nodes: int = 0
    """Nodes of a graph; 0: uniform over the lesson's range, one number a batch."""
    degree: int = 0
    """Edges that leave each node; 0: uniform over the lesson's range, one number a node."""
    path: int = 0
    """Moves from start to goal; 0: uniform over the lesson's range, one number a batch."""
    planning_steps: int = 10
    """Blank steps before the answer."""
    planner_percent: int = 80
    """Percent of the steps in training at which the planner moves, not the network (100 beta)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size("planning_steps", self.planning_steps, minimum=0)
        check_size("planner_percent", self.planner_percent, minimum=0)
        if self.planner_percent > 100:
            raise ValueError(
                f"planner_percent must be at most 100, got planner_percent={self.planner_percent}: "
                "pass 80"
            )

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences, in which the planner moves; the generator alone decides."""
        check_size("batch_size", batch_size)
        graphs = self.graphs(generator)
        path = random_size(*self.ranges.path, generator)
        edges, ends = journeys(batch_size, graphs, path, generator)
        edges = shuffled(edges, generator)
        planner, at = plan(edges, ends[:, 1]), ends[:, 0]
        moves: list[Tensor] = []
        for _ in range(path):
            moves.append(planner.best(at))
            at = moves[-1][:, 2]
        due = torch.stack(moves, dim=1)
        query = torch.stack([ends[:, 0], torch.full_like(at, BLANK), ends[:, 1]], dim=1)[:, None]
        shown = torch.cat([blank(query), due[:, :-1]], dim=1)
        planning = blank(query).expand(-1, self.planning_steps, -1)
        told = [Phase(edges), Phase(query)] + [Phase(planning)] * (self.planning_steps > 0)
        return lay_out([*told, Phase(shown, due)])

    def act(
        self, batch: Batch, network: Network, generator: torch.Generator | None = None
    ) -> Batch:
        """The batch in which a network moves; with a generator, the planner at some of the steps.

        The generator decides for all sequences of the batch alike.
        """
        inputs, state, seen = batch.inputs.clone(), None, 0
        planner, (at, *_) = read(inputs)
        due = triples.phases(inputs)[-1]
        for step in range(due.start, due.stop - 1):
            outputs, state = network(inputs[seen : step + 1], state)
            move, seen = planner.edge(planner.scores(outputs[-1], at)), step + 1
            if generator is not None and float(uniform((), generator)) < self.planner_percent / 100:
                best = planner.best(at)
                move = torch.where(best == BLANK, move, best)
            inputs[step + 1, :, :TRIPLE_SIZE] = encode(move)
            at = move[:, 2]
        targets = self.solve(inputs)
        return Batch(inputs, targets, targets.amax(-1))

    def chance_cost(self) -> float:
        """29.9 bits for each move: all digits are as likely."""
        return triples.TRIPLE_BITS * self.chance_errors()

    def chance_errors(self) -> float:
        """All moves: to know nothing is a tie, which is wrong where there is a choice."""
        return sum(self.ranges.path) / 2

    @property
    def solved(self) -> Solved:
        """Four of five paths as short as can be, at least."""
        return Solved(
            "wrong_moves",
            0.2,
            "The paper passes a lesson with 80% of the paths right, and a path that is longer than "
            "the shortest has at least one wrong move.",
            Paper(
                "Graves et al. 2016, extended data table 5: mean of 20 networks on lesson 15",
                {"DNC": "64.0 ± 3.5% of paths as short as can be"},
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The best move from each node that the inputs say was reached, by the planner."""
        planner, at = read(inputs)
        targets = inputs.new_zeros(*inputs.shape[:2], self.output_size, dtype=torch.float32)
        targets[len(inputs) - len(at) :] = torch.stack([encode(planner.best(a)) for a in at])
        return targets

    def evaluations(self) -> dict[str, Task]:
        """Graphs and paths of fixed sizes, up to the paper's largest, and four steps on the map."""
        return self.at_sizes(((10, 2), (20, 3), (25, 4), (25, 5)), 4)


def read(inputs: Tensor) -> tuple[Planner, list[Tensor]]:
    """The planner of the graphs in these inputs, and the nodes [B] from which each move starts."""
    described, asked, *_, due = triples.phases(inputs)
    labels = decode(inputs[..., :TRIPLE_SIZE])
    (query,) = labels[asked]
    planner = plan(labels[described].transpose(0, 1), query[:, 2])
    return planner, [query[:, 0], *labels[due][1:, :, 2]]


def journeys(
    batch_size: int, draw: Callable[[int], Graphs], path: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Graphs that are drawn, and a start and a goal in each that are so many edges apart.

    Returns:
        The triples [B, E, 3] of the graphs, and the labels [B, 2] of start and goal.

    Raises:
        ValueError: of a thousand times as many graphs, too few have such a pair of nodes.
    """
    edges: list[Tensor] = []
    ends: list[Tensor] = []
    for _ in range(ROUNDS):
        graphs = draw(batch_size)
        nodes = graphs.nodes.shape[1]
        pairs = apart(graphs.destinations, graphs.sources, nodes, path).flatten(1)
        pair = (uniform(pairs.shape, generator) * pairs).argmax(1)
        found = pairs.any(1)
        pair = torch.stack([pair // nodes, pair % nodes], dim=1)
        edges.append(graphs.triples()[found])
        ends.append(graphs.nodes.gather(1, pair)[found])
        if sum(map(len, ends)) >= batch_size:
            return torch.cat(edges)[:batch_size], torch.cat(ends)[:batch_size]
    raise ValueError(
        f"there must be graphs with two nodes that are path={path} edges apart, but none or hardly "
        "any is: pass a shorter path, or more nodes"
    )


def apart(destinations: Tensor, sources: Tensor, nodes: int, path: int) -> Tensor:
    """Which nodes are so many edges from which, at the least: [B, N, N]."""
    rows = torch.arange(len(destinations), device=destinations.device)[:, None]
    step = torch.eye(nodes, device=destinations.device).repeat(len(rows), 1, 1)
    step[rows, sources, destinations] = 1
    within = before = torch.eye(nodes, device=destinations.device).expand_as(step)
    for _ in range(path):
        before, within = within, (within @ step).clamp(max=1)
    return (within > 0) & (before == 0)

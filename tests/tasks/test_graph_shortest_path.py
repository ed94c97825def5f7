"""Shortest paths: the planner beside a plain search, a network's own moves, what is refused."""

from collections import deque

import pytest
import torch

from tasks import Batch, GraphShortestPath, GraphTraversal
from tasks.acting import Acts, acted
from tasks.graph_planner import FAR, plan
from tasks.graph_shortest_path import LESSONS, apart, read, wrong_moves
from tasks.levels import levels
from tasks.triples import BLANK, decode, encode, numbers, phases

Triple = tuple[int, int, int]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def search(graph: list[Triple], goal: int) -> dict[int, int]:
    """How many edges each node is from a goal, by breadth-first search backwards with a queue."""
    distances, queue = {goal: 0}, deque([goal])
    while queue:
        node = queue.popleft()
        for source, _, end in graph:
            if end == node and source not in distances:
                distances[source] = distances[node] + 1
                queue.append(source)
    return distances


def split(batch: Batch) -> tuple[list[list[Triple]], list[list[Triple]], list[list[Triple]]]:
    """The edges, the query and what the answer's inputs show, of each sequence."""
    described, asked, *_, due = phases(batch.inputs)
    labels = decode(batch.inputs[..., :90])
    return tuple(list(numbers(labels[part])) for part in (described, asked, due))  # type: ignore[return-value]


@pytest.mark.parametrize("lesson", range(1, 16))
def test_the_answer_is_a_shortest_path_within_the_ranges_of_the_lesson(lesson):
    task, draws = GraphShortestPath(lesson=lesson), generator(lesson)
    (least, most), (fewest, many), (shortest, longest) = LESSONS[lesson - 1]
    for _ in range(8):
        batch = task.sample(3, draws)
        answers = numbers(decode(batch.targets[-int(batch.mask[:, 0].sum()) :]))
        for graph, (query,), shown, answer in zip(*split(batch), answers, strict=True):
            sources = [source for source, _, _ in graph]
            assert least <= len(set(sources)) <= most
            assert all(fewest <= sources.count(source) <= many for source in sources)
            assert query[1] == BLANK
            path = [query[0], *(end for _, _, end in answer)]
            assert path[-1] == query[2]
            assert [source for source, _, _ in answer] == path[:-1]
            assert all(move in graph for move in answer)
            assert len(answer) == search(graph, query[2])[query[0]]
            assert shortest <= len(answer) <= longest
            assert shown == [(BLANK,) * 3, *answer[:-1]]


def test_ten_blank_steps_come_before_the_answer():
    batch = GraphShortestPath(nodes=4, degree=2, path=2).sample(2, generator())
    described, asked, planning, due = phases(batch.inputs)
    assert (described, asked) == (slice(0, 8), slice(8, 9))
    assert (planning, due) == (slice(9, 19), slice(19, 21))
    assert not batch.inputs[planning][..., :90].any()
    assert torch.equal(batch.inputs[..., 91], batch.mask)
    assert len(phases(GraphShortestPath(planning_steps=0).sample(1, generator()).inputs)) == 3


def test_the_planner_knows_how_far_every_node_is_and_every_good_edge():
    for seed in range(20):
        batch = GraphTraversal(lesson=5).sample(2, generator(seed))
        edges = decode(batch.inputs[phases(batch.inputs)[0], :, :90]).transpose(0, 1)
        for row, graph in enumerate(edges.tolist()):
            goal = graph[seed % len(graph)][2]
            planner = plan(edges[row : row + 1], torch.tensor([goal]))
            distances = search(graph, goal)
            for node in {source for source, _, _ in graph}:
                assert planner.distances[0, node] == distances.get(node, FAR)
                at = torch.tensor([node])
                good = [
                    [source, edge, end]
                    for source, edge, end in graph
                    if source == node and distances.get(end, FAR) + 1 == distances.get(node)
                ]
                assert edges[row][planner.good(at)[0]].tolist() == good
                assert planner.best(at).tolist() == [good[0] if good else [BLANK] * 3]


def test_scores_are_as_exact_under_autocast_and_of_logits_in_half_precision():
    batch = GraphShortestPath(lesson=5).sample(3, generator())
    planner, (at, *_) = read(batch.inputs)
    logits = torch.randn(3, 90, generator=generator()).bfloat16()
    expected = planner.scores(logits.double(), at)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = planner.scores(logits, at)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected)


def test_pairs_are_apart_by_the_shortest_way():
    # 0 -> 1 -> 2 -> 3 -> 0 and 0 -> 2
    sources, ends = torch.tensor([0, 0, 1, 2, 3]), torch.tensor([[1, 2, 2, 3, 0]])
    assert apart(ends, sources, 4, 2)[0].nonzero().tolist() == [
        [0, 3],
        [1, 3],
        [2, 0],
        [3, 1],
        [3, 2],
    ]
    assert apart(ends, sources, 4, 3)[0].nonzero().tolist() == [[1, 0], [2, 1]]


class Mover:
    """A network that moves by some rule: it answers the edge that the rule chooses at each step."""

    def __init__(self, choose):
        self.choose = choose

    def __call__(self, inputs, before=None):
        seen = inputs if before is None else torch.cat([before, inputs])
        described, asked, *_, due = phases(seen)
        labels = decode(seen[..., :90])
        outputs = torch.zeros(*seen.shape[:2], 90)
        for row in range(seen.shape[1]):
            graph, ((start, _, goal),) = (
                labels[described, row].tolist(),
                labels[asked, row].tolist(),
            )
            for step in range(due.start, due.stop):
                at = start if step == due.start else int(labels[step, row, 2])
                moves = [move for move in graph if move[0] == at]
                outputs[step, row] = 5 * encode(torch.tensor(self.choose(moves, graph, goal)))
        return outputs[-len(inputs) :], seen


def best(moves, graph, goal):
    distances = search(graph, goal)
    return min(moves, key=lambda move: distances.get(move[2], FAR))


def worst(moves, graph, goal):
    distances = search(graph, goal)
    return max(moves, key=lambda move: distances.get(move[2], FAR))


TASK = GraphShortestPath(nodes=12, degree=3, path=3, planning_steps=2)


def moved(batch: Batch) -> list[list[Triple]]:
    return [shown[1:] for shown in split(batch)[2]]


def test_a_network_that_moves_well_has_no_wrong_moves_and_arrives():
    assert isinstance(TASK, Acts)
    batch, network = TASK.sample(8, generator(1)), Mover(best)
    followed = acted(TASK, batch, network)
    outputs, _ = network(followed.inputs)
    assert wrong_moves(outputs, followed).tolist() == [0] * 8
    assert torch.equal(followed.mask, batch.mask)
    for graph, ((start, _, goal),), moves in zip(
        *split(followed)[:2], moved(followed), strict=True
    ):
        distances = search(graph, goal)
        assert [distances[end] for _, _, end in moves] == [2, 1]
        assert moves[0][0] == start


def test_a_network_that_moves_badly_goes_its_own_way_and_is_told_the_best_from_where_it_is():
    batch, network = TASK.sample(8, generator(2)), Mover(worst)
    followed = acted(TASK, batch, network)
    wrong = wrong_moves(network(followed.inputs)[0], followed)
    assert (wrong >= followed.mask.sum(0) - 1).all()  # at most one move, where there was no choice
    due = phases(followed.inputs)[-1]
    for row, (graph, ((start, _, goal),), shown) in enumerate(zip(*split(followed), strict=True)):
        distances, at = search(graph, goal), start
        for step, move in enumerate(shown):
            if step:
                assert move in graph
                assert move == tuple(worst([m for m in graph if m[0] == at], graph, goal))
                at = move[2]
            target = decode(followed.targets[due.start + step, row]).tolist()
            if at in distances:
                assert tuple(target) in graph
                assert target[0] == at
                assert distances[target[2]] == distances[at] - 1
            assert followed.mask[due.start + step, row] == float(at in distances)


def test_in_training_the_planner_moves_at_as_many_steps_as_asked():
    batch, network = TASK.sample(8, generator(3)), Mover(worst)
    planned, own = 0, 0
    draws = generator(4)
    for _ in range(60):
        followed = TASK.act(batch, network, draws)
        first = [shown[0] for shown in moved(followed)]
        by_planner = first == [shown[0] for shown in moved(batch)]
        by_network = first == [shown[0] for shown in moved(TASK.act(batch, network))]
        assert by_planner != by_network
        planned, own = planned + by_planner, own + by_network
    assert planned == pytest.approx(0.8 * 60, abs=5 * (60 * 0.16) ** 0.5)
    always = GraphShortestPath(nodes=12, degree=3, path=3, planning_steps=2, planner_percent=100)
    assert torch.equal(always.act(batch, network, draws).inputs, batch.inputs)


def test_a_move_that_is_no_better_than_another_is_wrong_and_so_is_a_nan():
    batch = GraphShortestPath(nodes=12, degree=3, path=2).sample(4, generator(5))
    assert wrong_moves(torch.zeros_like(batch.targets), batch).tolist() == [2] * 4
    assert wrong_moves(5 * batch.targets, batch).tolist() == [0] * 4
    assert wrong_moves(torch.full_like(batch.targets, torch.nan), batch).tolist() == [2] * 4
    assert wrong_moves(-5 * batch.targets, batch).sum() > 4


def test_other_tasks_do_not_act():
    task = GraphTraversal(nodes=3, path=1)
    batch = task.sample(1, generator())
    assert acted(task, batch, Mover(best)) is batch


def test_the_levels_are_the_lessons_of_the_paper():
    assert levels(GraphShortestPath()) == 15
    assert GraphShortestPath().ranges == ((20, 25), (2, 6), (2, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lesson": 16}, "lesson must be from 1 to 15, got lesson=16: pass one"),
        ({"planner_percent": 101}, "planner_percent must be at most 100, got planner_percent=101"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GraphShortestPath(**options)


def test_a_path_that_no_graph_has_is_refused(monkeypatch):
    monkeypatch.setattr("tasks.graph_shortest_path.ROUNDS", 3)
    with pytest.raises(ValueError, match="two nodes that are path=5 edges apart, but none"):
        GraphShortestPath(nodes=3, path=5).sample(2, generator())

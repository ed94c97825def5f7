"""The graph tasks: graphs as the paper draws them, and answers that a plain loop finds too."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from tasks import Batch, GraphTraversal
from tasks.graph_traversal import LESSONS
from tasks.graphs import different, positions, random_graphs, walk
from tasks.levels import at_level, levels
from tasks.triples import (
    ANSWER,
    BLANK,
    END,
    NEW_PHASE,
    TRIPLES,
    Phase,
    blank,
    decode,
    digit_bits,
    encode,
    ended,
    lay_out,
    phases,
    wrong_triples,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def digits(vector: list[float]) -> str:
    """The digits of 30 numbers by a plain loop; nothing where all are 0."""
    found = ""
    for first in (0, 10, 20):
        ones = [digit for digit in range(10) if vector[first + digit] == 1]
        assert sum(vector[first : first + 10]) == len(ones) <= 1
        found += "".join(map(str, ones))
    assert len(found) in (0, 3)
    return found


def read(vectors: torch.Tensor) -> list[tuple[str, str, str]]:
    """The labels of triples [L, 90 or more], as text."""
    return [(digits(v[:30]), digits(v[30:60]), digits(v[60:90])) for v in vectors.tolist()]


def split(batch: Batch, row: int) -> list[list[tuple[str, str, str]]]:
    """The triples that a sequence shows, in the phases that its two flags say, by a plain loop."""
    found: list[list[tuple[str, str, str]]] = [[]]
    for vector, triple in zip(batch.inputs[:, row], read(batch.inputs[:, row]), strict=True):
        if vector[90] == 1:
            found.append([])
        found[-1].append(triple)
    return found


@pytest.mark.parametrize("lesson", range(1, 15))
def test_graphs_of_a_lesson_are_within_its_ranges_and_answers_follow_their_edges(lesson):
    task, draws = GraphTraversal(lesson=lesson), generator(lesson)
    (least, most), (fewest, many), (shortest, longest) = LESSONS[lesson - 1]
    for _ in range(20):
        batch = task.sample(3, draws)
        for row in range(3):
            edges, query, answer = split(batch, row)
            sources = Counter(source for source, _, _ in edges)
            assert least <= len(sources) <= most
            for degree in sources.values():
                assert min(fewest, len(sources) - 1) <= degree <= many
            # An edge is known by its node and its label, and none leads back to its own node.
            assert len({(source, edge) for source, edge, _ in edges}) == len(edges)
            assert len({(source, end) for source, _, end in edges}) == len(edges)
            assert {end for _, _, end in edges} <= set(sources)
            assert all(source != end for source, _, end in edges)
            assert len({edge for _, edge, _ in edges}) <= len(sources)
            check_path(edges, query, answer, read(batch.targets[-len(answer) :, row]))
            assert shortest <= len(query) <= longest


def check_path(edges, query, shown, answer):
    """The answer is the only chain of edges that fits the query, and then the end."""
    assert set(shown) == {("", "", "")}
    assert answer[-1] == ("000", "000", "000")
    path = answer[:-1]
    assert len(path) == len(query)
    assert all(step in edges for step in path)
    assert all(step[2] == after[0] for step, after in itertools.pairwise(path))
    assert query[0] == (*path[0][:2], "")
    assert [edge for _, edge, _ in query] == [edge for _, edge, _ in path]
    assert all(step[0] == step[2] == "" for step in query[1:])


def test_the_flags_mark_the_starts_of_phases_and_where_to_answer():
    batch = GraphTraversal(nodes=5, degree=2, path=3).sample(4, generator())
    new, due = (batch.inputs[..., channel] for channel in (NEW_PHASE, ANSWER))
    assert new[:, 0].nonzero().flatten().tolist() == [10, 13]
    assert torch.equal(new, new[:, :1].expand_as(new))
    assert torch.equal(due, batch.mask)
    assert batch.mask[:, 0].tolist() == [0] * 13 + [1] * 4
    assert phases(batch.inputs) == [slice(0, 10), slice(10, 13), slice(13, 17)]


def test_edges_lead_to_the_nearest_nodes(monkeypatch):
    points = torch.rand(2, 6, 2, generator=generator(3))
    drawn = iter([points])

    def uniform(shape, generator):
        return next(drawn) if tuple(shape) == (2, 6, 2) else torch.rand(*shape, generator=generator)

    monkeypatch.setattr("tasks.graphs.uniform", uniform)
    degrees = [1, 3, 2, 5, 1, 2]
    graphs = random_graphs(2, degrees, generator())
    for row in range(2):
        expected = []
        for node, degree in enumerate(degrees):
            here = points[row, node].tolist()
            others = [other for other in range(6) if other != node]
            others.sort(key=lambda other: math.dist(here, points[row, other].tolist()))
            expected += [(node, other) for other in others[:degree]]
        found = zip(graphs.sources.tolist(), graphs.destinations[row].tolist(), strict=True)
        assert list(found) == expected


def test_labels_are_all_as_likely_and_edges_are_described_in_random_order():
    task, draws = GraphTraversal(nodes=4, degree=2, path=1), generator(1)
    labels, first = Counter(), Counter()
    for _ in range(40):
        batch = task.sample(64, draws)
        described = decode(batch.inputs[:8, :, :90])
        labels.update((described[..., :2] // 100).flatten().tolist())
        answer = decode(batch.targets[9, :])
        same = (described == answer).all(-1)  # [8, B], where the edge that is asked for was shown
        assert (same.sum(0) == 1).all()
        first.update(same.int().argmax(0).tolist())
    for counts, kinds in ((labels, 10), (first, 8)):
        expected = sum(counts.values()) / kinds
        # Labels of one graph come again with every edge of a node: twice the deviation.
        allowed = 10 * expected**0.5
        assert len(counts) == kinds
        assert all(abs(count - expected) < allowed for count in counts.values())


def test_a_walk_takes_every_edge_of_a_node_as_often():
    graphs = random_graphs(4000, [3, 1, 2], generator(2))
    walked = walk(
        graphs._replace(destinations=graphs.destinations[:1].expand(4000, -1)), 1, generator()
    )
    counts = walked.flatten().bincount(minlength=6).tolist()
    for count, share in zip(counts, [1 / 9] * 3 + [1 / 3] + [1 / 6] * 2, strict=True):
        assert count == pytest.approx(4000 * share, abs=5 * (4000 * share) ** 0.5)


def test_the_levels_are_the_lessons_of_the_paper():
    task = GraphTraversal()
    assert levels(task) == 14
    assert [at_level(task, level) for level in (1, 8, 14)] == [
        GraphTraversal(lesson=lesson) for lesson in (1, 8, 14)
    ]
    assert GraphTraversal(lesson=13).ranges == ((10, 40), (2, 6), (1, 10))
    assert GraphTraversal(lesson=13, nodes=9, path=2).ranges == ((9, 9), (2, 6), (2, 2))


def test_a_node_has_no_more_edges_than_there_are_others():
    batch = GraphTraversal(lesson=13, nodes=3, path=1).sample(2, generator())
    assert phases(batch.inputs)[0] == slice(0, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lesson": 15}, "lesson must be from 1 to 14, got lesson=15: pass one"),
        ({"nodes": 1}, "nodes must be from 2 to 1000, which have .* got nodes=1: pass 0"),
        ({"nodes": 1001}, "nodes must be from 2 to 1000, .* got nodes=1001"),
        ({"nodes": 4, "degree": 4}, "degree must be below the number of nodes, which is .* 4, got"),
        ({"lesson": 1, "degree": 3}, "at least 3, got degree=3: raise nodes or lower degree"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GraphTraversal(**options)


def test_labels_are_encoded_as_a_loop_encodes_them():
    labels = torch.tensor([[7, 42, 999], [BLANK, 100, 0]])
    vectors = encode(labels)
    expected = np.zeros((2, 90))
    for row, triple in enumerate(labels.tolist()):
        for part, label in enumerate(triple):
            for place, digit in enumerate(f"{label:03}" if label != BLANK else ""):
                expected[row, 30 * part + 10 * place + int(digit)] = 1
    assert np.array_equal(vectors.numpy(), expected)
    assert torch.equal(decode(vectors), labels)


def softmax_loop(logits: np.ndarray, batch: Batch) -> list[float]:
    """The cost of each sequence in bits, digit by digit."""
    costs = []
    for row in range(logits.shape[1]):
        cost = 0.0
        for step in range(logits.shape[0]):
            for digit in range(9 if batch.mask[step, row] else 0):
                ten = np.exp(logits[step, row, 10 * digit : 10 * digit + 10])
                right = int(batch.targets[step, row, 10 * digit : 10 * digit + 10].argmax())
                cost -= math.log2(ten[right] / ten.sum())
        costs.append(cost)
    return costs


def test_the_cost_is_nine_softmaxes_and_a_triple_is_right_if_all_digits_are():
    batch = GraphTraversal(nodes=4, degree=1, path=2).sample(3, generator())
    logits = torch.randn(*batch.targets.shape, generator=generator(), dtype=torch.float64)
    assert digit_bits(logits, batch).tolist() == pytest.approx(
        softmax_loop(logits.numpy(), batch), rel=1e-10
    )
    sums = TRIPLES.activate(logits).unflatten(-1, (9, 10)).sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))
    right = logits + 20 * batch.targets
    assert wrong_triples(right, batch).tolist() == [0, 0, 0]
    wrong = right.clone()
    wrong[-3, 0, :10] = 0  # a tie between all values of one digit
    wrong[-2:, 1, 35] += 100  # another digit, at two steps, unless it was a 5 there
    wrong[-1, 2] = math.nan
    wrong[0] = -right[0]  # not scored
    at_five = int(batch.targets[-2:, 1, 35].sum())
    assert wrong_triples(wrong, batch).tolist() == [1, 2 - at_five, 1]


def test_phases_are_laid_out_one_after_the_other():
    shown, due = torch.tensor([[[1, 2, 3], [4, 5, 6]]]), torch.tensor([[[7, 8, 9]]])
    batch = lay_out([Phase(shown), Phase(blank(due)), Phase(blank(ended(due)), ended(due))])
    assert (
        decode(batch.inputs[..., :90])[:, 0].tolist() == [[1, 2, 3], [4, 5, 6]] + [[BLANK] * 3] * 3
    )
    assert decode(batch.targets)[3:, 0].tolist() == [[7, 8, 9], list(END)]
    assert batch.inputs[:, 0, 90:].tolist() == [[0, 0], [0, 0], [1, 0], [1, 1], [0, 1]]
    assert batch.mask[:, 0].tolist() == [0, 0, 0, 1, 1]


def test_numbers_that_differ_and_positions():
    drawn = different(500, 3, 1000, generator())
    assert (drawn.sort(-1).values.diff(dim=-1) > 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < 1000
    sources, places = positions([1, 3], torch.device("cpu"))
    assert (sources.tolist(), places.tolist()) == ([0, 1, 1, 1], [0, 0, 1, 2])

"""Inference: the relations are what the paper says, and lead where a walk along them leads."""

from collections import Counter

import pytest
import torch

from tasks import GraphInference
from tasks.graph_inference import LESSONS, digit_odds, relations
from tasks.levels import levels
from tasks.triples import BLANK, decode, numbers, phases


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_there_are_a_hundred_relations_of_each_length_from_two_to_five():
    found = relations()
    assert sorted(found) == list(range(10, 410))
    assert Counter(map(len, found.values())) == {2: 100, 3: 100, 4: 100, 5: 100}
    assert len(set(found.values())) == 400
    assert {edge for edges in found.values() for edge in edges} == set(range(10))
    # A network that is trained knows them: they must not change from one version to the next.
    assert [found[label] for label in (10, 110, 210, 310)] == [
        (9, 8),
        (2, 1, 0),
        (8, 6, 9, 7),
        (7, 7, 5, 6, 0),
    ]


@pytest.mark.parametrize("lesson", range(1, 18))
def test_relations_lead_where_a_walk_along_their_edges_leads(lesson):
    task, draws = GraphInference(lesson=lesson), generator(lesson)
    (least, most), (fewest, many), (shortest, longest) = LESSONS[lesson - 1]
    for _ in range(8):
        batch = task.sample(3, draws)
        parts = phases(batch.inputs)
        assert [part.stop - part.start for part in parts[1:]] == [1, 10, 1] * 3
        labels = decode(batch.inputs[..., :90])
        asked = torch.cat([labels[part] for part in parts[1::3]])
        answers = torch.cat([decode(batch.targets[part]) for part in parts[3::3]])
        rows = zip(*map(numbers, (labels[parts[0]], asked, answers)), strict=True)
        for graph, queries, found in rows:
            sources = [source for source, _, _ in graph]
            assert least <= len(set(sources)) <= most
            assert all(fewest <= sources.count(source) <= many for source in sources)
            assert len({(source, edge) for source, edge, _ in graph}) == len(graph)
            assert {edge for _, edge, _ in graph} <= set(range(10))
            for (start, relation, end), answer in zip(queries, found, strict=True):
                assert end == BLANK
                assert shortest <= len(relations()[relation]) <= longest
                at = start
                for edge in relations()[relation]:
                    ((_, _, at),) = [t for t in graph if t[:2] == (at, edge)]
                assert answer == (start, relation, at)


def test_all_relations_of_a_lesson_are_as_likely():
    task, draws, counts = GraphInference(path=2), generator(1), Counter()
    for _ in range(40):
        batch = task.sample(16, draws)
        counts.update(decode(batch.targets)[batch.mask > 0][:, 1].tolist())
    assert set(counts) == set(range(10, 110))
    expected = 40 * 16 * 3 / 100
    statistic = sum((count - expected) ** 2 / expected for count in counts.values())
    assert statistic < 99 + 5 * (2 * 99) ** 0.5


def test_the_odds_of_digits_are_those_of_counting():
    labels = [f"{label:03}" for label in range(110, 310)]
    for place in range(3):
        counts = Counter(int(label[place]) for label in labels)
        expected = [counts[digit] / 200 for digit in range(10)]
        assert digit_odds((3, 4))[place].tolist() == pytest.approx(expected)


def test_the_levels_are_the_lessons_of_the_paper():
    assert levels(GraphInference()) == 17
    assert GraphInference().ranges == ((20, 25), (2, 4), (2, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lesson": 18}, "lesson must be from 1 to 17, got lesson=18: pass one"),
        ({"nodes": 20, "degree": 11}, "degree must be at most 10, as there .* got degree=11"),
        ({"path": 1}, "path must be from 2 to 5, the edges that .* got path=1: pass 0"),
        ({"path": 6}, "path must be from 2 to 5, .* got path=6"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GraphInference(**options)


def test_relations_without_a_place_are_refused(monkeypatch):
    monkeypatch.setattr("tasks.graph_inference.ROUNDS", 1)
    monkeypatch.setattr("tasks.graph_inference.TRIES", 3)
    refused = "3 relations of 5 to 5 edges must have a place in a graph, but have none in one of 2"
    with pytest.raises(ValueError, match=refused):
        GraphInference(nodes=2, degree=1, path=5).sample(1, generator())

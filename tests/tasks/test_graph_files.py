"""Graphs from files: a small town's railway and a family, both invented, and files of no use."""

import itertools
from collections import Counter
from pathlib import Path

import pytest
import torch

from tasks import GraphInference, GraphShortestPath, GraphTraversal
from tasks.graph_files import labelled, parse, read
from tasks.graph_inference import chains, relations
from tasks.triples import decode, numbers, phases

LINES = {
    "1": ["Mill", "Park", "Castle", "Lake"],
    "2": ["Lake", "Park", "Harbour", "Green Hill", "Pier"],
}
RAILWAY = "# A town with two lines\n\n" + "".join(
    f"{one}, {line} out, {other}\n{other}, {line} back, {one}\n"
    for line, stops in LINES.items()
    for one, other in itertools.pairwise(stops)
)
FAMILY = """
Ann, mother, Eve
Ann, father, Bob
Tom, mother, Eve
Tom, father, Bob
Eve, daughter, Ann
Eve, son, Tom
Bob, daughter, Ann
Bob, son, Tom
Ann, brother, Tom
Tom, sister, Ann
Bob, mother, Ida
Ida, son, Bob
Bob, wife, Eve
Eve, husband, Bob
"""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def railway(tmp_path) -> str:
    path = tmp_path / "railway.csv"
    path.write_text(RAILWAY)
    return str(path)


@pytest.fixture
def family(tmp_path) -> str:
    path = tmp_path / "family.csv"
    path.write_text(FAMILY)
    return str(path)


def edges_of(text: str) -> Counter[tuple[str, ...]]:
    """The edges by a plain loop."""
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    return Counter(tuple(line.split(", ")) for line in lines)


def test_every_edge_of_a_file_is_read(railway):
    graph = read(railway)
    found = [(graph.nodes[a], graph.kinds[kind], graph.nodes[b]) for a, kind, b in graph.edges]
    assert Counter(found) == edges_of(RAILWAY)
    assert len(found) == 14
    assert graph.kinds == ("1 back", "1 out", "2 back", "2 out")


def test_names_are_numbers_that_differ_from_one_sequence_to_the_next(railway):
    graph = read(railway)
    graphs = labelled(graph, 50, generator())
    for row, triples in enumerate(graphs.triples().tolist()):
        nodes, kinds = {}, {}
        for (source, kind, end), names in zip(triples, graph.edges, strict=True):
            for known, number, name in (
                (nodes, source, names[0]),
                (kinds, kind, names[1]),
                (nodes, end, names[2]),
            ):
                assert known.setdefault(name, number) == number
        assert len(set(nodes.values())) == len(graph.nodes)
        assert len(set(kinds.values())) == len(graph.kinds)
        assert row == 0 or triples != graphs.triples()[0].tolist()


def test_a_path_on_the_map_follows_its_lines(railway):
    task = GraphTraversal(map_file=railway)
    assert "map_path_7" not in GraphTraversal().evaluations()
    on_map = task.evaluations()["map_path_7"]
    assert on_map == GraphTraversal(map_file=railway, on_map=1, path=7)
    batch = on_map.sample(6, generator())
    assert len(batch.mask) == 14 + 7 + 8
    assert torch.equal(on_map.solve(batch.inputs), batch.targets)
    described, asked, _ = phases(batch.inputs)
    rows = numbers(decode(batch.inputs[described][..., :90]))
    for graph, answer in zip(rows, numbers(decode(batch.targets[asked.stop :])), strict=True):
        assert len(set(graph)) == 14
        assert set(answer[:-1]) <= set(graph)


def test_shortest_paths_on_the_map_have_the_length_that_is_asked_for(railway):
    on_map = GraphShortestPath(map_file=railway).evaluations()["map_path_4"]
    with pytest.raises(ValueError, match="nodes that are path=5 edges apart, but none or hardly"):
        GraphShortestPath(map_file=railway, on_map=1, path=5).sample(1, generator())
    batch = on_map.sample(8, generator())
    assert torch.equal(on_map.solve(batch.inputs), batch.targets)
    # Between Pier and Mill, Castle or Lake: by Green Hill, Harbour and Park.
    assert batch.mask.sum(0).tolist() == [4] * 8


def walks(text: str, start: str, length: int) -> list[tuple[tuple[str, ...], str]]:
    """All chains of edges from a name, by recursion: their kinds, and where they end."""
    if length == 0:
        return [((), start)]
    return [
        ((kind, *kinds), last)
        for source, kind, end in edges_of(text)
        if source == start
        for kinds, last in walks(text, end, length - 1)
    ]


def test_the_chains_of_a_family_are_those_of_a_recursion(family):
    graph = read(family)
    for length in (1, 2, 4):
        found = Counter(
            (graph.nodes[start], tuple(graph.kinds[kind] for kind in kinds), graph.nodes[end])
            for start, kinds, end in chains(graph, length)
        )
        expected = Counter(
            (name, kinds, end) for name in graph.nodes for kinds, end in walks(FAMILY, name, length)
        )
        assert found == expected
        assert found.total() > 10


def test_relations_of_a_family_lead_where_its_chains_lead(family):
    on_map = GraphInference(map_file=family).evaluations()["map_path_4"]
    for seed in range(10):
        batch = on_map.sample(4, generator(seed))
        assert torch.equal(on_map.solve(batch.inputs), batch.targets)
        described = phases(batch.inputs)[0]
        assert described == slice(0, 14)
        for row, graph in enumerate(numbers(decode(batch.inputs[described][..., :90]))):
            kinds = {edge for _, edge, _ in graph}
            assert len(kinds) == 8
            assert kinds <= set(range(10))
            for _, relation, _ in decode(batch.targets[:, row])[batch.mask[:, row] > 0].tolist():
                assert len(relations()[relation]) == 4
                assert set(relations()[relation]) <= kinds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Mill, 1\n", r"every line must be a node, a label and a node, .* got 'Mill, 1' in .* 1"),
        (
            "A, 1, B\nMill, , Park",
            "every line must be .* 'Mill, , Park' in town.csv, line 2: write",
        ),
        (
            "A, 1, B\nA, 1, C",
            "must have different labels, but 1 leaves A twice in town.csv, line 2",
        ),
        ("# no edges\n", "must have edges, and at most 1000 nodes .* got 0 nodes and 0 labels in"),
        ("".join(f"{n}, 1, {n + 1}\n" for n in range(1000)), "got 1001 nodes and 1 labels in town"),
    ],
)
def test_a_file_of_another_form_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text.splitlines(), "town.csv")


@pytest.mark.parametrize("kind", [GraphTraversal, GraphShortestPath, GraphInference])
def test_a_map_must_be_there(kind, tmp_path):
    with pytest.raises(ValueError, match="map_file must be a path, got 3: pass it as text"):
        kind(map_file=3)
    for options in ({"on_map": 1}, {"on_map": 2, "map_file": "town.csv"}):
        with pytest.raises(
            ValueError, match="on_map must be 0, or 1 where there is a map_file, got"
        ):
            kind(**options)
    task = kind(map_file=str(tmp_path / "none.csv"), on_map=1)
    with pytest.raises(ValueError, match=r"the file of the graph must exist, got .*none\.csv"):
        task.sample(1, generator())


def test_a_walk_must_not_end(tmp_path):
    Path(tmp_path / "end.csv").write_text("Mill, 1, Park\n")
    task = GraphTraversal(map_file=str(tmp_path / "end.csv"), on_map=1)
    with pytest.raises(
        ValueError, match=r"an edge must leave every node .* but none leaves Park: add"
    ):
        task.sample(1, generator())


def test_a_family_has_no_more_kinds_than_numbers_and_enough_chains(tmp_path):
    many, few = tmp_path / "many.csv", tmp_path / "few.csv"
    many.write_text("".join(f"A, {kind}, B\n" for kind in range(11)))
    few.write_text("A, 1, B\n")
    for path, message in ((many, "of at most 10 kinds, got 11 .0, 1"), (few, "none or hardly any")):
        with pytest.raises(ValueError, match=message):
            GraphInference(map_file=str(path), on_map=1, path=4).sample(1, generator())

"""Graphs from files, such as a map of an underground railway or a family tree.

A line is an edge: the node that it leaves, its label and the node where it leads, with commas
between them. Edges have one direction: a railway that runs both ways has two lines. Edges of one
node have different labels (`Central east`, `Central west`). Lines that begin with # are comments.

>>> text = "# Mill Lane\\nPark, 1 north, Mill\\nMill, 1 south, Park\\nMill, 2 up, Castle\\n"
>>> graph = parse(text.splitlines(), "mill.csv")
>>> graph.nodes, graph.kinds
(('Castle', 'Mill', 'Park'), ('1 north', '1 south', '2 up'))
>>> [(graph.nodes[s], graph.kinds[k], graph.nodes[e]) for s, k, e in graph.edges]
[('Mill', '1 south', 'Park'), ('Mill', '2 up', 'Castle'), ('Park', '1 north', 'Mill')]
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from tasks.graphs import Graphs, different
from tasks.triples import LABELS


class GraphFile(NamedTuple):
    """A graph with names."""

    nodes: tuple[str, ...]
    kinds: tuple[str, ...]
    """the labels of edges"""
    edges: tuple[tuple[int, int, int], ...]
    """of each edge the node that it leaves, its kind and the node where it leads, in order"""


@lru_cache(maxsize=16)
def read(path: str) -> GraphFile:
    """The graph of a file; read once.

    Raises:
        ValueError: there is no such file, or it is of another form; the message says where.
    """
    if not Path(path).is_file():
        raise ValueError(
            f"the file of the graph must exist, got {path!r}: pass a file with an edge a line, as "
            "in `Park, 1 north, Mill`"
        )
    with Path(path).open(encoding="utf-8") as lines:
        return parse(lines, path)


def parse(lines: Iterable[str], name: str) -> GraphFile:
    """The graph of some lines; the name is for messages.

    Raises:
        ValueError: a line is no edge, a node gives two of its edges the same label, or there are
            no edges, or more nodes or labels than numbers for them.
    """
    leads: dict[tuple[str, str], str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != 3 or not all(parts):
            raise ValueError(
                f"every line must be a node, a label and a node, with commas between them, got "
                f"{line.strip()!r:.60} in {name}, line {number}: write `Park, 1 north, Mill`"
            )
        source, kind, end = parts
        if (source, kind) in leads:
            raise ValueError(
                f"the edges that leave a node must have different labels, but {kind} leaves "
                f"{source} twice in {name}, line {number}: add what tells them apart, such as a "
                "direction"
            )
        leads[source, kind] = end
    nodes = tuple(sorted({node for (source, _), end in leads.items() for node in (source, end)}))
    kinds = tuple(sorted({kind for _, kind in leads}))
    if not leads or max(len(nodes), len(kinds)) > LABELS:
        raise ValueError(
            f"a graph must have edges, and at most {LABELS} nodes and {LABELS} labels, got "
            f"{len(nodes)} nodes and {len(kinds)} labels in {name}: pass another file"
        )
    edges = sorted(
        (nodes.index(source), kinds.index(kind), nodes.index(end))
        for (source, kind), end in leads.items()
    )
    return GraphFile(nodes, kinds, tuple(edges))


def labelled(graph: GraphFile, batch_size: int, generator: torch.Generator) -> Graphs:
    """The graph as often as there are sequences, each time with other numbers as its labels."""
    sources, kinds, ends = torch.tensor(graph.edges, device=generator.device).T
    nodes = different(batch_size, len(graph.nodes), LABELS, generator)
    labels = different(batch_size, len(graph.kinds), LABELS, generator)
    return Graphs(sources, ends.expand(batch_size, -1), nodes, labels[:, kinds])

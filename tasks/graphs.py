"""Random graphs with labels, as the DNC's paper draws them, and walks on them.

Graves et al. 2016 (Methods, "Random graph generation"): nodes are points drawn uniformly from the
unit square, and the K nearest of the others are where a node's K edges lead. Of the graphs of one
batch, each node has as many edges as the same node of the others, so that all take as many steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tasks.triples import LABELS


class Graphs(NamedTuple):
    """The graphs of a batch; their edges are sorted by the node that they leave."""

    sources: Tensor
    """[E], the node that each edge leaves, the same in all graphs"""
    destinations: Tensor
    """[B, E], the node to which it leads"""
    nodes: Tensor
    """[B, N], the label of each node"""
    edges: Tensor
    """[B, E], the label of each edge; those of one node differ"""

    def triples(self) -> Tensor:
        """The source, edge and destination of each edge, by their labels: [B, E, 3]."""
        sources = self.nodes[:, self.sources]
        return torch.stack([sources, self.edges, self.nodes.gather(1, self.destinations)], dim=-1)


def uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Numbers from 0 to 1."""
    options: Any = {"generator": generator, "device": generator.device, "dtype": torch.float32}
    return torch.rand(tuple(shape), **options)


def different(batch_size: int, count: int, below: int, generator: torch.Generator) -> Tensor:
    """For each graph, so many different numbers below a limit, all choices as likely: [B, count].

    >>> different(2, 4, 4, torch.Generator()).sort().values.tolist()
    [[0, 1, 2, 3], [0, 1, 2, 3]]
    """
    return uniform((batch_size, below), generator).topk(count).indices


def random_graphs(batch_size: int, degrees: Sequence[int], generator: torch.Generator) -> Graphs:
    """Graphs whose nodes have so many edges, each to the nearest of the other nodes.

    Of N nodes, N different numbers are the labels, and the labels of edges are drawn from N other
    numbers, those of one node without repeating any.
    """
    count = len(degrees)
    sources, places = positions(degrees, generator.device)
    points = uniform((batch_size, count, 2), generator)
    distances = (points[:, :, None] - points[:, None]).square().sum(-1)
    distances.diagonal(dim1=1, dim2=2).fill_(float("inf"))
    nearest = distances.topk(max(degrees), largest=False).indices  # [B, N, K], the nearest first
    pool = different(batch_size, count, LABELS, generator)
    chosen = uniform((batch_size, count, count), generator).topk(max(degrees)).indices
    return Graphs(
        sources,
        nearest[:, sources, places],
        different(batch_size, count, LABELS, generator),
        pool.gather(1, chosen[:, sources, places]),
    )


def positions(degrees: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """The node that each edge leaves, and which of its edges it is; both [E].

    >>> positions([2, 1], torch.device("cpu"))
    (tensor([0, 0, 1]), tensor([0, 1, 0]))
    """
    sources = [node for node, degree in enumerate(degrees) for _ in range(degree)]
    places = [place for degree in degrees for place in range(degree)]
    return torch.tensor(sources, device=device), torch.tensor(places, device=device)


def walk(graphs: Graphs, steps: int, generator: torch.Generator) -> Tensor:
    """The edges [B, steps] of a random walk from a random node of each graph."""
    rows, count = graphs.nodes.shape
    degrees = graphs.sources.bincount(minlength=count)
    first = degrees.cumsum(0) - degrees
    start, *chances = uniform((1 + steps, rows), generator).double()  # in float32, 0.9999 * 3 is 3
    at = (start * count).long()
    walked: list[Tensor] = []
    for chance in chances:
        edge = first[at] + (chance * degrees[at]).long()
        at = graphs.destinations.gather(1, edge[:, None])[:, 0]
        walked.append(edge)
    return torch.stack(walked, dim=1)


def shuffled(triples: Tensor, generator: torch.Generator) -> Tensor:
    """The triples [B, E, 3] of each graph in a random order of their own."""
    order = uniform(triples.shape[:2], generator).argsort(-1)
    return triples.gather(1, order[..., None].expand_as(triples))

"""The planner of the shortest-path task: how far each node is from a goal, and where to go next.

All of it works on labels, as a network sees them, and on the graphs of a batch at once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tasks.triples import BLANK, DIGITS, LABELS, encode

FAR = 10**6
"""in place of the distance of a node from which there is no way to the goal"""


class Planner(NamedTuple):
    """The graphs of a batch, with the distance of every node to the goal of its graph."""

    edges: Tensor
    """[B, E, 3], the labels of the triples, in the order in which they were shown"""
    distances: Tensor
    """[B, 1000], by label"""

    def moves(self, nodes: Tensor) -> Tensor:
        """Which edges leave these nodes [B]: [B, E]."""
        return self.edges[..., 0] == nodes[:, None]

    def good(self, nodes: Tensor) -> Tensor:
        """Which edges are the first of a shortest path from these nodes [B] to the goal: [B, E]."""
        left = self.distances.gather(1, self.edges[..., 2])
        here = self.distances.gather(1, nodes[:, None])
        return self.moves(nodes) & (left == here - 1)

    def best(self, nodes: Tensor) -> Tensor:
        """The first of these edges, `BLANK` where there is none: at the goal, or cut off from it.

        [B, 3], the labels.
        """
        good = self.good(nodes)
        return self.edge(good).masked_fill(~good.any(1, keepdim=True), BLANK)

    def edge(self, chosen: Tensor) -> Tensor:
        """The labels [B, 3] of the first edge that is chosen, or whose number is largest [B, E]."""
        place = chosen.to(torch.float32).argmax(1)
        return self.edges[torch.arange(len(place), device=place.device), place]

    def scores(self, logits: Tensor, nodes: Tensor) -> Tensor:
        """The log-probability of each edge that leaves these nodes, of others -inf: [B, E].

        The logits [B, 90] are nine softmaxes. Probabilities are those among all triples; among the
        edges that leave a node they would all be larger by the same factor.
        """
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        digits = logits.unflatten(-1, (DIGITS, 10)).log_softmax(-1).flatten(-2)
        # No product of matrices, which autocast would take in half precision.
        found = (encode(self.edges).to(digits) * digits[:, None]).sum(-1)
        return found.masked_fill(~self.moves(nodes), -torch.inf)


def plan(edges: Tensor, goals: Tensor) -> Planner:
    """The planner for graphs of these edges [B, E, 3] and the goals [B], all labels."""
    sources, ends = edges[..., 0], edges[..., 2]
    distances = torch.full((len(edges), LABELS), FAR, device=edges.device)
    distances.scatter_(1, goals[:, None], 0)
    while True:
        longer = distances.gather(1, ends) + 1
        closer = distances.scatter_reduce(1, sources, longer, "amin")
        if torch.equal(closer, distances):
            return Planner(edges, distances)
        distances = closer.clamp(max=FAR)

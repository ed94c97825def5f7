"""What is in the graphs that torch makes of a layer."""

from __future__ import annotations

from typing import Any

from torch import fx

OPERATOR = "memnets.sequence.default"


def called(graph: fx.GraphModule) -> list[str]:
    """The names of what a graph calls."""
    return [str(one.target) for one in graph.graph.nodes if one.op == "call_function"]


class Graphs:
    """A backend of torch.compile that keeps the names of what its graphs call, and runs them."""

    def __init__(self) -> None:
        self.found: list[list[str]] = []

    def __call__(self, graph: fx.GraphModule, example_inputs: Any) -> Any:
        self.found.append(called(graph))
        return graph.forward

    @property
    def served(self) -> list[bool]:
        """Of each graph, whether the operator is in it."""
        return [OPERATOR in names for names in self.found]

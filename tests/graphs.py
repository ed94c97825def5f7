"""What is in the graphs that torch makes of a layer."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor, fx, nn

from memnets.state import leaves
from tests.layers import assert_same, inputs

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


class Model(nn.Module):
    """A model around a layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(2, 4, dtype=torch.float64)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, state = self.layer(x)
        return self.head(y), *leaves(state)


def exported(model: nn.Module, x: Tensor, strict: bool) -> nn.Module:
    """Export a model for any number of rows and steps, save it and load it."""
    sizes = {0: torch.export.Dim("T", min=2, max=64), 1: torch.export.Dim("B", min=2, max=64)}
    program = torch.export.export(model, (x,), dynamic_shapes=(sizes,), strict=strict)
    assert called(program.graph_module).count(OPERATOR) == 1
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return torch.export.load(file).module()


def assert_trains_as(loaded: nn.Module, model: nn.Module, tolerance: float) -> None:
    """What was loaded has the outputs and the gradients of its model, at other sizes."""
    x = inputs(steps=7, batch=4)
    found, expected = loaded(x), model(x)
    assert_same(tuple(found), expected, tolerance=tolerance)
    of = dict(loaded.named_parameters())
    names = [one for one, _ in model.named_parameters()]
    assert_same(
        torch.autograd.grad(found[0].square().sum(), [of[one] for one in names]),
        torch.autograd.grad(expected[0].square().sum(), list(model.parameters())),
        tolerance=tolerance,
    )

"""What a layer costs inside of a graph of torch.compile: python -m benchmarks.graphs.

Of a training step, the time with the layer compiled (`fullgraph=True`, one operator in its graph)
beside that of the layer called eagerly; and the largest difference of outputs, final state and
gradients, of each result's largest number. Rounds of both alternate, so that what else the machine
does falls on both alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import tyro
from torch import Tensor, nn

import memnets
from benchmarks import report
from benchmarks.contestants import constructor
from benchmarks.timing import in_turn, ratios
from memnets.state import leaves


class Model(nn.Module):
    """What a user compiles: a layer of whose results the output is used, or the state too."""

    def __init__(self, layer: memnets.MemoryLayer, *, state: bool) -> None:
        super().__init__()
        self.layer, self.state = layer, state

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the output, and the state's tensors."""
        y, state = self.layer(x)
        return [y, *leaves(state)] if self.state else [y]


def train(model: nn.Module, call: Callable[[Tensor], list[Tensor]], x: Tensor) -> list[Tensor]:
    """Run forward and backward; return all results and gradients."""
    model.zero_grad(set_to_none=True)
    made = call(x)
    torch.stack([part.square().mean() for part in made]).sum().backward()
    found = [parameter.grad for parameter in model.parameters()]
    return [part.detach() for part in (*made, *found) if part is not None]


def difference(model: nn.Module, compiled: Any, x: Tensor) -> float:
    """The largest difference of a compiled step from the eager one."""
    parts = zip(train(model, compiled, x), train(model, model, x), strict=True)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in parts)


def main(
    kind: str = "NTM",
    memory_size: int = 128,
    word_size: int = 20,
    batch: int = 16,
    steps: int = 40,
    rounds: int = 40,
    steps_a_round: int = 10,
    clock: str = "processor",
) -> None:
    """Print the time of a compiled training step beside the eager one, and the difference.

    Args:
        kind: NTM or DNC.
        memory_size: slots, N.
        word_size: W.
        batch: rows, B.
        steps: T.
        rounds: measurements of each, in turn.
        steps_a_round: training steps of a measurement.
        clock: processor or wall.
    """
    torch.set_num_threads(1)
    x = torch.randn(steps, batch, 8, generator=torch.Generator().manual_seed(0))
    lines = []
    for state in (False, True):
        torch.manual_seed(0)
        sizes = {"memory_size": memory_size, "word_size": word_size}
        layer = constructor(kind)(8, 8, **sizes, backend="fused")
        model = Model(layer, state=state)
        compiled = torch.compile(model, fullgraph=True)
        apart = difference(model, compiled, x)
        calls = [partial(train, model, call, x) for call in (model, compiled)]
        eager, inside = in_turn(calls, rounds, clock, steps_a_round)
        ratio = ratios(inside, eager)
        middles = [f"{statistics.median(taken.values()) / 1e6:.2f}" for taken in (eager, inside)]
        spread = f"{ratio.lower:.3f} to {ratio.upper:.3f}"
        used = "output and state" if state else "output"
        lines.append((used, *middles, f"{ratio.median:.3f}", spread, f"{apart:.1e}"))
    print(f"{kind} {memory_size}x{word_size}, batch {batch}, T {steps}: {rounds} rounds, {clock}")
    print(report.table(("used", "eager ms", "graph ms", "ratio", "quartiles", "difference"), lines))


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.graphs")

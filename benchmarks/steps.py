"""What one step costs an agent, who calls a layer for each: python -m benchmarks.steps.

A step of `memnets.Stream` and of `layer.step`, without gradients, beside one of `nn.LSTMCell` whose
inputs are the layer's and what its heads read. The calls run in turn, so that what else the machine
does falls on all of them alike. The outputs of both are compared first, in float64.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from typing import Any

import torch
import tyro
from torch import nn

import memnets
from benchmarks import report
from benchmarks.contestants import constructor
from benchmarks.timing import in_turn, ratios

CALLS = 200
"""In a measurement: one alone is shorter than a clock is exact."""


@torch.no_grad()
def difference(layer: memnets.MemoryLayer, rows: int, steps: int = 40) -> float:
    """The largest difference between the outputs of a stream and of the layer, in float64."""
    exact = copy.deepcopy(layer).double()
    x = torch.randn(steps, rows, layer.input_size, dtype=torch.float64)
    stream = memnets.Stream(exact, rows)
    y = torch.stack([stream.step(x_t) for x_t in x])
    return float((y - exact(x)[0]).abs().max())


def contestants(layer: memnets.MemoryLayer, rows: int) -> dict[str, Callable[[], Any]]:
    """A step of each, by name."""
    x, stream = torch.randn(rows, layer.input_size), memnets.Stream(layer, rows)
    state, hidden = layer.initial_state(rows), layer.hidden_size or 1
    cell = nn.LSTMCell(layer.input_size + layer.read_heads * layer.word_size, hidden)
    seen, carried = torch.randn(rows, cell.input_size), 2 * (torch.zeros(rows, hidden),)
    return {
        "nn.LSTMCell": lambda: cell(seen, carried),
        "memnets.Stream": lambda: stream.step(x),
        "layer.step": lambda: layer.step(x, state),
    }


def main(
    kind: str = "NTM",
    memory_size: int = 128,
    word_size: int = 20,
    batch: tuple[int, ...] = (1, 4, 16),
    rounds: int = 20,
    clock: str = "processor",
) -> None:
    """Print what a step of each costs, beside that of nn.LSTMCell.

    Args:
        kind: NTM or DNC, with one read head and an LSTM of 100.
        memory_size: slots, N.
        word_size: W.
        batch: rows, B.
        rounds: measurements of each, in turn.
        clock: processor or wall.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"memory_size": memory_size, "word_size": word_size}
    layer = constructor(kind)(9, 8, **sizes, read_heads=1)
    lines = []
    for rows in batch:
        apart = f"{difference(layer, rows):.1e}"
        with torch.inference_mode():
            calls = contestants(layer, rows)
            base, *others = in_turn(list(calls.values()), rounds, clock, CALLS)
        for name, taken in zip(calls, (base, *others), strict=True):
            ratio, middle = ratios(taken, base), f"{statistics.median(taken.values()) / 1e3:.1f}"
            spread = f"{ratio.lower:.2f} to {ratio.upper:.2f}"
            exact = apart if name == "memnets.Stream" else ""
            lines.append((str(rows), name, middle, f"{ratio.median:.2f}", spread, exact))
    print(f"{kind} {memory_size}x{word_size}, LSTM 100, 1 step: {rounds} rounds, {clock}, 1 thread")
    print(report.table(("batch", "call", "us", "ratio", "quartiles", "difference"), lines))


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.steps")

"""What rows that begin anew inside a sequence cost: python -m benchmarks.starts.

Of a layer called with `starts`, the time of a training step at several rates of starts, beside that
of a call without any; and the largest difference of outputs, final state and gradients from each
piece of each row run alone, of each result's largest number, in float64. The calls run in turn, so
that what else the machine does falls on all of them alike.
"""

from __future__ import annotations

import copy
import statistics
from functools import partial
from itertools import pairwise

import torch
import tyro
from torch import Tensor

import memnets
from benchmarks import report
from benchmarks.contestants import constructor
from benchmarks.timing import in_turn, ratios
from memnets.state import leaves


def mask(steps: int, rows: int, rate: float) -> Tensor:
    """Draw where rows begin anew, [steps, rows]."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(steps, rows, generator=generator) < rate


def results(layer: memnets.MemoryLayer, y: Tensor, state: memnets.State) -> list[Tensor]:
    """Run the backward of a loss; return the output, the final state and all gradients."""
    made = [y, *leaves(state)]
    layer.zero_grad(set_to_none=True)
    torch.stack([part.square().mean() for part in made]).sum().backward()
    found = [parameter.grad for parameter in layer.parameters()]
    return [part.detach() for part in (*made, *found) if part is not None]


def train(layer: memnets.MemoryLayer, x: Tensor, starts: Tensor | None) -> list[Tensor]:
    """Run forward and backward."""
    return results(layer, *layer(x, starts=starts))


def by_pieces(layer: memnets.MemoryLayer, x: Tensor, starts: Tensor) -> list[Tensor]:
    """Run forward and backward, each piece of each row alone."""
    outputs, states = [], []
    for row in range(x.shape[1]):
        cuts = sorted({0, *starts[:, row].nonzero().flatten().tolist(), len(x)})
        runs = [layer(x[one:other, row : row + 1]) for one, other in pairwise(cuts)]
        outputs.append(torch.cat([y for y, _ in runs]))
        states.append(runs[-1][1])
    state = memnets.map_tensors(lambda *rows: torch.cat(rows), *states)
    return results(layer, torch.cat(outputs, dim=1), state)


def difference(layer: memnets.MemoryLayer, x: Tensor, starts: Tensor) -> float:
    """The largest difference of `train` from `by_pieces`, of each result's largest number."""
    found, expected = train(layer, x, starts), by_pieces(layer, x, starts)
    parts = zip(found, expected, strict=True)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in parts)


def main(
    kind: str = "NTM",
    memory_size: int = 64,
    word_size: int = 16,
    batch: int = 64,
    steps: int = 128,
    rounds: int = 40,
    rates: tuple[float, ...] = (0.0, 0.005, 0.02),
    clock: str = "processor",
) -> None:
    """Print for each rate the time beside that without starts, and the difference.

    Args:
        kind: NTM or DNC.
        memory_size: slots, N.
        word_size: W.
        batch: rows, B.
        steps: T.
        rounds: measurements of each, in turn.
        rates: of starts, at each step of each row.
        clock: processor or wall.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = constructor(kind)(
        8, 8, memory_size=memory_size, word_size=word_size, start=memnets.Start(learned=True)
    )
    exact = copy.deepcopy(layer).double()
    x = torch.randn(steps, batch, 8)
    masks = [mask(steps, batch, rate) for rate in rates]
    calls = [partial(train, layer, x, starts) for starts in (None, *masks)]
    base, *others = in_turn(calls, rounds, clock)
    lines = [("none", f"{statistics.median(base.values()) / 1e6:.2f}", "", "", "")]
    for rate, starts, taken in zip(rates, masks, others, strict=True):
        apart, ratio = difference(exact, x.double(), starts), ratios(taken, base)
        middle = f"{statistics.median(taken.values()) / 1e6:.2f}"
        spread = f"{ratio.lower:.3f} to {ratio.upper:.3f}"
        lines.append((f"{rate:g}", middle, f"{ratio.median:.3f}", spread, f"{apart:.1e}"))
    print(f"{kind} {memory_size}x{word_size}, batch {batch}, T {steps}: {rounds} rounds, {clock}")
    print(report.table(("starts a step", "ms", "ratio", "quartiles", "difference"), lines))


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.starts")

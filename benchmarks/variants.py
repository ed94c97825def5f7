"""What the DNC's descendants cost in the kernel: python -m benchmarks.variants.

Of each combination of Csordas and Schmidhuber's three changes, and of a DNC without a linkage, the
time of a training step on the fused backend beside that of the plain DNC. Outputs, final states and
gradients are compared with the reference's first, in float64. The calls run in turn, so that what
else the machine does falls on all of them alike.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import tyro
from torch import Tensor

import memnets
from benchmarks import report
from benchmarks.gate import agree, results
from benchmarks.timing import in_turn, ratios
from memnets.parts.content import Content
from memnets.parts.linkage import Linkage
from memnets.parts.usage import Allocation

CHANGES: Mapping[str, Mapping[str, Any]] = {
    "masked": {"content": Content(masked=True)},
    "wiped": {"allocation": Allocation(wipe=True)},
    "sharpened": {"linkage": Linkage(sharpened=True)},
}
COMPARED = (4, 2)
"""steps and rows of what is compared with the reference"""


def variants() -> dict[str, dict[str, Any]]:
    """The settings of each variant of a DNC, the plain one first.

    >>> list(variants())[:3], len(variants())
    (['plain', 'masked', 'wiped'], 9)
    """
    found: dict[str, dict[str, Any]] = {}
    for count in range(len(CHANGES) + 1):
        for names in itertools.combinations(CHANGES, count):
            settings = {key: part for name in names for key, part in CHANGES[name].items()}
            found[" + ".join(names) or "plain"] = settings
    return {**found, "no linkage": {"linkage": None}}


def train(layer: memnets.MemoryLayer, x: Tensor) -> None:
    """Run forward and backward."""
    layer.zero_grad(set_to_none=True)
    layer(x)[0].square().mean().backward()


def checked(name: str, sizes: Mapping[str, int], settings: Mapping[str, Any]) -> memnets.DNC:
    """A layer on the fused backend, after a comparison with the reference.

    Raises:
        Disagreement: the outputs, states or gradients are not the reference's.
    """
    both = [
        memnets.DNC(9, 8, **sizes, **settings, backend=backend, dtype=torch.float64)
        for backend in ("fused", "reference")
    ]
    both[0].load_state_dict(both[1].state_dict())
    x = torch.randn(*COMPARED, 9, dtype=torch.float64)
    agree(name, *(results(layer, x) for layer in both))
    return memnets.DNC(9, 8, **sizes, **settings, backend="fused")


def main(
    memory_size: int = 256,
    word_size: int = 64,
    read_heads: int = 4,
    batch: int = 16,
    steps: int = 40,
    rounds: int = 20,
    clock: str = "processor",
) -> None:
    """Print for each variant the time of a step, beside that of the plain DNC.

    Args:
        memory_size: slots, N.
        word_size: W.
        read_heads: R.
        batch: rows, B.
        steps: T.
        rounds: measurements of each, in turn.
        clock: processor or wall.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"memory_size": memory_size, "word_size": word_size, "read_heads": read_heads}
    layers = {name: checked(name, sizes, settings) for name, settings in variants().items()}
    x = torch.randn(steps, batch, 9)
    taken = in_turn([partial(train, layer, x) for layer in layers.values()], rounds, clock)
    lines = []
    for name, times in zip(layers, taken, strict=True):
        ratio, middle = ratios(times, taken[0]), statistics.median(times.values()) / 1e3 / steps
        spread = f"{ratio.lower:.2f} to {ratio.upper:.2f}"
        lines.append((name, f"{middle:.1f}", f"{ratio.median:.2f}", spread))
    heads = f"{read_heads} read head{'s' if read_heads > 1 else ''}"
    print(
        f"DNC {memory_size}x{word_size}, {heads}, LSTM 100, batch {batch}, T {steps}: "
        f"{rounds} rounds, {clock}, 1 thread"
    )
    print(report.table(("variant", "us a step", "ratio", "quartiles"), lines))


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.variants")

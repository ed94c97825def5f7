"""What it takes to find the words of a step: `python -m benchmarks.search` prints a table.

One row of N random words of 32 numbers, all written, 4 heads, K = 4, float32; processor time of one
thread, without gradients. Recall is the part of the K best words, by cosines in float64, that were
found; that of product keys is of the best of their own n^2 keys. Axes: N memory slots.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import machine
from memnets.backends.cpu import scanning
from memnets.parts.product_keys import product_weights
from memnets.parts.search import exact
from memnets.parts.store import InPlace

WORD, HEADS, COUNT, EPSILON = 32, 4, 4, 1e-6
SIZES = (10_000, 99_856, 1_000_000)
"""Squares of numbers, as product keys need them."""

Find = Callable[[Tensor], Tensor]
"""From keys [1, R, W] to slots [1, R, K]."""


def best(words: Tensor, keys: Tensor) -> Tensor:
    """The slots of the words [N, W] with the largest cosines to keys [R, W], in float64."""
    words, keys = words.double(), keys.double()
    alike = keys @ words.T / (torch.linalg.vector_norm(words, dim=-1) + 1e-30)
    return alike.topk(COUNT, dim=-1).indices


def best_sums(sets: Tensor, keys: Tensor) -> Tensor:
    """The slots with the largest sums of cosines, of all pairs of two sets [2, n, W / 2]."""
    cosines = [
        half @ torch.nn.functional.normalize(one, dim=-1).T
        for one, half in zip(
            sets.double(), keys.double().unflatten(-1, (2, -1)).unbind(-2), strict=True
        )
    ]
    norms = torch.linalg.vector_norm(keys.double().unflatten(-1, (2, -1)), dim=-1)
    rows, columns = (one / norms[:, which, None] for which, one in enumerate(cosines))
    return (rows[:, :, None] + columns[:, None, :]).flatten(1).topk(COUNT, dim=-1).indices


def recall(found: Tensor, expected: Tensor) -> float:
    """The part of the expected slots [R, K] that were found.

    >>> recall(torch.tensor([[1, 2]]), torch.tensor([[2, 3]]))
    0.5
    """
    same = found[:, :, None] == expected[:, None, :]
    return float(same.any(1).double().mean())


def measured(find: Find, expected: Find, rounds: int) -> tuple[float, float]:
    """Milliseconds of a search, the median of some, and its recall."""
    times, recalls = [], []
    for _ in range(rounds):
        keys = torch.randn(1, HEADS, WORD)
        began = time.process_time()
        found = find(keys)
        times.append(time.process_time() - began)
        recalls.append(recall(found[0], expected(keys[0])))
    return 1e3 * sorted(times)[rounds // 2], sum(recalls) / rounds


def finders(slots: int) -> dict[str, tuple[Find, Find]]:
    """Each search over a memory of its own, and what it should find."""
    torch.manual_seed(0)
    memory, written = torch.randn(1, slots, WORD), torch.tensor([slots])
    sets = torch.randn(2, math.isqrt(slots), WORD // 2)
    strengths = torch.ones(1, HEADS)
    plain, sketched = InPlace.of(memory), InPlace.of(memory)

    def by(words: InPlace, scan: Callable[..., Tensor]) -> Find:
        return lambda keys: scan(words, written, keys, COUNT, slots, EPSILON)

    def without_sketch(*arguments: object) -> Tensor:
        held, scanning.SKETCHED = scanning.SKETCHED, slots + 1
        try:
            return scanning.scan(*arguments)  # pyright: ignore[reportArgumentType]
        finally:
            scanning.SKETCHED = held

    return {
        "exact, torch": (by(plain, exact), lambda keys: best(memory[0], keys)),
        "exact, kernel": (by(plain, without_sketch), lambda keys: best(memory[0], keys)),
        "exact, kernel with a sketch": (
            by(sketched, scanning.scan),
            lambda keys: best(memory[0], keys),
        ),
        "product keys, torch": (
            lambda keys: product_weights(keys, strengths, sets, COUNT)[0],
            lambda keys: best_sums(sets, keys),
        ),
    }


def table(sizes: list[int], rounds: int) -> str:
    """The table, as text in Markdown."""
    lines = ["| search | N | ms a step | recall |", "|---|---|---|---|"]
    for slots in sizes:
        for name, (find, expected) in finders(slots).items():
            find(torch.randn(1, HEADS, WORD))  # makes the sketch
            milliseconds, found = measured(find, expected, rounds)
            lines.append(f"| {name} | {slots:,} | {milliseconds:.3f} | {found:.3f} |")
    return "\n".join(lines)


@torch.no_grad()
def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="slots N")
    parser.add_argument("--rounds", type=int, default=9, help="searches; the median counts")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(table(asked.sizes, asked.rounds))
    print(f"\n{machine.in_a_line()}")


if __name__ == "__main__":
    main()

"""Measure contestants in turn, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles

import torch
from torch import Tensor

from benchmarks.contestants import Contestant, Sizes

CLOCKS: dict[str, Callable[[], int]] = {
    "wall": time.perf_counter_ns,
    "processor": time.process_time_ns,
}
"""Nanoseconds: of the day, or those that this process (all its threads) was computing."""

PASSES = ("forward", "training")


@dataclass(frozen=True)
class Spread:
    """The median and the quartiles of a sample."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, sample: Sequence[float]) -> Spread:
        """Summarise a sample of at least one number.

        >>> Spread.of([1.0, 2.0, 3.0, 4.0, 5.0])
        Spread(median=3.0, lower=2.0, upper=4.0)
        """
        if len(sample) == 1:
            return cls(sample[0], sample[0], sample[0])
        lower, median, upper = quantiles(sample, n=4, method="inclusive")
        return cls(median, lower, upper)


Times = dict[str, dict[str, list[float]]]
"""By contestant, then by pass: microseconds a step in each round."""


def forward(contestant: Contestant, x: Tensor) -> None:
    """Run the model once, without a graph."""
    with torch.no_grad():
        contestant.run(x)


def training(contestant: Contestant, x: Tensor) -> None:
    """Run the model once, forward and backward, without an optimiser."""
    contestant.run(x).square().mean().backward()


def measure(
    contestants: Sequence[Contestant],
    sizes: Sizes,
    *,
    rounds: int,
    clock: str = "wall",
    after_round: Callable[[int], None] = lambda done: None,
) -> Times:
    """Time each contestant once a round, one after the other (A B C A B C ...).

    Args:
        contestants: what to time, on the same input.
        sizes: the input is [steps, batch, input_size].
        rounds: how many; one more comes first and does not count, to warm up.
        clock: a name in `CLOCKS`.
        after_round: called with the number of rounds done.
    """
    now = CLOCKS[clock]
    torch.manual_seed(0)
    x = torch.randn(sizes.steps, sizes.batch, sizes.input_size)
    times: Times = {one.name: {name: [] for name in PASSES} for one in contestants}
    for done in range(rounds + 1):
        for one in contestants:
            for name, run in (("forward", forward), ("training", training)):
                one.model.zero_grad(set_to_none=True)
                started = now()
                run(one, x)
                if done:
                    times[one.name][name].append((now() - started) / 1e3 / sizes.steps)
        if done:
            after_round(done)
    return times


def ratios(sample: Sequence[float], reference: Sequence[float]) -> Spread:
    """How many times as long as the reference, round by round."""
    return Spread.of([one / base for one, base in zip(sample, reference, strict=True)])

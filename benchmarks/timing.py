"""Measure contestants in turn, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles

import torch
from torch import Tensor

from benchmarks.cases import Case
from benchmarks.contestants import Contestant, inputs

CLOCKS: dict[str, Callable[[], int]] = {
    "wall": time.perf_counter_ns,
    "processor": time.process_time_ns,
}
"""Nanoseconds: of the day, or those that this process (all its threads) was computing."""

LEAST_TURNS = 5
MOST_ROUNDS = 200
SECONDS_A_TURN = 0.02


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


Times = dict[str, dict[str, dict[int, float]]]
"""By contestant, pass and round: microseconds a step."""


@dataclass(frozen=True)
class Turns:
    """How often a contestant has its turn: every `stride` rounds, `repeats` runs of each pass."""

    stride: int
    repeats: int


def forward(contestant: Contestant, x: Tensor) -> None:
    """Run the model once, without a graph."""
    with torch.no_grad():
        contestant.run(x)


def training(contestant: Contestant, x: Tensor) -> None:
    """Run the model once, forward and backward, without an optimiser."""
    contestant.model.zero_grad(set_to_none=True)
    contestant.run(x).square().mean().backward()


PASSES: dict[str, Callable[[Contestant, Tensor], None]] = {
    "forward": forward,
    "training": training,
}


def plan(costs: Mapping[str, float], seconds: float) -> tuple[int, dict[str, Turns]]:
    """Share seconds out equally: how many rounds, and who takes part in which.

    Strides are powers of two, so that the rounds of a slow contestant are among those of every
    faster one and their times can be paired. Nobody has fewer than `LEAST_TURNS`, even if that
    takes longer. What is over in no time is run several times in a turn.

    Args:
        costs: seconds that all passes of each contestant take once.
        seconds: for all of them together.

    >>> rounds, turns = plan({"fast": 0.001, "slow": 1.0}, seconds=20)
    >>> rounds, turns["fast"], turns["slow"]
    (200, Turns(stride=1, repeats=20), Turns(stride=32, repeats=1))
    """
    share = seconds / len(costs)
    repeats = {name: max(round(SECONDS_A_TURN / cost), 1) for name, cost in costs.items()}
    afforded = {name: share / (cost * repeats[name]) for name, cost in costs.items()}
    rounds = math.ceil(min(max(*afforded.values(), LEAST_TURNS), MOST_ROUNDS))
    turns = {}
    for name in costs:
        stride = 1
        while rounds / stride > afforded[name] and math.ceil(rounds / (2 * stride)) >= LEAST_TURNS:
            stride *= 2
        turns[name] = Turns(stride, repeats[name])
    return rounds, turns


def measure(
    contestants: Sequence[Contestant],
    case: Case,
    *,
    seconds: float,
    clock: str = "wall",
    after_round: Callable[[int, int], None] = lambda done, rounds: None,
) -> Times:
    """Time each contestant in turn, round by round (A B C A B C A B ...).

    Each runs twice before the first round, which warms it up and tells what a turn of it costs.

    Args:
        contestants: what to time, on the same input.
        case: whose input is taken.
        seconds: for all rounds together, about.
        clock: a name in `CLOCKS`.
        after_round: called with the number of rounds done and that of all.
    """
    now = CLOCKS[clock]
    x = inputs(case)
    rounds, turns = plan({one.name: _warm_up(one, x) for one in contestants}, seconds)
    times: Times = {one.name: {name: {} for name in PASSES} for one in contestants}
    for index in range(rounds):
        for one in contestants:
            turn = turns[one.name]
            if index % turn.stride:
                continue
            for name, run in PASSES.items():
                started = now()
                for _ in range(turn.repeats):
                    run(one, x)
                taken = (now() - started) / turn.repeats
                times[one.name][name][index] = taken / 1e3 / case.steps
        after_round(index + 1, rounds)
    return times


def in_turn(
    calls: Sequence[Callable[[], object]], rounds: int, clock: str, repeats: int = 1
) -> list[dict[int, float]]:
    """Nanoseconds of each call, by round: all take their turn in each, of `repeats` calls.

    A round before the first one warms them up.
    """
    now, found = CLOCKS[clock], [{} for _ in calls]
    for index in range(-1, rounds):
        for taken, call in zip(found, calls, strict=True):
            started = now()
            for _ in range(repeats):
                call()
            if index >= 0:
                taken[index] = (now() - started) / repeats
    return found


def _warm_up(contestant: Contestant, x: Tensor) -> float:
    taken = 0.0
    for _ in range(2):
        started = time.perf_counter()
        for run in PASSES.values():
            run(contestant, x)
        taken = time.perf_counter() - started
    return taken


def ratios(sample: Mapping[int, float], base: Mapping[int, float]) -> Spread:
    """How many times as long as the base, over the rounds in which both had a turn.

    >>> ratios({0: 6.0, 2: 8.0}, {0: 2.0, 1: 9.0, 2: 4.0}).median
    2.5
    """
    return Spread.of([sample[index] / base[index] for index in sample if index in base])


def exponent(times: Mapping[int, float]) -> float | None:
    """The exponent of the power law through the first and the last of times by size.

    Returns:
        None where there is only one.

    >>> round(exponent({10: 3.0, 20: 7.0, 40: 48.0}), 6)
    2.0
    """
    if len(times) < 2:
        return None
    (low, first), (high, last) = sorted(times.items())[:: len(times) - 1]
    return math.log(last / first) / math.log(high / low)

"""Extreme batches for a very long time: `python -m tests.anomalies --model ntm --steps 100000`.

Trains a small layer, step after step, on what no task would draw: huge and tiny values, zeros, the
same everywhere, alternating signs, long sequences, and now and then NaN, infinity or targets so
large that the gradient overflows. The first kinds must train like any other; the last must be
refused, every one, and change nothing.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from dataclasses import replace

import torch
from torch import Tensor

from tasks.base import Batch
from tasks.costs import Cost
from training.options.models import MODELS
from training.options.parts import replaced
from training.options.recipes import recipe
from training.run import loop, non_finite
from training.run.state import Training, start

BITS, ROWS, STEPS, LONG = 4, 4, 12, 100


def ordinary(generator: torch.Generator) -> Tensor:
    return torch.randn(STEPS, ROWS, BITS + 1, generator=generator)


def scaled(factor: float):
    return lambda generator: factor * ordinary(generator)


def alternating(generator: torch.Generator) -> Tensor:
    signs = torch.tensor([1.0, -1.0]).repeat(STEPS // 2)[:, None, None]
    return 1e3 * signs * torch.ones_like(ordinary(generator))


def long(generator: torch.Generator) -> Tensor:
    return 10 * torch.randn(LONG, ROWS, BITS + 1, generator=generator)


def spike(generator: torch.Generator) -> Tensor:
    x = torch.zeros_like(ordinary(generator))
    x[STEPS // 2, :, 0] = 1e30
    return x


def with_value(value: float):
    def make(generator: torch.Generator) -> Tensor:
        x = ordinary(generator)
        x[int(torch.randint(STEPS, (), generator=generator)), 0, 0] = value
        return x

    return make


HARMLESS = {
    "ordinary": ordinary,
    "zeros": scaled(0.0),
    "all equal": lambda generator: torch.full_like(ordinary(generator), 0.5),
    "all 1e6": lambda generator: torch.full_like(ordinary(generator), 1e6),
    "huge, 1e4": scaled(1e4),
    "huge, 1e10": scaled(1e10),
    "huge, 1e18": scaled(1e18),
    "tiny, 1e-40": scaled(1e-40),
    "alternating signs": alternating,
    "long": long,
    "one spike of 1e30": spike,
}
REFUSED = {
    "a NaN": with_value(math.nan),
    "an infinity": with_value(math.inf),
    "targets of 1e25": ordinary,
}


class Extreme:
    """A task whose batches are of all these kinds; one in a hundred is to be refused."""

    def __init__(self, cost: Cost) -> None:
        self.cost, self.kind = cost, ""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        rare = float(torch.rand((), generator=generator)) < 0.01
        names = list(REFUSED if rare else HARMLESS)
        self.kind = names[int(torch.randint(len(names), (), generator=generator))]
        x = (HARMLESS | REFUSED)[self.kind](generator)
        targets = torch.randint(0, 2, (len(x), ROWS, BITS), generator=generator).float()
        if self.kind == "targets of 1e25":
            targets.fill_(1e25)
        return Batch(x, targets, torch.ones(len(x), ROWS))


def begin(model: str, optimizer: str, seed: int):
    """A configuration with its recipe's settings and a small memory, and its training."""
    config = recipe("copy", model, optimizer)
    sizes = {"memory_size": 8, "word_size": 6, "controller.hidden_size": 16}
    config = replace(
        config,
        seed=seed,
        task_options=replace(config.task_options, bits=BITS),
        model_options=replaced(config.model_options, sizes),
        # The rate never falls, so that the weights wander far.
        optimizer_options=replace(config.optimizer_options, cooldown=0.0),
    )
    training = start(config)
    training.task = Extreme(training.task.cost)
    return config, training


def numbers(training: Training) -> Tensor:
    """Every number that a step may change, in one copy."""
    states = training.optimizer.state.values()
    moments = [part for state in states for part in state.values() if isinstance(part, Tensor)]
    return torch.cat([part.flatten() for part in [*training.layer.parameters(), *moments]])


def wrong_with(kind: str, refused: bool, before: Tensor, after: Tensor) -> str:
    """What a step did that it must not have done, or nothing."""
    if refused != (kind in REFUSED):
        return "it was refused" if refused else "it was not refused"
    if refused and not torch.equal(before, after):
        return "it was refused and changed something"
    if not bool(after.isfinite().all()):
        return "a weight or a moment of the optimiser is not finite"
    return ""


def feed(model: str, steps: int, *, optimizer: str = "adam", seed: int = 0) -> tuple[Counter, str]:
    """Train for so many steps; return how many batches there were of each kind, and what was wrong.

    Nothing was wrong if every harmless batch trained, every other was refused and changed nothing,
    and all weights and moments stayed finite.
    """
    config, training = begin(model, optimizer, seed)
    seen: Counter = Counter()
    after = numbers(training)
    for _ in range(steps):
        before = after
        try:
            loop.train_step(config, training)
            refused = False
        except non_finite.NonFiniteStepError:
            refused = True
        after, kind = numbers(training), training.task.kind
        training.step += 1
        seen[kind] += 1
        if training.step % 5_000 == 0:
            print(f"{training.step:,} steps", file=sys.stderr, flush=True)
        if wrong := wrong_with(kind, refused, before, after):
            return seen, f"step {training.step}, seed {seed}, {kind}: {wrong}"
    return seen, ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=[m for m in MODELS if MODELS[m].memory], default="ntm")
    parser.add_argument("--optimizer", choices=("adam", "graves_rmsprop"), default="adam")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.perf_counter()
    seen, wrong = feed(chosen.model, chosen.steps, optimizer=chosen.optimizer, seed=chosen.seed)
    for name, count in seen.most_common():
        print(f"{count:>8,}  {name}{' (refused)' * (name in REFUSED)}")
    minutes = (time.perf_counter() - begun) / 60
    print(f"{sum(seen.values()):>8,}  in all, {minutes:.1f} min: {wrong or 'nothing wrong'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

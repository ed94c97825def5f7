"""Train on the tasks of Deletang et al. (2023), test on longer strings, write docs/chomsky.md.

`python -m experiments.chomsky` may be stopped at any moment: what is finished stays, and it goes on
with the next training when it is run again.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import nn

from experiments import chomsky_page, family
from experiments.chomsky_table import (
    BATCH,
    CURRICULUM,
    LESSONS,
    MEMBERS,
    OPTIMIZER,
    SEQUENCES,
    SHORT,
    TESTED,
)
from experiments.family import Cell
from experiments.family_table import Lesson, Member
from tasks.base import Task
from tasks.transduction import ENDED_TOKENS, to_the_end
from training.files import provenance
from training.files.provenance import ROOT
from training.machine.signals import Stop
from training.options.config import Config, make_task
from training.run.loop import train_step
from training.run.non_finite import NonFiniteStepError
from training.run.state import start

STEPS = 20_000  # of all sequences of a length that are computed together: bounds the memory


@dataclass(frozen=True, kw_only=True)
class Options(family.Options):
    """Train what is missing, one after the other on one core, and write the page."""

    seconds: float = 30.0
    """core-seconds of each training"""
    seeds: tuple[int, ...] = (100,)
    """one training of each network on each task for each of them"""
    folder: Path = Path("runs/chomsky")
    """folder of what was measured, a file for each training, in a folder for each time"""
    page: Path = ROOT / "docs" / "chomsky.md"
    """the page: what stands between its two marks is written anew"""


def main(
    options: Options, every: Sequence[Member] = MEMBERS, lessons: Sequence[Lesson] = LESSONS
) -> int:
    """Do what the options say; return the exit status."""
    return family.carry_out(options, every, lessons, measure, chomsky_page.write)


def settings(cell: Cell) -> Config:
    """The configuration of a training: one optimiser and one curriculum for all tasks."""
    config = family.settings(cell)
    options: Any = config.optimizer_options
    return dataclasses.replace(
        config,
        optimizer_options=dataclasses.replace(options, **OPTIMIZER),
        run=dataclasses.replace(config.run, batch_size=BATCH),
        curriculum="doubling",
        curriculum_options=CURRICULUM,
    )


def measure(cell: Cell, seconds: float, stop: Stop) -> dict[str, Any]:
    """Train for so many core-seconds, then test; a training that fails says why."""
    config = settings(cell)
    source = provenance.facts()
    facts = {
        "task": cell.lesson.task,
        "member": cell.member.label,
        "seed": cell.seed,
        "seconds": seconds,
        "commit": source["commit"],
        "processor": source["processor"],
        "error": None,
    }
    try:
        training = start(config)
        facts["weights"] = sum(p.numel() for p in training.layer.parameters() if p.requires_grad)
        for now in family.by_time(config, seconds, stop):
            train_step(now, training)
            training.step += 1
        facts["sequences"] = training.step * config.run.batch_size
        facts["reached"] = training.curriculum["reached"]
        begun = time.process_time()
        for name, lengths in (("trained", SHORT), ("longer", TESTED)):
            found = by_length(config, training.layer, lengths, stop)
            facts[name] = sum(found.values()) / len(found)
            facts[f"{name}_lengths"] = found
        facts["test_seconds"] = round(time.process_time() - begun, 1)
    except (NonFiniteStepError, ValueError, RuntimeError) as error:
        facts["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return facts


def by_length(
    config: Config, layer: nn.Module, lengths: Sequence[int], stop: Stop
) -> dict[int, float]:
    """The accuracy at each length, with a slot for each step before the answer."""
    found: dict[int, float] = {}
    trained: Any = make_task(config)
    for length in lengths:
        if length < trained.axes[0].easiest:  # two numbers and a sign have four symbols at least
            continue
        if stop.requested:
            break
        task = dataclasses.replace(trained, min_length=length, max_length=length)
        found[length] = accuracy(family.with_slots(config, layer, task), task)
    return found


@torch.no_grad()
def accuracy(layer: nn.Module, task: Task) -> float:
    """The share of right symbols among all that are answered, up to the end marker if there is one.

    The paper's measure, `sum(mask * right) / sum(mask)` over a batch of one length.
    """
    one = int(task.sample(1, torch.Generator().manual_seed(0)).mask.sum()) == 1
    batch = task.sample(SEQUENCES[one], torch.Generator().manual_seed(1))
    together = max(1, STEPS // len(batch.inputs))
    parts = [layer(part)[0] for part in batch.inputs.split(together, 1)]
    outputs = torch.cat(parts, 1)
    scored = to_the_end(batch) if task.cost is ENDED_TOKENS else batch
    wrong = task.cost.errors(outputs, batch).sum()
    return 1 - float(wrong / task.cost.answers(scored))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.chomsky", description=__doc__)))

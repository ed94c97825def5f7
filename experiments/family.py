"""Train every model and variant on the same tasks for the same time, and write docs/family.md.

`python -m experiments.family` may be stopped at any moment: what is finished stays, and it goes on
with the next training when it is run again.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import tyro
from torch import nn

from experiments import family_page
from experiments.computation import with_computation
from experiments.family_table import (
    LESSONS,
    SEQUENCES,
    TIMED,
    Lesson,
    Member,
    members,
    memory_size,
)
from experiments.job import locked
from tasks.base import Task
from training.evaluate import generalisation, lengths
from training.evaluate.evaluation import evaluate
from training.files import checkpoint, provenance
from training.files.provenance import ROOT
from training.machine.signals import Stop, stop_on_signals
from training.options.config import Config, make_task
from training.options.parts import replaced
from training.options.recipes import recipe
from training.run.loop import train_step
from training.run.non_finite import NonFiniteStepError
from training.run.state import start

TOGETHER = 16  # sequences of a batch of an evaluation, which may share their length
CONSTANT = (
    0.5  # share of the time during which the learning rate stays as it is; then it falls to 0
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train what is missing, one after the other on one core, and write the page."""

    seconds: float = 180.0
    """core-seconds of each training"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """one training of each model on each task for each of them"""
    members: tuple[str, ...] = ("*",)
    """names of models and variants, or patterns such as 'dnc*'"""
    tasks: tuple[str, ...] = ("*",)
    """names of tasks, or patterns"""
    folder: Path = Path("runs/family")
    """folder of what was measured, a file for each training, in a folder for each time"""
    page: Path = ROOT / "docs" / "family.md"
    """the page: what stands between its two marks is written anew, with a figure beside it"""
    list: bool = False
    """only list the names, and how many trainings of each are done"""
    only_write: bool = False
    """only write the page, from the trainings that are done"""


class Cell(NamedTuple):
    """One training: a member on a lesson from a seed."""

    member: Member
    lesson: Lesson
    seed: int

    def file(self, options: Options) -> Path:
        """Where what it came to is kept."""
        name = f"{self.lesson.task}-{self.member.name}-seed{self.seed}.json"
        return options.folder / f"{options.seconds:g}s" / name


Measure = Callable[[Cell, float, Stop], dict[str, Any]]
"""trains a cell for so many core-seconds, and says what it came to"""
Write = Callable[[Path, Sequence[dict[str, Any]], Sequence[Lesson]], list[Path]]
"""writes a page of what the cells came to, and names the files"""


def main(
    options: Options, every: Sequence[Member] | None = None, lessons: Sequence[Lesson] = LESSONS
) -> int:
    """Do what the options say; return the exit status."""
    every = members() if every is None else every
    return carry_out(options, every, lessons, measure, family_page.write)


def carry_out(
    options: Options,
    every: Sequence[Member],
    lessons: Sequence[Lesson],
    measure: Measure,
    write: Write,
) -> int:
    """Train what is missing and write the page; return the exit status."""
    try:
        cells = plan(options, every, lessons)
        if options.list:
            for member in dict.fromkeys(cell.member.name for cell in cells):
                of_member = [cell for cell in cells if cell.member.name == member]
                done = sum(cell.file(options).is_file() for cell in of_member)
                print(f"{member:40} {done} of {len(of_member)}")
            return 0
        if not options.only_write:
            status = run(cells, options, measure)
            if status:
                return status
        written = write(options.page, collect(options, every, lessons), lessons)
        print(f"written: {', '.join(map(str, written))}")
    except ValueError as error:
        print(f"{options.folder.name}: error: {error}", file=sys.stderr)
        return 2
    return 0


def plan(options: Options, every: Sequence[Member], lessons: Sequence[Lesson]) -> list[Cell]:
    """The trainings that are asked for, seed after seed, so that there is soon one of each.

    Raises:
        ValueError: nothing has such a name, there is no seed, or no time.
    """
    for patterns, names, what in (
        (options.members, [member.name for member in every], "member"),
        (options.tasks, [lesson.task for lesson in lessons], "task"),
    ):
        for pattern in patterns:
            if not fnmatch.filter(names, pattern):
                raise ValueError(f"there is no {what} {pattern}: there are {', '.join(names)}")
    if not options.seeds or not options.seconds > 0:
        raise ValueError(
            f"there must be a seed and some time, got --seeds {options.seeds} and --seconds "
            f"{options.seconds:g}"
        )
    return [
        Cell(member, lesson, seed)
        for seed in options.seeds
        for member in every
        for lesson in lessons
        if any(fnmatch.fnmatchcase(member.name, pattern) for pattern in options.members)
        and any(fnmatch.fnmatchcase(lesson.task, pattern) for pattern in options.tasks)
    ]


def run(cells: Sequence[Cell], options: Options, measure: Measure) -> int:
    """Train what is not there; return 0, or 128 + the signal that stopped it."""
    torch.set_num_threads(1)
    with stop_on_signals() as stop:
        for number, cell in enumerate(cells, 1):
            path = cell.file(options)
            with locked(path):
                if path.is_file():
                    continue
                found = measure(cell, options.seconds, stop)
                if stop.requested:
                    break
                checkpoint.write_json(path, found)
            said = found["error"] or f"{found['trained']:.0%} trained, {found['longer']:.0%} longer"
            print(f"{number} of {len(cells)}: {path.stem}: {said}", flush=True)
    return stop.status


def settings(cell: Cell) -> Config:
    """The configuration of a training: the recipe of the pair, or its first guess.

    All memories have as many slots, and the rate falls by the time that is left, not by steps.
    """
    config = recipe(cell.lesson.task, cell.member.model)
    slots = memory_size(cell.member)
    model = {**({} if slots is None else {"memory_size": slots}), **cell.member.settings}
    options: Any = config.optimizer_options
    task = dataclasses.replace(make_task(config), **cell.lesson.trained)
    return dataclasses.replace(
        config,
        seed=cell.seed,
        task_options=with_computation(task, cell.member.computation),
        model_options=replaced(config.model_options, model),
        optimizer_options=dataclasses.replace(options, cooldown=0.0),
    )


def measure(cell: Cell, seconds: float, stop: Stop) -> dict[str, Any]:
    """Train for so many core-seconds, then test; a training that fails says why."""
    config = settings(cell)
    facts = {
        "task": cell.lesson.task,
        "member": cell.member.label,
        "seed": cell.seed,
        "seconds": seconds,
        "commit": provenance.facts()["commit"],
        "processor": provenance.facts()["processor"],
        "error": None,
    }
    try:
        training = start(config)
        facts["weights"] = sum(p.numel() for p in training.layer.parameters() if p.requires_grad)
        begun = time.process_time()
        for config_now in by_time(config, seconds, stop):
            train_step(config_now, training)
            training.step += 1
        facts["core_seconds"] = round(time.process_time() - begun, 1)
        facts["sequences"] = training.step * config.run.batch_size
        task = make_task(config)
        longer = dataclasses.replace(task, **cell.lesson.longer)
        facts["microseconds"] = step_time(training.layer, longer)
        facts["trained"] = score(training.layer, task)
        facts["longer"] = score(with_slots(config, training.layer, longer), longer)
    except (NonFiniteStepError, ValueError, RuntimeError) as error:
        facts["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return facts


def by_time(config: Config, seconds: float, stop: Stop) -> Iterator[Config]:
    """The configuration of each step until the time is over, with its learning rate."""
    options: Any = config.optimizer_options
    begun = time.process_time()
    while not stop.requested and (spent := (time.process_time() - begun) / seconds) < 1:
        rate = options.learning_rate * min(1.0, (1 - spent) / (1 - CONSTANT))
        now = dataclasses.replace(options, learning_rate=rate)
        yield dataclasses.replace(config, optimizer_options=now)


def with_slots(config: Config, layer: nn.Module, task: Task) -> nn.Module:
    """The trained layer with a slot for every step before the answer, and some to spare."""
    trained = getattr(config.model_options, "memory_size", None)
    if trained is None:
        return layer
    slots = lengths.slots(task, trained)
    return generalisation.build(config, {"weights": layer.state_dict()}, slots)


def score(layer: nn.Module, task: Task) -> float:
    """How far a network is on the way from guessing (0) to no error (1)."""
    found = evaluate(layer, task, SEQUENCES, batch_size=TOGETHER, seed=1)
    return min(1.0, max(0.0, 1 - found[task.cost.errors_name] / task.chance_errors()))


def step_time(layer: nn.Module, task: Task) -> float:
    """Microseconds of one core that a step of one sequence takes in training."""
    batch = task.sample(TIMED, torch.Generator().manual_seed(0))
    best = float("inf")
    for _ in range(5):
        layer.zero_grad(set_to_none=True)
        begun = time.process_time()
        costs = task.cost.per_sequence(layer(batch.inputs)[0], batch)
        task.cost.loss(costs, batch).backward()
        best = min(best, time.process_time() - begun)
    return round(1e6 * best / batch.mask.numel(), 2)


def collect(
    options: Options, every: Sequence[Member], lessons: Sequence[Lesson]
) -> list[dict[str, Any]]:
    """What the trainings of this time came to, in the order of the members and lessons.

    Raises:
        ValueError: none is done.
    """
    found = [
        json.loads(path.read_text())
        for member in every
        for lesson in lessons
        for path in sorted(
            (options.folder / f"{options.seconds:g}s").glob(
                f"{lesson.task}-{member.name}-seed*.json"
            )
        )
    ]
    if not found:
        raise ValueError(
            f"there is no training of {options.seconds:g} core-seconds in {options.folder}: leave "
            "out --only-write, or give the --seconds of one"
        )
    return found


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.family", description=__doc__)))

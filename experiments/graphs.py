"""Write docs/graphs.md from a run on a graph task: how far its lessons went, and its memory.

`python -m experiments.graphs runs/NAME`, after the run or at any moment of it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from torch import nn

from experiments import graphs_figures, run_page
from experiments.marks import marks
from experiments.results_page import table
from tasks.base import Task
from tasks.levels import at_level, levels
from training.evaluate import evaluation, generalisation
from training.files import checkpoint
from training.files.metrics import read_rows
from training.files.provenance import ROOT
from training.options.config import from_json, make_task
from training.options.seeds import seeds

MARKS = marks("python -m experiments.graphs")
CURVE, MEMORY = "graphs.png", "graphs_memory.png"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write the page of the graph tasks from a run."""

    run: Annotated[Path, tyro.conf.Positional]
    """the run folder"""
    core_minutes: float
    """what the training took of one core: a run that waits for others takes longer"""
    memory_size: int = 256
    """memory slots while it is measured, enough for the largest graphs"""
    sequences: int = 512
    """sequences of each lesson"""
    page: Path = ROOT / "docs" / "graphs.md"
    """the page: what stands between its two marks is written anew, with figures beside it"""


def main(options: Options) -> int:
    """Do what the options say; return the exit status."""
    try:
        written = write(options)
    except (ValueError, OSError) as error:
        print(f"graphs: error: {error}", file=sys.stderr)
        return 2
    print(f"written: {', '.join(map(str, written))}")
    return 0


def write(options: Options) -> list[Path]:
    """Measure the network of a run, and write the page.

    Raises:
        ValueError: it is no run of traversal with a curriculum of lessons, it has no checkpoint, or
            the page lacks the marks.
    """
    config = from_json(checkpoint.read_config(options.run))
    if (config.task, config.curriculum) != ("graph_traversal", "lessons"):
        raise ValueError(
            f"{options.run} must be a run of the task graph_traversal with --curriculum lessons, "
            f"but is one of {config.task} with {config.curriculum}: train one"
        )
    saved = checkpoint.load(options.run / checkpoint.LAST)
    task = make_task(config)
    layer = generalisation.build(config, saved, options.memory_size).eval()
    rows = [row for row in read_rows(options.run) if "level" in row]
    found = {
        **run_page.facts(options.run, config),
        "trained": saved["sequences"],
        "core_minutes": options.core_minutes,
        "memory_size": options.memory_size,
        "evaluated": options.sequences,
        "reached": saved["curriculum"]["reached"],
        "passed": passed(rows, levels(task)),
        "right": right(layer, task, options.sequences, seeds(config.seed)[2]),
        "curve": {
            name: [round(row[key], 4) for row in rows]
            for name, key in (("sequences", "sequences"), ("level", "level"), ("loss", "loss"))
        },
    }
    figures = {
        CURVE: graphs_figures.lessons_figure(found),
        MEMORY: graphs_figures.memory_figure(
            layer, graphs_figures.example(found["reached"] - 1), seed=seeds(config.seed)[2]
        ),
    }
    return run_page.write(options.page, found, body(found), figures, MARKS, "graphs")


def passed(rows: Sequence[dict[str, Any]], count: int) -> list[int | None]:
    """After how many sequences each lesson was passed, as the rows of metrics tell.

    A row has the mean level of some batches, most of them of the lesson that is learned and none of
    a later one.

    >>> rows = [{"sequences": 10 * i, "level": x} for i, x in enumerate((1, 1.2, 1.9, 2.1), 1)]
    >>> passed(rows, 3)
    [20, 40, None]
    """
    found: list[int | None] = [None] * count
    reached = 1
    for row in rows:
        now = min(math.ceil(row["level"]), count)
        for lesson in range(reached, now):
            found[lesson - 1] = row["sequences"]
        reached = max(reached, now)
    return found


def right(layer: nn.Module, task: Task, sequences: int, seed: int) -> list[float]:
    """The share of the sequences of each lesson that are right to the last digit."""
    found: list[float] = []
    for lesson in range(1, levels(task) + 1):
        variant = at_level(task, lesson)
        figures = evaluation.evaluate(layer, variant, sequences, batch_size=8, seed=seed)
        found.append(figures["exact_match"])
    return found


def body(found: dict[str, Any]) -> str:
    """Everything between the marks."""
    pairs = zip(found["passed"], found["right"], strict=True)
    lines = [
        [str(lesson), "" if after is None else f"{after:,}", f"{100 * share:.1f}%"]
        for lesson, (after, share) in enumerate(pairs, start=1)
    ]
    return "\n".join(
        [
            f"One run, seed {found['seed']}, {found['trained']:,} sequences in "
            f"{found['core_minutes']:g} core-minutes: `{found['command']}`; at commit "
            f"{', '.join(found['commits'])}, on {', '.join(found['processors'])}. It was learning "
            f"lesson {found['reached']} of {len(lines)}. Right are sequences without a wrong "
            f"digit, of {found['evaluated']} new ones of each lesson, with {found['memory_size']} "
            "slots.\n",
            f"![Lessons and cost over training, and what is right of each](pictures/{CURVE})\n",
            table(["lesson", "passed after sequences", "right at the end"], lines),
            f"![What is written where, and how it is found again](pictures/{MEMORY})\n",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.graphs", description=__doc__)))

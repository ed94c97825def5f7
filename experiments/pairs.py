"""How many pairs a sparse memory learns to recall, by the curriculum of Rae et al. 2016.

Section 4.3 there: any number of pairs up to a highest one, which doubles when the cost is low. The
task is `tasks.pair_recall` or `tasks.key_value_recall` (MQAR), the memory a `memnets.SAM`.

`python -m experiments.pairs` trains by train.py, and writes docs/results/pairs.json and
docs/pictures/pairs.png, which docs/sparse.md shows; with `--lesson mqar` it writes mqar.json and
mqar.png. It may be stopped at any moment and goes on when it is run again.

Axes: T time, B batch.
"""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
import tyro
from torch import Tensor

import memnets
from experiments.job import finish_training, locked
from experiments.kept import kept, write
from memnets.inspect import palette
from tasks.key_value_recall import KeyValueRecall
from tasks.pair_recall import PairRecall
from training.files import checkpoint
from training.files.metrics import read_rows, training_rows
from training.files.provenance import ROOT
from training.options.config import from_json, make_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Lesson(NamedTuple):
    """What is trained, and asked for at the end."""

    flags: str
    """of train.py"""
    sequences: int
    """of a training"""
    pairs: tuple[int, ...]
    """of the lists that are asked for at the end"""
    right: Callable[[Tensor, Tensor], Tensor]
    """from logits and targets, whether each answer is right, [T, B]"""


def every_bit(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether all bits of an answer are right, [T, B]."""
    return ((logits > 0) == (targets > 0.5)).all(-1)


def symbol(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether the symbol with the highest logit is the right one, [T, B]."""
    return logits.argmax(-1) == targets.argmax(-1)


DOUBLING = "--model sam --curriculum doubling --curriculum.threshold 0.05"
LESSONS = {
    "pairs": Lesson(
        f"--task pair_recall --task.max-pairs 4096 {DOUBLING}",
        17_000,
        (8, 64, 256, 512, 1024, 2048, 4096),
        every_bit,
    ),
    "mqar": Lesson(
        "--task key_value_recall --task.keys 1024 --task.values 1024 --task.slots 1 "
        f"--task.min-pairs 16 --task.max-pairs 1000 {DOUBLING}",
        28_000,
        (16, 64, 256, 512, 1000),
        symbol,
    ),
}
# A batch of 4,096 pairs takes a quarter of a minute: the curve has each, and little is lost.
RECORDS = (
    "--run.log-every 1 --run.checkpoint-every 20 --run.evaluate-every 0 "
    "--run.evaluation-sequences 16 --run.pictures False"
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train, test, and write the figure."""

    lesson: Literal["pairs", "mqar"] = "pairs"
    """pairs of bits, side by side; or of symbols, one after the other"""
    seeds: tuple[int, ...] = (0,)
    """a training for each"""
    sequences: int | None = None
    """of each training; None: those of the lesson"""
    flags: str = ""
    """of train.py, after those of the lesson"""
    pairs: tuple[int, ...] = ()
    """of the lists that are asked for at the end; none given: those of the lesson"""
    lists: int = 16
    """of each number of pairs"""
    runs: Path = Path("runs")
    """folder of the trainings"""
    folder: Path = ROOT / "docs"
    """where results/ and pictures/ are"""


class UnfinishedError(Exception):
    """A training was stopped, or failed: train.py has said why."""


def learned(folder: Path, seed: int, options: Options) -> dict[str, Any]:
    """Train to the end, from wherever the training is; then ask for lists of pairs.

    Raises:
        UnfinishedError: with the exit status.
    """
    lesson = LESSONS[options.lesson]
    flags = f"{lesson.flags} --run.sequences {options.sequences} {options.flags}"
    command = f"{flags.strip()} --seed {seed}"
    with locked(folder):
        status = finish_training(folder, shlex.split(f"{command} {RECORDS}"))
    if status:
        raise UnfinishedError(status)
    config = checkpoint.read_config(folder)
    task, layer = make_task(from_json(config)), memnets.load(folder)
    assert isinstance(task, PairRecall | KeyValueRecall)
    wrong = {
        pairs: wrong_share(layer, task, lesson.right, pairs, options.lists)
        for pairs in options.pairs
    }
    return {
        "seed": seed,
        "command": f"python train.py {command}",
        "settings": config["model_options"],
        "rows": doublings(training_rows(read_rows(folder)), task.min_pairs),
        "wrong": wrong,
    }


def doublings(rows: Sequence[Mapping[str, float]], fewest: int) -> list[dict[str, float]]:
    """The beginning, each row of metrics that reached more pairs, and the last.

    Args:
        rows: of the training; the first level has the fewest pairs.
        fewest: how many these are.

    >>> rows = [{"core_seconds": i, "sequences": 16 * i, "reached": 1 + i // 3} for i in range(6)]
    >>> [(row["seconds"], row["pairs"]) for row in doublings(rows, fewest=8)]
    [(0.0, 8), (3, 9), (5, 9)]
    """
    found: list[dict[str, float]] = [{"seconds": 0.0, "sequences": 0, "pairs": fewest}]
    for number, row in enumerate(rows, 1):
        pairs = fewest - 1 + row["reached"]
        if pairs > found[-1]["pairs"] or number == len(rows):
            times = {"seconds": row["core_seconds"], "sequences": row["sequences"]}
            found.append({**times, "pairs": pairs})
    return found


@torch.no_grad()
def wrong_share(
    layer: Callable[..., Any],
    task: PairRecall | KeyValueRecall,
    right: Callable[[Tensor, Tensor], Tensor],
    pairs: int,
    lists: int,
) -> float:
    """The share of values that are not right, in fixed lists of so many pairs."""
    task = replace(task, min_pairs=pairs, max_pairs=pairs)
    batch = task.sample(lists, torch.Generator().manual_seed(1000))
    logits, _ = layer(batch.inputs)
    return 1 - float(right(logits, batch.targets)[batch.mask > 0].float().mean())


def figure(found: list[dict[str, Any]]) -> Figure:
    """The highest number of pairs against core-minutes, and the wrong values against pairs."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9, 3.2), dpi=110, layout="constrained")
    left, right = drawing.subplots(1, 2)
    for one, colour in zip(found, palette.LINES, strict=False):
        minutes = [row["seconds"] / 60 for row in one["rows"]]
        label = f"seed {one['seed']}"
        left.step(minutes, [row["pairs"] for row in one["rows"]], where="post", color=colour)
        pairs, shares = zip(*((int(p), share) for p, share in one["wrong"].items()), strict=True)
        right.plot(pairs, shares, color=colour, marker=".", label=label)
    left.set_title("pairs in training, at most", loc="left", fontsize=10)
    left.set_xlabel("core-minutes", fontsize=9)
    left.set_yscale("log", base=2)
    right.set_title("share of values not recalled", loc="left", fontsize=10)
    right.set_xlabel("pairs of a list", fontsize=9)
    right.set_xscale("log", base=2)
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return drawing


def main(options: Options) -> int:
    """Train what is missing, and write the curves and their figure; return the exit status."""
    torch.set_num_threads(1)
    lesson, found = LESSONS[options.lesson], []
    sequences, asked = options.sequences or lesson.sequences, options.pairs or lesson.pairs
    options = replace(options, sequences=sequences, pairs=asked)
    for seed in options.seeds:
        folder = options.runs / options.lesson / f"seed{seed}-{sequences}"
        try:
            measure = functools.partial(learned, folder, seed, options)
            found.append(kept(folder.with_suffix(".json"), measure))
        except UnfinishedError as end:
            return end.args[0]
    write(options.folder, options.lesson, found, figure(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.pairs", description=__doc__)))

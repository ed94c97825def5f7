"""A small task for each part that is in no other table: docs/family.md.

`python -m experiments.parts` trains what is missing, some core-seconds each, and writes
docs/results/parts.json and docs/pictures/parts.png. It may be stopped at any moment.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import tyro

import tasks
from experiments.job import finish_training, locked
from experiments.kept import write
from memnets.inspect import palette
from training.evaluate.solved import outcome_of
from training.files import checkpoint, provenance
from training.files.metrics import is_finished, read_evaluation, read_rows, training_rows
from training.files.provenance import ROOT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = "--model.memory-size 6 --model.word-size 6 --model.controller.hidden-size 40"
COPY = "--task copy --task.max-length 2 --task.bits 3"
POINTS = 40
"""of a curve, about"""
LEAST = 1e-4
"""share of guessing's errors that the figure still shows"""


class Part(NamedTuple):
    """A part, and the flags of train.py that train it on its task."""

    name: str
    group: str
    """the panel of the figure"""
    flags: str

    def folder(self, runs: Path) -> Path:
        """Of its run."""
        return runs / self.name.replace(" ", "-")


def _dnc(name: str, flags: str = "") -> Part:
    sizes = f"{COPY} --model dnc {SMALL} --run.batch-size 32 --run.sequences 48000"
    return Part(name, "a DNC with", f"{sizes} {flags}".strip())


def _ntm(name: str, flags: str = "", sequences: int = 20_000) -> Part:
    group = "an NTM with the controller" if "--model.controller" in flags else "an NTM with"
    sizes = f"{COPY} --model ntm {SMALL} --run.sequences {sequences}"
    return Part(name, group, f"{sizes} {flags}".strip())


PARTS = (
    _dnc("nothing else"),
    _dnc(
        "softmax allocation",
        "--model.allocation softmax-allocation --model.allocation.strength-bias 20",
    ),
    _dnc(
        "uniform writing",
        "--model.controller.schedule uniform-writing --model.controller.schedule.interval 2 "
        "--model.controller.schedule.read-between True --model.controller.schedule.cached False",
    ),
    _dnc(
        "cached uniform writing",
        "--model.controller.schedule uniform-writing --model.controller.schedule.interval 2 "
        "--model.controller.schedule.read-between True",
    ),
    _dnc(
        "normalised interface",
        "--model.controller.interface normalised-interface --model.controller.bypass-dropout 0.1",
    ),
    _dnc("masked content", "--model.content.masked True"),
    _dnc("wiping", "--model.allocation.wipe True"),
    _dnc("sharpened links", "--model.linkage.sharpened True"),
    _dnc("no linkage", "--model.linkage none"),
    _ntm("erase and add"),
    _ntm("delta rule", "--model.writing delta-rule"),
    _ntm("gated delta", "--model.writing gated-delta"),
    _ntm("gated delta 2", "--model.writing gated-delta2"),
    _ntm("decay and add", "--model.writing decay-add"),
    _ntm("mLSTM", "--model.writing mlstm"),
    _ntm("Titans", "--model.writing titans"),
    _ntm("modern Hopfield", "--model.heads.read hopfield"),
    _ntm("jordan", "--model.controller jordan"),
    _ntm("indrnn", "--model.controller indrnn"),
    _ntm(
        "residual indrnn",
        "--model.controller indrnn --model.controller.num-layers 3 "
        "--model.controller.residual True",
    ),
    _ntm("ctrnn", "--model.controller ctrnn"),
    _ntm("ctrnn_rk4", "--model.controller ctrnn_rk4 --optimizer.learning-rate 0.01", 24_000),
    _ntm("mtrnn", "--model.controller mtrnn --optimizer.learning-rate 0.01", 40_000),
    _ntm("gru1", "--model.controller gru1"),
    _ntm("gru2", "--model.controller gru2"),
    _ntm("gru3", "--model.controller gru3"),
    _ntm("lstm_peephole", "--model.controller lstm_peephole"),
    Part(
        "stored programs",
        "other tasks",
        f"--task copy_or_reverse --task.max-length 2 --task.bits 3 --model dnc {SMALL} "
        "--run.batch-size 32 --run.sequences 64000 --model.controller.interface stored-programs",
    ),
    Part(
        "planning budget",
        "other tasks",
        "--task associative_recall --task.bits 4 --task.item-length 1 --task.max-items 4 "
        "--task.planning-steps 5 --model dnc --model.memory-size 16 --model.word-size 10 "
        "--model.read-heads 2 --run.sequences 120000",
    ),
    Part(
        "least recently used",
        "other tasks",
        "--task few_shot --task.classes 3 --task.shots 5 --model ntm --model.heads.read content "
        "--model.heads.write least-recently-used --model.memory-size 32 --model.word-size 32 "
        "--model.read-heads 4 --optimizer.learning-rate 0.001 --run.batch-size 16 "
        "--run.sequences 160000",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train what is missing, and write the figure."""

    parts: tuple[str, ...] = tuple(part.name for part in PARTS)
    """by their names in PARTS"""
    runs: Path = Path("runs/parts")
    """folder of the runs"""
    folder: Path = ROOT / "docs"
    """where results/ and pictures/ are"""
    only_write: bool = False
    """only write the figure, from the runs that are finished"""


def chosen(names: tuple[str, ...]) -> list[Part]:
    """The parts of these names.

    Raises:
        ValueError: there is none of such a name.

    >>> [part.flags.split()[-1] for part in chosen(("mLSTM", "indrnn"))]
    ['mlstm', 'indrnn']
    """
    known = {part.name: part for part in PARTS}
    for name in names:
        if name not in known:
            raise ValueError(f"there is no part {name}: there are {', '.join(known)}")
    return [known[name] for name in names]


def finish(part: Part, runs: Path) -> int:
    """Train a part from seed 0, or go on; return the exit status."""
    folder = part.folder(runs)
    with locked(folder):
        return finish_training(folder, [*shlex.split(part.flags), "--run.pictures", "False"])


def found(part: Part, folder: Path) -> dict[str, Any]:
    """What a finished run came to."""
    rows, evaluation = read_rows(folder), read_evaluation(folder)
    config = checkpoint.read_config(folder)
    first = outcome_of(config, rows, evaluation).first
    task = tasks.make(config["task"], **config["task_options"])
    name = task.cost.errors_name
    made = provenance.read(folder)[-1]
    return {
        "part": part.name,
        "group": part.group,
        "command": f"python train.py {part.flags} --seed 0",
        "solved": None if first is None else first.sequences,
        "wrong": evaluation["training"][name],
        "guessing": task.chance_errors(),
        "processor": made["processor"],
        "commit": made["commit"],
        "curve": thinned([(row["sequences"], row[name]) for row in training_rows(rows)]),
    }


def thinned(curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """About `POINTS` of the points of a curve, each the mean of those it stands for.

    >>> thinned([(100, 2.0), (200, 1.0)])
    [(100, 2.0), (200, 1.0)]
    >>> len(thinned([(count, 1.0) for count in range(100)]))
    50
    """
    share = max(1, len(curve) // POINTS)
    pieces = [curve[place : place + share] for place in range(0, len(curve), share)]
    return [(piece[-1][0], fmean(error for _, error in piece)) for piece in pieces]


def figure(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Errors as a share of guessing's against sequences in thousands; a panel for each group."""
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(run["group"] for run in runs))
    rows = (len(groups) + 1) // 2
    drawing = Figure(figsize=(10, 3.6 * rows), dpi=110, layout="constrained")
    panels = drawing.subplots(rows, 2, sharey=True, squeeze=False).ravel()
    for axes, group in zip(panels, groups, strict=False):
        for number, run in enumerate(run for run in runs if run["group"] == group):
            _draw(axes, run, number)
        axes.set_yscale("log")
        axes.set_title(group, loc="left", fontsize=10)
        axes.set_xlabel("thousand sequences", fontsize=9)
        axes.set_ylabel("wrong, as a share of guessing", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7, ncols=2)
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    return drawing


def _draw(axes: Axes, run: Mapping[str, Any], number: int) -> None:
    """A curve, and a dot where it was solved."""
    count = len(palette.LINES)
    style, colour = ("-", "--", ":")[number // count], palette.LINES[number % count]
    curve = [(at / 1000, max(wrong / run["guessing"], LEAST)) for at, wrong in run["curve"]]
    axes.plot(*zip(*curve, strict=True), style, color=colour, label=run["part"], linewidth=1.2)
    if run["solved"] is not None:
        at = min(curve, key=lambda point: abs(point[0] - run["solved"] / 1000))
        axes.plot(*at, "o", color=colour, markersize=4)


def main(options: Options) -> int:
    """Train what is missing, and write what is finished; return the exit status."""
    torch.set_num_threads(1)
    try:
        asked = chosen(options.parts)
    except ValueError as error:
        print(f"parts: error: {error}", file=sys.stderr)
        return 2
    for part in asked if not options.only_write else ():
        status = finish(part, options.runs)
        if status:
            return status
    done = [part for part in PARTS if is_finished(part.folder(options.runs))]
    runs = [found(part, part.folder(options.runs)) for part in done]
    write(options.folder, "parts", runs, figure(runs))
    for run in runs:
        solved = "no" if run["solved"] is None else f"after {run['solved']:,}"
        print(f"| {run['part']} | {run['wrong']:.3f} of {run['guessing']:g} | {solved} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.parts", description=__doc__)))

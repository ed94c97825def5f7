"""A small task for each part that is in no other table: docs/family.md.

`python -m experiments.parts` trains what is missing, some core-seconds each, and writes
docs/results/parts.json and docs/pictures/parts.png. It may be stopped at any moment.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import tyro

import train
from experiments.job import locked
from experiments.kept import write
from memnets.inspect import palette
from training.evaluate.solved import outcome_of
from training.files import checkpoint, provenance
from training.files.metrics import is_finished, read_evaluation, read_rows, training_rows
from training.files.provenance import ROOT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALL = "--model.memory-size 6 --model.word-size 6 --model.controller.hidden-size 40"
DNC = f"--model dnc {SMALL} --run.batch-size 32"
NTM = f"--model ntm {SMALL}"
COPY = "--task copy --task.max-length 2 --task.bits 3"
IN_TURN = "--task copy_or_reverse --task.max-length 2 --task.bits 3"
POINTS = 40
"""of a curve, about"""
LEAST = 1e-3
"""wrong bits that the figure still shows"""


class Part(NamedTuple):
    """A part, and the flags of train.py that train it on its task."""

    name: str
    flags: str

    def folder(self, runs: Path) -> Path:
        """Of its run."""
        return runs / self.name.replace(" ", "-")


def _dnc(name: str, flags: str, task: str = COPY, sequences: int = 48_000) -> Part:
    return Part(name, f"{task} {DNC} --run.sequences {sequences} {flags}")


def _ntm(name: str, flags: str, sequences: int = 20_000) -> Part:
    return Part(name, f"{COPY} {NTM} --run.sequences {sequences} {flags}")


PARTS = (
    _dnc(
        "softmax allocation",
        "--model.allocation softmax-allocation --model.allocation.strength-bias 20",
    ),
    _dnc(
        "uniform writing",
        "--model.controller.schedule uniform-writing --model.controller.schedule.interval 2 "
        "--model.controller.schedule.read-between True",
    ),
    _dnc("stored programs", "--model.controller.interface stored-programs", IN_TURN, 64_000),
    _dnc("masked content", "--model.content.masked True"),
    _dnc("wiping", "--model.allocation.wipe True"),
    _dnc("sharpened links", "--model.linkage.sharpened True"),
    _dnc("no linkage", "--model.linkage none"),
    _ntm("delta rule", "--model.writing delta-rule"),
    _ntm("gated delta", "--model.writing gated-delta", 12_000),
    _ntm("gated delta 2", "--model.writing gated-delta2"),
    _ntm("decay and add", "--model.writing decay-add"),
    _ntm("mLSTM", "--model.writing mlstm", 12_000),
    _ntm("Titans", "--model.writing titans"),
    _ntm("modern Hopfield", "--model.heads.read hopfield"),
    _ntm("jordan", "--model.controller jordan"),
    _ntm("indrnn", "--model.controller indrnn"),
    _ntm("mtrnn", "--model.controller mtrnn"),
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
        if is_finished(folder):
            return 0
        begun = (folder / "config.json").is_file()
        place = ["--folder", str(runs), "--name", folder.name, "--run.pictures", "False"]
        flags = ["--resume", str(folder)] if begun else [*shlex.split(part.flags), *place]
        return train.main([*flags, "--wandb", "disabled"])


def found(part: Part, folder: Path) -> dict[str, Any]:
    """What a finished run came to."""
    rows, evaluation = read_rows(folder), read_evaluation(folder)
    first = outcome_of(checkpoint.read_config(folder), rows, evaluation).first
    errors = [(row["sequences"], row["wrong_bits"]) for row in training_rows(rows)]
    made = provenance.read(folder)[-1]
    return {
        "part": part.name,
        "command": f"python train.py {part.flags} --seed 0",
        "solved": None if first is None else first.sequences,
        "wrong_bits": evaluation["training"]["wrong_bits"],
        "processor": made["processor"],
        "commit": made["commit"],
        "curve": errors[:: max(1, len(errors) // POINTS)],
    }


def figure(runs: list[dict[str, Any]]) -> Figure:
    """Wrong bits against sequences in thousands, of parts of a DNC and of an NTM."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10, 3.6), dpi=110, layout="constrained")
    for axes, model in zip(drawing.subplots(1, 2, sharey=True), ("dnc", "ntm"), strict=True):
        of = [run for run in runs if f"--model {model} " in run["command"]]
        for number, run in enumerate(of):
            sequences, errors = zip(*run["curve"], strict=True)
            line, colour = "-" if number < len(palette.LINES) else "--", number % len(palette.LINES)
            axes.plot(
                [count / 1000 for count in sequences],
                [max(error, LEAST) for error in errors],
                line,
                color=palette.LINES[colour],
                label=run["part"],
            )
        axes.axhline(0.01, color=palette.GREY, linestyle=":", label="solved")
        axes.set_yscale("log")
        axes.set_title(f"{model.upper()} with", loc="left", fontsize=10)
        axes.set_xlabel("thousand sequences", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7, ncols=2)
    drawing.axes[0].set_ylabel("wrong bits a sequence", fontsize=9)
    return drawing


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
        print(f"| {run['part']} | {run['wrong_bits']:.3f} | {solved} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.parts", description=__doc__)))

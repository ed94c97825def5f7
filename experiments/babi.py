"""Write docs/babi.md from a run on the bAbI tasks: the papers' table, and a curve.

`python -m experiments.babi runs/NAME`, after the run, or at any moment of it after
`python train.py --evaluate runs/NAME`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments import run_page
from experiments.marks import marks
from experiments.results_page import table
from memnets.inspect import palette
from tasks.babi import FAILED
from training.evaluate import generalisation
from training.files import checkpoint
from training.files.metrics import read_rows
from training.files.provenance import ROOT
from training.options.config import from_json, make_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = marks("python -m experiments.babi")
FIGURE = "babi.png"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write the page of the bAbI tasks from a run."""

    run: Annotated[Path, tyro.conf.Positional]
    """the run folder"""
    page: Path = ROOT / "docs" / "babi.md"
    """the page: what stands between its two marks is written anew, with a figure beside it"""


def main(options: Options) -> int:
    """Do what the options say; return the exit status."""
    try:
        written = write(options.page, summarise(options.run))
    except (ValueError, OSError) as error:
        print(f"babi: error: {error}", file=sys.stderr)
        return 2
    print(f"written: {', '.join(map(str, written))}")
    return 0


def summarise(run: Path) -> dict[str, Any]:
    """What the page says, from the files of the run.

    Raises:
        ValueError: it is no run of the task, or was not evaluated by `--evaluate`.
    """
    config = from_json(checkpoint.read_config(run))
    path = run / generalisation.file_name(None)
    if config.task != "babi" or not path.is_file():
        raise ValueError(
            f"{run} must be a run of the task babi that was evaluated: train one, then run "
            f"python train.py --evaluate {run}"
        )
    task: Any = make_task(config)
    found = json.loads(path.read_text())
    figures = {
        name: {"wrong_questions": row["wrong_questions"]["mean"]}
        for name, row in found["settings"].items()
    }
    rows = [row for row in read_rows(run) if "validation/wrong_questions" in row]
    return {
        **run_page.facts(run, config, "--task.folder FOLDER"),
        "trained": found["sequences"],
        "errors": task.errors(figures),
        "curve": {
            name: [round(row[key], 4) for row in rows]
            for name, key in (
                ("sequences", "sequences"),
                ("wrong_questions", "validation/wrong_questions"),
                ("bits", "validation/bits_per_sequence"),
            )
        },
    }


def write(page: Path, found: dict[str, Any]) -> list[Path]:
    """Write what stands between the marks of the page, the figure, and what both are made of.

    Raises:
        ValueError: the page lacks the marks.
    """
    return run_page.write(page, found, body(found), {FIGURE: figure(found)}, MARKS, "babi")


def body(found: dict[str, Any]) -> str:
    """Everything between the marks."""
    errors = found["errors"]
    mean, failed = sum(errors.values()) / len(errors), sum(e > FAILED for e in errors.values())
    lines = [[name.removeprefix("task_"), f"{error:.1f}%"] for name, error in errors.items()]
    lines += [["mean", f"{mean:.1f}%"], ["failed", f"{failed} of {len(errors)}"]]
    return "\n".join(
        [
            f"One run, seed {found['seed']}, after {found['trained']:,} stories: "
            f"`{found['command']}`, then `python train.py --evaluate runs/NAME`; at commit "
            f"{', '.join(found['commits'])}, on {', '.join(found['processors'])}.\n",
            f"![Errors over training, and of each task](pictures/{FIGURE})\n",
            table(["task", "wrong questions"], lines),
        ]
    )


def figure(found: dict[str, Any]) -> Figure:
    """What was wrong in the stories for validation, over training, and in each test at its end."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 3.2), dpi=110, layout="constrained")
    left, right = drawn.subplots(1, 2)
    curve = found["curve"]
    left.plot(curve["sequences"], curve["wrong_questions"], color=palette.GREEN)
    left.set_ylim(bottom=0)
    left.set_xlim(left=0)
    left.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    left.set_xlabel("stories")
    left.set_title("wrong questions a story, validation", loc="left", fontsize=10)
    errors = found["errors"]
    right.bar([name.removeprefix("task_") for name in errors], list(errors.values()), color="0.6")
    right.axhline(FAILED, color=palette.VERMILION, linewidth=1)
    right.yaxis.set_major_formatter(lambda value, _: f"{value:g}%")
    right.set_xlabel("task (line: above it, a task counts as failed)")
    right.tick_params(axis="x", labelsize=8)
    right.set_title("wrong questions of each test", loc="left", fontsize=10)
    for axes in (left, right):
        axes.grid(alpha=0.25, axis="y")
    return drawn


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.babi", description=__doc__)))

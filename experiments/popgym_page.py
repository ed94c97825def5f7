"""Write the table and the figure of docs/popgym.md, and docs/results/popgym.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.marks import marks
from experiments.results import median
from experiments.results_page import table
from memnets.inspect import palette
from training.files import checkpoint
from training.options.models import Style, styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = marks("python -m experiments.popgym")
FIGURE = "popgym.png"
LABELS = {"ntm": "NTM", "dnc": "DNC", "gru": "GRU", "lstm": "LSTM"}
Runs = Sequence[dict[str, Any]]
"""Each has `settings`, `made` and `curve`, as `experiments.popgym.finish` writes them."""

INTRODUCTION = """\
Each cell has the mean return of the last episodes of a training, two for each environment: the
median over the seeds, the worst of them if that differs, and the steps of the environment that the
core-time was enough for. A return of 1 is perfect play, -1 the opposite.
"""


def write(page: Path, runs: Runs) -> list[Path]:
    """Write what stands between the marks of the page, the figure, and what both are made of.

    Raises:
        ValueError: there are no runs, or the page lacks the marks.
    """
    if not runs:
        raise ValueError("no run has been trained: run without --only-write")
    before, after = MARKS.around(page, "POPGym")
    data, picture = page.parent / "results" / "popgym.json", page.parent / "pictures" / FIGURE
    for path in (data, picture):
        path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_atomically(data, (json.dumps([thinned(run) for run in runs]) + "\n").encode())
    figure(runs).savefig(picture, metadata={"Software": None})
    checkpoint.write_atomically(page, f"{before}{body(runs)}{after}".encode())
    return [page, data, picture]


def thinned(run: dict[str, Any], points: int = 40) -> dict[str, Any]:
    """A run with at most so many points of its curve, the last among them.

    >>> thinned({"curve": [1, 2, 3, 4, 5]}, points=2)
    {'curve': [1, 3, 5]}
    """
    step = max(1, len(run["curve"]) // points)
    return {**run, "curve": run["curve"][::-1][::step][::-1]}


def body(runs: Runs) -> str:
    """Everything between the marks."""
    memories = [name for name in LABELS if any(memory_of(run) == name for run in runs)]
    heading = ["game", *(LABELS[name] for name in memories)]
    lines = [
        [game, *(cell([run for run in of(runs, game) if memory_of(run) == m]) for m in memories)]
        for game in games(runs)
    ]
    figures = f"![Return against core-time](pictures/{FIGURE})\n"
    return "\n".join([INTRODUCTION, table(heading, lines), figures, made(runs)])


def games(runs: Runs) -> list[str]:
    """The games, in the order of the runs."""
    return list(dict.fromkeys(run["settings"]["environment"] for run in runs))


def of(runs: Runs, game: str) -> list[dict[str, Any]]:
    """The runs of a game."""
    return [run for run in runs if run["settings"]["environment"] == game]


def memory_of(run: dict[str, Any]) -> str:
    """The memory of a run, by its name in `LABELS`."""
    return run["settings"]["memory"]


def cell(runs: Runs) -> str:
    """What the runs of a game and a memory came to.

    >>> ends = [{"return": 0.5, "steps": 6000}, {"return": 0.25, "steps": 8000}]
    >>> cell([{"curve": [row]} for row in [*ends, ends[0]]]), cell([])
    ('+0.50; worst +0.25 (6 k)', '-')
    """
    if not runs:
        return "-"
    last = [run["curve"][-1] for run in runs]
    returns = [row["return"] for row in last]
    middle = median(returns)
    worst = f"; worst {min(returns):+.2f}" if min(returns) != middle else ""
    return f"{middle:+.2f}{worst} ({median([row['steps'] for row in last]) / 1000:,.0f} k)"


def made(runs: Runs) -> str:
    """What made the runs: command, seeds, core-time, settings, commits and processors."""
    kept = runs[0]["settings"]
    seeds = ", ".join(str(seed) for seed in sorted({run["settings"]["seed"] for run in runs}))
    commits = ", ".join(sorted({str(run["made"]["commit"]) for run in runs}))
    machines = ", ".join(sorted({run["made"]["processor"] for run in runs}))
    own = ("environment", "memory", "seed", "minutes")
    settings = ", ".join(f"{name} {kept[name]}" for name in kept if name not in own)
    return (
        f"Made by `python -m experiments.popgym --minutes {kept['minutes']}`, {len(runs)} runs of "
        f"{60 * kept['minutes']:.0f} core-seconds each, one thread; seeds {seeds}; {settings}; "
        f"memnets at commit {commits}, on {machines}.\n"
    )


def figure(runs: Runs) -> Figure:
    """Return against core-time, a panel for each game, a line for each run."""
    from matplotlib.figure import Figure

    names = games(runs)
    rows = -(-len(names) // 3)
    drawn = Figure(figsize=(9, 0.6 + 2.3 * rows), dpi=110, layout="constrained")
    panels = drawn.subplots(rows, min(3, len(names)), squeeze=False)
    shown: dict[str, Any] = {}
    for axes, game in zip(panels.flat, names, strict=False):
        for run in of(runs, game):
            label = LABELS[memory_of(run)]
            style = styles().get(label, Style(label, palette.GREY, "-"))
            seconds, returns = zip(
                *((row["seconds"], row["return"]) for row in run["curve"]), strict=True
            )
            (shown[label],) = axes.plot(seconds, returns, color=style.colour, linestyle=style.line)
        axes.set_title(game, loc="left", fontsize=10)
        axes.set_ylim(-1.05, 1.05)
        axes.grid(alpha=0.25)
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    drawn.supxlabel("core-seconds", fontsize=10)
    drawn.supylabel("return", fontsize=10)
    order = [label for label in LABELS.values() if label in shown]
    handles = [shown[label] for label in order]
    drawn.legend(handles, order, loc="outside upper right", ncols=4, frameon=False, fontsize=9)
    return drawn

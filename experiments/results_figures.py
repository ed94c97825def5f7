"""Draw the curves and the generalisation of each task from the summaries in docs/results/."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.results import Summary, figure, median
from experiments.table import TARGETS, Target
from memnets.inspect import palette
from tasks import dynamic_ngram
from tasks.grid import coordinates
from training.options.models import Style, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OTHER = Style("", palette.SKY, "-")
OPTIMUM = {"dynamic_ngram": dynamic_ngram.OPTIMUM}
LEAST = 0.01  # below it, the axes of costs and errors are linear


def draw(folder: Path, summaries: dict[str, Summary]) -> list[Path]:
    """Draw two figures for each task that has a row, into a folder."""
    paths: list[Path] = []
    for task, target in TARGETS.items():
        rows = [summary for summary in summaries.values() if summary["task"] == task]
        if not rows:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for name, drawn in (
            ("curves", curves(task, target, rows)),
            ("generalisation", generalisation(target, rows)),
        ):
            if drawn is not None:
                paths.append(folder / f"results_{task}_{name}.png")
                drawn.savefig(paths[-1], metadata={"Software": None})
    return paths


def curves(task: str, target: Target, rows: list[Summary]) -> Figure:
    """Cost in bits against sequences in thousands: on the paper's axes, and on logarithmic ones.

    A thin line is a seed; the thick one of each model is that of the seed that was solved in the
    median time.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    drawn = Figure(figsize=(9, 3.4), dpi=110, layout="constrained")
    left, right = drawn.subplots(1, 2)
    for axes in (left, right):
        for row in rows:
            style = styles().get(row["model"], OTHER)
            for run in row["runs"]:
                thousands = np.array(run["curve"]["sequences"]) / 1000
                thick = run is median_run(row)
                axes.plot(
                    thousands,
                    run["curve"]["bits_per_sequence"],
                    color=style.colour,
                    linestyle=style.line,
                    linewidth=1.8 if thick else 0.8,
                    alpha=1.0 if thick else 0.5,
                    label=row["model"] if thick else None,
                )
        if task in OPTIMUM:
            axes.axhline(OPTIMUM[task], color="black", linewidth=0.8, label="best possible")
        axes.set_xlabel("sequence number (thousands)")
        axes.grid(alpha=0.25)
    left.set_ylabel("cost per sequence (bits)")
    left.set_title(f"{target.title}, the paper's axes", loc="left", fontsize=10)
    left.set_xlim(left=0)
    left.set_ylim(OPTIMUM.get(task, 2) - 2, target.cost_limit)
    right.set_title("the same, logarithmic", loc="left", fontsize=10)
    right.set_xscale("log")
    right.xaxis.set_major_formatter("{x:g}")
    right.xaxis.set_minor_formatter(NullFormatter())
    if task in OPTIMUM:
        right.set_ylim(OPTIMUM[task] - 0.5, OPTIMUM[task] + 8)
    else:
        right.set_yscale("symlog", linthresh=LEAST)
        right.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=9)
    return drawn


def median_run(row: Summary) -> Summary:
    """The run that was solved in the median time (if in none, the one of the first seed)."""
    runs: list[Summary] = row["runs"]
    times = [math.inf if run["solved"] is None else run["solved"]["sequences"] for run in runs]
    return runs[times.index(median(times))]


def generalisation(target: Target, rows: list[Summary]) -> Figure | None:
    """Errors against every size of the grid: the median over the seeds, and the range of them.

    Where the grid has two sizes, there is a panel for each, the other being as in training.
    """
    from matplotlib.figure import Figure

    settings = [s for row in rows for run in row["runs"] for s in run["settings"]]
    points = {s: coordinates(s) for s in dict.fromkeys(settings) if coordinates(s)}
    names = list(dict.fromkeys(name for point in points.values() for name in point))
    if not names:
        return None
    least = {name: min(point[name] for point in points.values()) for name in names}
    drawn = Figure(figsize=(4.5 * len(names), 3.2), dpi=110, layout="constrained")
    panels: list[Axes] = list(drawn.subplots(1, len(names), squeeze=False)[0])
    for name, axes in zip(names, panels, strict=True):
        others = {other: value for other, value in least.items() if other != name}
        line = [s for s, point in points.items() if {**point, **others} == point]
        line.sort(key=lambda setting: points[setting][name])
        for row in rows:
            _line(axes, row, target.errors, [(points[s][name], s) for s in line])
        said = "".join(f", {other} {value}" for other, value in others.items())
        axes.set_xlabel(name + said)
        axes.set_yscale("symlog", linthresh=LEAST)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
    what = target.errors.replace("_", " ")
    panels[0].set_ylabel(f"{what} (bits)" if "bits" not in what else f"{what} per sequence")
    panels[0].legend(frameon=False, fontsize=9)
    drawn.suptitle(f"{target.title}, trained on {target.sizes}", fontsize=10, x=0.01, ha="left")
    return drawn


def _line(axes: Axes, row: Summary, name: str, line: list[tuple[int, str]]) -> None:
    style = styles().get(row["model"], OTHER)
    sizes: list[int] = []
    values: list[list[float]] = []
    for size, setting in line:
        found = [value[0] for run in row["runs"] if (value := figure(run, setting, name))]
        if found:
            sizes.append(size)
            values.append([median(found), min(found), max(found)])
    if values:
        middle, low, high = np.array(values).T
        options = {"color": style.colour, "linestyle": style.line, "marker": "o", "markersize": 3}
        axes.plot(sizes, middle, label=row["model"], **options)
        axes.fill_between(sizes, low, high, color=style.colour, alpha=0.15, linewidth=0)

"""Write the table and the figure of docs/lengths.md, and docs/results/lengths.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.marks import marks
from experiments.results import median
from experiments.results_page import table
from memnets.inspect import palette
from training.files import checkpoint
from training.options.models import Style, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = marks("python -m experiments.lengths")
FIGURE = "lengths.png"
TASKS_FIGURE = "lengths_tasks.png"
Entries = Sequence[dict[str, Any]]

INTRODUCTION = """\
Each run is trained by the default recipe of its task and model, then given lengths that it has
never seen, with a memory slot for every step before the first answer and 63 to spare (of copying,
length + 64), and never fewer than in training. A bit is right if the output, rounded, is the
target; a sequence is exact if all of its bits are right. Each cell has the median over the seeds,
and the worst of them if that differs.
"""


def entries_of(page: Path) -> Entries:
    """What the page was last made of; nothing if it was not."""
    data = data_of(page)
    return json.loads(data.read_text()) if data.is_file() else []


def data_of(page: Path) -> Path:
    """The file of what the page is made of."""
    return page.parent / "results" / "lengths.json"


def write(page: Path, entries: Entries) -> list[Path]:
    """Write what stands between the marks of the page, the figures, and what all are made of.

    Raises:
        ValueError: the page lacks the marks.
    """
    before, after = MARKS.around(page, "Lengths")
    data, pictures = data_of(page), page.parent / "pictures"
    for folder in (data.parent, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    checkpoint.write_atomically(data, (json.dumps(list(entries), indent=1) + "\n").encode())
    figure(entries[0]["task"], entries).savefig(pictures / FIGURE, metadata={"Software": None})
    tasks_figure(entries).savefig(pictures / TASKS_FIGURE, metadata={"Software": None})
    checkpoint.write_atomically(page, f"{before}{body(entries)}{after}".encode())
    return [page, data, pictures / FIGURE, pictures / TASKS_FIGURE]


def body(entries: Entries) -> str:
    """Everything between the marks."""
    parts = [INTRODUCTION, f"![Right answers against length](pictures/{FIGURE})\n"]
    parts += [f"![Exact sequences of each task against length](pictures/{TASKS_FIGURE})\n"]
    for task in dict.fromkeys(entry["task"] for entry in entries):
        of_task = [entry for entry in entries if entry["task"] == task]
        title = f"{name(task)}: trained on at most {trained(of_task)}"
        parts += [f"## {title}\n", table(*rows(of_task))]
    parts += ["## How\n", "\n".join(map(made, entries)) + "\n"]
    return "\n".join(parts)


def name(task: str) -> str:
    """A task as a heading has it.

    >>> name("repeat_copy")
    'Repeat copy'
    """
    return task.replace("_", " ").capitalize()


def trained(entries: Entries) -> int:
    """The largest length of the training."""
    return entries[0]["trained"]


def rows(entries: Entries) -> tuple[list[str], list[list[str]]]:
    """A line for each length, two columns for each model."""
    models = [entry["model"] for entry in entries]
    heading = ["length", *(f"{m}: {what}" for m in models for what in ("right bits", "exact"))]
    every = sorted({length for entry in entries for length in entry["lengths"]})
    lines: list[list[str]] = []
    for length in every:
        cells = [f"{length:,}"]
        for entry in entries:
            found = at(entry, length)
            cells += [spread([right(f) for f in found]), spread([f["exact"] for f in found])]
        lines.append(cells)
    return heading, lines


def at(entry: dict[str, Any], length: int) -> list[dict[str, Any]]:
    """What each run came to at a length."""
    named = [(name, row) for run in entry["runs"] for name, row in run["lengths"].items()]
    return [row for name, row in named if int(name.rsplit("_", 1)[1]) == length]


def right(row: dict[str, Any]) -> float:
    """The share of right answers.

    >>> right({"wrong": 2.0, "answers": 160})
    0.9875
    """
    return 1 - row["wrong"] / row["answers"]


def spread(values: Sequence[float]) -> str:
    """The median, and the worst.

    >>> spread([1.0, 0.99999, 1.0]), spread([1.0]), spread([])
    ('100%; worst 99.999%', '100%', '-')
    """
    if not values:
        return "-"
    middle, worst = median(values), min(values)
    return percent(middle) + (f"; worst {percent(worst)}" if worst != middle else "")


def percent(share: float) -> str:
    """A share; only what is whole is said to be.

    >>> percent(1.0), percent(0.99999), percent(0.50123), percent(1 - 1e-6), percent(0.0)
    ('100%', '99.999%', '50.1%', '99.9999%', '0%')
    """
    if share in (0, 1):
        return f"{share:.0%}"
    texts = (f"{100 * share:.{digits}f}%" for digits in range(1, 17))
    return next(text for text in texts if not text.startswith("100"))


def made(entry: dict[str, Any]) -> str:
    """What made an entry: command, seeds, commits, processor and time."""
    runs = entry["runs"]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    training = sum(run["training_seconds"] for run in runs) / 60
    measured = [row["core_seconds"] for run in runs for row in run["lengths"].values()]
    commits = ", ".join(dict.fromkeys(c for run in runs for c in run["commits"]))
    processors = ", ".join(dict.fromkeys(p for run in runs for p in run["processors"]))
    lengths = " ".join(map(str, entry["lengths"]))
    return (
        f"- {name(entry['task'])}, {entry['model']}: `{entry['command']}`, then "
        f"`python train.py --evaluate runs/NAME --lengths {lengths}`; "
        f"seeds {seeds}; {training:.1f} minutes of training and "
        f"{sum(measured) / 60:.1f} of evaluation on one core; trained at commit "
        f"{commits}, on {processors}"
    )


def figure(task: str, entries: Entries) -> Figure:
    """The share of right bits, and of sequences without a fault, against the length of a task."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 3.4), dpi=110, layout="constrained")
    left, right_side = drawn.subplots(1, 2)
    of_task = [entry for entry in entries if entry["task"] == task]
    panels: tuple[tuple[Axes, str], ...] = ((left, "right bits"), (right_side, "exact sequences"))
    for axes, title in panels:
        for entry in of_task:
            _line(axes, entry, exact=axes is right_side)
        axes.axvspan(0.5, trained(of_task), color="black", alpha=0.06, linewidth=0)
        axes.set_xscale("log")
        axes.set_xlim(left=10)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("length (shaded: as in training)")
        axes.grid(alpha=0.25)
    left.set_ylim(0.45, 1.02)
    right_side.set_ylim(-0.04, 1.04)
    left.legend(frameon=False, fontsize=9, loc="center right")
    drawn.suptitle(name(task), fontsize=10, x=0.01, ha="left")
    return drawn


def tasks_figure(entries: Entries) -> Figure:
    """Exact sequences of the first model on each task, against length as a multiple of training."""
    from matplotlib.figure import Figure

    model = entries[0]["model"]
    shown = [entry for entry in entries if entry["model"] == model]
    columns = 4
    drawn = Figure(figsize=(9, 2.1 * -(-len(shown) // columns)), dpi=110, layout="constrained")
    grid = drawn.subplots(
        -(-len(shown) // columns), columns, squeeze=False, sharex=True, sharey=True
    )
    for axes, entry in zip(grid.flat, shown, strict=False):
        _line(axes, entry, exact=True, unit=entry["trained"])
        axes.set_title(entry["task"].replace("_", " "), loc="left", fontsize=9)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}x")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_ylim(-0.04, 1.04)
        axes.grid(alpha=0.25)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    title = f"{model}: exact sequences against length, as a multiple of the longest in training"
    drawn.suptitle(title, fontsize=10, x=0.01, ha="left")
    return drawn


def _line(axes: Axes, entry: dict[str, Any], *, exact: bool, unit: int = 1) -> None:
    """The median of the seeds, with the range of them; lengths in a unit."""
    style = styles().get(entry["model"], Style("", palette.SKY, "-"))
    found = [(length, at(entry, length)) for length in entry["lengths"]]
    each = [[row["exact"] if exact else right(row) for row in rows_] for _, rows_ in found]
    sizes = [length / unit for length, _ in found]
    middle, low, high = np.array([[median(v), min(v), max(v)] for v in each]).T
    options = {"color": style.colour, "linestyle": style.line, "marker": "o", "markersize": 3}
    axes.plot(sizes, middle, label=entry["model"], **options)
    axes.fill_between(sizes, low, high, color=style.colour, alpha=0.15, linewidth=0)

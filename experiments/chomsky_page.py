"""Write the tables and the figure of docs/chomsky.md, and docs/results/chomsky.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.chomsky_table import (
    BATCH,
    CURRICULUM,
    LONGEST,
    OPTIMIZER,
    PAPER,
    SEQUENCES,
    TESTED,
    Figures,
)
from experiments.family_page import failures, members_of, of
from experiments.family_table import Lesson
from experiments.marks import marks
from experiments.results import median
from experiments.results_page import table
from memnets.inspect import palette
from training.files import checkpoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMMAND = "python -m experiments.chomsky"
MARKS = marks(COMMAND)
FIGURE = "chomsky.png"
LEARNED = 0.9  # of the symbols: from there on a task counts as learned
Cells = Sequence[dict[str, Any]]


def write(page: Path, cells: Cells, lessons: Sequence[Lesson]) -> list[Path]:
    """Write what stands between the marks of the page, the figure, and what both are made of.

    Raises:
        ValueError: the page lacks the marks.
    """
    before, after = MARKS.around(page, "The Chomsky hierarchy")
    data, picture = page.parent / "results" / "chomsky.json", page.parent / "pictures" / FIGURE
    for path in (data, picture):
        path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(cell) for cell in cells)
    checkpoint.write_atomically(data, f"[\n{lines}\n]\n".encode())
    figure(cells, lessons).savefig(picture, metadata={"Software": None})
    checkpoint.write_atomically(page, f"{before}{body(cells, lessons)}{after}".encode())
    return [page, data, picture]


def body(cells: Cells, lessons: Sequence[Lesson]) -> str:
    """Everything between the marks."""
    return "\n".join(
        [
            introduction(cells, lessons),
            table(*longer(cells, lessons)),
            f"Tasks with {LEARNED:.0%} or more: {learned(cells, lessons)}.\n",
            f"![Accuracy against length](pictures/{FIGURE})\n",
            f"The same at the lengths of training, 2 to {LONGEST}:\n",
            table(*trained(cells, lessons)),
            failures(cells),
        ]
    )


def introduction(cells: Cells, lessons: Sequence[Lesson]) -> str:
    """What was done, and how much of it there is."""
    seeds = sorted({cell["seed"] for cell in cells})
    seconds = cells[0]["seconds"]
    names = members_of(cells)
    missing = len(names) * len(lessons) * len(seeds) - len(cells)
    commits = ", ".join(dict.fromkeys(str(cell["commit"]) for cell in cells))
    processors = ", ".join(dict.fromkeys(cell["processor"] for cell in cells))
    optimizer = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in OPTIMIZER.items())
    there = f" {missing} trainings are not done (-)." if missing else ""
    return f"""\
Each cell has the share of symbols that are right at lengths {TESTED[0]} to {TESTED[-1]}, after
training on 1 to {LONGEST}: the best seed, and in brackets the median where there are several. At
each of {len(TESTED)} lengths there are {SEQUENCES[False]} strings, or {SEQUENCES[True]} where one
symbol is the answer; the paper has 512 at each of 460. Every training had {seconds / 60:g} minutes
of one core; the paper's had a million steps of 128 strings. All have one recipe: Adam,
{optimizer}, batches of {BATCH}, and a curriculum: any length up to a highest
one, which doubles when the last {CURRICULUM.window} batches cost less than
{CURRICULUM.threshold:.0%} of guessing. Memories have a slot for each step before the answer.{there}

`{COMMAND} --seconds {seconds:g} --seeds {" ".join(map(str, seeds))}`, at commit {commits}, on
{processors}.
"""


def longer(cells: Cells, lessons: Sequence[Lesson]) -> tuple[list[str], list[list[str]]]:
    """A line for each task: the networks here, and the paper's."""
    names = members_of(cells)
    theirs = [name.replace("_", "-") for name in Figures._fields]
    heading = ["task", *names, *(f"paper's {label(name)}" for name in theirs)]
    lines = [
        [
            lesson.title,
            *(shown(of(cells, name, lesson.task), "longer") for name in names),
            *(f"{value:g}" for value in PAPER[lesson.task]),
        ]
        for lesson in lessons
    ]
    return heading, lines


def label(name: str) -> str:
    """The paper's name of one of its networks.

    >>> label("tape-rnn"), label("transformer"), label("lstm")
    ('Tape-RNN', 'Transformer', 'LSTM')
    """
    capital = "-".join(word.capitalize() for word in name.split("-"))
    return capital.replace("Rnn", "RNN").replace("Lstm", "LSTM")


def trained(cells: Cells, lessons: Sequence[Lesson]) -> tuple[list[str], list[list[str]]]:
    """A line for each task: the networks at lengths of training."""
    names = members_of(cells)
    lines = [
        [lesson.title, *(shown(of(cells, name, lesson.task), "trained") for name in names)]
        for lesson in lessons
    ]
    return ["task", *names], lines


def shown(cells: Cells, name: str) -> str:
    """The best of the seeds, and the median in brackets; a seed that failed has 0.

    >>> cells = [{"error": None, "longer": share} for share in (0.5, 0.9996, 0.7)]
    >>> shown(cells, "longer"), shown(cells[:1], "longer"), shown([], "longer")
    ('99.9 (70.0)', '50.0', '-')
    >>> shown([{"error": "ValueError: a size"}], "longer")
    'failed'
    """
    if not cells:
        return "-"
    if all(cell["error"] for cell in cells):
        return "failed"
    found = [0.0 if cell["error"] else cell[name] for cell in cells]
    best = percent(max(found))
    return best if len(found) == 1 else f"{best} ({percent(median(found))})"


def percent(share: float) -> str:
    """A share in percent with a decimal; only what is whole is said to be 100.

    >>> percent(1.0), percent(0.9999), percent(0.5)
    ('100', '99.9', '50.0')
    """
    return "100" if share == 1 else f"{int(1000 * share + 1e-9) / 10:.1f}"


def learned(cells: Cells, lessons: Sequence[Lesson]) -> str:
    """How many tasks each network has learned, here and in the paper."""
    counts: list[str] = []
    for name in members_of(cells):
        best = [
            max(
                (cell["longer"] for cell in of(cells, name, x.task) if not cell["error"]), default=0
            )
            for x in lessons
        ]
        counts.append(f"{name} {sum(share >= LEARNED for share in best)}")
    for place, name in enumerate(Figures._fields):
        number = sum(PAPER[lesson.task][place] >= 100 * LEARNED for lesson in lessons)
        counts.append(f"the paper's {label(name.replace('_', '-'))} {number}")
    return ", ".join(counts) + f", of {len(lessons)}"


def figure(cells: Cells, lessons: Sequence[Lesson]) -> Figure:
    """Accuracy against length, a panel for each task, a line for each network: its best seed."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 6.4), dpi=110, layout="constrained")
    panels = drawn.subplots(3, 5, sharex=True, sharey=True).flat
    names = members_of(cells)
    for axes, lesson in zip(panels, lessons, strict=False):
        for name, colour in zip(names, palette.LINES, strict=False):
            good = [cell for cell in of(cells, name, lesson.task) if not cell["error"]]
            if good:
                best = max(good, key=lambda cell: cell["longer"])
                points = {**best["trained_lengths"], **best["longer_lengths"]}
                axes.plot([int(x) for x in points], list(points.values()), color=colour, label=name)
        axes.axvline(LONGEST, color="0.7", linewidth=0.8)
        axes.set_title(lesson.title, loc="left", fontsize=9)
        axes.set_xscale("log")
        axes.set_ylim(0, 1.03)
    handles, labels = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=len(names), fontsize=9)
    return drawn

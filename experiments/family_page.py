"""Write the table and the heat-map of docs/family.md, and docs/results/family.json."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.family_table import SEQUENCES, TIMED, Lesson
from experiments.marks import marks
from experiments.results import median
from experiments.results_page import table
from training.files import checkpoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = marks("python -m experiments.family")
FIGURE = "family.png"
PLACES = {
    "heads read": "read address",
    "heads write": "write address",
    **{name: name for name in ("writing", "content", "allocation", "order", "positions")},
}
"""where a variant has another part or value, by the words of its label"""
NAMES = {"Hopfield": "Hopfield", "Titans": "Titans", "MLSTM": "mLSTM", "alibi": "ALiBi"}
"""what is not in lower case"""
Cells = Sequence[dict[str, Any]]


def write(page: Path, cells: Cells, lessons: Sequence[Lesson]) -> list[Path]:
    """Write what stands between the marks of the page, the figure, and what both are made of.

    Raises:
        ValueError: the page lacks the marks.
    """
    before, after = MARKS.around(page, "The family")
    data, picture = page.parent / "results" / "family.json", page.parent / "pictures" / FIGURE
    for path in (data, picture):
        path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(cell) for cell in cells)
    checkpoint.write_atomically(data, f"[\n{lines}\n]\n".encode())
    figure(cells, lessons).savefig(picture, metadata={"Software": None})
    content = f"{before}{body(cells, lessons)}{after}"
    checkpoint.write_atomically(page, content.encode())
    return [page, data, picture]


def body(cells: Cells, lessons: Sequence[Lesson]) -> str:
    """Everything between the marks."""
    return "\n".join(
        [
            introduction(cells, lessons),
            f"![Which network learned what](pictures/{FIGURE})\n",
            table(*rows(cells, lessons)),
            "The tasks:\n",
            "\n".join(f"- {lesson.title}: {lesson.sizes}" for lesson in lessons),
            failures(cells),
        ]
    )


def introduction(cells: Cells, lessons: Sequence[Lesson]) -> str:
    """What was done, and how much of it there is."""
    seeds = sorted({cell["seed"] for cell in cells})
    seconds = cells[0]["seconds"]
    names = members_of(cells)
    every = len(names) * len(lessons) * len(seeds)
    missing = every - len(cells)
    commits = ", ".join(dict.fromkeys(str(cell["commit"]) for cell in cells))
    processors = ", ".join(dict.fromkeys(cell["processor"] for cell in cells))
    few = "One seed says little: a cell may be luck."
    if len(seeds) > 1:
        few = "Cells are medians" + (", of two seeds the lower." if len(seeds) == 2 else ".")
    there = "" if not missing else f" {missing} of {every} trainings are not done yet (-)."
    return f"""\
{len(names)} networks, each trained on {len(lessons)} tasks for {seconds:g} core-seconds, with the
settings that the package has for the task and the model; not many of them were tuned. So short a
training shows what is learned soon, not what can be learned.
{few}{there}

The two numbers of a cell say how far the network came from guessing (0) to no error (100): at the
sizes of its training, and at longer ones that it never saw, each on {SEQUENCES} sequences. Memories
have 32 slots; in the test of length, one for every step before the answer and 63 more. The time of
a step is that of one sequence in training, in batches of {TIMED} of the longer ones. Where it is
long, fewer sequences were seen in the same time, and a low number may say no more than that: the
fused backend serves few of the variants.

`python -m experiments.family --seconds {seconds:g} --seeds {" ".join(map(str, seeds))}`, at commit
{commits}, on {processors}.
"""


def members_of(cells: Cells) -> list[str]:
    """The labels of the networks, each once."""
    return list(dict.fromkeys(cell["member"] for cell in cells))


def of(cells: Cells, member: str, task: str | None = None) -> list[dict[str, Any]]:
    """The trainings of a network, of one task or all."""
    return [cell for cell in cells if cell["member"] == member and task in (None, cell["task"])]


def value(cells: Cells, member: str, task: str, figure_name: str) -> float:
    """The median over the seeds; 0 of a training that failed, NaN if there is none."""
    found = [0.0 if cell["error"] else cell[figure_name] for cell in of(cells, member, task)]
    return median(found) if found else float("nan")


def in_groups(names: Sequence[str]) -> list[str]:
    """The labels in the order of the table: variants of one model together, as the first of them.

    >>> in_groups(["DNC", "NTM", "DNC, wiping", "cell gru", "DNC, without links"])
    ['DNC', 'NTM', 'DNC, wiping', 'DNC, without links', 'cell gru']
    """
    groups = list(dict.fromkeys(group(name) for name in names))
    return sorted(names, key=lambda name: groups.index(group(name)))


def group(label: str) -> str:
    """What a label is a variant of; nothing for a model itself.

    >>> group("DNC, wiping"), group("DNC"), group("cell gru")
    ('DNC', '', 'cell')
    """
    return "cell" if label.startswith("cell ") else label.partition(", ")[0] * (", " in label)


def words(label: str) -> str:
    """A label as it is shown, the name of a class in words.

    >>> words("NTM, writing DeltaRule"), words("NTM, heads read Hopfield"), words("DNC, wiping")
    ('NTM, writing: delta rule', 'NTM, read address: Hopfield', 'DNC, wiping')
    >>> words("Transformer, positions none"), words("cell lstm_peephole")
    ('Transformer, positions: none', 'lstm_peephole, no memory')
    """
    if label.startswith("cell "):
        return f"{label.removeprefix('cell ')}, no memory"
    model, _, variant = label.partition(", ")
    place, _, name = variant.rpartition(" ")
    if place not in PLACES:
        return label
    split = re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", name)
    return f"{model}, {PLACES[place]}: {NAMES.get(name, split.lower())}"


def rows(cells: Cells, lessons: Sequence[Lesson]) -> tuple[list[str], list[list[str]]]:
    """A line for each network, a column for each task."""
    titles = [lesson.title for lesson in lessons]
    heading = ["network", "parameters", "µs a step", "thousand sequences", *titles]
    lines: list[list[str]] = []
    for member in in_groups(members_of(cells)):
        good = [cell for cell in of(cells, member) if not cell["error"]]
        weights = f"{median([cell['weights'] for cell in good]):,.0f}" if good else "-"
        times = f"{median([cell['microseconds'] for cell in good]):.3g}" if good else "-"
        seen = f"{median([cell['sequences'] for cell in good]) / 1000:.3g}" if good else "-"
        shown = (shown_as(cells, member, lesson.task) for lesson in lessons)
        lines.append([words(member), weights, times, seen, *shown])
    return heading, lines


def shown_as(cells: Cells, member: str, task: str) -> str:
    """A cell of the table: at the trained sizes, and at longer ones.

    >>> good = {"member": "DNC", "task": "copy", "error": None, "trained": 0.998, "longer": 0.5}
    >>> shown_as([good], "DNC", "copy"), shown_as([], "DNC", "copy")
    ('99, 50', '-')
    >>> shown_as([{**good, "error": "the loss became nan"}], "DNC", "copy")
    'failed'
    """
    found = of(cells, member, task)
    if not found:
        return "-"
    if all(cell["error"] for cell in found):
        return "failed"
    both = (value(cells, member, task, name) for name in ("trained", "longer"))
    return ", ".join(percent(share) for share in both)


def percent(share: float) -> str:
    """A share in whole percent; only what is whole is said to be 100.

    >>> percent(1.0), percent(0.9999), percent(0.0)
    ('100', '99', '0')
    """
    return f"{int(100 * share)}"


def failures(cells: Cells) -> str:
    """The trainings that failed, and why."""
    failed = [cell for cell in cells if cell["error"]]
    if not failed:
        return ""
    lines = [
        f"- {cell['member']}, {cell['task'].replace('_', ' ')}, seed {cell['seed']}: "
        f"{cell['error']}"
        for cell in failed
    ]
    return "\n".join(["\nWhat failed:\n", *lines, ""])


def figure(cells: Cells, lessons: Sequence[Lesson]) -> Figure:
    """A heat-map of all networks and tasks: at the sizes of the training, and at longer ones."""
    from matplotlib.figure import Figure

    names = in_groups(members_of(cells))
    drawn = Figure(figsize=(9, 1.8 + 0.21 * len(names)), dpi=110, layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    for axes, name, title in (
        (left, "trained", "at the sizes of its training"),
        (right, "longer", "longer"),
    ):
        values = np.array(
            [[value(cells, member, lesson.task, name) for lesson in lessons] for member in names]
        )
        _panel(axes, values, title, [lesson.title for lesson in lessons])
        for place, (above, below) in enumerate(pairwise(names)):
            if group(above) != group(below):
                axes.axhline(place + 0.5, color="white", linewidth=4)
    left.set_yticks(range(len(names)), [words(name) for name in names], fontsize=8)
    drawn.suptitle(
        "From guessing (0) to no error (100); hatched: not trained", fontsize=9, x=0.01, ha="left"
    )
    return drawn


def _panel(axes: Axes, values: np.ndarray, title: str, columns: list[str]) -> None:
    axes.set_facecolor("white")
    axes.patch.set_hatch("////")
    axes.patch.set_edgecolor("0.8")
    axes.imshow(np.ma.masked_invalid(values), vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for (row, column), share in np.ndenumerate(values):
        if np.isfinite(share):
            colour = "white" if share < 0.5 else "black"
            axes.text(
                column, row, percent(share), ha="center", va="center", fontsize=7, color=colour
            )
    axes.set_xticks(range(len(columns)), columns, fontsize=8, rotation=30, ha="left")
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)

"""Write the tables of docs/results.md from the summaries in docs/results/."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from experiments import results, results_examples, results_figures
from experiments.marks import marks
from experiments.results import Summary, figure, median, middle_run
from experiments.table import ROWS, TARGETS, Reach, Row, Target
from tasks import make
from training.evaluate.solved import rule
from training.files import checkpoint

MARKS = marks("python -m experiments")

INTRODUCTION = """\
Medians over the seeds (of an even number, the lower of the two in the middle), then each seed.
Costs are bits per sequence; wrong bits are counted over a whole sequence. What counts as solved is
what the task states (`Task.solved`): the first row of metrics, a mean over 50 batches, below its
limit. Of dynamic N-grams, and where a curriculum makes training easier than the task, it is the
first validation on the task itself. Minutes are of one thread, evaluation not included. Figures
after training are means over {evaluated} fresh sequences of each setting; in brackets, the 95%
interval of the median seed, by the bootstrap. The paper is Graves, Wayne and Danihelka 2014; its
figures marked ~ are read off its plots, and it has no DNC. The files are in [results/](results/),
one for each row.
"""


def write(page: Path, summaries: dict[str, Summary], rows: Sequence[Row] = ROWS) -> list[Path]:
    """Store the summaries beside the page, and write what they say between its marks.

    Raises:
        ValueError: the page lacks the marks.
    """
    store = page.parent / "results"
    written = results.store(store, summaries)
    found = results.load(store, rows)
    before, after = MARKS.around(page, "Results")
    pictures = results_figures.draw(page.parent / "pictures", found)
    there = {path.name for path in (page.parent / "pictures").glob("results_*.png")}
    whole = f"{before}{body(found, there)}{after}"
    checkpoint.write_atomically(page, whole.encode())
    return [page, *written, *pictures]


def body(summaries: dict[str, Summary], pictures: set[str]) -> str:
    """Everything between the marks."""
    if not summaries:
        return "No run has been made yet.\n"
    evaluated = sorted({f"{summary['evaluated']:,}" for summary in summaries.values()})
    parts = [INTRODUCTION.format(evaluated=" or ".join(evaluated)), table(*overview(summaries))]
    for task, target in TARGETS.items():
        of_task = [summary for summary in summaries.values() if summary["task"] == task]
        if of_task:
            parts.append(section(task, target, of_task, pictures))
    return "\n".join(parts)


def overview(summaries: dict[str, Summary]) -> tuple[list[str], list[list[str]]]:
    """Every row in a cell: sequences to solve in the median, and how many goals are reached."""
    models = list(dict.fromkeys(row["model"] for row in summaries.values()))
    lines: list[list[str]] = []
    for task, target in TARGETS.items():
        of_task = {row["model"]: row for row in summaries.values() if row["task"] == task}
        if of_task:
            cells = [summed_up(target, of_task[m]) if m in of_task else "" for m in models]
            lines.append([target.title, *cells])
    return ["sequences to solve; goals reached", *models], lines


def summed_up(target: Target, row: Summary) -> str:
    """The sequences to solve, how many seeds did, and how many of the goals are reached."""
    values = [(solved_after(row), target.solved_within)]
    values += [(reached(row, reach), reach.limit) for reach in target.goals]
    goals = sum(value <= limit for value, limit in values)
    solved = sum(run["solved"] is not None for run in row["runs"])
    seeds = f"{solved} of {len(row['runs'])} seeds"
    return f"{number(values[0][0])} ({seeds}); {goals} of {len(values)}"


def section(task: str, target: Target, rows: list[Summary], pictures: set[str]) -> str:
    """One task: what was reached, the runs, how far it reaches, the curves, the commands."""
    parts = [
        f"## {target.title}: {target.sizes}\n",
        *([target.note + "\n"] if target.note else []),
        table(*goals(task, target, rows)),
        table(*runs(target, rows)),
        *earlier_rules(task, rows),
        picture(f"results_{task}_curves.png", "Cost against sequences seen", pictures),
        "After training, at sizes of which most were never trained on: "
        f"{words(target.errors)} a sequence.\n",
        table(*beyond(target, rows)),
        picture(f"results_{task}_generalisation.png", "What is wrong at unseen sizes", pictures),
        *(
            picture(
                results_examples.name_of(example), f"Like the paper's {example.figure}", pictures
            )
            for example in results_examples.of_task(task)
        ),
        commands(rows),
    ]
    return "\n".join(part for part in parts if part)


def table(heading: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    every = [heading, ["---"] * len(heading), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in every) + "\n"


def picture(name: str, alt: str, there: set[str]) -> str:
    """A picture, if there is one."""
    return f"![{alt}](pictures/{name})\n" if name in there else ""


def goals(task: str, target: Target, rows: list[Summary]) -> tuple[list[str], list[list[str]]]:
    """Each goal in a line: whether the median of each model reaches it."""
    solved = make(task).solved
    paper = {} if solved.paper is None else solved.paper.figures
    within = target.solved_within
    goal = f"{rule(solved)}, after at most {within:,} sequences"
    lines = [[goal, *(verdict(solved_after(row), within) for row in rows)]]
    for reach in target.goals:
        goal = f"{words(reach.setting)}: at most {reach.limit:g} {words(reach.figure)}"
        lines.append([goal, *(verdict(reached(row, reach), reach.limit) for row in rows)])
    lines.append(["the paper", *(paper.get(row["model"], "-") for row in rows)])
    return ["reached?", *(row["model"] for row in rows)], lines


def earlier_rules(task: str, rows: list[Summary]) -> list[str]:
    """Which rows were found solved by another rule than the task states now."""
    now = rule(make(task).solved)
    models: dict[str, list[str]] = {}
    for row in rows:
        for rule_then in dict.fromkeys(run.get("solved_is", now) for run in row["runs"]):
            if rule_then != now:
                models.setdefault(rule_then, []).append(row["model"])
    return [
        f"Sequences and minutes to solve of {'; '.join(of)} were found by an earlier rule: "
        f"{rule_then}.\n"
        for rule_then, of in models.items()
    ]


def solved_after(row: Summary) -> float:
    """The median number of sequences to solve the task; infinite: never."""
    return median([_sequences(run) for run in row["runs"]])


def _sequences(run: Summary) -> float:
    return math.inf if run["solved"] is None else run["solved"]["sequences"]


def reached(row: Summary, reach: Reach) -> float:
    """The median of a figure; a run without it has not reached anything."""
    found = [figure(run, reach.setting, reach.figure) for run in row["runs"]]
    return median([value[0] if value else math.inf for value in found])


def verdict(value: float, limit: float) -> str:
    """Whether the goal is reached, and by what.

    >>> verdict(9600, 20_000), verdict(63.7, 1.0), verdict(math.inf, 20_000)
    ('**yes**: 9,600', 'no: 63.7', 'no')
    """
    if math.isinf(value):
        return "no"
    return f"{'**yes**' if value <= limit else 'no'}: {number(value)}"


def number(value: float) -> str:
    """A figure for a table.

    >>> number(9600), number(133.46), number(0.00390625), number(0.0), number(math.inf)
    ('9,600', '133.5', '0.0039', '0', 'never')
    """
    if math.isinf(value):
        return "never"
    if value >= 1000:
        return f"{value:,.0f}"
    return (
        f"{value:.4g}"
        if abs(value) >= 100
        else f"{value:.3g}"
        if abs(value) >= 1
        else f"{value:.2g}"
    )


def spread(values: Sequence[float]) -> str:
    """The median, and every value.

    >>> spread([9600, 8000, math.inf])
    '9,600 (9,600; 8,000; never)'
    """
    each = f" ({'; '.join(map(number, values))})" if len(values) > 1 else ""
    return number(median(values)) + each


def runs(target: Target, rows: list[Summary]) -> tuple[list[str], list[list[str]]]:
    """Each model in a line: what its runs took, and what they came to on the task as trained."""
    heading = ["model", "weights", "seeds", "sequences to solve", "minutes to solve"]
    heading += ["trained on", "minutes in all", "cost, bits", words(target.errors), "exact"]
    lines: list[list[str]] = []
    for row in rows:
        every = row["runs"]
        last = [run["settings"].get("training", {}) for run in every if run["settings"]]
        cells = [row["model"], f"{every[0]['weights']:,}", seeds(every)]
        cells.append(spread([_sequences(run) for run in every]))
        cells.append(number(median([_minutes(run) for run in every])))
        cells.append(spread_of_one([run["sequences"] for run in every]))
        cells.append(number(median([run["seconds"] / 60 for run in every])))
        cells += [
            spread([found[name][0] for found in last]) if last else "-"
            for name in ("bits_per_sequence", target.errors)
        ]
        exact = [found["exact_match"][0] for found in last]
        cells.append(f"{median(exact):.1%}" if exact else "-")
        lines.append(cells)
    return heading, lines


def _minutes(run: Summary) -> float:
    return math.inf if run["solved"] is None else run["solved"]["seconds"] / 60


def seeds(every: list[Summary]) -> str:
    """The seeds, and which of them are not at their end."""
    return ", ".join(f"{run['seed']}{'' if run['finished'] else ' (unfinished)'}" for run in every)


def spread_of_one(values: Sequence[float]) -> str:
    """A number that runs should share, or all of them if they do not."""
    return number(values[0]) if len(set(values)) == 1 else spread(values)


def beyond(target: Target, rows: list[Summary]) -> tuple[list[str], list[list[str]]]:
    """Each model in a line: the errors of the median seed at unseen sizes, and of the worst."""
    lines: list[list[str]] = []
    for row in rows:
        cells = [row["model"]]
        for setting in target.settings:
            middle = middle_run(row, setting, target.errors)
            if middle is None:
                cells.append("-")
                continue
            mean, low, high = middle["settings"][setting][target.errors]
            every = [f[0] for run in row["runs"] if (f := figure(run, setting, target.errors))]
            interval = "" if low == high else f" ({number(low)} to {number(high)})"
            worst = f"; worst {number(max(every))}" if max(every) != mean else ""
            cells.append(f"{number(mean)}{interval}{worst}")
        lines.append(cells)
    return ["model", *map(words, target.settings)], lines


def commands(rows: list[Summary]) -> str:
    """What made each row, at which commit, on which processor."""
    lines: list[str] = []
    for row in rows:
        every = row["runs"]
        commits = _each(every, "commits")
        slots = row.get("memory_size")  # files from before it have none
        evaluated = f", evaluated with `--memory-size {slots}`" if slots else ""
        lines.append(
            f"- {row['model']}: `{row['command']}`, seeds {seeds(every)}{evaluated}, commit "
            f"{commits}, on {_each(every, 'processors')}"
        )
    return "\n".join(lines) + "\n"


def _each(every: list[Summary], name: str) -> str:
    return ", ".join(dict.fromkeys(str(value) for run in every for value in run[name])) or "unknown"


def words(name: str) -> str:
    """A name of the files in words.

    >>> words("length_10_repeats_20"), words("gap_to_optimum"), words("bits_per_sequence")
    ('length 10, repeats 20', 'bits above the optimum', 'bits per sequence')
    """
    if name == "gap_to_optimum":
        return "bits above the optimum"
    return re.sub(r"(\d) ", r"\1, ", name.replace("_", " "))

"""Rerun one row of the pages of results by its recorded command and seed, and compare.

`python -m experiments.reproduce copy-ntm` reruns a row of docs/results.md, `lengths/copy-ntm` one
of docs/lengths.md, `family/copy-ntm` and `chomsky/reverse-dnc` one training of docs/family.md and
docs/chomsky.md. `--list` names them all.
"""

from __future__ import annotations

import functools
import json
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import tyro

from experiments import chomsky, chomsky_table, family, family_table, job, lengths, results
from experiments.family import Cell, Measure
from experiments.family_table import Lesson, Member
from experiments.lengths import Entry
from experiments.results_page import table
from experiments.table import Row
from training.files.provenance import ROOT
from training.machine.signals import stop_on_signals

Figures = Mapping[str, float]
"""by name; the lower, the better"""


class Recorded(NamedTuple):
    """One row of a page: what its seeds came to, and how one of them is run again."""

    name: str
    seeds: Mapping[int, Figures]
    again: Callable[[int, Path], Figures]
    """from a seed and a folder to write in; a run that is cut off goes on from there"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Rerun one row from one seed, and compare with what is recorded."""

    row: Annotated[str, tyro.conf.Positional] = ""
    """name of the row, see --list"""
    seed: int | None = None
    """one of the recorded seeds; None: the first"""
    folder: Path = Path("runs/reproduced")
    """folder of the run"""
    recorded: Path = ROOT / "docs" / "results"
    """folder of what is recorded"""
    list: bool = False
    """only name the rows, and their seeds"""


def main(options: Options) -> int:
    """Do what the options say; return 0 if the figures are as good as the recorded ones, else 1."""
    rows = {row.name: row for row in recorded(options.recorded)}
    if options.list:
        print("\n".join(f"{name:50} seeds {said(row.seeds)}" for name, row in rows.items()))
        return 0
    try:
        row = chosen(rows, options.row)
        seed = next(iter(row.seeds)) if options.seed is None else options.seed
        if seed not in row.seeds:
            raise ValueError(f"{row.name} has the seeds {said(row.seeds)}, not {seed}: pass one")
        found = row.again(seed, options.folder)
    except ValueError as error:
        print(f"reproduce: error: {error}", file=sys.stderr)
        return 2
    lines = compared(row, seed, found)
    print(table(["figure", "recorded", "worst seed", "here", ""], lines), end="")
    return int(any(line[-1] == "worse" for line in lines))


def said(seeds: Mapping[int, Figures]) -> str:
    """The seeds, with commas between them."""
    return ", ".join(map(str, seeds))


def chosen(rows: Mapping[str, Recorded], name: str) -> Recorded:
    """The row of a name.

    Raises:
        ValueError: there is none.
    """
    if name not in rows:
        raise ValueError(f"there is no row {name!r}: --list names the {len(rows)} there are")
    return rows[name]


def compared(row: Recorded, seed: int, found: Figures) -> list[list[str]]:
    """Each figure: as recorded, of the worst seed on the page, as found, and what that says.

    >>> row = Recorded("a", {3: {"wrong": 0.0}, 4: {"wrong": 2.5}}, lambda seed, folder: {})
    >>> [compared(row, 3, {"wrong": x})[0][-1] for x in (0.0, 2.0, 3.0)]
    ['the same', 'as good as the seeds', 'worse']
    """
    lines: list[list[str]] = []
    for name, before in row.seeds[seed].items():
        worst = max(figures.get(name, math.inf) for figures in row.seeds.values())
        # What is not there was not reached: a task that was never solved.
        now = found.get(name, math.inf)
        same = now == before or math.isclose(now, before, rel_tol=1e-3)
        verdict = "the same" if same else "as good as the seeds" if now <= worst else "worse"
        lines.append([name, *(f"{value:.4g}" for value in (before, worst, now)), verdict])
    return lines


def recorded(folder: Path) -> Iterator[Recorded]:
    """Every row that is recorded in the files of a folder."""
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and "row" in content:
            yield of_table(content)
    for entry in _entries(folder / "lengths.json"):
        yield of_lengths(entry)
    for page, measure, every, lessons in (
        ("family", family.measure, family_table.members(), family_table.LESSONS),
        ("chomsky", chomsky.measure, chomsky_table.MEMBERS, chomsky_table.LESSONS),
    ):
        yield from of_cells(page, _entries(folder / f"{page}.json"), measure, every, lessons)


def _entries(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text()) if path.is_file() else []


def of_table(summary: dict[str, Any]) -> Recorded:
    """A row of docs/results.md."""
    words = shlex.split(summary["command"])[2:]
    model = words[words.index("--model") + 1]
    sizes = summary["evaluated"], summary.get("memory_size")
    row = Row(summary["row"], summary["task"], model, summary["model"], (), *sizes)

    def again(seed: int, folder: Path) -> Figures:
        run = folder / f"{row.name}-seed{seed}"
        flags = [str(seed) if word == "SEED" else word for word in words]
        arguments = [str(run), *map(str, sizes), *flags, "--run.pictures", "False"]
        if job.main(arguments):
            raise ValueError(f"the run in {run} did not end: run the same command again")
        return of_run(results.summarise(run, row))

    return Recorded(row.name, {run["seed"]: of_run(run) for run in summary["runs"]}, again)


def of_run(run: dict[str, Any]) -> Figures:
    """The sequences to solve the task, if it was solved, and the costs and errors."""
    solved = run["solved"]
    first = {} if solved is None else {"sequences to solve": float(solved["sequences"])}
    return first | {
        f"{setting}, {name}": values[0]
        for setting, figures in run["settings"].items()
        for name, values in figures.items()
        if name not in ("exact_match", "accuracy")
    }


def of_lengths(entry: dict[str, Any]) -> Recorded:
    """A network of docs/lengths.md."""
    words = shlex.split(entry["command"])
    model = words[words.index("--model") + 1]
    at = Entry(entry["task"], model, tuple(entry["lengths"]), ())

    def figures(run: dict[str, Any]) -> Figures:
        return {f"{name}, wrong": row["wrong"] for name, row in run["lengths"].items()}

    def again(seed: int, folder: Path) -> Figures:
        if lengths.command(at, "SEED") != words[2:]:
            raise ValueError(f"the lengths have another command now than {entry['command']}")
        if lengths.finish(folder, at, seed):
            raise ValueError("the run did not end: run the same command again")
        return figures(lengths.one(seed, lengths.run_of(folder, at, seed)))

    name = f"lengths/{entry['task']}-{model}"
    return Recorded(name, {run["seed"]: figures(run) for run in entry["runs"]}, again)


def of_cells(
    page: str,
    cells: Sequence[dict[str, Any]],
    measure: Measure,
    every: Sequence[Member],
    lessons: Sequence[Lesson],
) -> Iterator[Recorded]:
    """The trainings of docs/family.md or docs/chomsky.md: a row for each network and task.

    They are of a time, not of a number of sequences, and differ with the speed of the machine.
    """
    by_label = {member.label: member for member in every}
    by_task = {lesson.task: lesson for lesson in lessons}
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in cells:
        rows.setdefault((cell["task"], cell["member"]), []).append(cell)
    for (task, label), found in rows.items():
        if label not in by_label or task not in by_task:
            continue  # of a part that has another name now
        seconds = found[0]["seconds"]
        again = functools.partial(_measured, by_label[label], by_task[task], measure, seconds)
        name = f"{page}/{task}-{by_label[label].name}"
        yield Recorded(name, {cell["seed"]: of_cell(cell) for cell in found}, again)


def _measured(
    member: Member, lesson: Lesson, measure: Measure, seconds: float, seed: int, folder: Path
) -> Figures:
    torch.set_num_threads(1)
    with stop_on_signals() as stop:
        found = measure(Cell(member, lesson, seed), seconds, stop)
        if stop.requested:
            raise ValueError("stopped before its end: run the same command again")
    return of_cell(found)


def of_cell(cell: dict[str, Any]) -> Figures:
    """The shares that are missing to no error; all of it after a training that failed."""
    return {name: 1.0 - cell.get(name, 0.0) for name in ("trained", "longer")}


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.reproduce", description=__doc__)))

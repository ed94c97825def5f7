"""Train by the default recipes, then measure lengths up to a thousand times those of training.

`python -m experiments.lengths` writes docs/lengths.md. It may be stopped at any moment, and goes on
with what is missing when it is run again; one run after the other, each on one core. Seeds whose
figures the page has count as done: with another `--page`, all are trained anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro

import train
from experiments import lengths_page
from experiments.job import locked
from experiments.results import reached
from training.evaluate import generalisation
from training.files import provenance
from training.files.metrics import is_finished, read_rows
from training.files.provenance import ROOT
from training.options.models import MODELS

FAR = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)


class Entry(NamedTuple):
    """A model that learns a task by its recipe, and the lengths that it is then given."""

    task: str
    model: str
    lengths: tuple[int, ...]
    """the first as in training"""
    seeds: tuple[int, ...]
    """none of them chose a recipe"""


SEEDS = (20, 21, 22, 23, 24)

# A step of the DNC takes time with the square of its slots, and one of a Transformer with all steps
# before it: 20,000 of them would take days.
ENTRIES = (
    Entry("copy", "ntm", FAR, SEEDS),
    Entry("copy", "dnc", FAR[:7], SEEDS),
    Entry("copy", "lstm", FAR, SEEDS[:3]),
    Entry("copy", "transformer", FAR[:6], SEEDS[:3]),
    Entry("reverse", "ntm", (40, 100, 200, 500, 1000, 2000), SEEDS),
    Entry("associative_recall", "ntm", (6, 12, 20, 50, 100, 300), SEEDS),
    Entry("duplicate_string", "ntm", (40, 100, 200, 500, 1000, 2000), SEEDS),
    Entry("repeat_copy", "ntm", (10, 20, 50, 100, 200, 500), SEEDS),
    Entry("binary_addition", "ntm", (20, 50, 100, 200, 500, 1000), SEEDS),
    Entry("interference_copy", "ntm", (10, 20, 50, 100, 200, 500), SEEDS),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train what is missing, measure its lengths, and write the page."""

    folder: Path = Path("runs/lengths")
    """folder of the runs"""
    page: Path = ROOT / "docs" / "lengths.md"
    """the page: what stands between its two marks is written anew, with a figure beside it"""
    only_write: bool = False
    """only write the page, from the runs that are there"""


def main(options: Options, entries: Sequence[Entry] = ENTRIES) -> int:
    """Do what the options say; return the exit status."""
    try:
        earlier = lengths_page.entries_of(options.page)
        for entry, seed in [] if options.only_write else missing(options.folder, entries, earlier):
            status = finish(options.folder, entry, seed)
            if status:
                return status
        written = lengths_page.write(options.page, summarise(options.folder, entries, earlier))
        print(f"written: {', '.join(map(str, written))}")
    except ValueError as error:
        print(f"lengths: error: {error}", file=sys.stderr)
        return 2
    return 0


def missing(
    folder: Path, entries: Sequence[Entry], earlier: lengths_page.Entries
) -> Iterator[tuple[Entry, int]]:
    """Runs to finish: those that have begun, and those that the page does not have."""
    for entry in entries:
        known = seeds_of(entry, earlier)
        for seed in entry.seeds:
            if seed not in known or run_of(folder, entry, seed).is_dir():
                yield entry, seed


def run_of(folder: Path, entry: Entry, seed: int) -> Path:
    """The folder of one run."""
    return folder / f"{entry.task}-{entry.model}-seed{seed}"


def finish(folder: Path, entry: Entry, seed: int) -> int:
    """Train to the end and measure, from wherever the run is; return the exit status."""
    run = run_of(folder, entry, seed)
    with locked(run):
        if not is_finished(run):
            begun = (run / "config.json").is_file()
            arguments = ["--resume", str(run)] if begun else command(entry, seed)
            if not begun:
                arguments += ["--folder", str(folder), "--name", run.name]
                arguments += ["--run.pictures", "False"]
            status = train.main([*arguments, "--wandb", "disabled"])
            if status:
                return status
        if (run / generalisation.file_name(None, lengths=True)).is_file():
            return 0
        return train.main(["--evaluate", str(run), "--lengths", *map(str, entry.lengths)])


def command(entry: Entry, seed: int | str) -> list[str]:
    """The flags of train.py that train one run.

    >>> " ".join(command(ENTRIES[0], "SEED"))
    '--task copy --model ntm --seed SEED'
    """
    return ["--task", entry.task, "--model", entry.model, "--seed", str(seed)]


def summarise(
    folder: Path, entries: Sequence[Entry], earlier: lengths_page.Entries = ()
) -> list[dict[str, Any]]:
    """What the page says of each entry: from the files of its runs, else as it said it earlier.

    Raises:
        ValueError: no run has been measured.
    """
    found: list[dict[str, Any]] = []
    for entry in entries:
        runs = seeds_of(entry, earlier)
        for seed in entry.seeds:
            if is_measured(run := run_of(folder, entry, seed)):
                runs[seed] = one(seed, run)
        if runs:
            found.append({**of_entry(entry), "runs": [runs[seed] for seed in sorted(runs)]})
    if not found:
        raise ValueError(f"no run in {folder} has been measured: run without --only-write")
    return found


def of_entry(entry: Entry) -> dict[str, Any]:
    """What all runs of an entry share."""
    return {
        "task": entry.task,
        "model": MODELS[entry.model].style.label,
        "trained": entry.lengths[0],
        "command": f"python train.py {' '.join(command(entry, 'SEED'))}",
        "lengths": list(entry.lengths),
    }


def seeds_of(entry: Entry, earlier: lengths_page.Entries) -> dict[int, dict[str, Any]]:
    """What the page has of the runs of an entry, by seed, where it was the same entry."""
    wanted = of_entry(entry)
    same = [one for one in earlier if {name: one[name] for name in wanted} == wanted]
    return {run["seed"]: run for one in same for run in one["runs"] if run["seed"] in entry.seeds}


def is_measured(run: Path) -> bool:
    """Whether a run has been trained and given its lengths."""
    return (run / generalisation.file_name(None, lengths=True)).is_file()


def one(seed: int, run: Path) -> dict[str, Any]:
    """What one run came to."""
    file = json.loads((run / generalisation.file_name(None, lengths=True)).read_text())
    parts = provenance.read(run)
    errors = {name: errors_of(row) for name, row in file["settings"].items()}
    return {
        "seed": seed,
        "sequences": reached(run),
        "commits": list(dict.fromkeys(part["commit"] for part in parts)),
        "processors": list(dict.fromkeys(part["processor"] for part in parts)),
        "training_seconds": max(row["seconds"] for row in read_rows(run) if "seconds" in row),
        "lengths": errors,
    }


def errors_of(row: dict[str, Any]) -> dict[str, Any]:
    """Of one length: its sizes, the share of right answers, and of sequences without a fault."""
    kept = ("memory_size", "steps", "sequences", "answers", "core_seconds")
    errors = next(name for name in row if name.startswith("wrong_"))
    return {
        **{name: row[name] for name in kept},
        "wrong": row[errors]["mean"],
        "exact": row["exact_match"]["mean"],
    }


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.lengths", description=__doc__)))

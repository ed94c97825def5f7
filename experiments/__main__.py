"""Run the table of results, or some rows of it, and write docs/results.md from what the runs left.

`python -m experiments 'copy-*' --seeds 0 1 2` may be stopped at any moment, by any signal,
and goes on where it was when it is run again. `--list` says how far every row is.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from experiments import results, results_examples, results_page
from experiments.table import ROWS, SEEDS, Row, command
from training.command_line import parser
from training.evaluate import generalisation
from training.files import checkpoint
from training.files.metrics import is_finished
from training.files.provenance import ROOT
from training.machine import device
from training.machine.signals import Stop, stop_on_signals
from training.options.config import Config, flat, from_json, to_json


@dataclass(frozen=True, kw_only=True)
class Options:
    """Run the table of results, or some rows of it, and write the page of results."""

    rows: Annotated[tuple[str, ...], tyro.conf.Positional] = ("*",)
    """names of rows, or patterns such as 'copy-*'"""
    seeds: tuple[int, ...] = SEEDS
    """one run of every row for each of them"""
    jobs: int = dataclasses.field(default_factory=device.cores)
    """runs at a time, each with one thread"""
    folder: Path = Path("runs/reproduce")
    """folder of the runs"""
    page: Path = ROOT / "docs" / "results.md"
    """the page: what stands between its two marks is written anew, with figures beside it"""
    list: bool = False
    """only say how far every run is"""
    only_write: bool = False
    """only write the page, from the runs that are there and from docs/results"""


class Job(NamedTuple):
    """One run of a row."""

    row: Row
    seed: int
    folder: Path

    @property
    def command(self) -> list[str]:
        """What runs it, in a process of its own."""
        flags = [*command(self.row, self.seed)[2:], "--run.pictures", "False"]
        return [str(self.folder), str(self.row.evaluated), str(self.row.memory_size), *flags]


def main(options: Options, rows: Sequence[Row] = ROWS) -> int:
    """Run what the options say; return the exit status."""
    try:
        jobs = plan(options, rows)
        if options.list:
            print("\n".join(f"{job.folder.name:40} {state(job)}" for job in jobs))
            return 0
        status = 0
        if not options.only_write:
            for job in jobs:
                check(job)
            status = run(jobs, options.jobs)
            if status >= 128:
                return status
        names = {job.row.name for job in jobs}
        found = results.collect(options.folder, [row for row in rows if row.name in names])
        written = results_examples.draw(options.folder, found, options.page.parent / "pictures")
        written += results_page.write(options.page, found, rows)
        print(f"written: {', '.join(map(str, written))}")
    except ValueError as error:
        print(f"reproduce: error: {error}", file=sys.stderr)
        return 2
    return status


def plan(options: Options, rows: Sequence[Row]) -> list[Job]:
    """The runs that are asked for, row after row.

    Raises:
        ValueError: no row has such a name, or there is nothing to run.
    """
    for pattern in options.rows:
        if not any(fnmatch.fnmatchcase(row.name, pattern) for row in rows):
            names = ", ".join(row.name for row in rows)
            raise ValueError(f"there is no row {pattern}: the rows are {names}")
    if not options.seeds or options.jobs < 1:
        raise ValueError(
            f"there must be a seed and at least 1 job, got --seeds {options.seeds} and "
            f"--jobs {options.jobs}"
        )
    chosen = [r for r in rows if any(fnmatch.fnmatchcase(r.name, p) for p in options.rows)]
    return [
        Job(row, seed, options.folder / f"{row.name}-seed{seed}")
        for row in chosen
        for seed in options.seeds
    ]


def check(job: Job) -> None:
    """Refuse to go on with, or to report, a run of other settings than its row has now.

    Raises:
        ValueError: naming what differs and the remedy.
    """
    if not (job.folder / "config.json").is_file():
        return
    there = _settings(from_json(checkpoint.read_config(job.folder)))
    wanted = _settings(parser.parse(command(job.row, job.seed)[2:]))
    differ = [
        f"{name} was {there.get(name)} and is {wanted.get(name)}"
        for name in {**there, **wanted}
        if there.get(name) != wanted.get(name)
    ]
    if differ:
        raise ValueError(
            f"{job.folder} was trained with other settings than its row has now "
            f"({'; '.join(differ)}): move it away, or use another --folder"
        )


def _settings(config: Config) -> dict[str, object]:
    """What decides the numbers of a run."""
    kept = dataclasses.replace(
        config,
        name=None,
        folder="",
        resume=None,
        wandb="auto",
        run=dataclasses.replace(config.run, pictures=True),
    )
    return flat(to_json(kept))


def run(jobs: Sequence[Job], at_once: int) -> int:
    """Run all jobs, so many at once; return 0, 1 if one failed, or 128 + the signal that stopped.

    A stop is passed on: every run finishes its step and saves.
    """
    waiting = [job for job in jobs if state(job) != "done"]
    print(f"{len(waiting)} of {len(jobs)} runs to do, {at_once} at a time", flush=True)
    running: dict[Job, subprocess.Popen[bytes]] = {}
    failed: list[Job] = []
    with stop_on_signals() as stop:
        while (waiting and not stop.requested) or running:
            while waiting and len(running) < at_once and not stop.requested:
                job = waiting.pop(0)
                running[job] = start(job)
                print(f"{clock()} {job.folder.name}: {state(job)}", flush=True)
            _pass_on(stop, running)
            for job, process in list(running.items()):
                status = process.poll()
                if status is None:
                    continue
                _close(process)
                del running[job]
                if status and not stop.requested:
                    failed.append(job)
                print(f"{clock()} {job.folder.name}: {state(job)}", flush=True)
            time.sleep(0.2)
    for job in failed:
        print(f"{job.folder.name} failed: see {log_of(job)}", file=sys.stderr)
    return stop.status or int(bool(failed))


def start(job: Job) -> subprocess.Popen[bytes]:
    """Start a job: one thread, its output in a file, out of reach of the terminal's signals."""
    log = log_of(job)
    log.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "experiments.job", *job.command],
            stdin=subprocess.PIPE,  # its end is how the job knows that this process is alive
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _pass_on(stop: Stop, running: dict[Job, subprocess.Popen[bytes]]) -> None:
    """Ask the running jobs to stop, once."""
    if stop.requested:
        for process in running.values():
            _close(process)


def log_of(job: Job) -> Path:
    """What the run printed."""
    return job.folder.with_name(job.folder.name + ".log")


def state(job: Job) -> str:
    """How far a run is: to do, training (and how far), trained, or done."""
    if (job.folder / generalisation.file_name(job.row.memory_size)).is_file():
        return "done"
    if is_finished(job.folder):
        return "trained, to be evaluated"
    sequences = results.reached(job.folder)
    return f"trained on {sequences:,} sequences so far" if sequences else "to do"


def clock() -> str:
    """The time of day."""
    return time.strftime("%H:%M:%S")


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments", description=__doc__)))

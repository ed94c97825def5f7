"""Run a sweep on this machine, from the YAML that `wandb sweep` takes, without a server.

`python -m training.sweep sweeps/copy.yaml --runs 8` makes 8 runs in runs/copy/ and a table of them.
The same command again goes on where it was stopped. What stands after `--` goes to every run.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from training.compare.data import Found, read
from training.files.lock import locked
from training.files.metrics import is_finished
from training.files.provenance import INSTALLED, ROOT
from training.machine.signals import stop_on_signals
from training.sweep.definition import read_sweep

if TYPE_CHECKING:
    from training.sweep.search import Search

PROGRAM = "train.py"
DEFAULT_COMMAND = ["${env}", "${interpreter}", "${program}", "${args}"]


def command(
    sweep: Mapping[str, Any], values: Mapping[str, Any], more: Sequence[str] = ()
) -> list[str]:
    """The command of one run, with W&B's macros filled in as its agent does.

    >>> command({"program": "train.py"}, {"seed": 3})[1:]
    ['train.py', '--seed=3']
    """
    program = sweep.get("program", PROGRAM)
    if INSTALLED and program == PROGRAM:  # which is not where a sweep is started
        program = str(ROOT / PROGRAM)
    known = {
        "${env}": [],
        "${interpreter}": [sys.executable],
        "${program}": [program],
        "${args}": [f"--{name}={value}" for name, value in values.items()],
        "${args_no_equals}": [
            word for name, value in values.items() for word in (f"--{name}", str(value))
        ],
    }
    asked = [str(word) for word in sweep.get("command", DEFAULT_COMMAND)]
    unknown = [word for word in asked if word.startswith("${") and word not in known]
    if unknown:
        raise ValueError(f"command has {', '.join(unknown)}: here only {', '.join(known)} work")
    return [piece for word in asked for piece in known.get(word, [word])] + list(more)


def run_all(
    search: Search,
    sweep: Mapping[str, Any],
    folder: Path,
    count: int,
    *,
    more: Sequence[str],
) -> list[tuple[Path, dict[str, Any]]]:
    """Make the runs that are not finished yet; return the folders and the settings of all."""
    found = []
    for number in range(count):
        run, values = folder / f"{number:03}", search.settings(number)
        found.append((run, values))
        if is_finished(run):
            print(f"{run} is finished")
        else:
            run_one(sweep, run, values, more)
        if is_finished(run):
            search.finish(number, value_to_improve(read(run), sweep))
    return found


def run_one(
    sweep: Mapping[str, Any], run: Path, values: Mapping[str, Any], more: Sequence[str]
) -> None:
    """Make a run, or go on with it; one that fails is left for the next time.

    Raises:
        KeyboardInterrupt: the run or the sweep was told to stop.
    """
    arguments = command(sweep, values, [f"--folder={run.parent}", f"--name={run.name}", *more])
    if (run / "config.json").is_file():
        arguments = [*command(sweep, {}), "--resume", str(run)]
    print(f"\n{run}: {' '.join(f'{name} {value}' for name, value in values.items())}")
    status, stopped = run_command(arguments)
    if stopped:
        raise KeyboardInterrupt
    if status:
        print(f"{run} failed with status {status}: going on with the next")


def run_command(arguments: Sequence[str]) -> tuple[int, bool]:
    """Run a command to its end; return its status, and whether it or the sweep was told to stop.

    Ctrl-C reaches the command without our help, SIGTERM is passed on to it: it saves, then ends.
    """
    with stop_on_signals() as stop:
        process = subprocess.Popen(arguments)
        while process.poll() is None and stop.signal != signal.SIGTERM:
            time.sleep(0.1)
        if stop.signal == signal.SIGTERM:
            process.terminate()
        status = process.wait()
        return status, stop.requested or status in (128 + 2, 128 + 15)


def goal(run: Found, name: str) -> float | None:
    """What a run reached of a sweep's metric; None: nothing yet.

    >>> rows = [{"validation/bits_per_sequence": 3.0}, {"validation/bits_per_sequence": 5.0}]
    >>> run = Found("a", {}, rows, {"training": {"wrong_bits": 0.5}}, [])
    >>> goal(run, "best/bits_per_sequence"), goal(run, "final/wrong_bits"), goal(run, "train/loss")
    (3.0, 0.5, None)
    """
    section, _, metric = name.partition("/")
    if section == "final":
        return run.evaluation.get("training", {}).get(metric)
    if section == "best":
        rows = [row for row in run.rows if f"validation/{metric}" in row]
        # The best is the evaluation of the lowest cost, which is the first figure of a row.
        costs = ("validation/bits_per_sequence", "validation/squared_error")
        rows.sort(key=lambda row: next(row[cost] for cost in costs if cost in row))
        return rows[0][f"validation/{metric}"] if rows else None
    key = metric if section == "train" else name
    return next((row[key] for row in reversed(run.rows) if key in row), None)


def shown(name: str, runs: Iterable[Found]) -> str:
    """The metric to sort by: best/X is of validations, and final/X where no run was validated.

    >>> shown("best/wrong_bits", [Found("a", {}, [], {"training": {"wrong_bits": 0.5}}, [])])
    'final/wrong_bits'
    """
    section, _, metric = name.partition("/")
    final = f"final/{metric}"
    runs = list(runs)
    known = {one: any(goal(run, one) is not None for run in runs) for one in (name, final)}
    return final if section == "best" and known[final] and not known[name] else name


def value_to_improve(run: Found, sweep: Mapping[str, Any]) -> float | None:
    """What a finished run reached of its sweep's metric, or of `final/` if it was not validated."""
    return goal(run, shown(metric_of(sweep)["name"], [run]))


def metric_of(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """The metric of a sweep, which for a grid or random one may be left out."""
    return sweep.get("metric") or {"name": "best/bits_per_sequence"}


def table(sweep: Mapping[str, Any], runs: Sequence[tuple[Path, dict[str, Any]]]) -> str:
    """A row for each run, the best first."""
    metric = metric_of(sweep)
    down = metric.get("goal", "minimize") == "minimize"
    apart = [name for name in sweep["parameters"] if len({str(v[name]) for _, v in runs}) > 1]
    found = {folder: read(folder) for folder, _ in runs if (folder / "config.json").is_file()}
    name = shown(metric["name"], found.values())
    reached = [
        (goal(found[folder], name) if folder in found else None, folder, values)
        for folder, values in runs
    ]
    reached.sort(key=lambda one: (one[0] is None, (one[0] or 0.0) * (1 if down else -1)))
    lines = [["run", name, *apart]]
    for value, folder, values in reached:
        cells = [_short(values[name]) for name in apart]
        lines.append([str(folder), "-" if value is None else f"{value:.4g}", *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    text = "\n".join(line.rstrip() for line in padded)
    if name != metric["name"]:
        text += f"\nno run was validated, so there is no {metric['name']}: see --run.evaluate-every"
    return text


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Options:
    """Run a sweep on this machine, one run after the other; what follows -- goes to every run."""

    sweep: Annotated[Path, tyro.conf.Positional]
    """a YAML file as `wandb sweep` takes it"""
    runs: int | None = None
    """how many; None: run_cap of the file, else all of a grid"""
    folder: Path | None = None
    """of the runs; None: runs/ and the name of the sweep"""
    seed: int = 0
    """of what is drawn, and of the order of a grid"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sweep that the command line names."""
    given_arguments = list(sys.argv[1:] if arguments is None else arguments)
    end = given_arguments.index("--") if "--" in given_arguments else len(given_arguments)
    options = tyro.cli(Options, args=given_arguments[:end], prog="python -m training.sweep")
    try:
        sweep = read_sweep(options.sweep)
        command(sweep, {})
        count = _count(options, sweep)
        folder = options.folder or Path("runs") / str(sweep.get("name", options.sweep.stem))
        found = _run(sweep, folder, count, options.seed, given_arguments[end + 1 :])
    except (ValueError, OSError) as error:
        raise SystemExit(f"sweep: error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; the same command goes on with the sweep") from None
    print(f"\n{table(sweep, found)}\n\ncompare them: python -m training.compare {folder}")


def _count(options: Options, sweep: Mapping[str, Any]) -> int | None:
    """How many runs are asked for; None: all of a grid."""
    count = options.runs if options.runs is not None else sweep.get("run_cap")
    if count is None and sweep["method"] != "grid":
        raise ValueError(f"a {sweep['method']} sweep has no end: say how many, as --runs 8")
    if count is not None and count < 1:
        raise ValueError(f"--runs must be 1 or more, got {count}")
    if options.seed < 0:
        raise ValueError(f"--seed must be 0 or more, got {options.seed}")
    return count


def _run(
    sweep: Mapping[str, Any], folder: Path, count: int | None, seed: int, more: Sequence[str]
) -> list[tuple[Path, dict[str, Any]]]:
    try:
        from training.sweep.search import Search
    except ImportError as error:
        raise ValueError(
            f"a sweep on this machine needs Optuna ({error}): pip install -e '.[sweep]'"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "running a sweep"):
        search = Search(sweep, folder, seed)
        size = search.size
        count = min(number for number in (count, size) if number is not None)
        return run_all(search, sweep, folder, count, more=more)


if __name__ == "__main__":
    main()

"""Run a sweep on this machine, from the YAML that `wandb sweep` takes, without a server.

`python -m training.sweep sweeps/copy.yaml --runs 8` makes 8 runs in runs/copy/ and a table of them.
The same command again goes on where it was stopped. What stands after `--` goes to every run.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from training.compare.data import Found, differing, read
from training.files.checkpoint import write_json
from training.machine.signals import stop_on_signals
from training.sweep.sampling import read_sweep, settings

SETTINGS = "sweep.json"
DEFAULT_COMMAND = ["${env}", "${interpreter}", "${program}", "${args}"]


def command(
    sweep: Mapping[str, Any], values: Mapping[str, Any], more: Sequence[str] = ()
) -> list[str]:
    """The command of one run, with W&B's macros filled in as its agent does.

    >>> command({"program": "train.py"}, {"seed": 3})[1:]
    ['train.py', '--seed=3']
    """
    words = {
        "${env}": [],
        "${interpreter}": [sys.executable],
        "${program}": [sweep.get("program", "train.py")],
        "${args}": [f"--{name}={value}" for name, value in values.items()],
        "${args_no_equals}": [
            word for name, value in values.items() for word in (f"--{name}", str(value))
        ],
    }
    asked = [str(word) for word in sweep.get("command", DEFAULT_COMMAND)]
    unknown = [word for word in asked if word.startswith("${") and word not in words]
    if unknown:
        raise ValueError(f"command has {', '.join(unknown)}: here only {', '.join(words)} work")
    return [piece for word in asked for piece in words.get(word, [word])] + list(more)


def run_all(
    sweep: Mapping[str, Any], folder: Path, count: int | None, *, seed: int, more: Sequence[str]
) -> list[tuple[Path, dict[str, Any]]]:
    """Make the runs that are not finished yet; return the folders and the settings of all."""
    drawn = enumerate(itertools.islice(settings(sweep, seed), count))
    found = [(folder / f"{number:03}", values) for number, values in drawn]
    remember(folder, found)
    for run, values in found:
        if (run / "evaluation.json").is_file():
            print(f"{run} is finished")
            continue
        words = command(sweep, values, [f"--folder={folder}", f"--name={run.name}", *more])
        if (run / "config.json").is_file():
            words = [*command(sweep, {}), "--resume", str(run)]
        print(f"\n{run}: {' '.join(f'{name} {value}' for name, value in values.items())}")
        status, stopped = run_one(words)
        if stopped:
            raise KeyboardInterrupt
        if status:
            print(f"{run} failed with status {status}: going on with the next")
    return found


def run_one(words: Sequence[str]) -> tuple[int, bool]:
    """Run a command to its end; return its status, and whether it or the sweep was told to stop.

    Ctrl-C reaches the command without our help, SIGTERM is passed on to it: it saves, then ends.
    """
    with stop_on_signals() as stop:
        process = subprocess.Popen(words)
        while process.poll() is None and stop.signal != signal.SIGTERM:
            time.sleep(0.1)
        if stop.signal == signal.SIGTERM:
            process.terminate()
        status = process.wait()
        return status, stop.requested or status in (128 + 2, 128 + 15)


def remember(folder: Path, runs: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    """Note the settings of every run, and refuse a folder whose runs had others.

    Raises:
        ValueError: a run there was made with other settings; names them.
    """
    path = folder / SETTINGS
    known = json.loads(path.read_text()) if path.is_file() else {}
    for run, values in runs:
        before, now = known.get(run.name), {name: str(value) for name, value in values.items()}
        if run.exists() and before not in (None, now):
            changed = differing([before, now])
            raise ValueError(
                f"{run} was run with {_words(before, changed)}, and the sweep says "
                f"{_words(now, changed)} now: give another --folder, or the --seed as it was"
            )
        known[run.name] = now
    write_json(path, known)


def _words(values: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {values.get(name, 'as it is')}" for name in names)


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


def table(sweep: Mapping[str, Any], runs: Sequence[tuple[Path, dict[str, Any]]]) -> str:
    """A row for each run, the best first."""
    metric = sweep.get("metric", {"name": "best/bits_per_sequence"})
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
    """a YAML file as `wandb sweep` takes it, of method grid or random"""
    runs: int | None = None
    """how many; None: run_cap of the file, else all of a grid"""
    folder: Path | None = None
    """of the runs; None: runs/ and the name of the sweep"""
    seed: int = 0
    """of the draws of a random sweep"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sweep that the command line names."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    options = tyro.cli(Options, args=words[:end], prog="python -m training.sweep")
    try:
        sweep = read_sweep(options.sweep)
        command(sweep, {})
    except (ValueError, OSError) as error:
        raise SystemExit(f"sweep: error: {error}") from None
    count = options.runs if options.runs is not None else sweep.get("run_cap")
    if count is None and sweep["method"] == "random":
        raise SystemExit("sweep: error: a random sweep has no end: say how many, as --runs 8")
    folder = options.folder or Path("runs") / str(sweep.get("name", options.sweep.stem))
    try:
        found = run_all(sweep, folder, count, seed=options.seed, more=words[end + 1 :])
    except (ValueError, OSError) as error:
        raise SystemExit(f"sweep: error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; the same command goes on with the sweep") from None
    print(f"\n{table(sweep, found)}\n\ncompare them: python -m training.compare {folder}")


if __name__ == "__main__":
    main()

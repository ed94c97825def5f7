"""From run folders to docs/results/ROW.json: what a row's runs came to, small enough to keep."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.table import Row, command
from training.evaluate import generalisation
from training.evaluate.solved import column, outcome, rule
from training.files import checkpoint, provenance
from training.files.metrics import is_finished, read_evaluation, read_rows
from training.options.config import Config, from_json, make_layer, make_task

POINTS = 120  # of a curve that is kept
DIGITS = 4

Metrics = list[dict[str, float]]
Summary = dict[str, Any]


def collect(folder: Path, rows: Sequence[Row]) -> dict[str, Summary]:
    """The summaries of those rows that have runs in the folder, by the name of the row."""
    found = {row.name: summarise_row(folder, row) for row in rows}
    return {name: summary for name, summary in found.items() if summary["runs"]}


def summarise_row(folder: Path, row: Row) -> Summary:
    """Everything the page says about a row, from the files of its runs."""
    runs = [summarise(path, row) for path in folder.glob(f"{row.name}-seed*") if _begun(path)]
    return {
        "row": row.name,
        "task": row.task,
        "model": row.label,
        "command": shlex.join(command(row)),
        "evaluated": row.evaluated,
        "memory_size": row.memory_size,
        "runs": sorted(runs, key=lambda run: run["seed"]),
    }


def summarise(folder: Path, row: Row) -> Summary:
    """What one run came to."""
    config = from_json(checkpoint.read_config(folder))
    metrics = read_rows(folder)
    final = read_evaluation(folder).get("training")
    parts = provenance.read(folder)
    solved = make_task(config).solved
    first = outcome(metrics, solved, config.curriculum, final).first
    return {
        "seed": config.seed,
        "finished": is_finished(folder),
        "commits": list(dict.fromkeys(part["commit"] for part in parts)),
        "processors": list(dict.fromkeys(part["processor"] for part in parts)),
        "weights": weights(config),
        "curriculum": config.curriculum,
        "sequences": int(metrics[-1]["sequences"]),
        "seconds": round(max(r["seconds"] for r in metrics if "seconds" in r), 1),
        "solved": None if first is None else first._asdict(),
        "solved_is": rule(solved),
        "settings": read_settings(folder, row.memory_size),
        "curve": curve(metrics, config.curriculum),
    }


def _begun(folder: Path) -> bool:
    return any("seconds" in row for row in read_rows(folder))


def reached(folder: Path) -> int:
    """How many sequences a run has been trained on, as far as its metrics say."""
    metrics = read_rows(folder)
    return int(metrics[-1]["sequences"]) if metrics else 0


def read_settings(folder: Path, memory_size: int | None) -> dict[str, dict[str, list[float]]]:
    """The mean and its interval for each figure of each setting of the evaluation."""
    path = folder / generalisation.file_name(memory_size)
    if not path.is_file():
        return {}
    settings = json.loads(path.read_text())["settings"]
    return {
        setting: {
            name: [_round(value[key]) for key in ("mean", "low", "high")]
            for name, value in row.items()
            if isinstance(value, dict)
        }
        for setting, row in settings.items()
    }


def curve(metrics: Metrics, curriculum: str) -> dict[str, list[float]]:
    """The cost over the sequences seen, thinned to means over as many rows each."""
    cost = column("bits_per_sequence", curriculum)
    rows = [found for found in metrics if cost in found]
    parts = np.array_split(np.arange(len(rows)), min(POINTS, len(rows))) if rows else []
    thinned: dict[str, list[float]] = {"sequences": [], "bits_per_sequence": []}
    for part in parts:
        thinned["sequences"].append(rows[part[-1]]["sequences"])
        thinned["bits_per_sequence"].append(_round(statistics.fmean(rows[i][cost] for i in part)))
    return thinned


def weights(config: Config) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in make_layer(config).parameters() if p.requires_grad)


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def store(folder: Path, summaries: dict[str, Summary]) -> list[Path]:
    """Write a file for each row; those of rows without runs here stay as they are."""
    paths: list[Path] = []
    for name, summary in summaries.items():
        path = folder / f"{name}.json"
        text = json.dumps(summary, separators=(",", ":")).replace('{"seed"', '\n{"seed"')
        checkpoint.write_atomically(path, (text + "\n").encode())
        paths.append(path)
    return paths


def load(folder: Path, rows: Sequence[Row]) -> dict[str, Summary]:
    """The summaries that are kept, in the order of the table."""
    paths = {row.name: folder / f"{row.name}.json" for row in rows}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}


def median(values: Sequence[float]) -> float:
    """The lower median, so that it is the figure of one of the runs.

    >>> median([3.0, 1.0, float("inf")]), median([1.0, 2.0])
    (3.0, 1.0)
    """
    return statistics.median_low(values)


def figure(run: Summary, setting: str, name: str) -> list[float] | None:
    """Mean, low and high of a figure of a run, if it was evaluated on this setting."""
    return run["settings"].get(setting, {}).get(name)


def middle_run(summary: Summary, setting: str, name: str) -> Summary | None:
    """The run with the median of a figure, or None if no run has it."""
    runs = [(found[0], run) for run in summary["runs"] if (found := figure(run, setting, name))]
    if not runs:
        return None
    wanted = median([value for value, _ in runs])
    return next(run for value, run in runs if value == wanted)

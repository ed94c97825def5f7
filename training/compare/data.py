"""Runs as they lie in their folders, finished or not, and what is alike and what differs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.by_path import PlaceError
from training.evaluate.solved import Moment, outcome_of
from training.files.metrics import read_evaluation, read_rows, training_rows
from training.options.config import flat
from training.options.grouping import of_group
from training.report.tracker import in_sections

POINTS = 500
"""of a curve; longer ones are thinned by means"""
AXES = ("step", "sequences", "seconds", "core_seconds")
"""of a row, which are no curves of their own"""


@dataclass(frozen=True)
class Found:
    """What a run has left in its folder so far."""

    name: str
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    """of metrics.jsonl"""
    evaluation: dict[str, dict[str, float]]
    """by setting; empty until the run is finished"""
    pictures: list[Path]

    @property
    def training(self) -> list[dict[str, Any]]:
        """The rows that are about training."""
        return training_rows(self.rows)

    @property
    def sequences(self) -> int:
        """How many sequences it was trained on so far."""
        return self.rows[-1]["sequences"] if self.rows else 0

    @property
    def seconds(self) -> float:
        """The time spent training so far."""
        return self.training[-1]["seconds"] if self.training else 0.0

    @property
    def solved(self) -> Moment | None:
        """When it had solved its task; None: it has not."""
        return outcome_of(self.config, self.rows, self.evaluation).first

    def best(self) -> float | None:
        """The fewest wrong answers of its evaluations on the training task."""
        found = [
            v for row in self.rows for k, v in row.items() if k.startswith("validation/wrong_")
        ]
        return min(found, default=None)

    def final(self, setting: str) -> float | None:
        """The wrong answers per sequence in a setting of the evaluation at the end."""
        row = self.evaluation.get(setting)
        return None if row is None else errors(row)


def errors(row: Mapping[str, float]) -> float:
    """The wrong bits of a row of metrics or figures, or what else its task counts as wrong.

    >>> errors({"bits_per_sequence": 3.5, "wrong_symbols": 0.25, "exact_match": 0.8})
    0.25
    """
    return row[errors_name(row)]


def errors_name(row: Mapping[str, float]) -> str:
    """What a row counts as wrong: wrong_bits, wrong_symbols or wrong_answers."""
    return next(name for name in row if name.startswith("wrong_"))


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seeds."""

    label: str
    config: dict[str, Any]
    runs: list[Found]

    @property
    def task(self) -> str:
        """The name of the task that they learn."""
        return self.runs[0].config["task"]


def find(paths: Iterable[Path]) -> list[Path]:
    """The run folders among these, and those inside of the others, however deep.

    Raises:
        FileNotFoundError: a path is no run folder and holds none.
    """
    found: list[Path] = []
    for path in paths:
        inside = _runs_in(path, set())
        if not inside:
            raise FileNotFoundError(
                f"{path} is no run and holds none: give folders that train.py made, or runs/"
            )
        found += [one for one in inside if one not in found]
    return found


def _runs_in(folder: Path, visited: set[Path]) -> list[Path]:
    """A run folder itself, or those below a folder; a link that leads back up has no more."""
    if (folder / "config.json").is_file():
        return [folder]
    if not folder.is_dir() or folder.resolve() in visited:
        return []
    visited.add(folder.resolve())
    inside = sorted(one for one in folder.iterdir() if one.is_dir() and one.name[0] != ".")
    return [run for one in inside for run in _runs_in(one, visited)]


def read_all(folders: Sequence[Path]) -> list[Found]:
    """Read runs; each is named by its path below the folder that holds them all.

    Raises:
        FileNotFoundError: a folder is no run.
        ValueError: a config.json cannot be read.
    """
    home = os.path.commonpath([folder.resolve().parent for folder in folders])
    return [
        replace(read(folder), name=folder.resolve().relative_to(home).as_posix())
        for folder in folders
    ]


def read(folder: Path) -> Found:
    """Read what a run has left so far; a line or file that is half-written is left out.

    Raises:
        FileNotFoundError: the folder is no run.
        ValueError: its config.json cannot be read.
    """
    folder = folder.resolve()
    try:
        config = json.loads((folder / "config.json").read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / 'config.json'} is damaged: {error}") from error
    return Found(
        folder.name,
        config,
        read_rows(folder),
        read_evaluation(folder),
        sorted((folder / "pictures").glob("*.png")),
    )


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names whose values are not the same in all of these.

    >>> differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}])
    ['b', 'c']
    """
    names = list(dict.fromkeys(name for config in configs for name in config))
    return [n for n in names if any(c.get(n, ...) != configs[0].get(n, ...) for c in configs)]


def groups(runs: Sequence[Found]) -> list[Group]:
    """The groups, each called after what tells it apart from the others.

    Raises:
        ValueError: a run's task, or an option of it, does not exist, or is not found here.
    """
    members: dict[str, list[Found]] = {}
    for run in runs:
        try:
            outcome_of(run.config, (), {})
        except PlaceError:
            raise
        except ValueError as error:
            raise ValueError(
                f"{run.name}/config.json is of another version of memnets: {error}"
            ) from error
        members.setdefault(json.dumps(of_group(run.config), sort_keys=True), []).append(run)
    found = [sorted(some, key=lambda run: run.config["seed"]) for some in members.values()]
    configs = [flat(of_group(some[0].config)) for some in found]
    return [
        Group(_label(config, configs), config, some)
        for config, some in sorted(zip(configs, found, strict=True), key=lambda pair: str(pair[0]))
    ]


def _label(config: dict[str, Any], configs: Sequence[dict[str, Any]]) -> str:
    """The task, the model, and what differs from others of that task and model."""
    kind = ("task", "model")
    alike = [one for one in configs if all(one[name] == config[name] for name in kind)]
    apart = differing(alike)
    fields = [name.rpartition(".")[2] for name in apart]
    words = []
    for name, field in zip(apart, fields, strict=True):
        # The options of an optimizer or curriculum say nothing about runs that have another.
        choice = name.partition(".")[0]
        peers = [one for one in alike if "." not in name or one.get(choice) == config.get(choice)]
        values = [one.get(name) for one in peers]
        if any(value != values[0] for value in values):
            unique = field if fields.count(field) == 1 else name
            words.append(f"{unique}={_shown(config.get(name), values)}")
    return " ".join([*(config[name] for name in kind), *words])


def _shown(value: Any, among: Sequence[Any]) -> str:
    """A value in as few digits as tell it apart from the others.

    >>> _shown(0.0028312345, [0.0028312345, 0.5]), _shown(0.12345, [0.12345, 0.12349])
    ('0.002831', '0.12345')
    """
    numbers = {one for one in among if isinstance(one, float)}
    if not isinstance(value, float):
        return str(value)
    digits = next(d for d in range(4, 18) if len({f"{n:.{d}g}" for n in numbers}) == len(numbers))
    return f"{value:.{digits}g}"


def curves(run: Found) -> dict[str, dict[str, list[float | None]]]:
    """Each metric of a run: sequences, seconds and values of the same length, thinned to 500."""
    found: dict[str, dict[str, list[Any]]] = {}
    seconds = 0.0
    for row in run.rows:
        seconds = row.get("seconds", seconds)  # a row of an evaluation has the time of the last
        values = {k: v for k, v in row.items() if k not in AXES}
        for name, value in in_sections(values).items():
            curve = found.setdefault(name, {"sequences": [], "seconds": [], "values": []})
            curve["sequences"].append(row["sequences"])
            curve["seconds"].append(round(seconds, 3))
            curve["values"].append(value if _is_finite(value) else None)
    return {name: _thinned(curve) for name, curve in found.items()}


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _thinned(curve: dict[str, list[Any]]) -> dict[str, list[Any]]:
    size = math.ceil(len(curve["values"]) / POINTS)
    if size <= 1:
        return curve
    starts = range(0, len(curve["values"]), size)
    return {name: [_mean(of[i : i + size]) for i in starts] for name, of in curve.items()}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None

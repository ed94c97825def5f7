"""What each run of a sweep sets, proposed and remembered by Optuna in the sweep's folder.

Optuna samples; W&B's distributions that it does not have are functions of one that it has.
"""

from __future__ import annotations

import itertools
import json
import math
from bisect import bisect
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState, create_trial

from training.compare.data import differing
from training.sweep.definition import distribution_of

JOURNAL = "sweep.journal"
STUDY = "sweep"
# A quantile; the ends, which a normal distribution has at infinity, are left out.
QUANTILE = FloatDistribution(1e-9, 1 - 1e-9)


class Search:
    """The trials of a sweep, one for each run, kept in its folder's journal."""

    def __init__(self, sweep: Mapping[str, Any], folder: Path, seed: int) -> None:
        """Open the journal of a sweep, or begin one.

        Raises:
            OSError: the folder cannot be written.
            ValueError: the folder holds runs of another sweep, or its journal is damaged.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._sweep, self._seed = sweep, seed
        path = folder / JOURNAL
        if not path.is_file() and (folder / "000").exists():
            raise ValueError(f"{folder} holds runs of something else: give another --folder")
        _drop_half_a_line(path)
        try:
            self._study = _open(path, sweep)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is damaged ({error}): give another --folder") from error
        self._check_same(folder)

    @property
    def size(self) -> int | None:
        """How many runs a grid has; None: the sweep has no end.

        >>> import tempfile
        >>> grid = {"a": {"values": [1, 2]}, "b": {"values": [1, 2, 3]}, "c": {"value": 0}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Search({"method": "grid", "parameters": grid}, Path(folder), seed=0).size
        6
        """
        if self._sweep["method"] != "grid":
            return None
        return math.prod(len(values) for values in _grid(self._sweep).values())

    def settings(self, number: int) -> dict[str, Any]:
        """What a run sets, by the names of the parameters; the runs before it come first."""
        known = self._study.get_trials(deepcopy=False)
        if number < len(known):
            return known[number].user_attrs["settings"]
        # Asked of a copy in memory and then added as a whole, a trial is never half in the journal.
        copy = optuna.create_study(
            direction=self._study.direction, sampler=sampler(self._sweep, self._seed, number)
        )
        copy.add_trials(known)
        parameters = self._sweep["parameters"]
        asked = {name: distribution(one) for name, one in parameters.items() if "value" not in one}
        drawn = copy.ask(asked).params
        found = {
            name: one["value"] if "value" in one else value_of(one, drawn[name])
            for name, one in parameters.items()
        }
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=drawn,
                distributions=asked,
                user_attrs={"settings": found},
            )
        )
        return found

    def finish(self, number: int, value: float | None) -> None:
        """Note what a run reached; None: its metric is not known."""
        if value is None or not math.isfinite(value):
            self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
        else:
            self._study.tell(number, value, skip_if_finished=True)

    def _check_same(self, folder: Path) -> None:
        now = {"method": self._sweep["method"], "--seed": self._seed, **self._sweep["parameters"]}
        if self._sweep["method"] == "bayes":  # which chooses by the metric
            now["metric"] = self._sweep["metric"]
        before = self._study.user_attrs.get("definition")
        if before is None:
            self._study.set_user_attr("definition", now)
        elif before != now:
            changed = differing([before, now])
            raise ValueError(
                f"{folder} has runs of {_words(before, changed)}, and the sweep says "
                f"{_words(now, changed)} now: give another --folder, or all of it as it was"
            )


def sampler(sweep: Mapping[str, Any], seed: int, number: int) -> BaseSampler:
    """Optuna's sampler of a method, for the run of this number.

    Each run has its own generator: the tenth is the same whether or not the sweep was stopped.
    """
    if sweep["method"] == "grid":
        return GridSampler(_grid(sweep), seed=seed)
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return RandomSampler(seed=own) if sweep["method"] == "random" else TPESampler(seed=own)


def distribution(parameter: Mapping[str, Any]) -> BaseDistribution:
    """What Optuna draws for a parameter; `value_of` makes the parameter's value of it.

    >>> distribution({"min": 1, "max": 3})
    IntDistribution(high=3, log=False, low=1, step=1)
    >>> distribution({"distribution": "log_uniform_values", "min": 0.1, "max": 1}).log
    True
    """
    if "values" in parameter:
        equal = "probabilities" not in parameter
        return CategoricalDistribution(parameter["values"]) if equal else QUANTILE
    kind = distribution_of(parameter)
    if kind == "normal":
        return QUANTILE
    if kind == "int_uniform":
        return IntDistribution(parameter["min"], parameter["max"])
    return FloatDistribution(parameter["min"], parameter["max"], log="log" in kind)


def value_of(parameter: Mapping[str, Any], drawn: Any) -> Any:
    """The value of a parameter for what Optuna drew.

    >>> value_of({"distribution": "q_uniform", "min": 0, "max": 10, "q": 5}, 6.2)
    5
    >>> value_of({"distribution": "normal", "mu": 3, "sigma": 1}, 0.5)
    3.0
    >>> value_of({"values": ["a", "b"], "probabilities": [0.2, 0.8]}, 0.3)
    'b'
    """
    if "probabilities" in parameter:
        sums = list(itertools.accumulate(parameter["probabilities"]))
        return parameter["values"][bisect(sums, drawn * sums[-1])]
    if "values" in parameter:
        return drawn
    kind = distribution_of(parameter)
    if kind == "normal":
        return NormalDist(parameter["mu"], parameter["sigma"]).inv_cdf(drawn)
    step = parameter.get("q", 1)
    return round(drawn / step) * step if kind.startswith("q_") else drawn


def _grid(sweep: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: one["values"] for name, one in sweep["parameters"].items() if "values" in one}


def _words(values: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {values.get(name, 'as it is')}" for name in names)


def _open(path: Path, sweep: Mapping[str, Any]) -> optuna.Study:
    lock = JournalFileOpenLock(str(path))
    storage = JournalStorage(JournalFileBackend(str(path), lock))
    if STUDY in optuna.get_all_study_names(storage):
        return optuna.load_study(study_name=STUDY, storage=storage)
    goal = (sweep.get("metric") or {}).get("goal", "minimize")
    return optuna.create_study(study_name=STUDY, storage=storage, direction=goal)


def _drop_half_a_line(path: Path) -> None:
    """Cut off what a machine that lost its power may have left: that run was not begun."""
    content = path.read_bytes() if path.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)

"""Which settings a sweep tries: W&B's own YAML, read without its server.

W&B's library for this (`sweeps`) needs scipy, scikit-learn and a numpy below 2, and W&B's local
controller needs the server all the same.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

NEEDS = {
    "uniform": ("min", "max"),
    "int_uniform": ("min", "max"),
    "q_uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
    "q_log_uniform_values": ("min", "max"),
    "normal": ("mu", "sigma"),
}


def read_sweep(path: Path) -> dict[str, Any]:
    """Read a sweep and check it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no sweep, or one that only W&B's server can do.
    """
    import yaml

    try:
        sweep = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    if not isinstance(sweep, dict) or not isinstance(sweep.get("parameters"), dict):
        raise ValueError(f"{path} must have parameters, as sweeps/copy.yaml has")
    method = sweep.get("method")
    if method not in ("grid", "random"):
        raise ValueError(
            f"method must be grid or random without W&B's server, got {method!r}: change it, or "
            f"use `wandb sweep {path}`"
        )
    for name, parameter in sweep["parameters"].items():
        _check(name, parameter, method)
    return sweep


def _check(name: str, parameter: object, method: str) -> None:
    if not isinstance(parameter, dict):
        raise ValueError(f"{name} must have value, values or a distribution, got {parameter!r}")
    if "parameters" in parameter:
        raise ValueError(
            f"{name} must be a plain name such as optimizer.learning_rate, got nested parameters"
        )
    if "value" in parameter:
        return
    if "values" in parameter:
        values, weights = parameter["values"], parameter.get("probabilities")
        if not isinstance(values, list) or not values:
            raise ValueError(f"{name}: values must be a list that is not empty, got {values!r}")
        if weights is not None and len(weights) != len(values):
            raise ValueError(f"{name}: {len(values)} values have {len(weights)} probabilities")
        return
    if method == "grid":
        raise ValueError(f"{name}: a grid needs values, got {parameter!r}; or use method: random")
    kind = _distribution(parameter)
    if kind not in NEEDS:
        raise ValueError(f"{name}: the distribution must be one of {', '.join(NEEDS)}, got {kind}")
    for key in NEEDS[kind]:
        if not isinstance(parameter.get(key), int | float):
            raise ValueError(
                f"{name}: {key} must be a number, got {parameter.get(key)!r} (YAML reads 1e-3 as "
                "a word: write 0.001)"
            )
    if "min" in parameter and not parameter["min"] < parameter["max"]:
        raise ValueError(f"{name}: min {parameter['min']} must be below max {parameter['max']}")
    if "log" in kind and parameter["min"] <= 0:
        raise ValueError(f"{name}: min must be above 0 for {kind}, got {parameter['min']}")


def settings(sweep: Mapping[str, Any], seed: int = 0) -> Iterator[dict[str, Any]]:
    """What each run of a sweep sets: all of a grid, or draws without an end.

    >>> sweep = {"method": "grid", "parameters": {"a": {"values": [1, 2]}, "b": {"value": 3}}}
    >>> list(settings(sweep))
    [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
    """
    parameters = sweep["parameters"]
    if sweep["method"] == "grid":
        choices = [p["values"] if "values" in p else [p["value"]] for p in parameters.values()]
        for chosen in itertools.product(*choices):
            yield dict(zip(parameters, chosen, strict=True))
        return
    for index in itertools.count():
        # Each draw has its own generator: the tenth is the same whoever drew the other nine.
        generator = random.Random(f"{seed}/{index}")
        yield {name: draw(parameter, generator) for name, parameter in parameters.items()}


def draw(parameter: Mapping[str, Any], generator: random.Random) -> Any:
    """One value of a parameter, distributed as W&B documents it.

    >>> draw({"distribution": "q_uniform", "min": 0, "max": 10, "q": 5}, random.Random(0))
    10
    """
    if "value" in parameter:
        return parameter["value"]
    if "values" in parameter:
        return generator.choices(parameter["values"], parameter.get("probabilities"))[0]
    kind = _distribution(parameter)
    if kind == "normal":
        return generator.gauss(parameter["mu"], parameter["sigma"])
    low, high = parameter["min"], parameter["max"]
    if kind == "int_uniform":
        return generator.randint(low, high)
    if "log" in kind:
        value = math.exp(generator.uniform(math.log(low), math.log(high)))
    else:
        value = generator.uniform(low, high)
    if not kind.startswith("q_"):
        return value
    step = parameter.get("q", 1)
    return round(value / step) * step


def _distribution(parameter: Mapping[str, Any]) -> str:
    """What W&B assumes where none is named: whole numbers if both ends are."""
    ends = (parameter.get("min"), parameter.get("max"))
    whole = all(isinstance(end, int) for end in ends)
    return parameter.get("distribution", "int_uniform" if whole else "uniform")

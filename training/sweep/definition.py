"""A sweep in W&B's own YAML, read and checked without its server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

METHODS = ("grid", "random", "bayes")
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
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    metric = sweep.get("metric")
    if metric is None and method == "bayes":
        raise ValueError("method bayes needs a metric to improve, as sweeps/copy.yaml has")
    if metric is not None and not (isinstance(metric, dict) and "name" in metric):
        raise ValueError(f"metric must have a name, as in sweeps/copy.yaml, got {metric!r}")
    if "early_terminate" in sweep:
        raise ValueError(
            f"early_terminate ({sweep['early_terminate']}) works on W&B's server alone: leave it "
            f"out, or use `wandb sweep {path}`"
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
        _check_values(name, [parameter["value"]], None)
    elif "values" in parameter:
        _check_values(name, parameter["values"], parameter.get("probabilities"))
    elif method == "grid":
        raise ValueError(f"{name}: a grid needs values, got {parameter!r}; or use method: random")
    else:
        _check_distribution(name, parameter)


def _check_values(name: str, values: object, probabilities: list[float] | None) -> None:
    if not isinstance(values, list) or not values:
        raise ValueError(f"{name}: values must be a list that is not empty, got {values!r}")
    if not all(value is None or isinstance(value, str | int | float) for value in values):
        raise ValueError(
            f"{name}: a value must be a number, a word, true, false or null, got {values!r}"
        )
    if len(set(values)) < len(values):
        raise ValueError(f"{name}: values must differ from one another, got {values!r}")
    if probabilities is not None and len(probabilities) != len(values):
        raise ValueError(f"{name}: {len(values)} values have {len(probabilities)} probabilities")


def _check_distribution(name: str, parameter: Mapping[str, Any]) -> None:
    kind = distribution_of(parameter)
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
    if kind == "int_uniform" and not all(isinstance(parameter[key], int) for key in NEEDS[kind]):
        raise ValueError(
            f"{name}: min and max of int_uniform must be whole numbers, got {parameter['min']} "
            f"and {parameter['max']}"
        )


def distribution_of(parameter: Mapping[str, Any]) -> str:
    """The name of a distribution; where none is given, W&B's rule: whole if both ends are.

    >>> distribution_of({"min": 1, "max": 3}), distribution_of({"min": 0.5, "max": 3})
    ('int_uniform', 'uniform')
    """
    ends = (parameter.get("min"), parameter.get("max"))
    whole = all(isinstance(end, int) for end in ends)
    return parameter.get("distribution", "int_uniform" if whole else "uniform")

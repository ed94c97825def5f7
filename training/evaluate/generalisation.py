"""`train.py --evaluate runs/NAME`: how far what was learned reaches beyond what was trained on."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import nn

from tasks.base import Task
from tasks.grid import grid
from tasks.solved import measure as measured
from training.evaluate.intervals import Estimate, bootstrap, wilson
from training.files import checkpoint, provenance
from training.options.config import Config, from_json, make_layer, make_task
from training.options.same_run import check_same_run
from training.options.seeds import seeds

Figures = dict[str, Estimate]

SHARED = 8  # sequences of one size, where the size is drawn for each batch: few, for many sizes


@dataclass(frozen=True, kw_only=True)
class Options:
    """Evaluate a trained run on a grid of sizes, most of which it was not trained on.

    The figures are printed and written into the run folder, with 95% confidence intervals over
    sequences: of the cost and the errors by the bootstrap, of exact answers by Wilson's score.
    """

    evaluate: Path
    """the run folder"""
    memory_size: int | None = None
    """memory slots (N), other than in training; None: as in training"""
    sequences: int = 512
    """sequences of each setting"""
    batch_size: int = 64
    """sequences at a time, for settings of one size"""
    settings: tuple[str, ...] = ()
    """only these settings, such as length_50; none: all"""
    seed: int | None = None
    """decides the sequences; None: those of the evaluation at the end of training"""
    best: bool = False
    """evaluate checkpoints/best.pt (the lowest cost in training) and not last.pt"""
    device: str = "cpu"
    """where to compute"""


def main(arguments: Sequence[str]) -> int:
    """Evaluate as the command line says; return the exit status."""
    options = tyro.cli(
        Options, args=arguments, prog="train.py", config=(tyro.conf.FlagConversionOff,)
    )
    try:
        run(options)
    except (ValueError, OSError) as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: Options) -> Path:
    """Evaluate, print the table, and return the path of the file that was written.

    Raises:
        ValueError: the folder is no run, its checkpoint cannot be read or does not fit the memory
            size, or there is no such setting.
        OSError: a file cannot be read or written.
    """
    if min(options.sequences, options.batch_size) < 1:
        raise ValueError(
            f"--sequences and --batch-size must be at least 1, got {options.sequences} and "
            f"{options.batch_size}"
        )
    config = from_json(checkpoint.read_config(options.evaluate))
    torch.set_num_threads(config.threads)
    saved = checkpoint.load(
        options.evaluate / (checkpoint.BEST if options.best else checkpoint.LAST)
    )
    check_same_run(config, from_json(saved["config"]))
    config = dataclasses.replace(config, device=options.device)
    layer = build(config, saved, options.memory_size).eval()
    chosen = choose(make_task(config), options.settings)
    results: dict[str, dict[str, Any]] = {}
    for name, task in chosen.items():
        fixed = name != "training"
        found = measure(
            layer,
            task,
            options.sequences,
            batch_size=options.batch_size if fixed else SHARED,
            seed=seeds(config.seed)[2] if options.seed is None else options.seed,
            device=options.device,
        )
        results[name] = {"chance_cost": task.chance_cost(), **found}
        if len(results) == 1:
            print(heading(results, list(chosen)), flush=True)
        print(line(name, results[name], list(chosen)), flush=True)
    path = options.evaluate / file_name(options.memory_size)
    checkpoint.write_json(path, report(options, saved, results))
    print(f"written to {path}")
    return path


def file_name(memory_size: int | None) -> str:
    """The file in the run folder.

    >>> file_name(None), file_name(256)
    ('generalisation.json', 'generalisation_memory_256.json')
    """
    return "generalisation" + ("" if memory_size is None else f"_memory_{memory_size}") + ".json"


def build(config: Config, saved: dict[str, Any], memory_size: int | None) -> nn.Module:
    """The trained layer, with another number of memory slots if one is given.

    Raises:
        ValueError: the model has no memory, or a parameter whose shape depends on its size.
    """
    model: Any = config.model_options
    if memory_size is not None:
        if not hasattr(model, "memory_size"):
            raise ValueError(
                f"--memory-size needs a model with a memory, got --model {config.model}"
            )
        model = dataclasses.replace(model, memory_size=memory_size)
        config = dataclasses.replace(config, model_options=model)
    layer = make_layer(config)
    weights = saved["weights"]
    other = [
        name
        for name, value in layer.state_dict().items()
        if name in weights and weights[name].shape != value.shape
    ]
    if other:
        raise ValueError(
            f"--memory-size {memory_size} does not fit: the run learned its initial state, and the "
            f"shapes of {', '.join(other)} depend on the number of slots; train with "
            "--model.learned False to evaluate with other sizes"
        )
    layer.load_state_dict(weights)
    return layer


def choose(task: Task, names: Sequence[str]) -> dict[str, Task]:
    """The settings of these names, or all: the task itself as `training`, then its grid.

    Raises:
        ValueError: there is no such setting; the message lists those there are.
    """
    every = {"training": task, **grid(task)}
    unknown = [name for name in names if name not in every]
    if unknown:
        raise ValueError(
            f"there is no setting {', '.join(unknown)}: choose from {', '.join(every)}"
        )
    return {name: every[name] for name in names} if names else every


@torch.no_grad()
def measure(
    layer: nn.Module,
    task: Task,
    sequences: int,
    *,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Figures:
    """The cost, the errors and the rate of exact answers; the gap to an optimum if it is known."""
    generator = torch.Generator().manual_seed(seed)
    values: dict[str, list[np.ndarray]] = {}
    lengths: set[int] = set()
    for first in range(0, sequences, batch_size):
        batch = task.sample(min(batch_size, sequences - first), generator)
        outputs, _ = layer(batch.inputs.to(device))
        for name, value in measured(task, outputs.cpu(), batch).items():
            values.setdefault(name, []).append(value.double().numpy())
        lengths.add(len(batch.inputs))
    return {name: estimate(name, groups, len(lengths) == 1) for name, groups in values.items()}


def estimate(name: str, batches: list[np.ndarray], independent: bool) -> Estimate:
    """The mean over the sequences of some batches; independent unless their lengths differ."""
    if not independent:
        return bootstrap(batches)
    every = np.concatenate(batches)
    if name == "exact_match":
        return wilson(int(every.sum()), len(every))
    return bootstrap(list(every[:, None]))


def report(
    options: Options, saved: dict[str, Any], results: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """What the file holds."""
    return {
        "checkpoint": checkpoint.BEST if options.best else checkpoint.LAST,
        "step": saved["step"],
        "sequences": saved["sequences"],
        "memory_size": options.memory_size,
        "evaluated": options.sequences,
        "interval": "95%: bootstrap over sequences (over batches where lengths differ); "
        "exact_match: Wilson's score",
        "commit": provenance.facts()["commit"],
        "settings": {
            setting: {
                name: value._asdict() if isinstance(value, Estimate) else value
                for name, value in row.items()
            }
            for setting, row in results.items()
        },
    }


def heading(results: dict[str, dict[str, Any]], settings: list[str]) -> str:
    """The first line of the table."""
    row = next(iter(results.values()))
    words = [name.replace("_per_", "/").replace("_", " ") for name in row if name != "chance_cost"]
    width = max(map(len, ["setting", *settings]))
    return f"{'setting':{width}}  {'(chance)':>8}" + "".join(f"  {word:>26}" for word in words)


def line(setting: str, row: dict[str, Any], settings: list[str]) -> str:
    """One line of the table.

    >>> row = {"chance_cost": 80.0, "wrong_bits": Estimate(0.25, 0.125, 0.5)}
    >>> line("length_10", row, ["length_10"])
    'length_10        80         0.25 (0.125 to 0.5)'
    """
    width = max(map(len, ["setting", *settings]))
    cells = [
        f"{found.mean:.4g} ({found.low:.4g} to {found.high:.4g})"
        for found in row.values()
        if isinstance(found, Estimate)
    ]
    return f"{setting:{width}}  {row['chance_cost']:8.4g}" + "".join(f"  {c:>26}" for c in cells)

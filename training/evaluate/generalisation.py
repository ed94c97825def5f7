"""`train.py --evaluate runs/NAME`: how far what was learned reaches beyond what was trained on."""

from __future__ import annotations

import dataclasses
import sys
import time
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
from tasks.solved import FromFiles, batches
from tasks.solved import measure as measured
from training.evaluate import lengths
from training.evaluate.evaluation import answer, follow
from training.evaluate.intervals import Estimate, bootstrap, wilson
from training.files import checkpoint, provenance
from training.options.config import Config, from_json, make_layer, make_task
from training.options.same_run import check_same_run
from training.options.seeds import seeds

Figures = dict[str, Estimate]

SEQUENCES, TOGETHER = 512, 64  # of each setting, and of those at a time
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
    """memory slots (N), other than in training; None: as in training, but with --lengths one for
    every step before the first answer and 63 more (of copying, length + 64)"""
    sequences: int | None = None
    """sequences of each setting; None: 512, but with --lengths fewer of long ones, 2 at least"""
    batch_size: int | None = None
    """sequences at a time, for settings of one size; None: 64, but with --lengths no more than
    fit into 1 GiB"""
    settings: tuple[str, ...] = ()
    """only these settings, such as length_50; none: all"""
    lengths: tuple[int, ...] = ()
    """in place of the settings, any lengths (of associative recall, items), such as 1000 20000"""
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
            size, there is no such setting or length, or a length does not fit into memory.
        OSError: a file cannot be read or written.
    """
    check(options)
    config = from_json(checkpoint.read_config(options.evaluate))
    torch.set_num_threads(config.threads)
    saved = checkpoint.load(
        options.evaluate / (checkpoint.BEST if options.best else checkpoint.LAST)
    )
    check_same_run(config, from_json(saved["config"]))
    config = dataclasses.replace(config, device=options.device)
    task = make_task(config)
    if options.lengths:
        chosen = lengths.of_lengths(task, options.lengths)
    else:
        chosen = choose(task, options.settings)
    results: dict[str, dict[str, Any]] = {}
    for name, variant in chosen.items():
        results[name] = evaluate(options, config, saved, name, variant)
        if len(results) == 1:
            print(heading(results, list(chosen)), flush=True)
        print(line(name, results[name], list(chosen)), flush=True)
    if isinstance(task, FromFiles):
        print(f"\n{task.report({name: means(row) for name, row in results.items()})}")
    path = options.evaluate / file_name(options.memory_size, bool(options.lengths))
    checkpoint.write_json(path, report(options, saved, results))
    print(f"written to {path}")
    return path


def check(options: Options) -> None:
    """Refuse numbers below 1, and settings together with lengths.

    Raises:
        ValueError: naming the flags and the remedy.
    """
    sequences = SEQUENCES if options.sequences is None else options.sequences
    batch_size = TOGETHER if options.batch_size is None else options.batch_size
    if min(sequences, batch_size) < 1:
        raise ValueError(
            f"--sequences and --batch-size must be at least 1, got {sequences} and {batch_size}"
        )
    if options.lengths and options.settings:
        raise ValueError("--lengths takes the place of --settings, got both: leave out one of them")


def evaluate(
    options: Options, config: Config, saved: dict[str, Any], name: str, task: Task
) -> dict[str, Any]:
    """The figures of one setting, or of one length with the slots and the number it is given."""
    model: Any = config.model_options
    memory_size = options.memory_size
    if options.lengths and memory_size is None and hasattr(model, "memory_size"):
        memory_size = lengths.slots(task, model.memory_size)
    layer = build(config, saved, memory_size).eval()
    sequences, batch_size = options.sequences or SEQUENCES, options.batch_size or TOGETHER
    sizes: dict[str, Any] = {}
    if options.lengths:
        extent = lengths.extent(layer, task, model, options.sequences, options.batch_size)
        sequences, batch_size = extent.sequences, extent.batch_size
        answers = task.cost.answers(task.sample(1, torch.Generator().manual_seed(0)))
        sizes = {"memory_size": memory_size, **extent._asdict(), "answers": int(answers)}
        print(f"{name}: {said(sizes)}", file=sys.stderr, flush=True)
    before = time.process_time()
    found = measure(
        layer,
        task,
        sequences,
        batch_size=batch_size if name != "training" else SHARED,
        seed=seeds(config.seed)[2] if options.seed is None else options.seed,
        device=options.device,
        progress=bool(options.lengths),
    )
    if options.lengths:
        sizes["core_seconds"] = round(time.process_time() - before, 2)
    return {"chance_cost": task.chance_cost(), **sizes, **found}


def said(sizes: dict[str, Any]) -> str:
    """What is computed of a length, in words.

    >>> said({"memory_size": 1064, "steps": 2001, "sequences": 58, "batch_size": 7})
    '58 sequences of 2,001 steps, 7 at a time, 1,064 slots'
    """
    slots = f", {sizes['memory_size']:,} slots" if sizes["memory_size"] else ""
    number, steps, together = sizes["sequences"], sizes["steps"], sizes["batch_size"]
    return f"{number} sequences of {steps:,} steps, {together} at a time{slots}"


def file_name(memory_size: int | None, lengths: bool = False) -> str:
    """The file in the run folder, of settings or of lengths.

    >>> file_name(None), file_name(256), file_name(None, lengths=True)
    ('generalisation.json', 'generalisation_memory_256.json', 'lengths.json')
    """
    name = "lengths" if lengths else "generalisation"
    return name + ("" if memory_size is None else f"_memory_{memory_size}") + ".json"


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

    A task without a grid has its evaluations in place of it.

    Raises:
        ValueError: there is no such setting; the message lists those there are.
    """
    every = {"training": task, **(grid(task) if task.grid else task.evaluations())}
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
    progress: bool = False,
) -> Figures:
    """The cost, the errors and the rate of exact answers; the gap to an optimum if it is known.

    With progress, a terminal shows how many sequences are done.
    """
    generator = torch.Generator().manual_seed(seed)
    values: dict[str, list[np.ndarray]] = {}
    steps: set[int] = set()
    done = 0
    for batch in batches(task, sequences, batch_size, generator):
        if progress and sys.stderr.isatty():
            print(f"{done} of {sequences} done", end="\r", file=sys.stderr, flush=True)
        batch = follow(layer, task, batch.to(device))
        outputs = answer(layer, batch)
        for name, value in measured(task, outputs.cpu(), batch.to("cpu")).items():
            values.setdefault(name, []).append(value.double().numpy())
        steps.add(len(batch.inputs))
        done += batch.inputs.shape[1]
    alone = len(steps) == 1 or isinstance(task, FromFiles)  # whose sequences have each their length
    return {name: estimate(name, groups, alone) for name, groups in values.items()}


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
        "evaluated": options.sequences or (None if options.lengths else SEQUENCES),
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
    names = [name for name, value in row.items() if isinstance(value, Estimate)]
    words = [name.replace("_per_", "/").replace("_", " ") for name in names]
    width = max(map(len, ["setting", *settings]))
    return f"{'setting':{width}}  {'(chance)':>8}" + "".join(f"  {word:>26}" for word in words)


def means(row: dict[str, Any]) -> dict[str, float]:
    """The figures of a setting without their intervals."""
    return {name: value.mean for name, value in row.items() if isinstance(value, Estimate)}


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

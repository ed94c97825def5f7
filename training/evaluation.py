"""What a trained layer can do: figures at the paper's settings, and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

import memnets
from tasks.base import Batch, Task, bits_per_sequence, exact_match, wrong_bits
from training import checkpoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.tracking import Tracker


@torch.no_grad()
def evaluate(
    layer: nn.Module,
    task: Task,
    sequences: int,
    *,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Means over sequences of a task: bits_per_sequence, wrong_bits, and exact_match in [0, 1].

    The sequences come from a generator of their own, made anew of the seed: they are the same at
    each call, and evaluating changes nothing about the training.
    """
    generator = torch.Generator().manual_seed(seed)
    sums = torch.zeros(3, dtype=torch.float64)
    training = layer.training
    layer.eval()
    try:
        for first in range(0, sequences, batch_size):
            size = min(batch_size, sequences - first)
            batch = task.sample(size, generator).to(device)
            logits, _ = layer(batch.inputs)
            results = (m(logits, batch) for m in (bits_per_sequence, wrong_bits, exact_match))
            sums += torch.stack([result.cpu().double().sum() for result in results])
    finally:
        layer.train(training)
    bits, wrong, exact = (sums / sequences).tolist()
    return {"bits_per_sequence": bits, "wrong_bits": wrong, "exact_match": exact}


def settings(task: Task) -> dict[str, Task]:
    """What a task is evaluated on: itself, under the name `training`, and the paper's variants."""
    return {"training": task, **task.evaluations()}


def evaluate_all(
    layer: nn.Module,
    task: Task,
    sequences: int,
    *,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, dict[str, float]]:
    """Evaluate on every setting, with its chance_cost beside the figures; ends early if stopped."""
    results: dict[str, dict[str, float]] = {}
    for name, variant in settings(task).items():
        if stopped():
            break
        # One batch has one length: small ones give the training task many lengths. The variants
        # have their length fixed, and large batches are faster.
        size = batch_size if name == "training" else max(batch_size, 64)
        found = evaluate(layer, variant, sequences, batch_size=size, seed=seed, device=device)
        results[name] = {**found, "chance_cost": variant.chance_cost()}
    return results


def table(results: dict[str, dict[str, float]]) -> str:
    """The figures as aligned text.

    >>> row = {"bits_per_sequence": 0.5, "wrong_bits": 0.0625, "exact_match": 0.98}
    >>> print(table({"length_10": {**row, "chance_cost": 80.0}}))
    setting     bits/sequence   (chance)  wrong bits  exact
    length_10             0.5         80      0.0625  98.0%
    """
    width = max(len("setting"), *(len(name) for name in results))
    lines = [
        f"{'setting':{width}}  {'bits/sequence':>15}  {'(chance)':>9}  {'wrong bits':>10}  exact"
    ]
    for name, row in results.items():
        lines.append(
            f"{name:{width}}  {row['bits_per_sequence']:15.4g}  {row['chance_cost']:9.4g}  "
            f"{row['wrong_bits']:10.4g}  {row['exact_match']:.1%}"
        )
    return "\n".join(lines)


def write_results(
    folder: Path, results: dict[str, dict[str, float]], step: int, sequences: int
) -> None:
    """Write evaluation.json."""
    checkpoint.write_json(
        folder / "evaluation.json", {"step": step, "sequences": sequences, "settings": results}
    )


@torch.no_grad()
def picture(
    layer: nn.Module, task: Task, name: str, *, seed: int, device: torch.device | str = "cpu"
) -> tuple[Figure, str]:
    """Draw one sequence of a task, and say in the title what it is and how many bits are wrong."""
    from memnets.plots import sequence_figure

    batch = task.sample(1, torch.Generator().manual_seed(seed)).to(device)
    inputs = batch.inputs[:, 0]
    trace = memnets.record(layer, inputs) if isinstance(layer, memnets.MemoryLayer) else None
    logits = layer(inputs)[0] if trace is None else trace.outputs
    alone = Batch(inputs[:, None], batch.targets, batch.mask)
    wrong = int(wrong_bits(logits[:, None], alone))
    scored = int(batch.mask.sum()) * task.output_size
    title = f"{name}: {inputs.shape[0]} steps, {wrong} wrong of {scored} bits"
    figure = sequence_figure(
        inputs, batch.targets[:, 0], logits.sigmoid(), trace, mask=batch.mask[:, 0], title=title
    )
    return figure, title


def draw_pictures(
    layer: nn.Module,
    task: Task,
    task_name: str,
    folder: Path,
    *,
    seed: int,
    step: int,
    tracker: Tracker,
    device: torch.device | str = "cpu",
    stopped: Callable[[], bool] = lambda: False,
) -> list[Path]:
    """Draw a sequence of every setting into folder/pictures, and log the pictures."""
    from memnets.plots import pixels

    paths: list[Path] = []
    for name, variant in settings(task).items():
        if stopped():
            break
        title = f"{task_name}, {name.replace('_', ' ')}"
        figure, caption = picture(layer, variant, title, seed=seed, device=device)
        path = folder / "pictures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path)
        tracker.image(f"pictures/{name}", pixels(figure), caption, step)
        paths.append(path)
    return paths

"""What a trained layer can do: figures at the paper's settings, and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import memnets
from tasks.acting import acted
from tasks.base import Batch, Task
from tasks.solved import FromFiles, batches, measure, metrics
from training.files import checkpoint
from training.files.metrics import EVALUATION
from training.machine.distributed import Ranks
from training.options.models import with_memory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.report.tracker import Tracker


def answer(layer: nn.Module, batch: Batch) -> Tensor:
    """The outputs [T, B, O] of a layer for a batch, with its lengths where it has some."""
    if batch.lengths is None:
        return layer(batch.inputs)[0]
    return layer(batch.inputs, lengths=batch.lengths)[0]


def follow(
    layer: nn.Module, task: Task, batch: Batch, generator: torch.Generator | None = None
) -> Batch:
    """The batch as it goes on from what the layer answers, where the task asks for that.

    With a generator, as in training: see `tasks.acting.Acts`.
    """

    def network(inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        return layer(inputs) if state is None else layer(inputs, state)

    return acted(task, batch, network, generator)


@torch.no_grad()
def evaluate(
    layer: nn.Module,
    task: Task,
    sequences: int,
    *,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
    ranks: Ranks | None = None,
) -> dict[str, float]:
    """Means over sequences of a task: its cost, its errors, and exact_match in [0, 1].

    Of a task with an optimum, the gap to it as well, on the same sequences.

    The sequences come from a generator of their own, made anew of the seed: they are the same at
    each call, and evaluating changes nothing about the training. Several processes take turns
    with the batches, and all get the means over all of them.
    """
    ranks = ranks or Ranks()
    generator = torch.Generator().manual_seed(seed)
    names = metrics(task)
    sums, count = torch.zeros(len(names), dtype=torch.float64), 0
    training = layer.training
    layer.eval()
    try:
        for number, batch in enumerate(batches(task, sequences, batch_size, generator)):
            count += batch.inputs.shape[1]
            if number % ranks.count != ranks.rank:
                continue
            batch = follow(layer, task, batch.to(device))
            found = measure(task, answer(layer, batch), batch)
            sums += torch.stack([found[name].cpu().double().sum() for name in names])
    finally:
        layer.train(training)
    means = ranks.total(sums) / count
    return dict(zip(names, means.tolist(), strict=True))


def said(task: Task, results: dict[str, dict[str, float]]) -> str:
    """The table of the results, and below it what the task's papers would print."""
    text = table(results)
    return f"{text}\n\n{task.report(results)}" if isinstance(task, FromFiles) else text


def settings(task: Task) -> dict[str, Task]:
    """What a task is evaluated on: itself, under the name `training`, and the paper's variants."""
    return {"training": task, **task.evaluations()}


def distinct(task: Task) -> dict[str, tuple[str, Task]]:
    """The settings with every task once, each with a label that has all its names.

    >>> from tasks import TASKS
    >>> [label for label, _ in distinct(TASKS["priority_sort"]()).values()]
    ['training (length 20)', 'length 10', 'length 30']
    """
    found: dict[str, tuple[str, Task]] = {}
    for name, variant in settings(task).items():
        words = name.replace("_", " ")
        if name != "training" and variant == task:
            found["training"] = (f"training ({words})", task)
        else:
            found[name] = (words, variant)
    return found


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
    """The figures as aligned text; all rows are of one task, and so of one cost.

    >>> row = {"bits_per_sequence": 0.5, "wrong_bits": 0.0625, "exact_match": 0.98}
    >>> print(table({"length_10": {**row, "chance_cost": 80.0}}))
    setting     bits/sequence   (chance)  wrong bits  exact
    length_10             0.5         80      0.0625  98.0%
    """
    width = max(len("setting"), *(len(name) for name in results))
    cost, errors = list(next(iter(results.values())))[:2]
    headings = (cost.replace("_per_", "/").replace("_", " "), errors.replace("_", " "))
    wide = max(10, len(headings[1]))
    lines = [
        f"{'setting':{width}}  {headings[0]:>15}  {'(chance)':>9}  {headings[1]:>{wide}}  exact"
    ]
    for name, row in results.items():
        lines.append(
            f"{name:{width}}  {row[cost]:15.4g}  {row['chance_cost']:9.4g}  "
            f"{row[errors]:{wide}.4g}  {row['exact_match']:.1%}"
        )
    return "\n".join(lines)


def write_results(
    folder: Path, results: dict[str, dict[str, float]], step: int, sequences: int
) -> None:
    """Write evaluation.json."""
    checkpoint.write_json(
        folder / EVALUATION, {"step": step, "sequences": sequences, "settings": results}
    )


@torch.no_grad()
def picture(
    layer: nn.Module, task: Task, name: str, *, seed: int, device: torch.device | str = "cpu"
) -> tuple[Figure, str]:
    """Draw one sequence of a task, and say in the title what it is and how much is wrong."""
    from memnets.inspect.plots import sequence_figure

    batch = follow(layer, task, task.sample(1, torch.Generator().manual_seed(seed)).to(device))
    steps = len(batch.mask) if batch.lengths is None else int(batch.lengths[0])
    batch = Batch(*(part[:steps] for part in batch[:3]))
    inputs = batch.inputs[:, 0]
    memory = with_memory(layer)
    trace = None if memory is None else memnets.record(memory, inputs)
    logits = layer(inputs)[0] if trace is None else trace.outputs
    alone = Batch(inputs[:, None], batch.targets, batch.mask)
    wrong = int(task.cost.errors(logits[:, None], alone))
    unit = task.cost.errors_name.removeprefix("wrong_")
    title = f"{name}: {len(inputs)} steps, {wrong} wrong of {int(task.cost.answers(alone))} {unit}"
    outputs = task.cost.activate(logits)
    figure = sequence_figure(
        inputs,
        batch.targets[:, 0],
        outputs,
        trace,
        mask=batch.mask[:, 0],
        title=title,
        mark_wrong=unit != "answers",  # a number is never quite right
        symbols=unit in ("symbols", "questions"),
        input_rows=[(rows.name, rows.count, rows.range) for rows in task.input_rows],
        output_rows=[(rows.name, rows.count, rows.range) for rows in task.output_rows],
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
    """Draw a sequence of every setting, each task once, into folder/pictures; log the pictures."""
    from memnets.inspect.plots import pixels

    paths: list[Path] = []
    for name, (label, variant) in distinct(task).items():
        if stopped():
            break
        title = f"{task_name.replace('_', ' ')}, {label}"
        figure, caption = picture(layer, variant, title, seed=seed, device=device)
        path = folder / "pictures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path)
        tracker.image(f"pictures/{name}", pixels(figure), caption, step)
        paths.append(path)
    return paths

"""What a tracker is shown beside numbers: the memory at work on the same sequences over training,
histograms, and a table of examples at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

import memnets
from memnets.state import map_tensors
from tasks.base import Batch, Task
from training.evaluate.evaluation import answer, distinct
from training.evaluate.heat_maps import Picture, memory_pictures, sequence_parts, sequence_picture
from training.options.models import with_memory

if TYPE_CHECKING:
    from training.options.config import Config
    from training.report.tracker import Tracker

BINS = 64
EXAMPLES = 5  # of copy: 12 and 11 vectors
COLUMNS = ["setting", "steps", "input", "target", "output", "difference", "wrong", "answers"]


class MediaLogger:
    """Shows a tracker, where it is due, what a layer does with the examples."""

    def __init__(self, config: Config, task: Task, tracker: Tracker) -> None:
        options = config.wandb_options
        self._task, self._options, self._device = task, options, config.device
        self._tracker = tracker
        self._examples: list[Batch] = []
        if tracker.listening and options.pictures_every:
            self._examples = examples(task, options.examples)

    def log(self, layer: nn.Module, step: int) -> None:
        """Log the heat-maps and histograms that are due after this step."""
        if not self._tracker.listening:
            return
        if self._examples and step % self._options.pictures_every == 0:
            found = pictures(layer, self._task, self._examples, device=self._device)
            for name, images in found.items():
                self._tracker.images(name, images, step)
        every = self._options.histograms_every
        if every and step % every == 0:
            self._tracker.histograms(histograms(layer), step)


def examples(task: Task, count: int) -> list[Batch]:
    """So many single sequences, the same in every run of the task: they can be compared.

    >>> from tasks import TASKS
    >>> [len(batch.inputs) for batch in examples(TASKS["copy"](), 3)]
    [25, 23, 33]
    """
    generator = torch.Generator().manual_seed(EXAMPLES)
    return [task.sample(1, generator) for _ in range(count)]


@torch.no_grad()
def pictures(
    layer: nn.Module, task: Task, batches: list[Batch], *, device: str = "cpu"
) -> dict[str, list[Picture]]:
    """The heat-maps of every sequence, by name: examples/sequence, memory/usage, ...

    Nothing of the training changes: no gradient, no random number, no weight.
    """
    found: dict[str, list[Picture]] = {}
    batches = [batch.to(device) for batch in batches]
    with _evaluating(layer):
        answers = _answers(layer, [batch.inputs[:, 0] for batch in batches])
    for number, (batch, (logits, trace)) in enumerate(zip(batches, answers, strict=True), 1):
        wrong = int(task.cost.errors(logits, batch))
        caption = f"example {number}: {wrong} wrong of {int(task.cost.answers(batch))}"
        whole = sequence_picture(task, batch, task.cost.activate(logits), caption)
        found.setdefault("examples/sequence", []).append(whole)
        for name, picture in {} if trace is None else memory_pictures(trace).items():
            captioned = picture._replace(caption=f"example {number}, {picture.caption}")
            found.setdefault(f"memory/{name}", []).append(captioned)
    return found


def _answers(layer: nn.Module, inputs: list[Tensor]) -> list[tuple[Tensor, memnets.Trace | None]]:
    """The logits [T, 1, O] of each sequence [T, I], and its trace without a batch axis."""
    # One batch of them takes hardly longer than one sequence. What follows the end of a shorter
    # one changes nothing before it.
    together = nn.utils.rnn.pad_sequence(inputs)
    memory = with_memory(layer)
    if memory is None:
        logits = layer(together)[0]
        return [(logits[: len(x), i : i + 1], None) for i, x in enumerate(inputs)]
    trace = memnets.record(memory, together)
    alone = [map_tensors(lambda t, i=i, x=x: t[: len(x), i], trace) for i, x in enumerate(inputs)]
    return [(one.outputs[:, None], one) for one in alone]


@contextmanager
def _evaluating(layer: nn.Module) -> Iterator[None]:
    training = layer.training
    layer.eval()
    try:
        yield
    finally:
        layer.train(training)


@torch.no_grad()
def histograms(layer: nn.Module) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Counts [64] and edges [65] of every weight and of its gradient, as the last step clipped it.

    >>> sorted(histograms(nn.Linear(2, 1)))
    ['weights/bias', 'weights/weight']
    """
    found = {}
    for name, parameter in layer.named_parameters():
        for kind, values in (("weights", parameter), ("gradients", parameter.grad)):
            if values is not None:
                finite = values[values.isfinite()].double().cpu().numpy()
                found[f"{kind}/{name}"] = np.histogram(finite, BINS)
    return found


@torch.no_grad()
def example_rows(
    layer: nn.Module, task: Task, *, count: int = 2, device: str = "cpu"
) -> list[list[Any]]:
    """Rows of a table of examples, so many of every setting that is another task; see COLUMNS."""
    rows = []
    for name, (_, variant) in distinct(task).items():
        for batch in examples(variant, count):
            batch = batch.to(device)
            with _evaluating(layer):
                logits = answer(layer, batch)
            outputs = task.cost.activate(logits)
            wrong, of = int(task.cost.errors(logits, batch)), int(task.cost.answers(batch))
            images = sequence_parts(variant, batch, outputs)
            rows.append([name, len(batch.inputs), *images, wrong, of])
    return rows

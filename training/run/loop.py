"""The training loop: sample, forward, loss, backward, clip, step."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasks.base import Batch, Task, validation
from tasks.curriculum import Outcome
from tasks.levels import at_level
from training.evaluate.evaluation import answer, evaluate, follow
from training.evaluate.media import MediaLogger
from training.files import checkpoint
from training.machine import device, distributed
from training.machine.signals import Stop
from training.options.config import Config, make_curriculum, to_json
from training.options.optimizers import take_step
from training.options.seeds import seeds
from training.report.console import Console
from training.report.tracker import Tracker, best_so_far, in_sections
from training.run import non_finite
from training.run.averages import MetricSums
from training.run.non_finite import NonFiniteError, NonFiniteStepError
from training.run.state import Training, snapshot


def train(
    config: Config,
    training: Training,
    folder: Path,
    *,
    tracker: Tracker,
    console: Console,
    stop: Stop,
) -> None:
    """Train until the configured number of steps or until asked to stop, then save a checkpoint.

    Raises:
        NonFiniteError: a step was refused, and the run's options do not say to skip it.
        LostError: another process of the run has ended; the last checkpoint is good.
    """
    run, ranks = config.run, training.ranks
    ranks.listen(stop)
    metrics = checkpoint.MetricsFile(folder / "metrics.jsonl", training.step, write=ranks.first)
    records = _Records(config, training, folder, metrics, tracker)
    training.layer.train()
    saved_at = None
    try:
        if training.step == 0:
            records.log_media()
        while training.step < config.steps and not stop.requested:
            try:
                records.sums.add(train_step(config, training))
                training.non_finite["in_a_row"] = 0
            except NonFiniteStepError as fault:
                records.refused(fault)
            training.step += 1
            console.advance(run.batch_size)
            due = training.step % run.log_every == 0
            if due or training.step == config.steps:
                records.log(console)
            if due:  # not at the end alone: a run made longer later must go on as if it had no end
                records.sums.clear()
            if run.evaluate_every and training.step % run.evaluate_every == 0:
                records.validate()
            records.log_media()
            if training.step % run.checkpoint_every == 0:
                records.save()
                saved_at = training.step
        if saved_at != training.step:
            records.save()
    finally:
        metrics.close()


class _Records:
    """What `train` writes down on the way: rows of metrics, checkpoints, and the time it took."""

    def __init__(
        self,
        config: Config,
        training: Training,
        folder: Path,
        metrics: checkpoint.MetricsFile,
        tracker: Tracker,
    ) -> None:
        self._config, self._training, self._folder = config, training, folder
        self._metrics, self._tracker = metrics, tracker
        self._begun = time.perf_counter() - training.seconds
        self._core_begun = time.process_time() - training.core_seconds
        self.sums = MetricSums(training.sums)
        self._media = MediaLogger(config, training.task, tracker)

    def log(self, console: Console) -> None:
        """Record and show the means since the last row, unless all steps since were skipped."""
        if self.sums.count == 0:
            return
        row = self.sums.means()
        row["learning_rate"] = self._training.optimizer.param_groups[0]["lr"]
        row["sequences_per_second"] = console.rate()
        row["seconds"] = time.perf_counter() - self._begun
        row["core_seconds"] = time.process_time() - self._core_begun
        if "reached" in self._training.curriculum:
            row["reached"] = float(self._training.curriculum["reached"])
        row["non_finite_steps"] = self._training.non_finite["steps"]
        self._record(row)
        console.show(row, self._training.step * self._config.run.batch_size)

    def validate(self) -> None:
        """Evaluate, and record the figures."""
        self._note_state()
        self._record(validate(self._config, self._training, self._folder))
        step = self._training.step
        best = best_so_far(self._training.best)
        self._tracker.log(best, step, step * self._config.run.batch_size)

    def log_media(self) -> None:
        """Log the pictures and histograms that are due."""
        self._media.log(self._training.layer, self._training.step)

    def refused(self, fault: NonFiniteStepError) -> None:
        """Count, name and save a step that was refused; stop the run unless it is to be skipped."""
        training = self._training
        step, before = training.step + 1, training.non_finite
        text = f"{fault} at step {step}"
        if before["steps"] < non_finite.MOST_SAVED:
            self._note_state()
            saved = snapshot(self._config, training)
            fault.batch = training.ranks.whole(fault.batch)
            cost = training.task.cost
            if training.ranks.first:
                text += non_finite.report(fault, training.layer, cost, saved, self._folder)
        training.non_finite = {name: count + 1 for name, count in before.items()}
        if self._config.run.non_finite == "skip" and training.ranks.first:
            non_finite.warn(text, training.non_finite)
        end = non_finite.reason_to_stop(
            self._config.run.non_finite, text, training.non_finite, step
        )
        if end is not None:
            self._record({"non_finite_steps": training.non_finite["steps"]}, step)
            raise NonFiniteError(end)

    def save(self) -> None:
        """Save a checkpoint, once the rows that belong to it are on the disk."""
        self._note_state()
        there = self._metrics.sync()
        content = snapshot(self._config, self._training)
        if not there:
            print(f"{self._folder} was deleted while the run went on: made again", flush=True)
            checkpoint.write_json(self._folder / "config.json", to_json(self._config))
        if self._training.ranks.first:
            checkpoint.save_last(self._folder, content)

    def _note_state(self) -> None:
        self._training.sums = self.sums.read()
        self._training.seconds = time.perf_counter() - self._begun
        self._training.core_seconds = time.process_time() - self._core_begun

    def _record(self, row: dict[str, float], step: int | None = None) -> None:
        step = self._training.step if step is None else step
        sequences = step * self._config.run.batch_size
        self._metrics.write({"step": step, "sequences": sequences, **row})
        self._tracker.log(in_sections(row), step, sequences)


def learning_rate(config: Config, step: int) -> float:
    """The rate of a step (from 0): rising over the warm-up, falling to 0 over the cooldown."""
    options: Any = config.optimizer_options
    factor = 1.0
    if options.warmup > 0:
        factor = min(factor, (step + 1) * config.run.batch_size / options.warmup)
    if options.cooldown > 0:
        left = (config.steps - step) / config.steps
        factor = min(factor, left / options.cooldown)
    return options.learning_rate * factor


def train_step(config: Config, training: Training) -> dict[str, Tensor]:
    """One step; the metrics stay tensors, because reading a number would make a GPU wait."""
    options: Any = config.optimizer_options
    level = make_curriculum(config).choose(training.curriculum, training.data)
    task = at_level(training.task, level)
    rows = config.run.batch_size // (config.streams or 1)
    batch = distributed.sample(task, rows, training.data, training.streams).to(config.device)
    with device.autocast(config):
        batch = follow(training.layer, task, batch, training.data)
    # Apart: an older torch goes on with weights that it cast without a gradient (pytorch#158232).
    with device.autocast(config):
        outputs = answer(training.layer, batch)
    costs = task.cost.per_sequence(outputs, batch)
    # The gradient is that of the mean cost of an answer (a bit's cross-entropy in nats): its scale
    # does not grow with the length of the sequences.
    loss = task.cost.loss(costs, batch)
    trained = training.optimizer.param_groups[0]["params"]
    for parameter in trained:  # as zero_grad does, without its 60 us for the profiler
        parameter.grad = None
    loss.backward()
    gradients = [p.grad for p in trained if p.grad is not None]
    errors = task.cost.errors(outputs.detach(), batch)
    means = {
        "loss": loss.detach(),
        task.cost.name: costs.detach().mean(),
        task.cost.errors_name: errors.mean(),
    }
    found = training.ranks.combine(gradients, means, task.cost.answers(batch))
    found["gradient_norm"] = non_finite.total_norm(gradients)
    non_finite.check(batch, found["loss"], found["gradient_norm"])
    _clip(gradients, found["gradient_norm"], options.clip_value, options.clip_norm)
    for group in training.optimizer.param_groups:
        group["lr"] = learning_rate(config, training.step)
    take_step(training.optimizer)
    if level is not None:
        right = (errors == 0).to(costs.dtype).mean()
        _note_outcome(config, training, task, level, batch, found[task.cost.name], right)
        found["level"] = torch.tensor(float(level))
    return found


# torch.nn.utils clips too, at three times the price for a model this small.
def _clip(
    gradients: Sequence[Tensor], norm: Tensor, value: float | None, most: float | None
) -> None:
    """Clip every number to +-value, then shorten all gradients to a norm of `most`, in place."""
    if value is not None:
        for one in gradients:
            one.clamp_(-value, value)
        norm = non_finite.total_norm(gradients)
    if most is not None:
        factor = torch.clamp(most / (norm + 1e-6), max=1.0)
        for one in gradients:
            one.mul_(factor)


@torch.no_grad()
def _note_outcome(
    config: Config,
    training: Training,
    task: Task,
    level: int,
    batch: Batch,
    cost: Tensor,
    right: Tensor,
) -> None:
    """Tell the curriculum what came of a batch of this mean cost, as far as it watches that.

    `right` is the share of this process's sequences without a wrong answer.
    """
    curriculum = make_curriculum(config)
    ranks = training.ranks
    share, gain, correct = 0.0, 0.0, 0.0
    if curriculum.watches_cost:
        share = float(cost) / task.chance_cost()
        correct = float(ranks.total(right) / ranks.count)
    if curriculum.watches_gain:
        with device.autocast(config):
            outputs = answer(training.layer, batch)
        now = task.cost.per_sequence(outputs, batch).mean()
        now = ranks.total(now) / ranks.count
        gain = float(cost - now) / len(batch.inputs)
    training.curriculum = curriculum.update(
        training.curriculum, Outcome(level, share, gain, correct), training.data
    )


def validate(config: Config, training: Training, folder: Path) -> dict[str, float]:
    """Evaluate on fixed sequences, not trained on; keep the best weights in best.pt."""
    result = evaluate(
        training.layer,
        validation(training.task),
        config.run.evaluation_sequences,
        batch_size=config.run.batch_size,
        seed=seeds(config.seed)[2],
        device=config.device,
        ranks=training.ranks,
    )
    sequences = training.step * config.run.batch_size
    name = training.task.cost.name
    if result[name] < training.best.get(name, math.inf):
        training.best = {**result, "step": training.step, "sequences": sequences}
        content = snapshot(config, training)
        if training.ranks.first:
            checkpoint.save(folder / checkpoint.BEST, content)
    return {f"validation/{name}": value for name, value in result.items()}

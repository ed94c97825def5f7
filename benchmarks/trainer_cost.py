"""What the trainer costs beside the network: python -m benchmarks.trainer_cost.

Trains copy as train.py does, and runs forward, loss and backward alone on the same sequences, in
turn. The difference is the trainer's own: data, metrics, logging, clipping and the optimiser. It
compares the processor time of the process, which a loaded machine changes alike for both.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import torch
import tyro

from tasks.base import Batch
from training.machine.signals import Stop
from training.options.config import Config
from training.options.recipes import recipe
from training.report.console import Console
from training.report.tracker import NullTracker
from training.run.loop import train
from training.run.state import start


def configuration(model: str, batch_size: int, steps: int) -> Config:
    """The recipe of copy at this batch size, with no evaluation and one checkpoint, at the end."""
    config = recipe("copy", model)
    run = replace(config.run, batch_size=batch_size, sequences=steps * batch_size)
    return replace(
        config, run=replace(run, evaluate_every=0, checkpoint_every=steps, pictures=False)
    )


def sequences(config: Config) -> list[Batch]:
    """What a run of this configuration trains on."""
    drawn = start(config)
    return [drawn.task.sample(config.run.batch_size, drawn.data) for _ in range(config.steps)]


def of_training(config: Config) -> float:
    """Processor seconds of a run, from its first step to its last."""
    training = start(config)
    with tempfile.TemporaryDirectory() as name, redirect_stdout(io.StringIO()):
        console = Console(config.run.sequences, 0)
        begun = time.process_time()
        train(config, training, Path(name), tracker=NullTracker(), console=console, stop=Stop())
        return time.process_time() - begun


def of_network(config: Config, batches: Sequence[Batch]) -> float:
    """Processor seconds of forward, loss and backward of a run's sequences."""
    training = start(config)
    layer, cost = training.layer.train(), training.task.cost
    begun = time.process_time()
    for batch in batches:
        outputs, _ = layer(batch.inputs)
        cost.loss(cost.per_sequence(outputs, batch), batch).backward()
        layer.zero_grad()
    return time.process_time() - begun


def main(model: str = "ntm", batch_size: int = 16, steps: int = 400, rounds: int = 7) -> None:
    """Print both costs of a step, and the trainer's share of an iteration.

    Args:
        model: ntm or dnc, with the recipe that it has for copy.
        batch_size: sequences at once.
        steps: in each measurement.
        rounds: measurements of both, in turn.
    """
    torch.set_num_threads(1)
    config = configuration(model, batch_size, steps)
    batches = sequences(config)
    of_network(config, batches[:20])  # compiles
    pairs = [(of_training(config), of_network(config, batches)) for _ in range(rounds)]
    shares = [100 * (1 - network / whole) for whole, network in pairs]
    whole, network = (1000 * statistics.median(one) / steps for one in zip(*pairs, strict=True))
    print(f"copy, {model}, batch {batch_size}: {rounds} rounds of {steps} steps")
    print(f"a training iteration        {whole:8.3f} ms")
    print(f"forward, loss and backward  {network:8.3f} ms")
    print(
        f"the trainer's own           {statistics.median(shares):8.1f} % "
        f"({min(shares):.1f} to {max(shares):.1f})"
    )


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.trainer_cost")

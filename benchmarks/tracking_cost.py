"""What W&B costs of a training iteration: python -m benchmarks.tracking_cost.

Trains copy with and without an offline run of W&B in turn, on the same sequences, and compares the
processor time of the process and of W&B's own. A loaded machine changes both alike.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import torch
import tyro

from training.machine.signals import Stop
from training.options.config import Config, to_json
from training.options.parts import replaced
from training.options.recipes import recipe
from training.report.console import Console
from training.report.tracker import NullTracker
from training.report.wandb_tracker import start_tracker
from training.run.loop import train
from training.run.state import start

KINDS = ("without", "W&B", "W&B, histograms")


def processor_seconds() -> float:
    """Processor time so far of this process and of those that it started (on Linux)."""
    total = time.process_time()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == os.getpid():
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def configuration(model: str, backend: str, steps: int, histograms: bool) -> Config:
    """The recipe of copy, without evaluations, which would hide the cost of tracking."""
    config = recipe("copy", model)
    run = replace(config.run, sequences=steps * config.run.batch_size, evaluate_every=0)
    return replace(
        config,
        run=replace(run, checkpoint_every=steps + 1),
        model_options=replaced(config.model_options, {"backend": backend}),
        wandb_options=replace(config.wandb_options, histograms_every=50 if histograms else 0),
    )


def milliseconds(kind: str, model: str, backend: str, steps: int) -> float:
    """Processor time of a training step, averaged over so many of them."""
    # From step 1 on, pictures are drawn exactly once every 1,000 steps.
    config = configuration(model, backend, steps + 1, histograms=kind == KINDS[2])
    training = start(config)
    training.step = 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["WANDB_DIR"] = name
        tracker = NullTracker()
        if kind != KINDS[0]:
            tracker = start_tracker(
                "offline",
                config=to_json(config),
                folder=folder,
                run_id=None,
                options=config.wandb_options,
            )
        begun = processor_seconds()
        with redirect_stdout(io.StringIO()):
            train(config, training, folder, tracker=tracker, console=Console(1, 0), stop=Stop())
        spent = processor_seconds() - begun
        with redirect_stdout(io.StringIO()):
            tracker.finish(0)
    return 1000 * spent / steps


def main(model: str = "ntm", backend: str = "auto", steps: int = 1000, rounds: int = 5) -> None:
    """Print the median cost of a step of each kind, and the ratios within a round.

    Args:
        model: ntm or dnc, with the recipe that it has for copy.
        backend: of the layer.
        steps: in each measurement; pictures are drawn every 1,000.
        rounds: measurements of each kind, in turn.
    """
    torch.set_num_threads(1)
    os.environ["WANDB_SILENT"] = "true"
    milliseconds(KINDS[1], model, backend, 20)  # imports, compiles
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS if number % 2 else KINDS[::-1]:
            found[kind].append(milliseconds(kind, model, backend, steps))
    print(f"copy, {model}, backend {backend}: {rounds} rounds of {steps} steps")
    for kind, values in found.items():
        ratios = [100 * (a / b - 1) for a, b in zip(values, found[KINDS[0]], strict=True)]
        print(
            f"{kind:16} {statistics.median(values):8.3f} ms a step  "
            f"{statistics.median(ratios):+6.2f}% ({min(ratios):+.2f} to {max(ratios):+.2f})"
        )


if __name__ == "__main__":
    tyro.cli(main)

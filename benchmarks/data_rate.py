"""Whether the tasks make sequences fast enough: their rate beside what a training loop takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

import memnets
from benchmarks import report
from benchmarks.cases import Case
from tasks import TASKS, Task
from tasks.solved import FromFiles

SHOULD_BE = 10
"""How many times as fast as the model a task should be, so that data is never waited for."""


def rates(
    *, seconds: float, backend: str = "auto", batch: int = Case.batch
) -> dict[str, dict[str, float]]:
    """Sequences a second that each task makes, and that an NTM of the paper's size trains on.

    Both with the task's default lengths; training is forward and backward, without an optimiser,
    so that a real loop takes fewer.

    Args:
        seconds: for each of the two measurements of each task.
        backend: of the NTM.
        batch: sequences at once, B.
    """
    made = {name: kind() for name, kind in TASKS.items()}
    return {
        name: _task(task, seconds, backend, batch)
        for name, task in made.items()
        if not isinstance(task, FromFiles)  # nobody said where the files are
    }


def _task(task: Task, seconds: float, backend: str, batch: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    layer = memnets.NTM(task.input_size, task.output_size, backend=backend)

    def make() -> None:
        task.sample(batch, generator)

    # The same lengths again and again, so that the making of them is not counted.
    kept = [task.sample(batch, generator) for _ in range(16)]
    turn = iter(kept * 1_000_000)

    def train() -> None:
        drawn = next(turn)
        layer.zero_grad(set_to_none=True)
        layer(drawn.inputs)[0].square().mean().backward()  # every task has a cost of its own

    made = batch * _calls_a_second(make, seconds)
    trained = batch * _calls_a_second(train, seconds)
    return {"made": made, "trained": trained, "ratio": made / trained}


def _calls_a_second(run: Callable[[], None], seconds: float) -> float:
    for _ in range(3):
        run()
    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        run()
        calls += 1
    return calls / (time.perf_counter() - started)


def page(found: dict[str, dict[str, Any]], *, batch: int = Case.batch) -> str:
    """Lay out what `rates` returned."""
    lines = [
        (name, f"{one['made']:,.0f}", f"{one['trained']:,.0f}", f"{one['ratio']:,.0f}")
        for name, one in found.items()
    ]
    header = ("task", "made", "trained on", "ratio")
    return (
        f"sequences a second, batch {batch}, NTM 128x20; the ratio should be over {SHOULD_BE}\n\n"
        + report.table(header, lines)
    )

"""What Weights & Biases is told of a run, and how often: the flags that begin with --wandb."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WandbOptions:
    """Weights & Biases. Where a flag is None, the environment (WANDB_PROJECT, ...) decides."""

    project: str | None = None
    """project of the run; None: memnets"""
    entity: str | None = None
    """user or team of the run; None: yours"""
    group: str | None = None
    """runs shown as one; None: those whose configurations differ only in the seed"""
    job_type: str | None = None
    """kind of run; None: train"""
    tags: str | None = None
    """tags beside task, model and optimizer, with commas between them"""
    notes: str | None = None
    """what you want to remember of the run"""
    examples: int = 2
    """sequences, always the same, that the heat-maps of the memory show"""
    pictures_every: int = 1000
    """steps between two heat-maps of each example; 0: never"""
    histograms_every: int = 0
    """steps between two histograms of every weight and gradient; 0: never"""
    checkpoints: bool = True
    """keep the best and the last checkpoint as an artifact when the run ends or stops"""
    code: bool = True
    """keep the code of the run"""


def problems(options: WandbOptions) -> Iterator[str]:
    """Say what is wrong with the values, one sentence a problem.

    >>> list(problems(WandbOptions(examples=-1)))
    ['--wandb.examples must be 0 (none) or more, got -1']
    """
    for name, zero in (
        ("examples", "none"),
        ("pictures_every", "never"),
        ("histograms_every", "never"),
    ):
        value = getattr(options, name)
        if value < 0:
            yield f"--wandb.{name.replace('_', '-')} must be 0 ({zero}) or more, got {value}"

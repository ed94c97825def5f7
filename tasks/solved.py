"""When a task counts as solved, and what its paper reports.

Every task states it as `Task.solved`. The trainer's last words, the comparison of runs and the page
of results all use that statement, by `training/evaluate/solved.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tasks.base import Batch, Task

GAP = "gap_to_optimum"
"""the metric of a task whose best possible predictor has a cost: how much more a network pays"""


class Paper(NamedTuple):
    """What a paper reports for a task at its default sizes."""

    place: str
    """the paper, and the figure or table; figures marked ~ are read off a plot"""
    figures: Mapping[str, str]
    """by model: the one that a network without an entry is compared with comes first"""


class Solved(NamedTuple):
    """A task counts as solved when the mean of a metric over sequences is below a limit."""

    metric: str
    """the name of the cost or the errors of the task's `Cost`, or `GAP`"""
    below: float
    why: str
    """one sentence: why this metric and this limit"""
    paper: Paper | None = None
    held_out: bool = False
    """whether sequences that are not trained on decide: validations, and the setting `held_out`"""

    @property
    def setting(self) -> str:
        """The name of the setting of an evaluation that decides."""
        return "held_out" if self.held_out else "training"


@runtime_checkable
class HasOptimum(Protocol):
    """A task whose inputs do not decide the answers, but which knows what the best predictor pays.

    See `tasks.dynamic_ngram`.
    """

    def optimal_cost(self, batch: Batch) -> Tensor:
        """The cost of each sequence, [B], for the best possible predictor."""
        ...


@runtime_checkable
class FromFiles(Protocol):
    """A task whose sequences are in files, so that some are kept from training to measure with.

    See `tasks.babi`.
    """

    def held_out(self, most: int, batch_size: int) -> Iterator[Batch]:
        """The sequences to measure with, each once and always the same: at most so many, or all."""
        ...

    def report(self, figures: Mapping[str, Mapping[str, float]]) -> str:
        """The figures of `Task.evaluations`, by their names, as the papers lay them out."""
        ...


def batches(
    task: Task, sequences: int, batch_size: int, generator: torch.Generator
) -> Iterator[Batch]:
    """What to measure with: so many new sequences, or those that the task keeps for it.

    >>> from tasks.copy import Copy
    >>> drawn = batches(Copy(), 5, 3, torch.Generator())
    >>> [batch.inputs.shape[1] for batch in drawn]
    [3, 2]
    """
    if isinstance(task, FromFiles):
        yield from task.held_out(sequences, batch_size)
        return
    for first in range(0, sequences, batch_size):
        yield task.sample(min(batch_size, sequences - first), generator)


def metrics(task: Task) -> list[str]:
    """The names of all that `measure` finds.

    >>> from tasks.copy import Copy
    >>> metrics(Copy())
    ['bits_per_sequence', 'wrong_bits', 'exact_match']
    """
    names = [task.cost.name, task.cost.errors_name, "exact_match"]
    if task.cost.accuracy is not None:
        names.append("accuracy")
    return [*names, GAP] if isinstance(task, HasOptimum) else names


def measure(task: Task, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
    """What the task's cost measures, and the gap to the optimum where there is one; each [B].

    The gap is a paired difference: network and best predictor answer the same sequences.

    Args:
        task: that the batch was drawn from.
        outputs: of the network, [T, B, O].
        batch: that the outputs answer.

    Raises:
        ValueError: the outputs have another shape than the targets.

    >>> import torch
    >>> from tasks.dynamic_ngram import DynamicNGram
    >>> task = DynamicNGram(length=1)  # one bit, a fair coin: nobody can do better than guess
    >>> batch = task.sample(2, torch.Generator().manual_seed(0))
    >>> measure(task, torch.zeros(1, 2, 1), batch)["gap_to_optimum"]
    tensor([0., 0.], dtype=torch.float64)
    """
    found = task.cost.measure(outputs, batch)
    if isinstance(task, HasOptimum):
        found[GAP] = found[task.cost.name].cpu() - task.optimal_cost(batch.to("cpu"))
    return found

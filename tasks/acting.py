"""Tasks whose inputs tell a network what it has answered so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from tasks.base import Batch, Task

Network = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""from inputs [T, B, I] and the state after the steps before them (None: there are none) to outputs
[T, B, O] and the state after them"""


@runtime_checkable
class Acts(Protocol):
    """A task in which an answer decides what is seen next: see `tasks.graph_shortest_path`."""

    def act(
        self, batch: Batch, network: Network, generator: torch.Generator | None = None
    ) -> Batch:
        """The batch with the inputs and the targets that follow from what a network answers.

        Args:
            batch: that `sample` drew.
            network: what answers, a few steps at a time.
            generator: in training, draws where another answer is taken in place of the network's;
                None: nowhere.
        """
        ...


def acted(
    task: Task, batch: Batch, network: Network, generator: torch.Generator | None = None
) -> Batch:
    """The batch as it goes on from a network's own answers, if the task is such a one."""
    # `isinstance` looks through all of a protocol: 60 us in each step of training.
    act: Any = getattr(task, "act", None)
    if act is None:
        return batch
    with torch.no_grad():
        return act(batch, network, generator)

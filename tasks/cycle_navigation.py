"""The cycle navigation task: see steps on a circle, say where they lead."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Batch, Rows, check_size, random_size
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import StringTask, answered, faultless, tape

PLACES = 5


@register("cycle_navigation")
@dataclass(frozen=True, kw_only=True)
class CycleNavigation(StringTask):
    """Show steps of -1, 0 or +1 on a circle of five places; the answer is the place they lead to.

    A regular language of Deletang et al. 2023 (arXiv 2207.02098). The walk begins at place 0, and
    all steps are equally likely. T = length + 1. Inputs [T, B, 4]: the step, one-hot in this order,
    and the empty token at which the answer is given. Targets [T, B, 5]: the place, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length.

    +1, 0, -1, 0 and -1 lead from place 0 to place 4 (input 3 is the empty token):

    >>> from tasks.base import draw
    >>> task = CycleNavigation(min_length=5, max_length=5)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(3))))
    inputs   0 | . . # . # .
             1 | . # . # . .
             2 | # . . . . .
             3 | . . . . . #
    targets  0 |           .
             1 |           .
             2 |           .
             3 |           .
             4 |           #
    """

    input_size = 4
    output_size = PLACES
    input_rows = (Rows("steps", 3), Rows("empty", 1))
    output_rows = (Rows("place", PLACES),)
    min_length: int = 1
    """Fewest steps; uniform from here to max_length, one length a batch."""
    max_length: int = 40
    """Most steps (included)."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        options = {"generator": generator, "device": generator.device}
        steps = torch.randint(0, 3, (length, batch_size), **options)
        return tape(steps, 3, (steps - 1).sum(0, keepdim=True) % PLACES, PLACES)

    def odds(self, length: int) -> Tensor:
        """How likely the walk is to end at each place, [1, 5]."""
        stay = torch.eye(PLACES, dtype=torch.float64)
        step = (stay.roll(-1, 1) + stay + stay.roll(1, 1)) / 3
        return torch.linalg.matrix_power(step, length)[:1]

    @property
    def solved(self) -> Solved:
        """One wrong answer in a hundred sequences."""
        finds = "keeps the place as its state"
        return faultless("symbol", finds, 1, {"Tape-RNN": "100", "LSTM": "100"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, by a walk along the steps."""
        return answered(inputs, PLACES, _walk)


def _walk(steps: list[int]) -> list[int]:
    place = 0
    for step in steps:
        place = (place, place + 1, place - 1)[step - 1]  # step 1 stays, 2 goes on, 0 goes back
        place = place % PLACES
    return [place]

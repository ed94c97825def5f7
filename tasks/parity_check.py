"""The parity check task: see a string of bits, say whether it has an even number of ones."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Batch, Rows, check_size, random_size
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import StringTask, answered, faultless, tape


@register("parity_check")
@dataclass(frozen=True, kw_only=True)
class ParityCheck(StringTask):
    """Show a string of fair bits; the answer is 0 if it has an even number of ones, else 1.

    A regular language of Deletang et al. 2023 (arXiv 2207.02098). T = length + 1. Inputs [T, B, 3]:
    a bit, one-hot, and the empty token at which the answer is given. Targets [T, B, 2]: even or
    odd, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length.

    1 1 0 0 1 has three ones (input 2 is the empty token):

    >>> from tasks.base import draw
    >>> task = ParityCheck(min_length=5, max_length=5)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 | . . # # . .
             1 | # # . . # .
             2 | . . . . . #
    targets  0 |           .
             1 |           #
    """

    input_size = 3
    output_size = 2
    input_rows = (Rows("bits", 2), Rows("empty", 1))
    output_rows = (Rows("even", 1), Rows("odd", 1))
    min_length: int = 1
    """Fewest bits; uniform from here to max_length, one length a batch."""
    max_length: int = 40
    """Most bits (included)."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        options = {"generator": generator, "device": generator.device}
        bits = torch.randint(0, 2, (length, batch_size), **options)
        return tape(bits, 2, bits.sum(0, keepdim=True) % 2, 2)

    def odds(self, length: int) -> Tensor:
        """Both answers are as likely: [1, 2]."""
        return torch.full((1, 2), 0.5, dtype=torch.float64)

    @property
    def solved(self) -> Solved:
        """One wrong answer in a hundred sequences."""
        finds = "flips one bit of state at each one"
        return faultless("symbol", finds, 1, {"Tape-RNN": "100", "LSTM": "100"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, by a state that each one flips."""
        return answered(inputs, 2, lambda bits: [functools.reduce(operator.xor, bits)])

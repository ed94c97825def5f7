"""The even pairs task: see a string of bits, say whether it has an even number of 01 and 10."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Batch, Rows, check_size, random_size
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import StringTask, answered, faultless, tape


@register("even_pairs")
@dataclass(frozen=True, kw_only=True)
class EvenPairs(StringTask):
    """Show a string of fair bits; the answer is 0 if it has an even number of 01 and 10, else 1.

    A regular language of Deletang et al. 2023 (arXiv 2207.02098): the number is even if the first
    and the last bit are the same. T = length + 1. Inputs [T, B, 3]: a bit, one-hot, and the empty
    token at which the answer is given. Targets [T, B, 2]: even or odd, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length, or max_length is below 2.

    0 1 1 1 0 has one 01 and one 10, an even number (input 2 is the empty token):

    >>> from tasks.base import draw
    >>> task = EvenPairs(min_length=5, max_length=5)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(4))))
    inputs   0 | # . . . # .
             1 | . # # # . .
             2 | . . . . . #
    targets  0 |           #
             1 |           .
    """

    least = 2  # a single bit has no pairs
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
        unequal = (bits[1:] != bits[:-1]).sum(0, keepdim=True)
        return tape(bits, 2, unequal % 2, 2)

    def odds(self, length: int) -> Tensor:
        """Both answers are as likely, except of a single bit, which has no pairs: [1, 2]."""
        odd = 0.5 if length > 1 else 0.0
        return torch.tensor([[1 - odd, odd]], dtype=torch.float64)

    @property
    def solved(self) -> Solved:
        """One wrong answer in a hundred sequences."""
        finds = "compares the last bit with the first"
        return faultless("symbol", finds, 1, {"Tape-RNN": "100", "LSTM": "100"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, by the first and the last bit."""
        return answered(inputs, 2, lambda bits: [int(bits[0] != bits[-1])])

"""The duplicate string task: see a string of bits, then say it twice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Batch, Rows, check_size, random_size
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import StringTask, answered, faultless, tape


@register("duplicate_string")
@dataclass(frozen=True, kw_only=True)
class DuplicateString(StringTask):
    """Show a string of fair bits; the answer is the whole string twice.

    A context-sensitive task of Deletang et al. 2023 (arXiv 2207.02098). T = 3 length. Inputs
    [T, B, 3]: a bit, one-hot, and the empty token at which a bit is answered. Targets [T, B, 2]:
    the bit, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length.

    0 1 1 twice (input 2 is the empty token):

    >>> from tasks.base import draw
    >>> task = DuplicateString(min_length=3, max_length=3)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(4))))
    inputs   0 | # . . . . . . . .
             1 | . # # . . . . . .
             2 | . . . # # # # # #
    targets  0 |       # . . # . .
             1 |       . # # . # #
    """

    input_size = 3
    output_size = 2
    input_rows = (Rows("bits", 2), Rows("empty", 1))
    output_rows = (Rows("bits", 2),)
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
        return tape(bits, 2, torch.cat([bits, bits]), 2)

    def odds(self, length: int) -> Tensor:
        """Both bits are as likely at each step: [2 length, 2]."""
        return torch.full((2 * length, 2), 0.5, dtype=torch.float64)

    @property
    def solved(self) -> Solved:
        """One wrong bit in a hundred sequences."""
        finds = "goes over the string twice"
        return faultless("symbol", finds, 80, {"Tape-RNN": "100", "LSTM": "57.6"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: the string, and the string again."""
        return answered(inputs, 2, lambda bits: bits * 2)

"""The missing duplicate string task: see a string twice, but for one bit, and say that bit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Batch, Rows, check_size, random_size
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import StringTask, answered, faultless, tape

HIDDEN, BLANK = 2, 3


@register("missing_duplicate_string")
@dataclass(frozen=True, kw_only=True)
class MissingDuplicateString(StringTask):
    """Show a string of fair bits twice, with one of all its bits hidden; the answer is that bit.

    A context-sensitive language of Deletang et al. 2023 (arXiv 2207.02098). The string has
    length // 2 bits, and a blank follows if the length is odd. Of length 1 there is no such string:
    a one is shown, and is the answer. T = length + 1. Inputs [T, B, 5]: a bit, the sign that hides
    one and the blank, one-hot, and the empty token at which the answer is given. Targets [T, B, 2]:
    the bit, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length, or max_length is below 2.

    0 1 1 twice, of which the second 0 is hidden (input 2 hides it, 3 is the blank, 4 the empty
    token):

    >>> from tasks.base import draw
    >>> task = MissingDuplicateString(min_length=7, max_length=7)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(4))))
    inputs   0 | # . . . . . . .
             1 | . # # . # # . .
             2 | . . . # . . . .
             3 | . . . . . . # .
             4 | . . . . . . . #
    targets  0 |               #
             1 |               .
    """

    least = 2  # one token is no string
    input_size = 5
    output_size = 2
    input_rows = (Rows("bits", 2), Rows("hidden", 1), Rows("blank", 1), Rows("empty", 1))
    output_rows = (Rows("bits", 2),)
    min_length: int = 1
    """Fewest tokens; uniform from here to max_length, one length a batch."""
    max_length: int = 40
    """Most tokens (included)."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        if length == 1:
            ones = torch.ones(1, batch_size, dtype=torch.int64, device=generator.device)
            return tape(ones, 4, ones, 2)
        options = {"generator": generator, "device": generator.device}
        bits = torch.randint(0, 2, (length // 2, batch_size), **options)
        place = torch.randint(0, 2 * len(bits), (1, batch_size), **options)
        tokens = torch.cat([bits, bits, torch.full_like(bits[: length % 2], BLANK)])
        answer = tokens.gather(0, place)
        return tape(tokens.scatter(0, place, HIDDEN), 4, answer, 2)

    def odds(self, length: int) -> Tensor:
        """Both bits are as likely, except of one token: [1, 2]."""
        one = 0.5 if length > 1 else 1.0
        return torch.tensor([[1 - one, one]], dtype=torch.float64)

    @property
    def solved(self) -> Solved:
        """One wrong answer in a hundred sequences."""
        finds = "compares the two strings"
        return faultless("symbol", finds, 1, {"Tape-RNN": "100", "LSTM": "54.3"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, by the same place in the other string."""
        return answered(inputs, 2, _missing)


def _missing(tokens: list[int]) -> list[int]:
    if HIDDEN not in tokens:
        return [1]
    half = len(tokens) // 2
    return [tokens[(tokens.index(HIDDEN) + half) % (2 * half)]]

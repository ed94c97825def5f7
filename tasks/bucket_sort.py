"""The bucket sort task: see symbols of a small alphabet, say them in order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Batch, Rows, check_size, random_size
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import StringTask, answered, faultless, tape

SYMBOLS = 5


@register("bucket_sort")
@dataclass(frozen=True, kw_only=True)
class BucketSort(StringTask):
    """Show symbols 0 to 4; the answer is the same symbols in ascending order.

    A context-sensitive language of Deletang et al. 2023 (arXiv 2207.02098). All symbols are equally
    likely. T = 2 length: the symbols, then as many empty tokens, at which the answer is given.
    Inputs [T, B, 6]: a symbol, one-hot, and the empty token. Targets [T, B, 5]: a symbol, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length.

    2 1 4 3 4 in order is 1 2 3 4 4 (input 5 is the empty token):

    >>> from tasks.base import draw
    >>> task = BucketSort(min_length=5, max_length=5)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 | . . . . . . . . . .
             1 | . # . . . . . . . .
             2 | # . . . . . . . . .
             3 | . . . # . . . . . .
             4 | . . # . # . . . . .
             5 | . . . . . # # # # #
    targets  0 |           . . . . .
             1 |           # . . . .
             2 |           . # . . .
             3 |           . . # . .
             4 |           . . . # #
    """

    input_size = SYMBOLS + 1
    output_size = SYMBOLS
    input_rows = (Rows("symbols", SYMBOLS), Rows("empty", 1))
    output_rows = (Rows("symbols", SYMBOLS),)
    min_length: int = 1
    """Fewest symbols; uniform from here to max_length, one length a batch."""
    max_length: int = 40
    """Most symbols (included)."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        options = {"generator": generator, "device": generator.device}
        symbols = torch.randint(0, SYMBOLS, (length, batch_size), **options)
        return tape(symbols, SYMBOLS, symbols.sort(0).values, SYMBOLS)

    def odds(self, length: int) -> Tensor:
        """How likely each symbol is at each step, [length, 5].

        Up to symbol k there are as many as a binomial distribution of length and (k + 1) / 5 says;
        step i has a symbol up to k if they are more than i.
        """
        count = torch.arange(length + 1, dtype=torch.float64)
        ways = math.lgamma(length + 1) - (count + 1).lgamma() - (length - count + 1).lgamma()
        columns = [torch.zeros(length, dtype=torch.float64)]
        for k in range(1, SYMBOLS):
            p = k / SYMBOLS
            binomial = (ways + count * math.log(p) + (length - count) * math.log(1 - p)).exp()
            columns.append(binomial.flip(0).cumsum(0).flip(0)[1:])
        columns.append(torch.ones(length, dtype=torch.float64))
        return torch.stack(columns, -1).diff(dim=-1).clamp(min=0)

    @property
    def solved(self) -> Solved:
        """One wrong symbol in a hundred sequences."""
        finds = "counts each symbol"
        return faultless("symbol", finds, 40, {"Tape-RNN": "70.7", "LSTM": "99.3"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, by counting each symbol."""
        return answered(inputs, SYMBOLS, _sort)


def _sort(symbols: list[int]) -> list[int]:
    return [symbol for symbol in range(SYMBOLS) for _ in range(symbols.count(symbol))]

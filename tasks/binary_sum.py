"""The binary addition task of Deletang et al.: two numbers and the sum, on strings of a length."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Axis, Batch, Rows, Task, check_size, random_size
from tasks.binary_multiplication import END, LEAST, SIGN, bits_of, expression
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import (
    ENDED_TOKENS,
    GRID,
    answered,
    at_lengths,
    check_lengths,
    faultless,
    length_axis,
    python_generator,
    tape,
)


@register("binary_sum")
@dataclass(frozen=True, kw_only=True)
class BinarySum:
    """Show two binary numbers, lowest bit first; the answer is their sum, lowest bit first.

    The binary addition of Deletang et al. 2023 (arXiv 2207.02098), as their code has it;
    `BinaryAddition` draws the lengths of the numbers by themselves and has no end marker. The plus
    sign between the numbers stands at any place but the ends, and all numbers that fit beside it
    are equally likely, but for 0. The answer has the bits of the sum up to its highest one, an end
    marker, and zeros up to length + 1; what comes after the marker has a cost, but is not counted
    as wrong. Below length 3 a number is shown, any but the greatest, and is the answer. T =
    2 length + 1. Inputs [T, B, 4]: a bit or the plus sign, one-hot, and the empty token at which a
    symbol is answered. Targets [T, B, 3]: a bit or the end marker, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length, or max_length is below 4.

    3 plus 3 is 6 (input 2 is the plus sign, 3 the empty token, target 2 the end marker):

    >>> from tasks.base import draw
    >>> task = BinarySum(min_length=6, max_length=6)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 | . . # . . . . . . . . . .
             1 | # # . . # # . . . . . . .
             2 | . . . # . . . . . . . . .
             3 | . . . . . . # # # # # # #
    targets  0 |             # . . . # # #
             1 |             . # # . . . .
             2 |             . . . # . . .
    """

    cost = ENDED_TOKENS
    grid = GRID
    input_size = 4
    output_size = 3
    input_rows = (Rows("bits", 2), Rows("plus", 1), Rows("empty", 1))
    output_rows = (Rows("bits", 2), Rows("end", 1))
    min_length: int = 1
    """Fewest bits of both numbers and the sign; uniform from here to max_length, one length a
    batch."""
    max_length: int = 40
    """Most bits of both numbers and the sign (included)."""

    def __post_init__(self) -> None:
        check_lengths(self.min_length, self.max_length, LEAST)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The bits of both numbers and the sign."""
        return length_axis(self.min_length, self.max_length, LEAST)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        draws = python_generator(generator)
        tokens, answers = [], []
        for _ in range(batch_size):
            shown, numbers = expression(length, draws)
            total = sum(numbers)
            bits = bits_of(total, max(1, total.bit_length()))
            tokens.append(shown)
            answers.append([*bits, END, *[0] * (length - len(bits))])
        shown, said = (torch.tensor(rows).T.to(generator.device) for rows in (tokens, answers))
        return tape(shown, 3, said, 3)

    def chance_cost(self) -> float:
        """One bit for each bit of the sum below the highest, to one who knows where it ends."""
        return self._mean(0)

    def chance_errors(self) -> float:
        """The ones of the sum but the highest, to one who says zeros."""
        return self._mean(1)

    def _mean(self, which: int) -> float:
        lengths = range(self.min_length, self.max_length + 1)
        return sum(_below_the_highest(length)[which] for length in lengths) / len(lengths)

    @property
    def solved(self) -> Solved:
        """One wrong symbol in a hundred sequences."""
        return faultless("symbol", "adds", 41, {"Tape-RNN": "100", "LSTM": "55.5"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, by adding bit by bit and handing on the carry."""
        return answered(inputs, 3, _add)

    def evaluations(self) -> dict[str, Task]:
        """The longest of training, and two of the lengths to 500 that the paper tests."""
        return at_lengths(self)


def _add(tokens: list[int]) -> list[int]:
    sign = tokens.index(SIGN) if SIGN in tokens else len(tokens)
    one, two = tokens[:sign], tokens[sign + 1 :]
    total, carry = [], 0
    for place in range(max(len(one), len(two)) + 1):
        carry += sum(number[place] for number in (one, two) if place < len(number))
        total.append(carry % 2)
        carry //= 2
    while len(total) > 1 and total[-1] == 0:
        total.pop()
    return [*total, END, *[0] * (len(tokens) - len(total))]


@functools.cache
def _below_the_highest(length: int) -> tuple[float, float]:
    """How many bits a sum has below the highest, and how many of them are ones: the means."""
    if length < 3:  # 0; or 0, 1 and 2, of which 2 has a bit below the highest
        return (0.0, 0.0) if length == 1 else (1 / 3, 0.0)
    means = [_of_widths(first, length - 1 - first) for first in range(1, length - 1)]
    bits, ones = zip(*means, strict=True)
    return sum(bits) / len(means), sum(ones) / len(means)


def _of_widths(one: int, two: int) -> tuple[float, float]:
    """The same of the sums of all numbers of so many bits but 0, counted."""
    short, long = sorted((one, two))
    most = 2**short - 1
    pairs = most * (2**long - 1)
    # A sum below 2^k has less than k + 1 bits. There are (2^k - 1) (2^k - 2) / 2 such pairs up to
    # k = short, and most (2^k - 1) - most (most + 1) / 2 from there to k = long.
    lower = ((4 ** (short + 1) - 4) // 3 - 3 * (2 ** (short + 1) - 2) + 2 * short) // 2
    upper = most * (2 ** (long + 1) - 2 ** (short + 1) - (long - short) * (1 + 2**short // 2))
    # With 0, each bit of a sum is fair below the highest place, which has the carry of
    # most / 2^(long + 1) of the pairs; without, the ones of each number alone are taken off.
    ones = (long * 2 ** (short + long) + most * 2**short - long * 2**long - short * 2**short) // 2
    return long - (lower + upper) / pairs, ones / pairs - 1

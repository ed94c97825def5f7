"""The binary multiplication task: see two binary numbers, answer their product."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Axis, Batch, Rows, Task, check_size, random_size
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

SIGN, END = 2, 2  # the sign between the numbers, and the symbol after the product
LEAST = 4  # below that, there is nothing to work out
WIDTH = 10


@register("binary_multiplication")
@dataclass(frozen=True, kw_only=True)
class BinaryMultiplication:
    """Show two binary numbers, lowest bit first; the answer is their product, lowest bit first.

    A context-sensitive task of Deletang et al. 2023 (arXiv 2207.02098). The times sign between the
    numbers stands at any place but the ends, and all numbers that fit beside it are equally likely,
    but for 0. The answer has the bits of the product up to its highest one, an end marker, and
    zeros up to the length; what comes after the marker has a cost, but is not counted as wrong.
    Below length 3 there is no product: what is shown is a number but the greatest, and the answer
    is a zero for length 2 and the end marker. T = 2 length. Inputs [T, B, 4]: a bit or the times
    sign, one-hot, and the empty token at which a symbol is answered. Targets [T, B, 3]: a bit or
    the end marker, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length, or max_length is below 4.

    3 times 3 is 9 (input 2 is the times sign, 3 the empty token, target 2 the end marker):

    >>> from tasks.base import draw
    >>> task = BinaryMultiplication(min_length=6, max_length=6)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 | . . # . . . . . . . . .
             1 | # # . . # # . . . . . .
             2 | . . . # . . . . . . . .
             3 | . . . . . . # # # # # #
    targets  0 |             . # # . . #
             1 |             # . . # . .
             2 |             . . . . # .
    """

    cost = ENDED_TOKENS
    grid = GRID
    input_size = 4
    output_size = 3
    input_rows = (Rows("bits", 2), Rows("times", 1), Rows("empty", 1))
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
            tokens.append(shown)
            product = math.prod(numbers)
            bits = [0] * (length - 1) if length < 3 else bits_of(product, product.bit_length())
            answers.append([*bits, END, *[0] * (length - 1 - len(bits))])
        shown, said = (torch.tensor(rows).T.to(generator.device) for rows in (tokens, answers))
        return tape(shown, 3, said, 3)

    def chance_cost(self) -> float:
        """One bit for each bit of the product below the highest, to one who knows where it ends.

        All are taken for fair, though the lowest are a zero more often.
        """
        return self._mean(0)

    def chance_errors(self) -> float:
        """The ones of the product but the highest, to one who says zeros."""
        return self._mean(1)

    def _mean(self, which: int) -> float:
        lengths = range(self.min_length, self.max_length + 1)
        return sum(_below_the_highest(length)[which] for length in lengths) / len(lengths)

    @property
    def solved(self) -> Solved:
        """One wrong symbol in a hundred sequences."""
        paper = {"Tape-RNN": "58.5", "LSTM": "53.1"}
        return faultless("symbol", "multiplies", 40, paper)

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, by adding up the products of bits and handing on carries."""
        return answered(inputs, 3, _multiply)

    def evaluations(self) -> dict[str, Task]:
        """The longest of training, and two of the lengths to 500 that the paper tests."""
        return at_lengths(self)


def expression(length: int, draws: random.Random) -> tuple[list[int], list[int]]:
    """A string of so many symbols, two numbers and the sign between them; and the numbers.

    The sign stands at any place but the ends, and the numbers are any that fit beside it, but for
    0. Below three symbols there is one number, any but the greatest.
    """
    if length < 3:
        number = draws.randrange(2**length - 1)
        return bits_of(number, length), [number]
    first = draws.randint(1, length - 2)
    widths = (first, length - 1 - first)
    one, two = (draws.randint(1, 2**width - 1) for width in widths)
    return [*bits_of(one, widths[0]), SIGN, *bits_of(two, widths[1])], [one, two]


def bits_of(number: int, width: int) -> list[int]:
    """The lowest bits of a number, the lowest first."""
    return [number >> place & 1 for place in range(width)]


def _multiply(tokens: list[int]) -> list[int]:
    product = [0] * (len(tokens) - 1)
    if SIGN in tokens:
        sign = tokens.index(SIGN)
        for i, one in enumerate(tokens[:sign]):
            for j, two in enumerate(tokens[sign + 1 :]):
                product[i + j] += one * two
        for place in range(len(product) - 1):
            carry, product[place] = divmod(product[place], 2)
            product[place + 1] += carry
        while product[-1] == 0:
            product.pop()
    return [*product, END, *[0] * (len(tokens) - 1 - len(product))]


@functools.cache
def _below_the_highest(length: int) -> tuple[float, float]:
    """How many bits a product has below the highest, and how many of them are ones: the means."""
    if length < 3:
        return 0.0, 0.0
    means = _means()
    bits = ones = 0.0
    for first in range(1, length - 1):
        widths = (first, length - 1 - first)
        one, two = (min(width, WIDTH) for width in widths)
        more = sum(widths) - one - two  # each is a bit of the product, and half a one
        bits += float(means[0, one, two]) + more
        ones += float(means[1, one, two]) + more / 2
    return bits / (length - 2), ones / (length - 2)


@functools.cache
def _means() -> Tensor:
    """The same of two numbers of n and m bits up to `WIDTH`, by all pairs: [2, n, m].

    From there on, a bit more of a number is a bit more of the product, to a hundredth.
    """
    numbers = torch.arange(1, 2**WIDTH)
    products = numbers.unsqueeze(-1) * numbers
    bits, ones = -torch.ones_like(products), -torch.ones_like(products)  # without the highest
    for place in range(2 * WIDTH):
        above = products >> place
        bits += above > 0
        ones += above & 1
    means = torch.zeros(2, WIDTH + 1, WIDTH + 1, dtype=torch.float64)
    last = 2 ** torch.arange(1, WIDTH + 1) - 1
    pairs = last.unsqueeze(-1) * last
    for which, counts in enumerate((bits, ones)):
        sums = counts.cumsum(0).cumsum(1)[last - 1][:, last - 1]
        means[which, 1:, 1:] = sums.double() / pairs
    return means

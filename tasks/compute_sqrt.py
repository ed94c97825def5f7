"""The square root task: see a binary number, say the whole part of its square root."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Batch, Rows, check_size, random_size
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import StringTask, answered, faultless, python_generator, tape


@register("compute_sqrt")
@dataclass(frozen=True, kw_only=True)
class ComputeSqrt(StringTask):
    """Show a binary number, highest bit first; the answer is the whole part of its square root.

    Compute sqrt of Deletang et al. 2023 (arXiv 2207.02098), context-sensitive. All numbers from 1
    to 2^length - 1 are equally likely, and have leading zeros. The root is given half as many bits,
    rounded up, highest bit first: T = length + ceil(length / 2). Inputs [T, B, 3]: a bit, one-hot,
    and the empty token at which a bit is answered. Targets [T, B, 2]: a bit, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length, or max_length is below 3.

    The root of 41 is 6.4, and its whole part 6 (input 2 is the empty token):

    >>> from tasks.base import draw
    >>> task = ComputeSqrt(min_length=6, max_length=6)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(1))))
    inputs   0 | . # . # # . . . .
             1 | # . # . . # . . .
             2 | . . . . . . # # #
    targets  0 |             . . #
             1 |             # # .
    """

    least = 3  # the root of a number of two bits is 1
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
        draws = python_generator(generator)
        numbers = [draws.randint(1, 2**length - 1) for _ in range(batch_size)]
        roots = [math.isqrt(number) for number in numbers]
        shown, answer = _bits(numbers, length), _bits(roots, (length + 1) // 2)
        return tape(shown.to(generator.device), 2, answer.to(generator.device), 2)

    def odds(self, length: int) -> Tensor:
        """How likely each bit is 0 and 1, highest bit first, [ceil(length / 2), 2]."""
        ones = [_share(length, place) for place in reversed(range((length + 1) // 2))]
        one = torch.tensor(ones, dtype=torch.float64)
        return torch.stack([1 - one, one], -1)

    @property
    def solved(self) -> Solved:
        """One wrong bit in a hundred sequences."""
        finds = "computes the root"
        return faultless("symbol", finds, 20, {"Tape-RNN": "57.8", "LSTM": "57.5"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, bit by bit: a one where the square still fits."""
        return answered(inputs, 2, _root)


def _bits(numbers: list[int], width: int) -> Tensor:
    """Whole numbers as bits [width, B], highest bit first."""
    rows = [[int(bit) for bit in f"{number:0{width}b}"] for number in numbers]
    return torch.tensor(rows).T


def _share(length: int, place: int) -> float:
    """The share of the numbers 1 to 2^length - 1 whose root has a one at a place from the lowest.

    The roots k 2^place to (k + 1) 2^place - 1 have it where k is odd, and are those of
    4^place (2 k + 1) numbers; the last of these may be above all numbers.
    """
    most = 2**length - 1
    last = math.isqrt(most) >> place
    pairs = last // 2  # k = 1, 3, ..., 2 pairs - 1
    count = 4**place * (2 * pairs**2 + pairs)
    if last % 2 == 1:
        count += most + 1 - (last << place) ** 2
    return count / most


def _root(bits: list[int]) -> list[int]:
    number = functools.reduce(lambda above, bit: 2 * above + bit, bits)
    width, root = (len(bits) + 1) // 2, 0
    for place in reversed(range(width)):
        if (root | 1 << place) ** 2 <= number:
            root |= 1 << place
    return [root >> place & 1 for place in reversed(range(width))]

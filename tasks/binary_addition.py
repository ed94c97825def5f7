"""The binary addition task: see two binary numbers, answer their sum."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tasks.base import (
    Axis,
    Batch,
    Rows,
    Sizes,
    Task,
    check_range,
    check_size,
    random_bits,
    random_size,
)
from tasks.costs import BITS
from tasks.registry import register
from tasks.solved import Paper, Solved


@register("binary_addition")
@dataclass(frozen=True, kw_only=True)
class BinaryAddition:
    """Show two binary numbers, lowest bit first; the answer is their sum, lowest bit first.

    After Deletang et al. 2023 (arXiv 2207.02098), where the two numbers and the plus sign between
    them are 1 to 40 symbols long. Here each number has a length of its own, uniform from
    min_length to max_length, and all numbers of that length are equally likely, 0 too. The sum of
    numbers of n and m bits is always given max(n, m) + 1 bits, where the paper ends it with a
    termination token. T = n + 1 + m + 1 + max(n, m) + 1 steps: the first number, the plus sign, the
    second number, the equals sign, then the sum without any input. Inputs [T, B, 3]: bit, plus
    sign, equals sign. Targets [T, B, 1].

    Raises:
        ValueError: a length is below 1, or min_length is above max_length.

    5 + 7 = 12:

    >>> from tasks.base import draw
    >>> task = BinaryAddition(min_length=3, max_length=3)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(0))))
    inputs   0 | # . # . # # # . . . . .
             1 | . . . # . . . . . . . .
             2 | . . . . . . . # . . . .
    targets  0 |                 . . # #
    """

    cost = BITS
    min_length: int = 1
    """Fewest bits of a number; uniform from here to max_length, one length for each a batch."""
    max_length: int = 20
    """Most bits of a number (included)."""

    def __post_init__(self) -> None:
        check_range("min_length", self.min_length, "max_length", self.max_length)

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return 3

    @property
    def output_size(self) -> int:
        """The number of bits answered at each step, O."""
        return 1

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (Rows("bit", 1), Rows("plus sign", 1), Rows("equals sign", 1))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("sum", 1),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The length of both numbers."""
        return (Axis(("min_length", "max_length"), self.min_length, self.max_length),)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        first = random_size(self.min_length, self.max_length, generator)
        second = random_size(self.min_length, self.max_length, generator)
        width = max(first, second) + 1
        numbers = random_bits((first + second, batch_size), generator)
        steps = first + second + 2 + width
        inputs = numbers.new_zeros(steps, batch_size, 3)
        targets = numbers.new_zeros(steps, batch_size, 1)
        mask = numbers.new_zeros(steps, batch_size)
        inputs[:first, :, 0] = numbers[:first]
        inputs[first, :, 1] = 1
        inputs[first + 1 : -width - 1, :, 0] = numbers[first:]
        inputs[-width - 1, :, 2] = 1
        padded = numbers.new_zeros(2, width, batch_size)
        padded[0, :first], padded[1, :second] = numbers[:first], numbers[first:]
        targets[-width:, :, 0] = _add(padded[0], padded[1])
        mask[-width:] = 1
        return Batch(inputs, targets, mask)

    def chance_cost(self) -> float:
        """One bit for each bit but the last, which says whether there is a carry.

        The other bits of a sum of uniform numbers are fair. Of numbers of n >= m bits, a carry has
        probability p = (2^m - 1) / 2^(n + 1), and costs the entropy of p.
        """
        lengths = range(self.min_length, self.max_length + 1)
        costs = [max(n, m) + _entropy(carry_probability(n, m)) for n in lengths for m in lengths]
        return sum(costs) / len(costs)

    def chance_errors(self) -> float:
        """Half of all bits but the last, which is 1 only as often as there is a carry."""
        lengths = range(self.min_length, self.max_length + 1)
        wrong = [max(n, m) / 2 + carry_probability(n, m) for n in lengths for m in lengths]
        return sum(wrong) / len(wrong)

    @property
    def solved(self) -> Solved:
        """One wrong bit in a hundred sums."""
        return Solved(
            "wrong_bits",
            0.01,
            "A carry that is handed on over k places is wrong in a share of sums that halves with "
            "each place: a network that loses it after 7 still has more than one wrong bit in 100 "
            "sums, so below that it has learned to carry.",
            Paper(
                "Deletang et al. 2023, lengths 41 to 500 after training on 1 to 40",
                {"Tape-RNN": "100% of symbols right"},
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: both numbers read as whole numbers, and added."""
        first = int(inputs[:, 0, 1].argmax())  # the step of the plus sign
        end = int(inputs[:, 0, 2].argmax())  # the step of the equals sign
        targets = torch.zeros_like(inputs[..., :1])
        for row, bits in enumerate(inputs[:end, :, 0].T.int().tolist()):
            total = _number(bits[:first]) + _number(bits[first + 1 :])
            answer = [total >> place & 1 for place in range(len(inputs) - end - 1)]
            targets[end + 1 :, row, 0] = torch.tensor(answer)
        return targets

    def evaluations(self) -> dict[str, Task]:
        """Two numbers of the longest length in training, then of longer ones."""
        return {
            f"lengths_{length}_{length}": replace(self, min_length=length, max_length=length)
            for length in (20, 40, 100)
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """The longest numbers of training, and longer ones."""
        return (Sizes("length", ("min_length", "max_length"), (10, 20, 30, 40, 60, 100)),)


def carry_probability(first: int, second: int) -> float:
    """How often the sum of uniform numbers of so many bits needs one bit more than the longer.

    >>> carry_probability(1, 1)  # only 1 + 1
    0.25
    """
    longer, shorter = max(first, second), min(first, second)
    return (2**shorter - 1) / 2 ** (longer + 1)


def _entropy(p: float) -> float:
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def _number(bits: list[int]) -> int:
    return sum(bit << place for place, bit in enumerate(bits))


def _add(first: Tensor, second: Tensor) -> Tensor:
    """The sum of two rows of numbers [width, B], lowest bit first, as bits [width, B]."""
    same = first == second
    # Where the bits of both numbers are the same, they alone decide the carry; else it is handed on
    # from below. So the carry into a place is the bit at the last place below it that is the same.
    places = torch.arange(len(first), device=first.device).unsqueeze(1)
    last = torch.where(same, places, -1).cummax(0).values
    carry = torch.where(last < 0, 0, first.gather(0, last.clamp(min=0)))
    carry = torch.cat([torch.zeros_like(carry[:1]), carry[:-1]])
    return (first + second + carry) % 2

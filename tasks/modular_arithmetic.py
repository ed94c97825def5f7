"""The simple modular arithmetic task: see a sum of products, say its value modulo 5."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Batch, Rows, Sizes, Task, check_size, random_size
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import FIELDS, StringTask, answered, at_lengths, faultless, tape

MODULUS = 5
PLUS, MINUS, TIMES = 5, 6, 7


@register("modular_arithmetic")
@dataclass(frozen=True, kw_only=True)
class ModularArithmetic(StringTask):
    """Show digits below 5 joined by `+`, `-` and `*`; the answer is the value modulo 5.

    A regular language of Deletang et al. 2023 (arXiv 2207.02098), where it is called modular
    arithmetic (simple). All digits and all signs are equally likely; a product goes first. An
    expression has an odd number of tokens, one less than the length if that is even. T = tokens +
    1. Inputs [T, B, 10]: digits 0 to 4, then `+ - *` and the blank of the paper's code, which is
    not shown, one-hot, and the empty token at which the answer is given. Targets [T, B, 5]: the
    value, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length.

    2 times 1 plus 4 is 1 modulo 5 (input 5 is the plus, 7 the times, 9 the empty token):

    >>> from tasks.base import draw
    >>> task = ModularArithmetic(min_length=5, max_length=5)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 | . . . . . .
             1 | . . # . . .
             2 | # . . . . .
             3 | . . . . . .
             4 | . . . . # .
             5 | . . . # . .
             6 | . . . . . .
             7 | . # . . . .
             8 | . . . . . .
             9 | . . . . . #
    targets  0 |           .
             1 |           #
             2 |           .
             3 |           .
             4 |           .
    """

    grid = (Sizes("length", FIELDS, (19, 39, 59, 99, 199, 499)),)  # all lengths are odd
    input_size = MODULUS + 5
    output_size = MODULUS
    input_rows = (Rows("digits", MODULUS), Rows("signs", 4), Rows("empty", 1))
    output_rows = (Rows("value", MODULUS),)
    min_length: int = 1
    """Fewest digits and signs; uniform from here to max_length, one length a batch."""
    max_length: int = 40
    """Most digits and signs (included)."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        options = {"generator": generator, "device": generator.device}
        digits = torch.randint(0, MODULUS, (length // 2 + length % 2, batch_size), **options)
        signs = torch.randint(PLUS, TIMES + 1, (len(digits) - 1, batch_size), **options)
        tokens = digits.new_empty(2 * len(digits) - 1, batch_size)
        tokens[::2], tokens[1::2] = digits, signs
        return tape(tokens, MODULUS + 4, _value(digits, signs).unsqueeze(0), MODULUS)

    def odds(self, length: int) -> Tensor:
        """How likely each value is, [1, 5]: 0 is likelier, as products often are."""
        signs = (length - 1) // 2
        odds = torch.linalg.matrix_power(_steps(), signs)[:MODULUS].mean(0)
        sums = torch.arange(MODULUS).unsqueeze(-1) + torch.arange(MODULUS)
        values = sums.flatten() % MODULUS
        return odds.new_zeros(1, MODULUS).index_add_(1, values, odds.unsqueeze(0))

    @property
    def solved(self) -> Solved:
        """One wrong answer in a hundred sequences."""
        finds = "keeps the sum and the last product as its state"
        return faultless("symbol", finds, 1, {"Tape-RNN": "100", "LSTM": "100"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, term by term."""
        return answered(inputs, MODULUS, _evaluate)

    def evaluations(self) -> dict[str, Task]:
        """The longest of training, and two of the lengths to 500 that the paper tests."""
        return at_lengths(self, (39, 99, 499))


def _value(digits: Tensor, signs: Tensor) -> Tensor:
    """The values [B] of digits [N, B] with signs [N - 1, B] between them."""
    total, product = torch.zeros_like(digits[0]), digits[0]
    for digit, sign in zip(digits[1:], signs, strict=True):
        total = torch.where(sign == TIMES, total, total + product) % MODULUS
        product = torch.where(sign == TIMES, product * digit, digit) % MODULUS
        product = torch.where(sign == MINUS, -digit, product)
    return (total + product) % MODULUS


@functools.cache
def _steps() -> Tensor:
    """How a sign and a digit move the state, a sum and the product after it, [25, 25].

    State s has the sum s // 5 and the product s % 5.
    """
    steps = torch.zeros(MODULUS**2, MODULUS**2, dtype=torch.float64)
    for state in range(MODULUS**2):
        total, product = divmod(state, MODULUS)
        for digit in range(MODULUS):
            begun = MODULUS * ((total + product) % MODULUS)
            for after in (
                begun + digit,
                begun + -digit % MODULUS,
                state - product + product * digit % MODULUS,
            ):
                steps[state, after] += 1 / (3 * MODULUS)
    return steps


def _evaluate(tokens: list[int]) -> list[int]:
    terms = tokens[:1]
    for sign, digit in zip(tokens[1::2], tokens[2::2], strict=True):
        if sign == TIMES:
            terms[-1] *= digit
        else:
            terms.append(digit if sign == PLUS else -digit)
    return [sum(terms) % MODULUS]

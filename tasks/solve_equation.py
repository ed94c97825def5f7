"""The solve equation task: see an equation modulo 5 with one unknown digit, say that digit."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Batch, Rows, check_size, random_size
from tasks.modular_arithmetic_brackets import MODULUS, evaluate, expression
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import StringTask, answered, faultless, python_generator, tape

ALPHABET = "01234+-()x="


@register("solve_equation")
@dataclass(frozen=True, kw_only=True)
class SolveEquation(StringTask):
    """Show an equation modulo 5 in which x stands for a digit; the answer is that digit.

    A deterministic context-free language of Deletang et al. 2023 (arXiv 2207.02098). The left side
    is an expression of `ModularArithmeticBrackets` without `*`, two tokens shorter than the length;
    x takes the place of the first digit at or after a random token, and after the last token comes
    the first. Then = and the value follow. Below length 3 there is no equation: zeros are shown,
    and 0 is the answer. T = length + 1. Inputs [T, B, 12]: digits 0 to 4, then `+ - ( ) x =`,
    one-hot, and the empty token at which the answer is given. Targets [T, B, 5]: the digit,
    one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length, or max_length is below 3.

    `(-2--x)=1` is solved by 3 (input 11 is the empty token):

    >>> from tasks.base import draw
    >>> task = SolveEquation(min_length=9, max_length=9)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 | . . . . . . . . . .
             1 | . . . . . . . . # .
             2 | . . # . . . . . . .
             3 | . . . . . . . . . .
             4 | . . . . . . . . . .
             5 | . . . . . . . . . .
             6 | . # . # # . . . . .
             7 | # . . . . . . . . .
             8 | . . . . . . # . . .
             9 | . . . . . # . . . .
            10 | . . . . . . . # . .
            11 | . . . . . . . . . #
    targets  0 |                   .
             1 |                   .
             2 |                   .
             3 |                   #
             4 |                   .
    """

    least = 3  # x = 0
    input_size = len(ALPHABET) + 1
    output_size = MODULUS
    input_rows = (
        Rows("digits", MODULUS),
        Rows("signs, brackets", 4),
        Rows("x =", 2),
        Rows("empty", 1),
    )
    output_rows = (Rows("digits", MODULUS),)
    min_length: int = 1
    """Fewest tokens; uniform from here to max_length, one length a batch."""
    max_length: int = 40
    """Most tokens (included)."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        draws = python_generator(generator)
        drawn = [_equation(length, draws) for _ in range(batch_size)]
        tokens = torch.tensor([[ALPHABET.index(token) for token in text] for text, _ in drawn]).T
        digits = torch.tensor([[digit for _, digit in drawn]])
        return tape(
            tokens.to(generator.device), len(ALPHABET), digits.to(generator.device), MODULUS
        )

    def odds(self, length: int) -> Tensor:
        """All digits are as likely, except where there is no equation: [1, 5]."""
        if length < 3:
            return torch.eye(1, MODULUS, dtype=torch.float64)
        return torch.full((1, MODULUS), 1 / MODULUS, dtype=torch.float64)

    @property
    def solved(self) -> Solved:
        """One wrong answer in a hundred sequences."""
        finds = "evaluates what surrounds the unknown on a stack"
        return faultless("symbol", finds, 1, {"Tape-RNN": "64.4", "LSTM": "67.8"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, by trying all digits."""
        return answered(inputs, MODULUS, lambda tokens: [_solve([ALPHABET[t] for t in tokens])])


def _equation(length: int, draws: random.Random) -> tuple[str, int]:
    if length < 3:
        return "0" * length, 0
    text, value = expression(length - 2, "+-", draws)
    place = draws.randrange(len(text))
    while not text[place].isdigit():
        place = (place + 1) % len(text)
    return f"{text[:place]}x{text[place + 1 :]}={value}", int(text[place])


def _solve(tokens: list[str]) -> int:
    """The only digit that solves an equation: without products, x counts once."""
    if "x" not in tokens:
        return 0
    left, value = tokens[:-2], int(tokens[-1])
    for digit in range(MODULUS):
        if evaluate(str(digit) if token == "x" else token for token in left) == value:
            return digit
    raise ValueError(f"the equation must have a solution, got {''.join(tokens)}: draw it anew")

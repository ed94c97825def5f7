"""The modular arithmetic task: see an expression with brackets, say its value modulo 5."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import Batch, Rows, check_size, random_size
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import StringTask, answered, faultless, python_generator, tape

MODULUS = 5
ALPHABET = "01234+-*()x"


@register("modular_arithmetic_brackets")
@dataclass(frozen=True, kw_only=True)
class ModularArithmeticBrackets(StringTask):
    """Show an expression with brackets on digits below 5; the answer is its value modulo 5.

    A deterministic context-free language of Deletang et al. 2023 (arXiv 2207.02098), where it is
    called modular arithmetic. An expression of 1 to 4 tokens is a digit d, -d, (d) or (-d); a
    longer one is two expressions in brackets with `+`, `-` or `*` between them, and all ways to
    part its length, all signs and all digits are equally likely. T = length + 1. Inputs [T, B, 12]:
    digits 0 to 4, then `+ - * ( )` and the x of the paper's code, which is not shown, one-hot, and
    the empty token at which the answer is given. Targets [T, B, 5]: the value, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length.

    `((1*3)-1)` is 2 (input 11 is the empty token):

    >>> from tasks.base import draw
    >>> task = ModularArithmeticBrackets(min_length=9, max_length=9)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(3))))
    inputs   0 | . . . . . . . . . .
             1 | . . # . . . . # . .
             2 | . . . . . . . . . .
             3 | . . . . # . . . . .
             4 | . . . . . . . . . .
             5 | . . . . . . . . . .
             6 | . . . . . . # . . .
             7 | . . . # . . . . . .
             8 | # # . . . . . . . .
             9 | . . . . . # . . # .
            10 | . . . . . . . . . .
            11 | . . . . . . . . . #
    targets  0 |                   .
             1 |                   .
             2 |                   #
             3 |                   .
             4 |                   .
    """

    input_size = len(ALPHABET) + 1
    output_size = MODULUS
    input_rows = (
        Rows("digits", MODULUS),
        Rows("signs", 3),
        Rows("brackets, x", 3),
        Rows("empty", 1),
    )
    output_rows = (Rows("value", MODULUS),)
    min_length: int = 1
    """Fewest tokens; uniform from here to max_length, one length a batch."""
    max_length: int = 40
    """Most tokens (included)."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        draws = python_generator(generator)
        drawn = [expression(length, "+-*", draws) for _ in range(batch_size)]
        tokens = torch.tensor([[ALPHABET.index(token) for token in text] for text, _ in drawn]).T
        values = torch.tensor([[value for _, value in drawn]])
        return tape(
            tokens.to(generator.device), len(ALPHABET), values.to(generator.device), MODULUS
        )

    def odds(self, length: int) -> Tensor:
        """How likely each value is, [1, 5]: 0 is likelier, and the others are as likely."""
        zero = _zeros(length)[length]
        return torch.tensor([[zero] + [(1 - zero) / 4] * 4], dtype=torch.float64)

    @property
    def solved(self) -> Solved:
        """One wrong answer in a hundred sequences."""
        finds = "keeps what is open on a stack"
        return faultless("symbol", finds, 1, {"Tape-RNN": "95.4", "LSTM": "59.2"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: each bracket that closes leaves its value on a stack."""
        return answered(inputs, MODULUS, lambda tokens: [evaluate(ALPHABET[t] for t in tokens)])


def expression(length: int, signs: str, draws: random.Random) -> tuple[str, int]:
    """A random expression of so many tokens with these signs, and its value modulo 5."""
    if length < 5:
        digit = draws.randrange(MODULUS)
        text = ("{}", "-{}", "({})", "(-{})")[length - 1].format(digit)
        return text, -digit % MODULUS if "-" in text else digit
    left = draws.randint(1, length - 4)
    first, one = expression(left, signs, draws)
    second, two = expression(length - 3 - left, signs, draws)
    sign = draws.choice(signs)
    return f"({first}{sign}{second})", _apply(sign, one, two)


def evaluate(tokens: Iterable[str]) -> int:
    """The value of an expression modulo 5.

    >>> evaluate("((3*-2)-4)")
    0
    """
    stack: list[str | int] = []
    for token in tokens:
        stack.append(int(token) if token.isdigit() else token)
        if token == ")":
            start = len(stack) - 1 - stack[::-1].index("(")
            stack[start:] = [_join(stack[start + 1 : -1])]
    return _join(stack)


def _join(inside: list[str | int]) -> int:
    """The value of what stands between two brackets: numbers, each with or without a minus."""
    rest = iter(inside)

    def number() -> int:
        token = next(rest)
        return -int(next(rest)) if token == "-" else int(token)

    value = number()
    for sign in rest:
        value = _apply(str(sign), value, number())
    return value % MODULUS


def _apply(sign: str, one: int, two: int) -> int:
    return (one + two if sign == "+" else one - two if sign == "-" else one * two) % MODULUS


@functools.cache
def _zeros(longest: int) -> list[float]:
    """How often an expression is 0, by its length up to the longest.

    The other values are as likely as one another: to multiply all digits by one that is not 0
    leaves them so, whatever the signs.
    """
    zeros = [0.0] + [1 / MODULUS] * min(longest, 4)
    for length in range(5, longest + 1):
        total = 0.0
        for left in range(1, length - 3):
            one, two = zeros[left], zeros[length - 3 - left]
            total += 2 / 3 * (one * two + (1 - one) * (1 - two) / (MODULUS - 1))  # + and -
            total += 1 / 3 * (1 - (1 - one) * (1 - two))  # *
        zeros.append(total / (length - 4))
    return zeros

"""The adding problem: see a long sequence of numbers, answer the sum of the two marked ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tasks.base import Axis, Batch, Rows, Sizes, Task, check_range, check_size, random_size
from tasks.costs import squared_error
from tasks.registry import register
from tasks.solved import Paper, Solved

SHORTEST = 6  # else there is no second number to mark
TOLERANCE = 0.04


@register("adding")
@dataclass(frozen=True, kw_only=True)
class Adding:
    """Show random numbers, of which two are marked; the answer, in the last step, is their sum.

    Hochreiter and Schmidhuber 1997, section 5.4 (experiment 4). A sequence of T = length pairs: a
    number, uniform on [-1, 1), and a marker. The first marked pair is one of the first 10, the
    second one of the first T/2 - 1 that is not marked yet (both of the latter, below a length of
    22). The marker is 1 for these two, -1 for the first and the last pair of the sequence, else 0;
    if the first pair is chosen, its marker stays -1 and it counts as 0. The answer is 0.5 + (X1 +
    X2) / 4, from 0 to 1, wrong if it is off by 0.04 or more. It is a number, so its cost is the
    squared error, not bits. Inputs [T, B, 2], targets [T, B, 1].

    Raises:
        ValueError: min_length is below 6, or above max_length.

    Ten numbers, of which two are marked:

    >>> from tasks.base import draw
    >>> task = Adding(min_length=10, max_length=10)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(3))))
    inputs   0 | -0.8 -0.4 -0.9 -0.1 -0.9  0.5  0.5  0.2  0.8 -0.1
             1 | -1.0    .    #    #    .    .    .    .    . -1.0
    targets  0 |                                               0.2
    """

    cost = squared_error(TOLERANCE)
    min_length: int = 100
    """Fewest numbers in a sequence; uniform from here to max_length, one length a batch."""
    max_length: int = 110
    """Most numbers in a sequence (included)."""

    def __post_init__(self) -> None:
        check_range("min_length", self.min_length, "max_length", self.max_length, minimum=SHORTEST)

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return 2

    @property
    def output_size(self) -> int:
        """The numbers in each answer, O."""
        return 1

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (Rows("number", 1, (-1.0, 1.0)), Rows("marker", 1, (-1.0, 1.0)))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("sum", 1),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The length, from the shortest there can be: the range itself is narrow in the paper."""
        return (Axis(("min_length", "max_length"), SHORTEST, self.max_length),)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        near, far = _places(length)
        options = {"generator": generator, "device": generator.device, "dtype": torch.float32}
        numbers = 2 * torch.rand(length, batch_size, **options) - 1
        whole = {"size": (batch_size,), "generator": generator, "device": generator.device}
        first = torch.randint(near, **whole)
        second = torch.randint(far - 1, **whole)
        second = second + (second >= first)  # uniform over all places but the first one
        rows = torch.arange(batch_size, device=generator.device)
        markers = torch.zeros_like(numbers)
        markers[first, rows] = 1
        markers[second, rows] = 1
        markers[0], markers[-1] = -1, -1
        inputs = torch.stack([numbers, markers], dim=-1)
        targets = torch.zeros_like(inputs[..., :1])
        targets[-1, :, 0] = _answer(numbers, markers)
        mask = torch.zeros_like(numbers)
        mask[-1] = 1
        return Batch(inputs, targets, mask)

    def chance_cost(self) -> float:
        """The variance of the answer: 1/24, or 1/48 where one of the two counts as 0."""
        lengths = range(self.min_length, self.max_length + 1)
        return sum((2 - _first_is_chosen(length)) / 48 for length in lengths) / len(lengths)

    def chance_errors(self) -> float:
        """How often the mean is off by the tolerance or more: a sum of two, or of one, too."""
        close = 4 * TOLERANCE  # of the sum to 0
        one, two = close, close - close**2 / 4  # uniform; triangular
        lengths = range(self.min_length, self.max_length + 1)
        near = [_first_is_chosen(n) * one + (1 - _first_is_chosen(n)) * two for n in lengths]
        return 1 - sum(near) / len(near)

    @property
    def solved(self) -> Solved:
        """One wrong sum in a hundred."""
        return Solved(
            "wrong_answers",
            0.01,
            "A network that ignores one of the two numbers is wrong in 84 of 100 sequences; the "
            "paper stops training once 2,000 in a row are right, and one wrong in 100 is as little "
            "as some hundred sequences can show.",
            Paper(
                "Hochreiter and Schmidhuber 1997, table 7",
                {"LSTM": "1 of 2,560 wrong after 74,000 sequences of 100 to 110 pairs"},
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: the sum of what is marked with 1."""
        targets = torch.zeros_like(inputs[..., :1])
        for row, pairs in enumerate(inputs.float().unbind(1)):
            marked = pairs[pairs[:, 1] == 1, 0]
            targets[-1, row, 0] = 0.5 + marked.sum() / 4
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The lengths of the paper, which trains a network anew for each of them."""
        return {
            f"length_{length}": replace(self, min_length=length, max_length=length)
            for length in (100, 500, 1000)
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """The lengths of the paper, and others between them and below."""
        return (Sizes("length", ("min_length", "max_length"), (50, 100, 200, 500, 1000)),)


def _places(length: int) -> tuple[int, int]:
    """From how many of the first pairs the first and the second marked one are chosen."""
    return min(10, length // 2 - 1), length // 2 - 1


def _first_is_chosen(length: int) -> float:
    """The probability that the first pair of the sequence is one of the two."""
    near, far = _places(length)
    return 1 / near + (1 - 1 / near) / (far - 1)


def _answer(numbers: Tensor, markers: Tensor) -> Tensor:
    return 0.5 + torch.where(markers == 1, numbers, 0).sum(0) / 4

"""The duplicated task: see a sequence of random vectors, then say each of them twice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.base import (
    Axis,
    Batch,
    Rows,
    Task,
    asked,
    check_size,
    question_and_answer,
    random_bits,
    random_size,
)
from tasks.costs import BITS
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import GRID, at_lengths, check_lengths, faultless, length_axis


@register("duplicated")
@dataclass(frozen=True, kw_only=True)
class Duplicated:
    """Show a sequence of random binary vectors and a delimiter; the answer has each vector twice.

    The answer to s1 s2 s3 is s1 s1 s2 s2 s3 s3. (To say the whole sequence twice, as Deletang et
    al. 2023 do, is `DuplicateString`; the defaults here are its binary strings of 1 to 40 symbols.)
    A sequence takes T = 3 length + 1 steps: the vectors, the delimiter, then twice as many steps
    without any input, for the answer. Inputs [T, B, bits + 1], targets [T, B, bits].

    Raises:
        ValueError: a size is below 1, or min_length is above max_length.

    Four vectors of two bits (input 2 is the delimiter):

    >>> from tasks.base import draw
    >>> task = Duplicated(bits=2, min_length=4, max_length=4)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 | # . # # . . . . . . . . .
             1 | # . . . . . . . . . . . .
             2 | . . . . # . . . . . . . .
    targets  0 |           # # . . # # # #
             1 |           # # . . . . . .
    """

    cost = BITS
    grid = GRID
    bits: int = 1
    """Bits in each vector: 1 for the binary strings of the paper."""
    min_length: int = 1
    """Fewest vectors in a sequence; uniform from here to max_length, one length a batch."""
    max_length: int = 40
    """Most vectors in a sequence (included)."""

    def __post_init__(self) -> None:
        check_size("bits", self.bits)
        check_lengths(self.min_length, self.max_length)

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return self.bits + 1

    @property
    def output_size(self) -> int:
        """The number of bits answered at each step, O."""
        return self.bits

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (Rows("bits", self.bits), Rows("delimiter", 1))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("bits", self.bits),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The length of the sequence."""
        return length_axis(self.min_length, self.max_length)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        vectors = random_bits((length, batch_size, self.bits), generator)
        return question_and_answer(vectors, vectors.repeat_interleave(2, dim=0))

    def chance_cost(self) -> float:
        """One bit for each bit of the answer, twice as long as a sequence of mean length."""
        return float(self.bits * (self.min_length + self.max_length))

    def chance_errors(self) -> float:
        """Half the bits of the answer."""
        return self.chance_cost() / 2

    @property
    def solved(self) -> Solved:
        """One wrong bit in a hundred sequences."""
        return faultless("bit", "has found the algorithm", 80)

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: each vector before the delimiter, twice."""
        vectors = asked(inputs)
        targets = torch.zeros_like(inputs[..., : self.bits])
        start = len(vectors) + 1
        targets[start::2] = vectors
        targets[start + 1 :: 2] = vectors
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The longest of training, and two of the lengths to 500 that the paper tests."""
        return at_lengths(self)

"""The copy task: see a sequence of random vectors, then repeat it from memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tasks.base import (
    Axis,
    Batch,
    Rows,
    Sizes,
    Task,
    asked,
    check_range,
    check_size,
    question_and_answer,
    random_bits,
    random_size,
)
from tasks.costs import BITS
from tasks.registry import register
from tasks.solved import Paper, Solved


@register("copy")
@dataclass(frozen=True, kw_only=True)
class Copy:
    """Show a sequence of random binary vectors and a delimiter; the answer is the same sequence.

    Graves et al. 2014, section 4.1. A sequence takes T = 2 length + 1 steps: the vectors, the
    delimiter on a channel of its own, then as many steps without any input, in which the vectors
    are answered. Inputs [T, B, bits + 1], targets [T, B, bits].

    Raises:
        ValueError: a size is below 1, or min_length is above max_length.

    Three vectors of four bits (one line a channel, one column a step; input 4 is the delimiter):

    >>> from tasks.base import draw
    >>> task = Copy(bits=4, min_length=3, max_length=3)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(4))))
    inputs   0 | . . # . . . .
             1 | # # . . . . .
             2 | # . . . . . .
             3 | # . # . . . .
             4 | . . . # . . .
    targets  0 |         . . #
             1 |         # # .
             2 |         # . .
             3 |         # . #
    """

    cost = BITS
    bits: int = 8
    """Bits in each vector."""
    min_length: int = 1
    """Fewest vectors in a sequence; uniform from here to max_length, one length a batch."""
    max_length: int = 20
    """Most vectors in a sequence (included)."""

    def __post_init__(self) -> None:
        check_size("bits", self.bits)
        check_range("min_length", self.min_length, "max_length", self.max_length)

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
        return (Axis(("min_length", "max_length"), self.min_length, self.max_length),)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        vectors = random_bits((length, batch_size, self.bits), generator)
        return question_and_answer(vectors, vectors)

    def chance_cost(self) -> float:
        """One bit for each bit of a sequence of mean length."""
        return self.bits * (self.min_length + self.max_length) / 2

    def chance_errors(self) -> float:
        """Half the bits of a sequence of mean length."""
        return self.chance_cost() / 2

    @property
    def solved(self) -> Solved:
        """One wrong bit in a hundred sequences."""
        return Solved(
            "wrong_bits",
            0.01,
            "A network that has found the algorithm makes no mistakes, and one wrong bit in 100 "
            "sequences of 84 bits on average is as little as some hundred sequences can show.",
            Paper(
                "Graves et al. 2014, figures 3 to 5",
                {
                    "NTM": "~0.1 bits at 100,000 sequences; one vector twice at length 120",
                    "NTM, feed-forward": "~0.1 bits at 100,000 sequences",
                    "LSTM": "~4.8 bits at 100,000 sequences, ~0.5 at 1,000,000; fails beyond "
                    "length 20",
                },
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: everything before the delimiter, once more."""
        vectors = asked(inputs)
        targets = torch.zeros_like(inputs[..., : self.bits])
        targets[len(vectors) + 1 :] = vectors
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The lengths of the paper's figures 4 and 5, of which training sees 20 at most."""
        return {
            f"length_{length}": replace(self, min_length=length, max_length=length)
            for length in (10, 20, 30, 50, 120)
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """The lengths of figures 4 and 5, and some between them."""
        return (Sizes("length", ("min_length", "max_length"), (10, 20, 30, 40, 50, 70, 100, 120)),)

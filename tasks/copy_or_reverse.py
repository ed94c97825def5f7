"""The task copy or reverse: see vectors and a sign, then say them forwards or backwards."""

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
from tasks.solved import Solved


@register("copy_or_reverse")
@dataclass(frozen=True, kw_only=True)
class CopyOrReverse:
    """Show random vectors and a sign that says which; the answer is the vectors, or backwards.

    Two tasks in turn, each of which wants a program of its own, as those that Le et al. 2020 put
    one after the other for their stored programs (arXiv 1906.08862). Which it is, is
    drawn for each sequence. T = 2 length + 1 steps: the vectors, the delimiter, the answer without
    any input. Inputs [T, B, bits + 2]: vectors, delimiter, and with it a 1 if the vectors are
    wanted backwards. Targets [T, B, bits].

    Raises:
        ValueError: a size is below 1, or min_length is above max_length.

    Three vectors of two bits, backwards (input 2 is the delimiter, input 3 the sign):

    >>> from tasks.base import draw
    >>> task = CopyOrReverse(bits=2, min_length=3, max_length=3)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 | # . # . . . .
             1 | # . . . . . .
             2 | . . . # . . .
             3 | . . . # . . .
    targets  0 |         # . #
             1 |         . . #
    """

    cost = BITS
    bits: int = 8
    """Bits in each vector."""
    min_length: int = 1
    """Fewest vectors in a sequence; uniform from here to max_length, one length a batch."""
    max_length: int = 10
    """Most vectors in a sequence (included)."""

    def __post_init__(self) -> None:
        check_size("bits", self.bits)
        check_range("min_length", self.min_length, "max_length", self.max_length)

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return self.bits + 2

    @property
    def output_size(self) -> int:
        """The number of bits answered at each step, O."""
        return self.bits

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (Rows("bits", self.bits), Rows("delimiter", 1), Rows("backwards", 1))

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
        backwards = random_bits((batch_size, 1), generator)
        answer = torch.where(backwards == 1, vectors.flip(0), vectors)
        shown = question_and_answer(vectors, answer)
        sign = torch.zeros_like(shown.inputs[..., :1])
        sign[length] = backwards
        return shown._replace(inputs=torch.cat([shown.inputs, sign], dim=-1))

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
            "A network that has found both programs makes no mistakes, and one wrong bit in 100 "
            "sequences of 44 bits on average is as little as some hundred sequences can show.",
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: what came before the delimiter, in the order of its sign."""
        vectors = asked(inputs[..., :-1])
        targets = torch.zeros_like(inputs[..., : self.bits])
        for row, backwards in enumerate(inputs[len(vectors), :, -1].bool().tolist()):
            answer = reversed(vectors[:, row].unbind(0)) if backwards else vectors[:, row]
            for place, vector in enumerate(answer):
                targets[len(vectors) + 1 + place, row] = vector
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The longest of training, and two lengths beyond it."""
        return {
            f"length_{length}": replace(self, min_length=length, max_length=length)
            for length in (10, 20, 50)
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """Lengths up to five times those of training."""
        return (Sizes("length", ("min_length", "max_length"), (5, 10, 20, 50)),)

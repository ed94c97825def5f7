"""The interference copy task: see vectors, then others to ignore, then repeat the first ones."""

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
    check_range,
    check_size,
    random_bits,
    random_size,
)
from tasks.costs import BITS
from tasks.registry import register
from tasks.solved import Solved


@register("interference_copy")
@dataclass(frozen=True, kw_only=True)
class InterferenceCopy:
    """Show random vectors to keep, then distractors to ignore; the answer is what was to be kept.

    The copying problem of Hochreiter and Schmidhuber 1997 and of Arjovsky et al. 2016 (arXiv
    1511.06464), with random vectors in place of its blank delay: what is kept must be protected
    from what comes later. T = 2 length + distractors + 2 steps: the vectors, a delimiter, the
    distractors, the sign to recall, then as many steps without any input as there were vectors.
    Inputs [T, B, bits + 2]: vectors, delimiter, recall. Targets [T, B, bits].

    Raises:
        ValueError: a size is below 1, or a range is empty.

    Two vectors of three bits and three distractors (inputs 3 and 4 are delimiter and recall):

    >>> from tasks.base import draw
    >>> task = InterferenceCopy(
    ...     bits=3, min_length=2, max_length=2, min_distractors=3, max_distractors=3
    ... )
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(0))))
    inputs   0 | # # . # . . . . .
             1 | . # . # . . . . .
             2 | # # . # # . . . .
             3 | . . # . . . . . .
             4 | . . . . . . # . .
    targets  0 |               # #
             1 |               . #
             2 |               # #
    """

    cost = BITS
    bits: int = 8
    """Bits in each vector."""
    min_length: int = 1
    """Fewest vectors to keep; uniform from here to max_length, one length a batch."""
    max_length: int = 10
    """Most vectors to keep (included)."""
    min_distractors: int = 1
    """Fewest vectors to ignore; uniform from here to max_distractors, one number a batch."""
    max_distractors: int = 20
    """Most vectors to ignore (included)."""

    def __post_init__(self) -> None:
        check_size("bits", self.bits)
        check_range("min_length", self.min_length, "max_length", self.max_length)
        low, high = self.min_distractors, self.max_distractors
        check_range("min_distractors", low, "max_distractors", high)

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
        return (Rows("bits", self.bits), Rows("delimiter", 1), Rows("recall", 1))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("bits", self.bits),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """How much there is to keep, and how much to ignore."""
        return (
            Axis(("min_length", "max_length"), self.min_length, self.max_length),
            Axis(
                ("min_distractors", "max_distractors"), self.min_distractors, self.max_distractors
            ),
        )

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        distractors = random_size(self.min_distractors, self.max_distractors, generator)
        vectors = random_bits((length, batch_size, self.bits), generator)
        steps = 2 * length + distractors + 2
        inputs = vectors.new_zeros(steps, batch_size, self.input_size)
        targets = vectors.new_zeros(steps, batch_size, self.output_size)
        mask = vectors.new_zeros(steps, batch_size)
        inputs[:length, :, : self.bits] = vectors
        inputs[length, :, self.bits] = 1
        ignored = random_bits((distractors, batch_size, self.bits), generator)
        inputs[length + 1 : -length - 1, :, : self.bits] = ignored
        inputs[-length - 1, :, self.bits + 1] = 1
        targets[-length:] = vectors
        mask[-length:] = 1
        return Batch(inputs, targets, mask)

    def chance_cost(self) -> float:
        """One bit for each bit to keep, at mean length."""
        return self.bits * (self.min_length + self.max_length) / 2

    def chance_errors(self) -> float:
        """Half the bits to keep."""
        return self.chance_cost() / 2

    @property
    def solved(self) -> Solved:
        """One wrong bit in a hundred sequences."""
        return Solved(
            "wrong_bits",
            0.01,
            "What is protected comes back whole, as in copy, and one wrong bit in 100 sequences of "
            "44 bits on average is as little as some hundred sequences can show.",
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: what came before the delimiter, after the sign to recall."""
        length = int(inputs[:, 0, self.bits].argmax())
        recall = int(inputs[:, 0, self.bits + 1].argmax())
        targets = torch.zeros_like(inputs[..., : self.bits])
        targets[recall + 1 :] = inputs[:length, :, : self.bits]
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The hardest of training, then more distractors, then more of both."""
        return {
            f"length_{length}_distractors_{distractors}": replace(
                self,
                min_length=length,
                max_length=length,
                min_distractors=distractors,
                max_distractors=distractors,
            )
            for length, distractors in ((10, 20), (10, 100), (20, 100))
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """The hardest of training, and beyond it along both axes."""
        return (
            Sizes("length", ("min_length", "max_length"), (10, 15, 20)),
            Sizes("distractors", ("min_distractors", "max_distractors"), (20, 50, 100)),
        )

"""The repeat copy task: see a sequence and a number, repeat it that many times and stop."""

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


@register("repeat_copy")
@dataclass(frozen=True, kw_only=True)
class RepeatCopy:
    """Show random vectors, then how often to repeat them; answer the copies and an end marker.

    Graves et al. 2014, section 4.2. A sequence takes T = length + 1 + length * count + 1 steps: the
    vectors; one step with the delimiter and the count, each on a channel of its own; then, without
    any input, count copies of the vectors and the end marker. Inputs [T, B, bits + 2]: vectors,
    delimiter, count. Targets [T, B, bits + 1]: vectors, end marker.

    The count is shown as (count - mean) / standard deviation of the whole numbers from
    normalise_min_repeats to normalise_max_repeats. Those are fields of their own because they must
    stay what the network was trained with when it is evaluated on more repeats, or when a
    curriculum changes the range.

    Raises:
        ValueError: a size is below 1, or a range is empty, or the normalising range has only one
            number.

    Two vectors of three bits, three times (inputs 3 and 4 are delimiter and count, target 3 the end
    marker):

    >>> from tasks.base import draw
    >>> task = RepeatCopy(bits=3, min_length=2, max_length=2, min_repeats=3, max_repeats=3)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(0))))
    inputs   0 |    #    #    .    .    .    .    .    .    .    .
             1 |    .    #    .    .    .    .    .    .    .    .
             2 |    #    #    .    .    .    .    .    .    .    .
             3 |    .    .    #    .    .    .    .    .    .    .
             4 |    .    . -0.9    .    .    .    .    .    .    .
    targets  0 |                   #    #    #    #    #    #    .
             1 |                   .    #    .    #    .    #    .
             2 |                   #    #    #    #    #    #    .
             3 |                   .    .    .    .    .    .    #
    """

    cost = BITS
    bits: int = 8
    """Bits in each vector: 8 as the paper's text says; its Table 3 counts imply 6."""
    min_length: int = 1
    """Fewest vectors in a sequence; uniform from here to max_length, one length a batch."""
    max_length: int = 10
    """Most vectors in a sequence (included)."""
    min_repeats: int = 1
    """Fewest copies asked for; uniform from here to max_repeats, one count a batch."""
    max_repeats: int = 10
    """Most copies asked for (included)."""
    normalise_min_repeats: int = 1
    """Lowest count of the range that normalises the count shown; evaluation must keep it."""
    normalise_max_repeats: int = 10
    """Highest count of the range that normalises the count shown; evaluation must keep it."""

    def __post_init__(self) -> None:
        check_size("bits", self.bits)
        check_range("min_length", self.min_length, "max_length", self.max_length)
        check_range("min_repeats", self.min_repeats, "max_repeats", self.max_repeats)
        low, high = self.normalise_min_repeats, self.normalise_max_repeats
        # A single number has no spread to divide by.
        check_range("normalise_min_repeats", low, "normalise_max_repeats", high, distinct=True)

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return self.bits + 2

    @property
    def output_size(self) -> int:
        """The number of bits answered at each step, O."""
        return self.bits + 1

    @property
    def count_mean(self) -> float:
        """The mean of the normalising range of counts."""
        return (self.normalise_min_repeats + self.normalise_max_repeats) / 2

    @property
    def count_deviation(self) -> float:
        """The standard deviation of a uniform whole number of the normalising range."""
        choices = self.normalise_max_repeats - self.normalise_min_repeats + 1
        return math.sqrt((choices**2 - 1) / 12)

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        shown = [
            (repeats - self.count_mean) / self.count_deviation
            for repeats in (self.min_repeats, self.max_repeats)
        ]
        count = (min(0.0, *shown), max(0.0, *shown))  # 0 in all other steps
        return (Rows("bits", self.bits), Rows("delimiter", 1), Rows("count", 1, count))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("bits", self.bits), Rows("end marker", 1))

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The length of the sequence, and the number of copies."""
        return (
            Axis(("min_length", "max_length"), self.min_length, self.max_length),
            Axis(("min_repeats", "max_repeats"), self.min_repeats, self.max_repeats),
        )

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        repeats = random_size(self.min_repeats, self.max_repeats, generator)
        vectors = random_bits((length, batch_size, self.bits), generator)
        steps = length + 1 + length * repeats + 1
        inputs = vectors.new_zeros(steps, batch_size, self.input_size)
        targets = vectors.new_zeros(steps, batch_size, self.output_size)
        mask = vectors.new_zeros(steps, batch_size)
        inputs[:length, :, : self.bits] = vectors
        inputs[length, :, self.bits] = 1
        inputs[length, :, self.bits + 1] = (repeats - self.count_mean) / self.count_deviation
        targets[length + 1 : -1, :, : self.bits] = vectors.repeat(repeats, 1, 1)
        targets[-1, :, self.bits] = 1
        mask[length + 1 :] = 1
        return Batch(inputs, targets, mask)

    def chance_cost(self) -> float:
        """One bit for each bit of the copies; knowing the layout makes the end marker free."""
        mean_length = (self.min_length + self.max_length) / 2
        mean_repeats = (self.min_repeats + self.max_repeats) / 2
        return self.bits * mean_length * mean_repeats

    def chance_errors(self) -> float:
        """Half the bits of the copies; the end marker is known."""
        return self.chance_cost() / 2

    @property
    def solved(self) -> Solved:
        """One wrong bit in ten sequences."""
        return Solved(
            "wrong_bits",
            0.1,
            "A sequence has some 240 bits to answer, so one wrong bit in 10 sequences is one in "
            "2,400; a network that cannot count misses the end marker, at least one wrong bit in "
            "every sequence.",
            Paper(
                "Graves et al. 2014, figures 7 and 8",
                {
                    "NTM": "~5 bits or less at 50,000 sequences; at 20 repeats it ends too early",
                    "NTM, feed-forward": "~5 bits or less at 100,000 sequences",
                    "LSTM": "~5 bits or less at 150,000 sequences; fails at double the length or "
                    "repeats",
                },
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: as many copies as the count says, then the end marker."""
        length = int(inputs[:, 0, self.bits].argmax())  # the step of the delimiter
        shown = float(inputs[length, 0, self.bits + 1])
        repeats = round(shown * self.count_deviation + self.count_mean)
        end = length + 1 + length * repeats
        targets = torch.zeros_like(inputs[..., : self.output_size])
        targets[length + 1 : end, :, : self.bits] = inputs[:length, :, : self.bits].repeat(
            repeats, 1, 1
        )
        targets[end, :, self.bits] = 1
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The corner of the training range, double the length, double the repeats (figure 8)."""
        return {
            f"length_{length}_repeats_{repeats}": replace(
                self, min_length=length, max_length=length, min_repeats=repeats, max_repeats=repeats
            )
            for length, repeats in ((10, 10), (20, 10), (10, 20))
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """The corner of the training range, and beyond it along both axes."""
        return (
            Sizes("length", ("min_length", "max_length"), (10, 15, 20)),
            Sizes("repeats", ("min_repeats", "max_repeats"), (10, 15, 20)),
        )

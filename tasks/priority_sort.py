"""The priority sort task: see vectors with priorities, answer the highest ones in order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tasks.base import Axis, Batch, Rows, Sizes, Task, check_range, check_size, random_bits
from tasks.costs import BITS
from tasks.registry import register
from tasks.solved import Paper, Solved


@register("priority_sort")
@dataclass(frozen=True, kw_only=True)
class PrioritySort:
    """Show random vectors, each with a priority; the answer is the top ones in descending order.

    Graves et al. 2014, section 4.5. A sequence takes T = length + 1 + answer_length steps: the
    vectors with their priorities, a delimiter, then the answer without any input. Inputs [T, B,
    bits + 2]: vector, priority (uniform on [-1, 1)), delimiter. Targets [T, B, bits]. Whole vectors
    are sorted, never a channel by itself; equal priorities (1 sequence in some 90,000) keep the
    order in which they were shown.

    The paper says neither how wide the vectors are nor whether a delimiter is shown. Here they are
    8 bits wide, and there is a delimiter, so that a network can tell when to answer at lengths it
    was not trained on.

    Raises:
        ValueError: a size is below 1, or answer_length is above length.

    Four vectors of three bits, of which the top three are asked for (input 3 is the priority, 4 the
    delimiter):

    >>> from tasks.base import draw
    >>> task = PrioritySort(bits=3, length=4, answer_length=3)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 |    .    .    .    #    .    .    .    .
             1 |    #    .    #    .    .    .    .    .
             2 |    #    #    .    #    .    .    .    .
             3 | -0.2  0.8  0.1  0.4    .    .    .    .
             4 |    .    .    .    .    #    .    .    .
    targets  0 |                             .    #    .
             1 |                             .    .    #
             2 |                             #    #    .
    """

    cost = BITS
    bits: int = 8
    """Bits in each vector; the paper does not say how many."""
    length: int = 20
    """Vectors shown in each sequence."""
    answer_length: int = 16
    """Vectors asked for: those of the highest priorities."""

    def __post_init__(self) -> None:
        check_size("bits", self.bits)
        check_range("answer_length", self.answer_length, "length", self.length)

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
        return (Rows("bits", self.bits), Rows("priority", 1, (-1.0, 1.0)), Rows("delimiter", 1))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("bits", self.bits),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The vectors shown, and with them those asked for."""
        return (
            Axis(("length",), 1, self.length),
            Axis(("answer_length",), 1, self.answer_length),
        )

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        vectors = random_bits((self.length, batch_size, self.bits), generator)
        uniform = torch.rand(
            self.length,
            batch_size,
            generator=generator,
            device=generator.device,
            dtype=torch.float32,
        )
        priorities = 2 * uniform - 1
        steps = self.length + 1 + self.answer_length
        inputs = vectors.new_zeros(steps, batch_size, self.input_size)
        targets = vectors.new_zeros(steps, batch_size, self.output_size)
        mask = vectors.new_zeros(steps, batch_size)
        inputs[: self.length, :, : self.bits] = vectors
        inputs[: self.length, :, self.bits] = priorities
        inputs[self.length, :, self.bits + 1] = 1
        targets[self.length + 1 :] = _highest(vectors, priorities, self.answer_length)
        mask[self.length + 1 :] = 1
        return Batch(inputs, targets, mask)

    def chance_cost(self) -> float:
        """One bit for each bit of the answer."""
        return float(self.bits * self.answer_length)

    def chance_errors(self) -> float:
        """Half the bits of the answer."""
        return self.chance_cost() / 2

    @property
    def solved(self) -> Solved:
        """Cheaper than the paper's NTM after a million sequences: 18 bits of 128."""
        return Solved(
            "bits_per_sequence",
            18 / 128 * self.chance_cost(),
            "The paper's networks do not sort without a fault, so the limit is what its best one "
            "pays after 1,000,000 sequences, 18 of the 128 bits of the answer, and the same share "
            "of them at other sizes.",
            Paper(
                "Graves et al. 2014, figure 18",
                {
                    "NTM": "~18 bits at 1,000,000 sequences",
                    "NTM, feed-forward": "~20 bits at 1,000,000 sequences",
                    "LSTM": "~58 bits at 1,000,000 sequences",
                },
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: the vectors sorted by priority, as many as there are steps."""
        length = int(inputs[:, 0, self.bits + 1].argmax())  # the step of the delimiter
        vectors, priorities = inputs[:length, :, : self.bits], inputs[:length, :, self.bits]
        targets = torch.zeros_like(inputs[..., : self.bits])
        targets[length + 1 :] = _highest(vectors, priorities, len(inputs) - length - 1)
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The paper's 20 vectors of which 16 are asked for, then half and 1.5 times as many."""
        return {
            f"length_{length}": replace(self, length=length, answer_length=answer_length)
            for length, answer_length in ((20, 16), (10, 8), (30, 24))
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """From half to 1.5 times the vectors, of which four fifths are asked for."""
        return (
            Sizes(
                "length",
                ("length", "answer_length"),
                ((10, 8), (15, 12), (20, 16), (25, 20), (30, 24)),
            ),
        )


def _highest(vectors: Tensor, priorities: Tensor, count: int) -> Tensor:
    """Those count of the vectors [length, B, bits] with the highest priorities [length, B]."""
    order = priorities.argsort(dim=0, descending=True, stable=True)[:count]
    rows = torch.arange(vectors.shape[1], device=vectors.device)
    return vectors[order, rows]

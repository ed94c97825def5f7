"""The dynamic N-grams task: predict the bits of a source that is drawn anew for every sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tasks.base import Axis, Batch, Rows, Sizes, Task, check_size, random_bits
from tasks.costs import BITS
from tasks.registry import register
from tasks.solved import GAP, Paper, Solved


@register("dynamic_ngram")
@dataclass(frozen=True, kw_only=True)
class DynamicNGram:
    """Show random bits of an unknown N-gram source one by one; the answer is always the next bit.

    Graves et al. 2014, section 4.4. A source gives each of the 2^context last bits seen a
    probability that 1 comes next, drawn from Beta(1/2, 1/2). A sequence is `length` bits: the first
    `context` are fair coins, each later one follows the source. At step t the network has seen bits
    1 to t - 1 and predicts bit t, so the input is a blank 0 and then the bits, one step late.
    Inputs [T, B, 1], targets [T, B, 1], T = length.

    All bits are scored, the first ones too. The best predictor then pays 133.3 bits on average for
    200 bits (`OPTIMUM`): 5 for the coins, which nothing can predict, and 128.3 for the rest. The
    axis of the paper's figure 13 has its optimum at about 133, so costs compare directly.

    Raises:
        ValueError: length is below 1, or context is not from 1 to 20.

    The first 16 bits of a source with a context of 2:

    >>> from tasks.base import draw
    >>> task = DynamicNGram(context=2, length=16)
    >>> batch = task.sample(1, torch.Generator().manual_seed(2))
    >>> print(draw(batch))
    inputs   0 | . . # . # . # . # . . # . . # #
    targets  0 | . # . # . # . # . . # . . # # .
    >>> task.solve(batch.inputs)[:8].flatten()
    tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.2500, 0.7500, 0.1667, 0.8333])
    """

    cost = BITS
    length: int = 200
    """Bits in a sequence."""
    context: int = 5
    """How many of the last bits decide the odds of the next one: N - 1 for an N-gram."""

    def __post_init__(self) -> None:
        check_size("length", self.length)
        check_size("context", self.context)
        if self.context > 20:
            raise ValueError(
                f"context must be at most 20, got context={self.context}, which needs a table of "
                f"2^{self.context} probabilities for each sequence: lower context"
            )

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return 1

    @property
    def output_size(self) -> int:
        """The number of bits answered at each step, O."""
        return 1

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (Rows("last bit", 1),)

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("next bit", 1),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The context: the longer it is, the more odds there are to find out."""
        return (Axis(("context",), 1, self.context),)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        bits = self._draw_bits(batch_size, generator)
        inputs = torch.cat([bits.new_zeros(1, batch_size), bits[:-1]])
        return Batch(inputs.unsqueeze(-1), bits.unsqueeze(-1), torch.ones_like(bits))

    def _draw_bits(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """The bits of one fresh source for each row, [T, B]."""
        contexts = 2**self.context
        options = {"generator": generator, "device": generator.device, "dtype": torch.float32}
        # Beta(1/2, 1/2) is the arcsine distribution.
        table = torch.sin(torch.rand(batch_size * contexts, **options) * (torch.pi / 2)).square()
        first = random_bits((self.context, batch_size), generator)
        later = torch.rand(max(self.length - self.context, 0), batch_size, **options)

        # Where each row is in the table: its own part of it, then the last bits as a number.
        seen = first.cpu().numpy().astype(np.int64).T @ (1 << np.arange(self.context)[::-1])
        places = np.arange(batch_size) * contexts + seen
        drawn = _follow(table.cpu().numpy(), contexts, later.cpu().numpy(), places)
        bits = torch.from_numpy(drawn).to(generator.device, torch.float32)
        return torch.cat([first, bits])[: self.length]

    def chance_cost(self) -> float:
        """Beta(1/2, 1/2) is symmetric, so each bit alone is a fair coin."""
        return float(self.length)

    def chance_errors(self) -> float:
        """Half of all bits."""
        return self.length / 2

    @property
    def solved(self) -> Solved:
        """At most 0.4 bits (of 200) above what the best possible predictor pays."""
        return Solved(
            GAP,
            0.002 * self.length,
            "No predictor can know the bits, so what counts is how much more a network pays than "
            "the best one on the same sequences: 0.4 bits of 200 is less than the 0.5 by which the "
            "paper's NTM is above the optimum in figure 13, and over 256 sequences its mean is "
            "sure to a tenth of a bit, the mean of the cost only to 2 bits.",
            Paper(
                "Graves et al. 2014, figure 13, where the optimum is at ~133",
                {
                    "NTM": "~133.5 bits",
                    "NTM, feed-forward": "~134 bits",
                    "LSTM": "~136 bits",
                },
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The probability of a 1 at every step, [T, B, 1], that the Bayes-optimal predictor gives.

        It is the Krichevsky-Trofimov estimator (ones + 1/2) / (ones + zeros + 1), counting the ones
        and zeros that have followed the present context so far, and 1/2 before the first full
        context.
        """
        bits = inputs[1:, :, 0].cpu().numpy() > 0.5  # [T - 1, B]; bits[t] is the target of step t
        batch_size = bits.shape[1]
        counts = np.zeros((batch_size * 2**self.context, 2))  # of zeros and ones
        row_starts = np.arange(batch_size) * 2**self.context
        probabilities = np.full(inputs.shape[:2], 0.5)
        seen = np.zeros(batch_size, dtype=np.int64)  # the last bits, as a number
        for step in range(len(inputs)):
            place = row_starts + seen
            if step >= self.context:
                zeros, ones = counts[place].T
                probabilities[step] = (ones + 0.5) / (ones + zeros + 1)
            if step < len(bits):
                if step >= self.context:
                    counts[place, bits[step].astype(np.int64)] += 1
                seen = (2 * seen + bits[step]) % 2**self.context
        return torch.from_numpy(probabilities).unsqueeze(-1).to(inputs.device, inputs.dtype)

    def optimal_cost(self, batch: Batch) -> Tensor:
        """What the Bayes-optimal predictor pays for each sequence of a batch, [B], in bits.

        No predictor pays less on average, though one may on a given sequence.

        >>> task = DynamicNGram()
        >>> batch = task.sample(10000, torch.Generator().manual_seed(0))
        >>> 132 < float(task.optimal_cost(batch).mean()) < 134
        True
        """
        probabilities = self.solve(batch.inputs.double())
        given = torch.where(batch.targets > 0.5, probabilities, 1 - probabilities)
        return -(given.log2().sum(-1) * batch.mask).sum(0)

    def evaluations(self) -> dict[str, Task]:
        """The paper's validation: sequences of 200 bits (it takes 1000 of them)."""
        return {"length_200": replace(self, length=200)}

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """The paper's 200 bits, and twice as many."""
        return (Sizes("length", ("length",), (200, 400)),)


OPTIMUM = 133.3
"""Bits that the best possible predictor pays on average for 200 bits with a context of 5.

The mean of 4,000,000 sequences was 133.294, with a standard error of 0.015.
"""

AT_ONCE = 2**18
"""How many places may be prepared at once; more would take memory that no cache holds."""


def _follow(
    odds: np.ndarray, contexts: int, uniforms: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """The bits [T, B] that the rows of a table of odds [B * contexts] draw.

    A row at place p draws 1 if its number in `uniforms` [T, B] is below odds[p]. Each bit needs the
    one before it: where the table is small, every step from every place is prepared for all of T
    together, which leaves a single call of NumPy for each step.
    """
    starts = np.arange(len(odds))
    # Drop the oldest bit and append a 0; a 1 leads to the next place, an odd one.
    after_zero = starts - starts % contexts + 2 * starts % contexts
    visited = np.empty(uniforms.shape, dtype=places.dtype)
    if len(odds) * len(uniforms) <= AT_ONCE:
        prepared = after_zero + (np.repeat(uniforms, contexts, axis=1) < odds)
        for step, follow in enumerate(prepared):
            visited[step] = places = follow[places]
    else:
        for step, uniform in enumerate(uniforms):
            visited[step] = places = after_zero[places] + (uniform < odds[places])
    return visited & 1

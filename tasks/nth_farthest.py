"""The nth farthest task: see labelled vectors, say which is the nth farthest from one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tasks.base import Axis, Batch, Rows, Sizes, Task, check_size
from tasks.costs import SYMBOLS
from tasks.registry import register
from tasks.solved import Paper, Solved


@register("nth_farthest")
@dataclass(frozen=True, kw_only=True)
class NthFarthest:
    """Show labelled random vectors; answer which is the nth farthest from the one labelled m.

    Santoro et al. 2018 (Relational recurrent neural networks, arXiv 1806.01822), section 4.1. The
    vectors are uniform on [-1, 1), and their labels all different. The question, n and m, is drawn
    for every sequence and shown in each of the T = vectors steps; the answer, a label, is scored in
    the last of them. Distances are Euclidean; n = 1 asks for the farthest vector, and n = vectors
    for m itself. Inputs [T, B, dimensions + 3 labels]: vector, its label, m, n (each one-hot).
    Targets [T, B, labels]: a symbol, one-hot.

    Raises:
        ValueError: a size is below 1, or there are fewer than 2 or fewer labels than vectors.

    Of three vectors of one number each, the second farthest from that with label 1 has label 0
    (inputs 1 to 3 are the label, 4 to 6 are m, 7 to 9 are n):

    >>> from tasks.base import draw
    >>> task = NthFarthest(dimensions=1, vectors=3, labels=3)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(0))))
    inputs   0 | -0.0  0.5 -0.8
             1 |    #    .    .
             2 |    .    #    .
             3 |    .    .    #
             4 |    .    .    .
             5 |    #    #    #
             6 |    .    .    .
             7 |    .    .    .
             8 |    #    #    #
             9 |    .    .    .
    targets  0 |              #
             1 |              .
             2 |              .
    """

    cost = SYMBOLS
    dimensions: int = 16
    """Numbers in each vector."""
    vectors: int = 8
    """Vectors in a sequence."""
    labels: int = 8
    """Different labels; more than there are vectors leave room to add vectors later."""

    def __post_init__(self) -> None:
        check_size("dimensions", self.dimensions)
        check_size("vectors", self.vectors)
        check_size("labels", self.labels, minimum=2)
        if self.labels < self.vectors:
            raise ValueError(
                f"labels must be at least as many as vectors, got labels={self.labels} and "
                f"vectors={self.vectors}: pass labels={self.vectors} or more, or fewer vectors"
            )

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return self.dimensions + 3 * self.labels

    @property
    def output_size(self) -> int:
        """The number of symbols to choose from, O."""
        return self.labels

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (
            Rows("vector", self.dimensions, (-1.0, 1.0)),
            Rows("label", self.labels),
            Rows("m", self.labels),
            Rows("n", self.labels),
        )

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("label", self.labels),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The number of vectors; with 2 of them, only m and the other one can be asked for."""
        return (Axis(("vectors",), min(2, self.vectors), self.vectors),)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        options = {"generator": generator, "device": generator.device, "dtype": torch.float32}
        vectors = 2 * torch.rand(self.vectors, batch_size, self.dimensions, **options) - 1
        order = torch.rand(batch_size, self.labels, **options).argsort(-1)
        labels = order[:, : self.vectors].T  # [vectors, B]
        asked = {"size": (batch_size,), "generator": generator, "device": generator.device}
        reference = torch.randint(self.vectors, **asked)  # a step
        rank = torch.randint(self.vectors, **asked)  # n - 1
        rows = torch.arange(batch_size, device=generator.device)
        distances = (vectors.double() - vectors[reference, rows].double()).square().sum(-1)
        farthest = distances.argsort(dim=0, descending=True, stable=True)  # [vectors, B], steps

        question = torch.cat(
            [one_hot(labels[reference, rows], self.labels), one_hot(rank, self.labels)], dim=-1
        )
        shown = [vectors, one_hot(labels, self.labels), question.expand(self.vectors, -1, -1)]
        inputs = torch.cat([part.to(torch.float32) for part in shown], dim=-1)
        targets = torch.zeros_like(inputs[..., : self.labels])
        targets[-1] = one_hot(labels[farthest[rank, rows], rows], self.labels)
        mask = torch.zeros_like(inputs[..., 0])
        mask[-1] = 1
        return Batch(inputs, targets, mask)

    def chance_cost(self) -> float:
        """The logarithm of the number of labels: all are equally likely."""
        return math.log2(self.labels)

    def chance_errors(self) -> float:
        """All but one in as many as there are labels."""
        return 1 - 1 / self.labels

    @property
    def solved(self) -> Solved:
        """More answers right than the paper's 91%."""
        return Solved(
            "wrong_symbols",
            0.09,
            "Distances that are almost equal cannot be told apart for ever, so the limit is not 0 "
            "but the paper's: its relational memory answers 91% right.",
            Paper(
                "Santoro et al. 2018, section 5.1",
                {"RMC": "91% right", "LSTM": "below 30% right", "DNC": "below 30% right"},
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: all distances measured and sorted, row by row."""
        ends = [self.dimensions + i * self.labels for i in range(3)]
        vectors = inputs[..., : ends[0]].double()
        labels = inputs[..., ends[0] : ends[1]].argmax(-1)  # [T, B]
        references, ranks = inputs[0, :, ends[1] : ends[2]], inputs[0, :, ends[2] :]
        targets = torch.zeros_like(inputs[..., : self.labels])
        for row in range(inputs.shape[1]):
            step = int((labels[:, row] == references[row].argmax()).nonzero())
            distances = torch.stack([(v - vectors[step, row]).norm() for v in vectors[:, row]])
            farthest = distances.argsort(descending=True, stable=True)
            targets[-1, row, labels[farthest[ranks[row].argmax()], row]] = 1
        return targets

    def evaluations(self) -> dict[str, Task]:
        """Half the vectors, and as many as there are labels: the paper has 8 of both."""
        return {
            f"vectors_{vectors}": replace(self, vectors=vectors)
            for vectors in sorted({max(self.labels // 2, 1), self.labels})
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """From few vectors to as many as there are labels: more would need more labels."""
        return (Sizes("vectors", ("vectors",), (2, 4, 6, 8)),)

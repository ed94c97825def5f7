"""The associative recall task: see a list of items, be asked what came after one."""

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
    random_size,
)
from tasks.costs import BITS
from tasks.different import different_bits
from tasks.planning import planned
from tasks.registry import register
from tasks.solved import Paper, Solved


@register("associative_recall")
@dataclass(frozen=True, kw_only=True)
class AssociativeRecall:
    """Show a list of items and then one of them again; the answer is the item that followed it.

    Graves et al. 2014, section 4.3. An item is item_length random binary vectors. Each item of the
    list comes after an item delimiter, the query stands between two query delimiters, and the
    answer follows without any input. At the paper's item length of 3 a sequence takes T = 4 items +
    5 + 3 steps. Inputs [T, B, bits + 2]: vectors, item delimiter (row 7 of the paper's figure),
    query delimiter (row 8). Targets [T, B, bits].

    The query is uniform over all items but the last, which nothing follows. The items of one
    sequence are all different (uniform over such lists), else the query could stand for two of
    them; at the paper's sizes chance would repeat an item in 1 of 17,000 sequences of 6 items.

    With a planning budget (Shamshoum et al. 2024, arXiv 2406.02187), blank steps come before the
    answer: `planning_steps`, and `planning_per_item` times the number of items.

    Raises:
        ValueError: a size is below 1, a budget below 0, there are fewer than 2 items, min_items
            is above max_items, or there are fewer different items than max_items.

    Three items of two vectors of three bits, queried with the first (inputs 3 and 4 are the
    delimiters):

    >>> from tasks.base import draw
    >>> task = AssociativeRecall(bits=3, item_length=2, min_items=3, max_items=3)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 | . # . . # . . # # . # . . . .
             1 | . # # . . # . # # . # # . . .
             2 | . . . . # # . # . . . . . . .
             3 | # . . # . . # . . . . . . . .
             4 | . . . . . . . . . # . . # . .
    targets  0 |                           # .
             1 |                           . #
             2 |                           # #
    """

    cost = BITS
    bits: int = 6
    """Bits in each vector."""
    item_length: int = 3
    """Vectors in each item."""
    min_items: int = 2
    """Fewest items in a list; uniform from here to max_items, one number a batch."""
    max_items: int = 6
    """Most items in a list (included)."""
    planning_steps: int = 0
    """Blank steps before the answer, a planning budget."""
    planning_per_item: int = 0
    """More of them for each item of the list, a budget that grows with the question."""

    def __post_init__(self) -> None:
        check_size("bits", self.bits)
        check_size("planning_steps", self.planning_steps, minimum=0)
        check_size("planning_per_item", self.planning_per_item, minimum=0)
        check_size("item_length", self.item_length)
        check_range("min_items", self.min_items, "max_items", self.max_items, minimum=2)
        if self.max_items > self._different_items:
            raise ValueError(
                f"the items of a list must all be different, but item_length={self.item_length} "
                f"vectors of bits={self.bits} make only {self._different_items} items, got "
                f"max_items={self.max_items}: raise bits or item_length, or lower max_items"
            )

    @property
    def _different_items(self) -> int:
        return 2 ** (self.bits * self.item_length)

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
        return (Rows("bits", self.bits), Rows("item delimiter", 1), Rows("query delimiter", 1))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("bits", self.bits),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The number of items."""
        return (Axis(("min_items", "max_items"), self.min_items, self.max_items),)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        count = random_size(self.min_items, self.max_items, generator)
        shape = batch_size, count, self.item_length * self.bits
        items = different_bits(shape, 1, generator).unflatten(-1, (self.item_length, self.bits))
        query = torch.randint(
            count - 1, (batch_size,), generator=generator, device=generator.device
        )
        rows = torch.arange(batch_size, device=generator.device)

        block = self.item_length + 1
        listed = count * block  # the steps that show the list
        steps = listed + 1 + block + self.item_length
        inputs = items.new_zeros(steps, batch_size, self.input_size)
        targets = items.new_zeros(steps, batch_size, self.output_size)
        mask = items.new_zeros(steps, batch_size)
        blocks = inputs[:listed].view(count, block, batch_size, self.input_size)
        blocks[:, 0, :, self.bits] = 1
        blocks[:, 1:, :, : self.bits] = items.permute(1, 2, 0, 3)
        inputs[listed, :, self.bits + 1] = 1
        inputs[listed + 1 : listed + block, :, : self.bits] = items[rows, query].transpose(0, 1)
        inputs[listed + block, :, self.bits + 1] = 1
        targets[-self.item_length :] = items[rows, query + 1].transpose(0, 1)
        mask[-self.item_length :] = 1
        budget = self.planning_steps + self.planning_per_item * count
        return planned(Batch(inputs, targets, mask), budget)

    def chance_cost(self) -> float:
        """One bit for each bit of an item."""
        return float(self.bits * self.item_length)

    def chance_errors(self) -> float:
        """Half the bits of an item."""
        return self.chance_cost() / 2

    @property
    def solved(self) -> Solved:
        """One wrong bit in ten sequences."""
        return Solved(
            "wrong_bits",
            0.1,
            "Recalling a wrong item costs 9 of 18 bits, so 0.1 wrong bits is at most about one "
            "wrong item in 90 questions: what is still wrong is single bits.",
            Paper(
                "Graves et al. 2014, section 4.3, figures 10 and 11",
                {
                    "NTM": "near 0 bits at 30,000 sequences (batches of 1); ~7.0 bits at 20 items",
                    "NTM, feed-forward": "nearly perfect to 12 items, under 1 bit at 15; ~8.0 bits "
                    "at 20",
                    "LSTM": "not near 0 after 1,000,000 sequences; ~38.5 bits at 20 items",
                },
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: the item after the one that equals the query."""
        block = self.item_length + 1
        listed = int(inputs[:, 0, self.bits + 1].argmax())  # the step of the first query delimiter
        vectors = inputs[..., : self.bits]
        items = vectors[:listed].unflatten(0, (-1, block))[:, 1:]  # [items, item_length, B, bits]
        query = vectors[listed + 1 : listed + block]
        found = (items == query).all(3).all(1).int().argmax(0)  # [B]
        rows = torch.arange(inputs.shape[1], device=inputs.device)
        targets = torch.zeros_like(vectors)
        targets[-self.item_length :] = items[found + 1, :, rows].transpose(0, 1)
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The list lengths of the paper's figure 11, as far as so many different items exist."""
        return {
            f"items_{items}": replace(self, min_items=items, max_items=items)
            for items in (6, 8, 10, 12, 15, 20)
            if items <= self._different_items
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """The list lengths of the paper's figure 11, and shorter ones."""
        return (Sizes("items", ("min_items", "max_items"), (2, 4, 6, 8, 10, 12, 15, 20)),)

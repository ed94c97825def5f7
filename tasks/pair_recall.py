"""The pair recall task: see keys beside their values, be asked for each value by its key."""

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
from tasks.different import different_bits
from tasks.registry import register
from tasks.solved import Solved


@register("pair_recall")
@dataclass(frozen=True, kw_only=True)
class PairRecall:
    """Show pairs of a key and a value, side by side, then each key once more; answer its value.

    Associative recall as in Rae et al. 2016 (arXiv 1610.09027), section 4.2, whose keys and values
    are random; they ask for one value, and this task for all, in any order, as Arora et al. 2023 do
    (`tasks.key_value_recall`): an answer takes a step, however many pairs there are. The keys of a
    sequence are all different. T = 2 pairs. Inputs [T, B, key_bits + value_bits + 1]: the key, its
    value in the list, and 1 at a query. Targets [T, B, value_bits].

    Raises:
        ValueError: a size is below 1, min_pairs is above max_pairs, or there are fewer different
            keys than max_pairs.

    Two pairs, the keys 01 and 11 with the values 0 and 1 (inputs 0 and 1 are the key, 2 the value):

    >>> from tasks.base import draw
    >>> task = PairRecall(key_bits=2, value_bits=1, min_pairs=2, max_pairs=2)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(4))))
    inputs   0 | . # # .
             1 | # # # #
             2 | . # . .
             3 | . . # #
    targets  0 |     # .
    """

    cost = BITS
    key_bits: int = 24
    """Bits in each key."""
    value_bits: int = 8
    """Bits in each value."""
    min_pairs: int = 1
    """Fewest pairs in a list; uniform from here to max_pairs, one number a batch."""
    max_pairs: int = 8
    """Most pairs in a list (included)."""

    def __post_init__(self) -> None:
        check_size("key_bits", self.key_bits)
        check_size("value_bits", self.value_bits)
        check_range("min_pairs", self.min_pairs, "max_pairs", self.max_pairs)
        if self.max_pairs > 2**self.key_bits:
            raise ValueError(
                f"the keys of a list must all be different, but key_bits={self.key_bits} make only "
                f"{2**self.key_bits} keys, got max_pairs={self.max_pairs}: raise key_bits, or "
                "lower max_pairs"
            )

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return self.key_bits + self.value_bits + 1

    @property
    def output_size(self) -> int:
        """The number of bits answered at each step, O."""
        return self.value_bits

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (Rows("key", self.key_bits), Rows("value", self.value_bits), Rows("query", 1))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("value", self.value_bits),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The number of pairs."""
        return (Axis(("min_pairs", "max_pairs"), self.min_pairs, self.max_pairs),)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        pairs = random_size(self.min_pairs, self.max_pairs, generator)
        keys = different_bits((pairs, batch_size, self.key_bits), 0, generator)
        values = random_bits((pairs, batch_size, self.value_bits), generator)
        options = {"generator": generator, "device": generator.device, "dtype": torch.float32}
        order = torch.rand(pairs, batch_size, **options).argsort(0)
        rows = torch.arange(batch_size, device=generator.device)

        inputs = keys.new_zeros(2 * pairs, batch_size, self.input_size)
        targets = keys.new_zeros(2 * pairs, batch_size, self.value_bits)
        mask = keys.new_zeros(2 * pairs, batch_size)
        inputs[:pairs, :, : self.input_size - 1] = torch.cat([keys, values], dim=-1)
        inputs[pairs:, :, : self.key_bits] = keys[order, rows]
        inputs[pairs:, :, -1] = 1
        targets[pairs:] = values[order, rows]
        mask[pairs:] = 1
        return Batch(inputs, targets, mask)

    def chance_cost(self) -> float:
        """One bit for each bit of a value."""
        return self.value_bits * (self.min_pairs + self.max_pairs) / 2

    def chance_errors(self) -> float:
        """Half the bits of the values."""
        return self.chance_cost() / 2

    @property
    def solved(self) -> Solved:
        """One wrong bit in ten sequences."""
        return Solved(
            "wrong_bits",
            0.1,
            "One wrong value has half its bits wrong, so 0.1 wrong bits of 36 are at most about "
            "one wrong value in 40 sequences.",
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: at each query, the value beside the key that equals it."""
        pairs = len(inputs) // 2
        keys = inputs[..., : self.key_bits]
        values = inputs[:pairs, :, self.key_bits : -1]
        found = (keys[pairs:, None] == keys[None, :pairs]).all(-1)  # [queries, pairs, B]
        answers = torch.einsum("qpb,pbv->qbv", found.to(values.dtype), values)
        return torch.cat([torch.zeros_like(values), answers])

    def evaluations(self) -> dict[str, Task]:
        """As many pairs as in training, then more, as far as there are so many keys."""
        return {
            f"pairs_{pairs}": replace(self, min_pairs=pairs, max_pairs=pairs)
            for pairs in (8, 16, 32)
            if pairs <= 2**self.key_bits
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """As many pairs as in training, and more."""
        return (Sizes("pairs", ("min_pairs", "max_pairs"), (4, 8, 12, 16, 24, 32)),)

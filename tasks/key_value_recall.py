"""The key-value recall task (MQAR): see pairs of keys and values, be asked for each value."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tasks.base import Axis, Batch, Rows, Sizes, Task, check_range, check_size, random_size
from tasks.costs import SYMBOLS
from tasks.registry import register
from tasks.solved import Solved

POWER = 0.01  # of the gaps between queries, as in Arora et al.


@register("key_value_recall")
@dataclass(frozen=True, kw_only=True)
class KeyValueRecall:
    """Show pairs of a key and a value, then each key once more; the answer is the key's value.

    Multi-query associative recall of Arora et al. 2023 (Zoology, arXiv 2312.04927). The list takes
    2 pairs steps: key, value, key, value. After it come `slots` places of two steps for each pair,
    of which `pairs` hold a query: the key, and in the same step the answer is scored. All other
    steps are blank. As there, queries come soon rather than late: the keys, in the order of the
    list, each take a place g = 1, 2, ... with odds g^(0.01 - 1), among those still free. Keys and
    values are all different within a sequence. T = 2 pairs (1 + slots). Inputs [T, B, keys +
    values], one-hot. Targets [T, B, values]: a symbol, one-hot.

    Raises:
        ValueError: a size is below 1, there are fewer than 2 values, min_pairs is above max_pairs,
            or there are fewer keys or values than max_pairs.

    Two pairs, the keys 1 and 2 with the values 0 and 1 (inputs 0 to 2 are keys, 3 and 4 values):

    >>> from tasks.base import draw
    >>> task = KeyValueRecall(keys=3, values=2, min_pairs=2, max_pairs=2, slots=2)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(0))))
    inputs   0 | . . . . . . . . . . . .
             1 | # . . . . . . . . . # .
             2 | . . # . . . # . . . . .
             3 | . # . . . . . . . . . .
             4 | . . . # . . . . . . . .
    targets  0 |             .       #
             1 |             #       .
    """

    cost = SYMBOLS
    keys: int = 32
    """Different keys."""
    values: int = 32
    """Different values."""
    min_pairs: int = 1
    """Fewest pairs in a list; uniform from here to max_pairs, one number a batch."""
    max_pairs: int = 8
    """Most pairs in a list (included)."""
    slots: int = 3
    """Places for a query, for each pair: with 1, the queries follow one another at once."""

    def __post_init__(self) -> None:
        check_size("keys", self.keys)
        check_size("values", self.values, minimum=2)
        check_size("slots", self.slots)
        check_range("min_pairs", self.min_pairs, "max_pairs", self.max_pairs)
        if self.max_pairs > min(self.keys, self.values):
            raise ValueError(
                "the keys and the values of a list must all be different, so keys and values must "
                f"be at least max_pairs, got keys={self.keys}, values={self.values} and "
                f"max_pairs={self.max_pairs}: pass more keys and values, or lower max_pairs"
            )

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return self.keys + self.values

    @property
    def output_size(self) -> int:
        """The number of symbols to choose from, O."""
        return self.values

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (Rows("key", self.keys), Rows("value", self.values))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("value", self.values),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The number of pairs."""
        return (Axis(("min_pairs", "max_pairs"), self.min_pairs, self.max_pairs),)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        pairs = random_size(self.min_pairs, self.max_pairs, generator)
        options = {"generator": generator, "device": generator.device, "dtype": torch.float32}
        keys = torch.rand(batch_size, self.keys, **options).argsort(-1)[:, :pairs].T
        values = torch.rand(batch_size, self.values, **options).argsort(-1)[:, :pairs].T
        gaps = torch.arange(1, self.slots * pairs + 1, device=generator.device, dtype=torch.float64)
        odds = gaps.pow(POWER - 1).expand(batch_size, -1)
        places = torch.multinomial(odds, pairs, generator=generator).T  # [pairs, B]

        steps = 2 * pairs * (1 + self.slots)
        rows = torch.arange(batch_size, device=generator.device).expand(pairs, -1)
        listed = torch.arange(pairs, device=generator.device).unsqueeze(1) * 2
        queried = 2 * pairs + 2 * places
        inputs = odds.new_zeros(steps, batch_size, self.input_size, dtype=torch.float32)
        targets = inputs.new_zeros(steps, batch_size, self.values)
        mask = inputs.new_zeros(steps, batch_size)
        inputs[listed, rows, keys] = 1
        inputs[listed + 1, rows, self.keys + values] = 1
        inputs[queried, rows, keys] = 1
        targets[queried, rows, values] = 1
        mask[queried, rows] = 1
        return Batch(inputs, targets, mask)

    def chance_cost(self) -> float:
        """The logarithm of the number of values for each pair: all are equally likely."""
        return math.log2(self.values) * (self.min_pairs + self.max_pairs) / 2

    def chance_errors(self) -> float:
        """All but one in as many as there are values, of each pair."""
        return (1 - 1 / self.values) * (self.min_pairs + self.max_pairs) / 2

    @property
    def solved(self) -> Solved:
        """One wrong value in a hundred answers."""
        return Solved(
            "wrong_symbols",
            0.01 * (self.min_pairs + self.max_pairs) / 2,
            "Every pair is asked for, so the limit grows with the pairs: 99 of 100 answers right, "
            "where a network that holds 7 pairs and not 8 has one of 36 wrong.",
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: at each later key, the value that came after it first."""
        listed = len(inputs) // (1 + self.slots)
        keys, values = inputs[..., : self.keys], inputs[..., self.keys :]
        # The steps of the list that show the queried key, summed with the values that follow them.
        found = torch.einsum("tbk,lbk,lbv->tbv", keys[listed:], keys[:listed:2], values[1:listed:2])
        return torch.cat([torch.zeros_like(values[:listed]), found])

    def evaluations(self) -> dict[str, Task]:
        """As many pairs as in training, then more, as far as there are so many keys and values."""
        return {
            f"pairs_{pairs}": replace(self, min_pairs=pairs, max_pairs=pairs)
            for pairs in (8, 16, 32)
            if pairs <= min(self.keys, self.values)
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """As many pairs as in training, and more."""
        return (Sizes("pairs", ("min_pairs", "max_pairs"), (4, 8, 12, 16, 24, 32)),)

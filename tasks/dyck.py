"""The Dyck task: read nested brackets, say which kind of bracket closes next."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tasks.base import Axis, Batch, Rows, Sizes, Task, check_range, check_size, random_size
from tasks.costs import SYMBOLS
from tasks.registry import register
from tasks.solved import Solved


@register("dyck")
@dataclass(frozen=True, kw_only=True)
class Dyck:
    """Show a string of Dyck-(k, m) bracket by bracket; before one that closes, answer its kind.

    Dyck-(k, m) holds the strings of well-nested brackets of k kinds of which at most m are open at
    a time (Hewitt et al. 2020, arXiv 2010.07515). As there, what is scored is the choice among the
    k kinds at every step before a closing bracket: it is that of the last bracket still open. All
    strings of a length are equally likely here, where Hewitt et al. open and close by the toss of a
    coin. A string of `pairs` pairs takes T = 2 pairs - 1 steps: all its brackets but the last.
    Inputs [T, B, 2k]: the opening brackets, then the closing ones, one-hot. Targets [T, B, k]: a
    symbol, one-hot.

    Raises:
        ValueError: there are fewer than 2 kinds, another size is below 1, or min_pairs is above
            max_pairs.

    The string [ ( ) ( ) ] of two kinds, of which the last bracket is not shown (inputs 0 and 1 are
    "(" and "[", 2 and 3 are ")" and "]"):

    >>> from tasks.base import draw
    >>> task = Dyck(kinds=2, depth=2, min_pairs=3, max_pairs=3)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(0))))
    inputs   0 | . # . # .
             1 | # . . . .
             2 | . . # . #
             3 | . . . . .
    targets  0 |   #   # .
             1 |   .   . #
    """

    cost = SYMBOLS
    kinds: int = 2
    """Kinds of brackets, k."""
    depth: int = 4
    """Most brackets that are open at a time, m."""
    min_pairs: int = 1
    """Fewest pairs of brackets in a string; uniform from here to max_pairs, one number a batch."""
    max_pairs: int = 20
    """Most pairs of brackets in a string (included)."""

    def __post_init__(self) -> None:
        check_size("kinds", self.kinds, minimum=2)
        check_size("depth", self.depth)
        check_range("min_pairs", self.min_pairs, "max_pairs", self.max_pairs)

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return 2 * self.kinds

    @property
    def output_size(self) -> int:
        """The number of symbols to choose from, O."""
        return self.kinds

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (Rows("opening", self.kinds), Rows("closing", self.kinds))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("kind", self.kinds),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The number of pairs, and how deep they are nested."""
        return (
            Axis(("min_pairs", "max_pairs"), self.min_pairs, self.max_pairs),
            Axis(("depth",), 1, self.depth),
        )

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        pairs = random_size(self.min_pairs, self.max_pairs, generator)
        options = {"generator": generator, "device": generator.device, "dtype": torch.float64}
        uniform = torch.rand(2 * pairs, batch_size, **options).cpu().numpy()
        kinds = torch.randint(
            self.kinds, (2 * pairs, batch_size), generator=generator, device=generator.device
        )
        opens = _shapes(uniform, self.depth)
        brackets = _match(opens, kinds.cpu().numpy())
        closes = torch.from_numpy(~opens).to(generator.device)
        symbols = torch.from_numpy(brackets).to(generator.device)
        inputs = one_hot(symbols + self.kinds * closes, 2 * self.kinds)[:-1].to(torch.float32)
        mask = closes[1:].to(torch.float32)
        targets = one_hot(symbols, self.kinds)[1:] * mask.unsqueeze(-1)
        return Batch(inputs, targets, mask)

    def chance_cost(self) -> float:
        """The logarithm of the number of kinds for each pair: all kinds are equally likely."""
        return math.log2(self.kinds) * (self.min_pairs + self.max_pairs) / 2

    def chance_errors(self) -> float:
        """All but one in k brackets: all kinds are equally likely."""
        return (1 - 1 / self.kinds) * (self.min_pairs + self.max_pairs) / 2

    @property
    def solved(self) -> Solved:
        """One wrong bracket in a hundred strings."""
        return Solved(
            "wrong_symbols",
            0.01,
            "The stack of open brackets has a depth limit, so a network that keeps it makes no "
            "mistakes, and one wrong bracket in 100 strings of up to 20 pairs is as little as some "
            "hundred strings can show.",
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: the last bracket still open, wherever the next one closes."""
        targets = torch.zeros_like(inputs[..., : self.kinds])
        for row, tokens in enumerate(inputs.argmax(-1).T.tolist()):
            still_open: list[int] = []
            following = [*tokens[1:], self.kinds]  # the last bracket, not shown, closes
            for step, (token, after) in enumerate(zip(tokens, following, strict=True)):
                if token < self.kinds:
                    still_open.append(token)
                else:
                    still_open.pop()
                if after >= self.kinds:
                    targets[step, row, still_open[-1]] = 1
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The longest strings of training, then longer ones."""
        return {
            f"pairs_{pairs}": replace(self, min_pairs=pairs, max_pairs=pairs)
            for pairs in (20, 50, 100)
        }

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """The longest strings of training, and longer ones."""
        return (Sizes("pairs", ("min_pairs", "max_pairs"), (10, 20, 30, 50, 100)),)


def _shapes(uniform: np.ndarray, depth: int) -> np.ndarray:
    """Which brackets open, [2 pairs, B], all strings equally likely: from draws on [0, 1)."""
    opens = np.zeros(uniform.shape, dtype=bool)
    still_open = np.zeros(uniform.shape[1], dtype=np.int64)
    for step, shares in enumerate(_shares(len(uniform), depth)):
        np.less(uniform[step], shares[still_open], out=opens[step])
        still_open += 2 * opens[step] - 1
    return opens


@functools.lru_cache(maxsize=512)
def _shares(length: int, depth: int) -> np.ndarray:
    """In what share of the strings that can still follow the next bracket opens, [length, open]."""
    ways = [1] + [0] * (depth + 1)  # to end the string from so many open brackets: Python's
    rows = []  # whole numbers, which have no largest one
    for _ in range(length):
        down = [0, *ways[:depth], 0]
        up = [*ways[1:], 0]
        rows.append([a / (a + b) if a + b else 0 for a, b in zip(up, down, strict=True)])
        ways = [a + b for a, b in zip(up[: depth + 1], down, strict=False)] + [0]
    return np.array(rows[::-1])


def _match(opens: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """The kind of every bracket, [2 pairs, B]: that drawn, or that of the one which it closes.

    Of the brackets at one depth of a string, every second closes the one before it.
    """
    depth = np.cumsum(2 * opens - 1, axis=0) + ~opens
    steps = depth.argsort(axis=0, kind="stable")
    matched = kinds.copy()
    opened = np.take_along_axis(kinds, steps[::2], axis=0)
    np.put_along_axis(matched, steps[1::2], opened, axis=0)
    return matched

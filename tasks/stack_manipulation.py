"""The stack manipulation task: see a stack and what is done to it, and say what is left on it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tasks.base import (
    Axis,
    Batch,
    Rows,
    Task,
    asked,
    check_size,
    question_and_answer,
    random_size,
)
from tasks.costs import SYMBOLS
from tasks.registry import register
from tasks.solved import Solved
from tasks.transduction import GRID, at_lengths, check_lengths, faultless, length_axis

POP, END = 2, 2  # the token that takes a bit off, and the symbol below the last bit of an answer


@register("stack_manipulation")
@dataclass(frozen=True, kw_only=True)
class StackManipulation:
    """Show a stack of bits, from the bottom, and actions on it; answer the stack, from the top.

    Deletang et al. 2023 (arXiv 2207.02098), where it stands for the deterministic context-free
    languages. A sequence of `length` tokens begins with 1 to length - 1 bits, all numbers equally
    likely, and goes on with as many actions as there is room for: pop, push 0 or push 1, drawn
    evenly. A pop of an empty stack does nothing. After a delimiter, on a channel of its own, the
    answer follows without any input: the bits that are left, the last one in first, then an end
    marker; steps after it are not scored. T = 2 length + 2. Inputs [T, B, 6]: a token, one-hot, and
    the delimiter. Targets [T, B, 3]: 0, 1 or the end marker, one-hot.

    Raises:
        ValueError: min_length is below 1 or above max_length.

    The stack 1, on which 0 and 1 are pushed, and of which the last is popped: 0 1 is left, from the
    top (inputs 0 and 1 are the bits, 2 is the pop, 3 and 4 push 0 and 1; target 2 is the end):

    >>> from tasks.base import draw
    >>> task = StackManipulation(min_length=4, max_length=4)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(2))))
    inputs   0 | . . . . . . . . . .
             1 | # . . . . . . . . .
             2 | . . . # . . . . . .
             3 | . # . . . . . . . .
             4 | . . # . . . . . . .
             5 | . . . . # . . . . .
    targets  0 |           # . .
             1 |           . # .
             2 |           . . #
    """

    cost = SYMBOLS
    grid = GRID
    min_length: int = 1
    """Fewest bits and actions in a sequence; uniform from here to max_length, one length a
    batch."""
    max_length: int = 40
    """Most bits and actions in a sequence (included)."""

    def __post_init__(self) -> None:
        check_lengths(self.min_length, self.max_length)

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return 6

    @property
    def output_size(self) -> int:
        """The number of symbols to choose from, O."""
        return 3

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (Rows("stack", 2), Rows("pop", 1), Rows("push", 2), Rows("delimiter", 1))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("bits", 2), Rows("end", 1))

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The number of bits and actions."""
        return length_axis(self.min_length, self.max_length)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        length = random_size(self.min_length, self.max_length, generator)
        options = {"generator": generator, "device": generator.device}
        shown = torch.randint(1, max(length, 2), (batch_size,), **options)
        bits = torch.randint(0, 2, (length, batch_size), **options)
        actions = torch.randint(POP, POP + 3, (length, batch_size), **options)
        steps = torch.arange(length, device=generator.device).unsqueeze(-1)
        tokens = torch.where(steps < shown, bits, actions)
        answer = _left(tokens)
        batch = question_and_answer(one_hot(tokens, 5).float(), answer)
        return batch._replace(mask=batch.targets.sum(-1))

    def chance_cost(self) -> float:
        """One bit for each bit that is left: both are as likely, whatever was popped."""
        return _mean_height(self.min_length, self.max_length)

    def chance_errors(self) -> float:
        """Half the bits that are left."""
        return self.chance_cost() / 2

    @property
    def solved(self) -> Solved:
        """One wrong symbol in a hundred sequences."""
        return faultless("symbol", "keeps the stack", 41, {"Tape-RNN": "100", "LSTM": "59.1"})

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, action by action on a list."""
        tokens = asked(inputs).argmax(-1)
        targets = torch.zeros_like(inputs[..., :3])
        for row, each in enumerate(tokens.T.tolist()):
            stack: list[int] = []
            for token in each:
                if token != POP:
                    stack.append(token % 3)  # 3 and 4 push 0 and 1
                elif stack:
                    stack.pop()
            for place, symbol in enumerate([*reversed(stack), END]):
                targets[len(tokens) + 1 + place, row, symbol] = 1
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The longest of training, and two of the lengths to 500 that the paper tests."""
        return at_lengths(self)


def _left(tokens: Tensor) -> Tensor:
    """What the tokens [L, B] leave on the stacks, from the top, and an end marker: [L + 1, B, 3].

    All rows at once: a bit is left if the stack is never lower after it than with it on top.
    """
    pushes = tokens != POP
    walk = torch.where(pushes, 1, -1).cumsum(0)
    height = walk - walk.cummin(0).values.clamp(max=0)  # pops of an empty stack do nothing
    lowest_after = height.flip(0).cummin(0).values.flip(0)
    left = pushes & (lowest_after == height)
    answer = torch.zeros(
        len(tokens) + 1, tokens.shape[1], 3, device=tokens.device, dtype=torch.float32
    )
    step, row = left.nonzero(as_tuple=True)
    answer[height[-1, row] - height[step, row], row, tokens[step, row] % 3] = 1
    rows = torch.arange(tokens.shape[1], device=tokens.device)
    answer[height[-1], rows, END] = 1
    return answer


@functools.cache
def _mean_height(shortest: int, longest: int) -> float:
    """The mean number of bits that are left, over the lengths and all that is drawn."""
    # What a stack of each height comes to after so many actions, more of them at each turn.
    after = torch.arange(2.0 * longest, dtype=torch.float64)
    total = 1.0 if shortest == 1 else 0.0  # a single bit, and no action
    for actions in range(1, longest):
        popped = torch.cat([after[:1], after[:-2]])
        after = popped / 3 + after[1:] * 2 / 3
        lengths = torch.arange(max(shortest, actions + 1), longest + 1)
        total += float((after[lengths - actions] / (lengths - 1)).sum())
    return total / (longest - shortest + 1)

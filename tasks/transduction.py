"""What the tasks of Deletang et al. (2023) share: lengths, layout, costs and what guessing costs.

The paper (arXiv 2207.02098) trains on strings of 1 to 40 tokens and tests on 41 to 500. Its code
shows a string of L tokens, one-hot, and then an empty token for each of the A symbols of the
answer, at which they are answered; `tape` lays out batches that way.

>>> tokens = torch.tensor([[0], [2], [1]])
>>> batch = tape(tokens, 3, torch.tensor([[1], [0]]), 2)
>>> from tasks.base import draw
>>> print(draw(batch))
inputs   0 | # . . . .
         1 | . . # . .
         2 | . # . . .
         3 | . . . # #
targets  0 |       . #
         1 |       # .
"""

from __future__ import annotations

import abc
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tasks.base import Axis, Batch, Sizes, Task, asked, check_range, check_size
from tasks.costs import SYMBOLS, wrong_symbols
from tasks.solved import Paper, Solved

FIELDS = ("min_length", "max_length")
GRID = (Sizes("length", FIELDS, (20, 40, 60, 100, 200, 500)),)
"""The longest of training and longer, as the paper tests up to 500."""


def check_lengths(min_length: int, max_length: int, least: int = 1) -> None:
    """Refuses a range of lengths that is empty, or has none of at least `least`.

    `least` is the shortest length at which the answer has to be worked out.

    Raises:
        ValueError: naming the lengths, their values and the remedy.
    """
    check_size("max_length", max_length, least)
    check_range("min_length", min_length, "max_length", max_length)


def length_axis(min_length: int, max_length: int, least: int = 1) -> tuple[Axis, ...]:
    """The length as the only axis of difficulty, from `least` on."""
    return (Axis(FIELDS, max(min_length, least), max_length),)


def at_lengths(task: Task, lengths: tuple[int, ...] = (40, 100, 500)) -> dict[str, Task]:
    """The longest of training, and two of the lengths to 500 that the paper tests."""
    return {
        f"length_{length}": replace(task, **dict.fromkeys(FIELDS, length)) for length in lengths
    }


def faultless(unit: str, finds: str, most: int, paper: dict[str, str] | None = None) -> Solved:
    """Solved: one wrong bit or symbol in a hundred sequences.

    Args:
        unit: what is counted, `bit` or `symbol`.
        finds: what a network does that makes no mistakes.
        most: how many answers the longest sequences have.
        paper: by model, its figure in Table 1.
    """
    answers = f"{most} {unit}s" if most > 1 else f"one {unit}"
    return Solved(
        f"wrong_{unit}s",
        0.01,
        f"A network that {finds} makes no mistakes, and one wrong {unit} in 100 sequences, of up "
        f"to {answers}, is as little as some hundred sequences can show.",
        None
        if paper is None
        else Paper(
            "Deletang et al. 2023, Table 1: lengths 41 to 500 after training on 1 to 40",
            {model: f"{share}% of symbols right" for model, share in paper.items()},
        ),
    )


def tape(tokens: Tensor, alphabet: int, answers: Tensor, choices: int) -> Batch:
    """Show tokens [L, B] below `alphabet`, then an empty token for each of the answers [A, B].

    The answers are below `choices`. The inputs are [L + A, B, alphabet + 1], the targets
    [L + A, B, choices], of which the last A steps are scored.
    """
    length, steps = len(tokens), len(tokens) + len(answers)
    options = {"dtype": torch.float32, "device": tokens.device}
    inputs = torch.zeros(steps, tokens.shape[1], alphabet + 1, **options)
    targets = torch.zeros(steps, tokens.shape[1], choices, **options)
    mask = torch.zeros(steps, tokens.shape[1], **options)
    inputs[:length, :, :-1] = one_hot(tokens, alphabet)
    inputs[length:, :, -1] = 1
    targets[length:] = one_hot(answers, choices)
    mask[length:] = 1
    return Batch(inputs, targets, mask)


def answered(inputs: Tensor, choices: int, answer: Callable[[list[int]], list[int]]) -> Tensor:
    """The targets of the inputs of a `tape`, by a function from the tokens to the answers."""
    tokens = asked(inputs).argmax(-1)
    targets = inputs.new_zeros(*inputs.shape[:2], choices)
    for row, each in enumerate(tokens.T.tolist()):
        for place, symbol in enumerate(answer(each)):
            targets[len(tokens) + place, row, symbol] = 1
    return targets


def python_generator(generator: torch.Generator) -> random.Random:
    """A generator of Python's, for whole numbers of any size and structures drawn one by one."""
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    return random.Random(int(seed))


def accuracy(logits: Tensor, batch: Batch) -> Tensor:
    """The share of the scored symbols that have the highest logit, [B]: the paper's measure.

    >>> batch = tape(torch.tensor([[0]]), 1, torch.tensor([[1], [0]]), 2)
    >>> accuracy(torch.tensor([0.0, 1.0]).expand(3, 1, 2), batch)
    tensor([0.5000])
    """
    return 1 - wrong_symbols(logits, batch) / batch.mask.sum(0)


def to_the_end(batch: Batch) -> Batch:
    """The batch without what comes after the end marker, the last of the symbols, in the answer."""
    ends = batch.targets[..., -1]
    return batch._replace(mask=batch.mask * (ends.cumsum(0) - ends == 0))


TOKENS = SYMBOLS._replace(accuracy=accuracy)
"""The cross-entropy of all symbols of the answer, and the share that is right."""
ENDED_TOKENS = SYMBOLS._replace(
    errors=lambda logits, batch: wrong_symbols(logits, to_the_end(batch)),
    accuracy=lambda logits, batch: accuracy(logits, to_the_end(batch)),
)
"""The same where an end marker is answered: what comes after it has a cost, but no errors."""


class StringTask(abc.ABC):
    """What a task on a `tape` has that only its lengths and `odds` decide.

    A task derives from it once, and is final; it has its fields `min_length` and `max_length`
    itself, with their texts.
    """

    cost = TOKENS
    grid = GRID
    least = 1
    """the shortest length at which the answer has to be worked out"""
    min_length: int
    max_length: int

    def __post_init__(self) -> None:
        check_lengths(self.min_length, self.max_length, self.least)

    @abc.abstractmethod
    def odds(self, length: int) -> Tensor:
        """How likely each symbol is at each step of the answer to one who knows the length alone.

        [A, O], float64.
        """

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The length of the string, from the first that has to be worked out."""
        return length_axis(self.min_length, self.max_length, self.least)

    def chance_cost(self) -> float:
        """The entropy of `odds` in bits, over the answer, on average over the lengths."""
        lengths = range(self.min_length, self.max_length + 1)
        nats = sum(float(torch.special.entr(self.odds(length)).sum()) for length in lengths)
        return nats / math.log(2) / len(lengths)

    def chance_errors(self) -> float:
        """How many symbols are wrong if the likeliest is said, on average over the lengths."""
        lengths = range(self.min_length, self.max_length + 1)
        wrong = sum(float((1 - self.odds(length).amax(-1)).sum()) for length in lengths)
        return wrong / len(lengths)

    def evaluations(self) -> dict[str, Task]:
        """The longest of training, and two of the lengths to 500 that the paper tests."""
        return at_lengths(cast("Task", self))

"""What the tasks of Deletang et al. (2023) share: their lengths, and when they count as solved.

The paper (arXiv 2207.02098) trains on strings of 1 to 40 tokens and tests on 41 to 500.
"""

from __future__ import annotations

from dataclasses import replace

from tasks.base import Axis, Sizes, Task, check_range, check_size
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

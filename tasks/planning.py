"""A planning budget: steps without any input before the answer, in which a network can work.

Shamshoum, Hodos, Sieradzki and Schuster 2024, "DNCs Require More Planning Steps", arXiv 2406.02187.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.base import Batch, check_size


def planned(batch: Batch, steps: int) -> Batch:
    """Put blank steps, which are not scored, before the first answer of each sequence.

    The budget p(n) of the paper is a number of steps that may grow with the size n of the question:
    constant (10 in the DNC's paper), or n itself.

    Args:
        batch: T steps.
        steps: how many, 0 or more.

    Returns:
        A batch of T + steps steps.

    Raises:
        ValueError: the number of steps is not a whole number of at least 0.

    >>> from tasks.base import draw, question_and_answer
    >>> bits = torch.tensor([[[1.0]], [[0.0]]])
    >>> print(draw(planned(question_and_answer(bits, bits), 3)))
    inputs   0 | # . . . . . . .
             1 | . . # . . . . .
    targets  0 |             # .
    """
    check_size("steps", steps, minimum=0)
    scored = batch.mask > 0
    length = len(scored)
    first = torch.where(scored.any(0), scored.int().argmax(0), length)  # [B]
    times = torch.arange(length + steps, device=first.device)[:, None]
    blank = (times >= first) & (times < first + steps)  # [T + steps, B]
    source = torch.where(times < first, times, times - steps).clamp(min=0)
    rows = torch.arange(len(first), device=first.device)

    def moved(part: Tensor) -> Tensor:
        shown = part[source, rows]
        return shown.masked_fill(blank.view(*blank.shape, *[1] * (part.dim() - 2)), 0)

    longer = None if batch.lengths is None else batch.lengths + steps
    return Batch(moved(batch.inputs), moved(batch.targets), moved(batch.mask), longer)

"""Any length of a task, also thousands of times what was trained on: what to run, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn

from tasks.base import Sizes, Task

MEMORY = 2**30
"""bytes that the sequences which are computed together may take, beside the weights"""
WORK = 10**10
"""numbers (weights, and elements of the state) that the steps of one length may go through"""
MOST, LEAST = 512, 2  # sequences of one length
TOGETHER = 64
SPARE = 63  # slots, beside one for every step before the first answer


class Extent(NamedTuple):
    """How much of one length is computed."""

    steps: int
    sequences: int
    batch_size: int


def of_lengths(task: Task, lengths: Sequence[int]) -> dict[str, Task]:
    """The task at each length, the first of the sizes of its grid; the others at their largest.

    Raises:
        ValueError: the task has no lengths, or refuses one of these.

    >>> from tasks import make
    >>> made = of_lengths(make("repeat_copy"), [500])["length_500"]
    >>> made.min_length, made.max_length, made.min_repeats, made.max_repeats
    (500, 500, 10, 10)
    """
    name = type(task).__name__
    if not task.grid:
        raise ValueError(f"{name} has no lengths: leave out --lengths")
    if min(lengths) < 1:
        raise ValueError(f"--lengths must be at least 1, got {' '.join(map(str, lengths))}")
    first, *others = task.grid
    largest: dict[str, Any] = {}
    for sizes in others:
        most = max(getattr(task, field) for field in sizes.fields)
        largest |= dict.fromkeys(sizes.fields, most)
    found: dict[str, Task] = {}
    for length in lengths:
        try:
            variant = replace(task, **largest, **_fields(task, first, length))
        except ValueError as error:
            raise ValueError(f"{name} has no {first.name} {length}: {error}") from error
        if (variant.input_size, variant.output_size) != (task.input_size, task.output_size):
            raise ValueError(
                f"{name} has other channels with {first.name} {length} than the run was trained "
                "with: choose a smaller one"
            )
        found[f"{first.name}_{length}"] = variant
    return found


def _fields(task: Task, sizes: Sizes, length: int) -> dict[str, int]:
    """The length for every field; sizes that differ from it keep their share of it."""
    if not isinstance(sizes.values[0], tuple):
        return dict.fromkeys(sizes.fields, length)
    trained = [getattr(task, field) for field in sizes.fields]
    shares = [max(1, length * value // trained[0]) for value in trained]
    return dict(zip(sizes.fields, shares, strict=True))


def slots(task: Task, trained: int) -> int:
    """Memory slots (N) for a length: one for every step before the first answer, and 63 to spare.

    Of copying these are length + 64, as it stores one vector a slot; never fewer than in training.

    >>> from tasks.copy import Copy
    >>> slots(Copy(min_length=1000, max_length=1000), 128), slots(Copy(max_length=1), 128)
    (1064, 128)
    """
    batch = task.sample(1, torch.Generator().manual_seed(0))
    answered = (batch.mask != 0).flatten(1).any(1)
    return max(trained, int(answered.int().argmax()) + SPARE)


def extent(
    layer: nn.Module, task: Task, model_options: Any, sequences: int | None, batch_size: int | None
) -> Extent:
    """How many sequences of a length to measure, and how many of them at a time.

    As many as `WORK` and `MEMORY` allow, from 2 to 512, unless the numbers are given.

    Args:
        layer: with the memory slots that it will have.
        task: of one length.
        model_options: its flags; of the layer, or of a Transformer, whose attention is quadratic.
        sequences: as many as asked for, or None.
        batch_size: as many together as asked for, or None.

    Raises:
        ValueError: one sequence alone would need more than `MEMORY`.

    >>> import memnets
    >>> from tasks.copy import Copy
    >>> extent(memnets.NTM(9, 8), Copy(min_length=500, max_length=500), None, None, None)
    Extent(steps=1001, sequences=152, batch_size=64)
    """
    steps = len(task.sample(1, torch.Generator().manual_seed(0)).inputs)
    begin = getattr(layer, "initial_state", None)
    state = 0 if begin is None else _elements(begin(1))
    hidden = (getattr(layer, "hidden_size", 0) or 0) * (getattr(layer, "num_layers", 1) or 1)
    attention = steps * getattr(model_options, "attention_heads", 0)
    # A state before, after and during a step; the controller's gates; the errors of the outputs.
    each = 3 * state + steps * (task.input_size + 4 * task.output_size + 8 * hidden + attention)
    fit = MEMORY // (4 * each)
    if fit < 1 and batch_size is None:
        raise ValueError(
            f"one sequence of {steps:,} steps needs some {4 * each / 2**30:.1f} GiB, more than the "
            f"{MEMORY / 2**30:.0f} GiB that an evaluation takes: choose smaller --lengths or a "
            "smaller --memory-size, or ask for it by --batch-size 1"
        )
    weights = sum(weight.numel() for weight in layer.parameters())
    affordable = WORK // (steps * (state + weights + attention))
    number = sequences or min(MOST, max(LEAST, affordable))
    return Extent(steps, number, batch_size or min(TOGETHER, fit, number))


def _elements(state: Any) -> int:
    """How many numbers there are in the tensors of a state, which may be nested."""
    if isinstance(state, torch.Tensor):
        return state.numel()
    return sum(map(_elements, state)) if isinstance(state, tuple) else 0

"""A task whose sequences are given, as an array or a dataset, and not made."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tasks.base import Axis, Batch, Rows, Sizes, Stream, Task, check_size
from tasks.costs import BITS, SYMBOLS, Cost
from tasks.solved import Solved

LOOKED_AT = 1000
"""sequences from which ranges and the cost of guessing are worked out"""
Self = TypeVar("Self", bound="Data")


class Sequences(NamedTuple):
    """What is known of the sequences of a task before any is drawn."""

    steps: int
    """of the longest"""
    inputs: tuple[float, float]
    """the least and the greatest value"""
    targets: tuple[float, float]
    cost: float
    """of the best constant answer, a sequence"""
    errors: float


@dataclass(frozen=True, kw_only=True)
class Data:
    """The base of a task over sequences that are there already; a class of it says where.

    It has a `cost` (of `tasks.costs`) and a method `sequences(held_out)`, which returns a list, a
    `TensorDataset` or anything else with a length and items: pairs of inputs [T, I] and targets
    [T, O], or of these and a mask [T], which is 1 on the steps that are scored. They are NumPy
    arrays or tensors. `sequences(True)` are others than those to train on: validations and
    `--evaluate` use them. A batch is drawn with replacement, and the shorter of its sequences are
    followed by steps of zeros, which are not scored.

    Its fields are flags of `train.py`, as those of every task.

    Raises:
        ValueError: held_out is neither 0 nor 1, there are no sequences, or one has another form.

    >>> import numpy as np
    >>> from tasks.costs import squared_error
    >>> @dataclass(frozen=True, kw_only=True)
    ... class Walks(Data):
    ...     number: int = 100
    ...     cost = squared_error(0.5)
    ...
    ...     def sequences(self, held_out):
    ...         steps = np.random.default_rng(held_out).normal(size=(self.number, 13, 1))
    ...         walks = steps.cumsum(axis=1)  # [number, T, 1]: where is it in a step from here?
    ...         return list(zip(walks[:, :-1], walks[:, 1:]))
    >>> task = Walks()
    >>> task.sample(16, torch.Generator().manual_seed(0)).inputs.shape
    torch.Size([12, 16, 1])
    """

    cost = BITS
    held_out: int = 0
    """1: the sequences that are held out; 0: those to train on."""

    def __post_init__(self) -> None:
        if self.held_out not in (0, 1):
            raise ValueError(f"held_out must be 0 or 1, got held_out={self.held_out}: pass one")

    def sequences(self, held_out: bool) -> Any:
        """What is drawn from: pairs of inputs [T, I] and targets [T, O], or with a mask [T].

        Raises:
            NotImplementedError: by a class that does not say it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must have a method sequences(self, held_out), which returns "
            "pairs of inputs [T, I] and targets [T, O]: see tasks/data.py"
        )

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return item(self, 0)[0].shape[1]

    @property
    def output_size(self) -> int:
        """The number of bits, symbols or numbers of each answer, O."""
        return item(self, 0)[1].shape[1]

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """All input channels, which nobody has named."""
        return (Rows("input", self.input_size, known(self).inputs),)

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """All target channels, which nobody has named."""
        return (Rows("target", self.output_size, known(self).targets),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """None: what is easy among these sequences is not known, and a curriculum has one level."""
        return ()

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences, with replacement; the generator alone decides which."""
        check_size("batch_size", batch_size)
        options: Any = {"generator": generator, "device": generator.device}
        drawn = torch.randint(len(read(self)), (batch_size,), **options).tolist()
        items = [item(self, number) for number in drawn]
        if isinstance(generator, Stream):  # another process has drawn other lengths
            x, y, mask = items[0]
            steps = known(self).steps
            items.append((x.new_zeros(steps, x.shape[1]), y.new_zeros(steps, y.shape[1]), mask))
        parts = (pad_sequence(list(part)) for part in zip(*items, strict=True))
        return Batch(*(part[:, :batch_size] for part in parts)).to(generator.device)

    def chance_cost(self) -> float:
        """What the best answer costs that is the same at every step of every sequence."""
        return known(self).cost

    def chance_errors(self) -> float:
        """How many answers of a sequence it gets wrong."""
        return known(self).errors

    @property
    def solved(self) -> Solved:
        """A hundredth of the wrong answers of a constant answer; a class may state another."""
        return Solved(
            self.cost.errors_name,
            max(self.chance_errors() / 100, 1e-9),
            "Nobody has said how well these sequences can be answered, and a hundredth of what a "
            "constant answer gets wrong is little.",
            held_out=True,
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """Nobody knows.

        Raises:
            NotImplementedError: always: the targets are in the data, and not in the inputs.
        """
        raise NotImplementedError(
            f"{type(self).__name__} is data: its answers cannot be worked out"
        )

    def validation(self: Self) -> Self:
        """The sequences that are held out."""
        return replace(self, held_out=1)

    def evaluations(self) -> dict[str, Task]:
        """The sequences that are held out."""
        return {"held_out": self.validation()}

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """None: sequences of other sizes are not there."""
        return ()


@functools.cache  # a task is a value: the sequences of equal ones are read once
def read(task: Data) -> Any:
    """The sequences of a task.

    Raises:
        ValueError: there are none, or they have no length.
    """
    found = task.sequences(bool(task.held_out))
    kind = "held out" if task.held_out else "to train on"
    if not (hasattr(found, "__len__") and hasattr(found, "__getitem__")):
        raise ValueError(
            f"the sequences of {type(task).__name__} must have a length and items, as a list or a "
            f"map-style dataset, got a {type(found).__name__}: of a DataLoader pass its dataset"
        )
    if len(found) == 0:
        raise ValueError(f"{type(task).__name__} must have sequences {kind}, got none")
    return found


def item(task: Data, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """A sequence: inputs [T, I], targets [T, O] and mask [T], float32; targets are 0 outside of it.

    Raises:
        ValueError: the item has another form.
    """
    given = read(task)[number]
    parts: Sequence[Any] = given if isinstance(given, tuple | list) else (given,)
    tensors = [torch.as_tensor(part, dtype=torch.float32) for part in parts]
    shapes = [list(part.shape) for part in tensors]
    dimensions = [part.dim() for part in tensors]
    steps = {len(part) for part in tensors if part.dim()}
    if dimensions not in ([2, 2], [2, 2, 1]) or len(steps) != 1 or 0 in steps:
        raise ValueError(
            f"sequence {number} of {type(task).__name__} must be inputs [T, I] and targets [T, O], "
            f"or these and a mask [T], of one length, got {' and '.join(map(str, shapes))}"
        )
    x, y = tensors[:2]
    mask = tensors[2] if len(tensors) == 3 else x.new_ones(len(x))
    return x, y * mask[:, None], mask


@functools.cache
def known(task: Data) -> Sequences:
    """The longest of all sequences; of the first thousand, their ranges and what guessing costs."""
    every = range(len(read(task)))
    some = [item(task, number) for number in every[:LOOKED_AT]]
    scored = torch.cat([y[mask > 0] for _, y, mask in some]).double()
    x = torch.cat([x for x, _, _ in some])
    guess = _constant(task.cost, scored.mean(0)).float()
    batches = [Batch(x[:, None], y[:, None], mask[:, None]) for x, y, mask in some]
    outputs = [guess.expand_as(batch.targets) for batch in batches]
    pairs = list(zip(outputs, batches, strict=True))
    return Sequences(
        max(len(item(task, number)[0]) for number in every),
        _range(x),
        _range(scored),
        sum(float(task.cost.per_sequence(*pair)) for pair in pairs) / len(pairs),
        sum(float(task.cost.errors(*pair)) for pair in pairs) / len(pairs),
    )


def _constant(cost: Cost, mean: Tensor) -> Tensor:
    """The outputs [O] that cost least where every target is answered alike."""
    if cost.errors_name == BITS.errors_name:
        return torch.logit(mean, eps=1e-6)
    return mean.clamp(min=1e-6).log() if cost.errors_name == SYMBOLS.errors_name else mean


def _range(values: Tensor) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low, low + 1)

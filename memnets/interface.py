"""From the controller's output to named, activated parameters: one linear map and one table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


def real(x: Tensor) -> Tensor:
    """Any real number: x itself."""
    return x


def unit(x: Tensor) -> Tensor:
    """A number in [0, 1]: the logistic sigmoid."""
    return torch.sigmoid(x)


def bounded(x: Tensor) -> Tensor:
    """A number in [-1, 1]: the hyperbolic tangent."""
    return torch.tanh(x)


def half(x: Tensor) -> Tensor:
    """A number in [0, 1/2]: half of the logistic sigmoid."""
    return torch.sigmoid(x) / 2


def capped(x: Tensor) -> Tensor:
    """A number in [-15, 15], whose exponential is finite: `15 tanh(x / 15)` (arXiv 2503.13427)."""
    return 15 * torch.tanh(x / 15)


def log_unit(x: Tensor) -> Tensor:
    """The logarithm of a number in [0, 1]: that of the logistic sigmoid."""
    return nn.functional.logsigmoid(x)


def simplex(x: Tensor) -> Tensor:
    """Numbers in [0, 1] that sum to 1 over the last axis: the softmax."""
    return torch.softmax(x, dim=-1)


def positive(x: Tensor) -> Tensor:
    """A number above 0: softplus, log(1 + e^x)."""
    return nn.functional.softplus(x)


def shaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Give the last axis of x a shape; a step has many parameters, and few need a view of it."""
    return x if len(shape) == 1 else x.unflatten(-1, shape)


def oneplus(x: Tensor) -> Tensor:
    """A number above 1: 1 + log(1 + e^x) (DNC Methods, "Interface parameters").

    >>> oneplus(torch.tensor(0.0))
    tensor(1.6931)
    """
    return 1 + nn.functional.softplus(x)


STRENGTHS: dict[str, Activation] = {"oneplus": oneplus, "softplus": positive}
"""The two ranges in use for key strengths, by the name of their function."""
ADD_RANGES: dict[str, Activation] = {"real": real, "bounded": bounded}
"""The two ranges in use for the add vectors of an NTM, by the name of their function."""


class Field(NamedTuple):
    """One parameter of an interface: its shape without the batch axis, and its range.

    `bias` is added to the initial bias of the linear map: where in its range the parameter starts.
    What lies above `limit` is set to it; None is no limit. `like` names a field of the same table:
    the map starts with the same weights for both, as far as the smaller of them goes.
    """

    shape: tuple[int, ...]
    activation: Activation
    bias: float = 0.0
    limit: float | None = None
    like: str | None = None

    def values(self, raw: Tensor) -> Tensor:
        """Give numbers [B, ...] of the linear map this field's shape and range."""
        found = self.activation(shaped(raw, self.shape))
        return found if self.limit is None else found.clamp(max=self.limit)


class Table(NamedTuple):
    """A NamedTuple class and a `Field` for each of its fields, in their order."""

    kind: type
    fields: dict[str, Field]


def sizes_of(tables: Sequence[Table]) -> list[int]:
    """How many numbers each field of some tables takes.

    Raises:
        ValueError: if a table's fields are not the fields of its NamedTuple.
    """
    for table in tables:
        names = getattr(table.kind, "_fields", ())
        if tuple(table.fields) != tuple(names):
            raise ValueError(
                f"A table lists the fields of its NamedTuple in their order; "
                f"{table.kind.__name__} has {tuple(names)}, the table {tuple(table.fields)}."
            )
    fields = [field for table in tables for field in table.fields.values()]
    return [math.prod(field.shape) for field in fields]


def add_biases(numbers: Tensor, tables: Sequence[Table]) -> None:
    """Add each field's bias to numbers [..., sum of sizes], in place."""
    fields = [field for table in tables for field in table.fields.values()]
    for field, piece in zip(fields, numbers.split(sizes_of(tables), dim=-1), strict=True):
        piece += float(field.bias)


def match_starts(linear: nn.Linear, tables: Sequence[Table]) -> None:
    """Start each field that is `like` another with the weights and biases of that one, in place."""
    sizes = iter(sizes_of(tables))
    first = 0
    for table in tables:
        rows: dict[str, slice] = {}
        for name in table.fields:
            rows[name] = slice(first, first := first + next(sizes))
        for name, field in table.fields.items():
            if field.like is not None:
                for numbers in linear.parameters():
                    ours, theirs = numbers[rows[name]], numbers[rows[field.like]]
                    shared = min(len(ours), len(theirs))
                    ours[:shared] = theirs[:shared]


class Interface(nn.Module):
    """Emit the parameters that tables list: one linear map, split, shaped and activated.

    Args:
        input_size: the size of the controller's output.
        tables: what to emit; the linear map has one output for each number, in the tables' order.

    Raises:
        ValueError: if a table's fields are not the fields of its NamedTuple.

    >>> class Keys(NamedTuple):
    ...     keys: Tensor
    ...     gates: Tensor
    >>> table = Table(Keys, {"keys": Field((2, 5), real), "gates": Field((2,), unit)})
    >>> (parameters,) = Interface(10, [table])(torch.zeros(3, 10))
    >>> parameters.keys.shape, parameters.gates.shape
    (torch.Size([3, 2, 5]), torch.Size([3, 2]))
    """

    def __init__(
        self,
        input_size: int,
        tables: Sequence[Table],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.tables: tuple[Table, ...] = tuple(tables)
        self.sizes: list[int] = sizes_of(self.tables)
        self.linear: nn.Linear = nn.Linear(input_size, sum(self.sizes), device=device, dtype=dtype)
        self._start_fields()

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as `nn.Linear` does, and start the fields as they are to."""
        self.linear.reset_parameters()
        self._start_fields()

    @torch.no_grad()
    def _start_fields(self) -> None:
        match_starts(self.linear, self.tables)
        add_biases(self.linear.bias, self.tables)

    def forward(self, h: Tensor) -> tuple[Any, ...]:
        """Return one NamedTuple for each table; `h` is [B, input_size]."""
        return activated(self.linear(h), self.tables, self.sizes)


def activated(raw: Tensor, tables: Sequence[Table], sizes: Sequence[int]) -> tuple[Any, ...]:
    """Give numbers [B, sum of sizes] their names, shapes and ranges: a NamedTuple for each table.

    Half-precision numbers are widened first: weightings are computed in float32 or better.
    """
    if raw.dtype in (torch.bfloat16, torch.float16):
        raw = raw.float()
    pieces = iter(raw.split(list(sizes), dim=-1))
    return tuple(
        table.kind(*(field.values(next(pieces)) for field in table.fields.values()))
        for table in tables
    )

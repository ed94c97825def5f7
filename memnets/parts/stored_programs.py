"""An interface with several programs, from which each step mixes its own by attention.

Le, Tran and Venkatesh 2020, "Neural Stored-program Memory", ICLR 2020, arXiv 1906.08862, section 3.
Axes: B batch; P programs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from memnets.checks import check_sizes
from memnets.interface import Table, activated, add_biases, positive, sizes_of
from memnets.parts.content import content_weights
from memnets.parts.registry import register


def run_programs(h: Tensor, weights: Tensor, programs: Tensor, biases: Tensor) -> Tensor:
    """What the mixed program makes of h: `(sum_p w_p V_p) h + sum_p w_p b_p` (eq. 5, Algorithm 1).

    Computed as the mixture of what each program makes, which needs no weights of a row's own.

    Args:
        h: [B, hidden].
        weights: w, [B, P].
        programs: V, [P, numbers, hidden].
        biases: b, [P, numbers].

    Returns:
        [B, numbers].
    """
    made = nn.functional.linear(h, programs.flatten(0, 1)).unflatten(-1, biases.shape) + biases
    return (weights[:, None].to(made.dtype) @ made).squeeze(1)


def likeness(keys: Tensor) -> Tensor:
    """The sum of the cosines of all pairs of program keys [P, key], l_p (eq. 6).

    Added to the loss with a small factor that falls (eq. 7), it keeps the programs apart.

    >>> likeness(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]))
    tensor(1.)
    """
    directions = nn.functional.normalize(keys, dim=-1)
    return (directions @ directions.T).triu(diagonal=1).sum()


class ProgramInterface(nn.Module):
    """A program memory in place of the linear map of an interface.

    A linear map of the controller's output emits a key and a strength, softplus; cosine similarity
    with the learned keys weighs the programs (eq. 3 and 4), and `run_programs` is the interface.

    Args:
        input_size: the size of the controller's output.
        tables: what to emit.
        programs: how many, P.
        key_size: numbers in a key.
        device, dtype: of the parameters.

    Raises:
        ValueError: if a table's fields are not the fields of its NamedTuple.
    """

    def __init__(
        self,
        input_size: int,
        tables: Sequence[Table],
        *,
        programs: int,
        key_size: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.tables: tuple[Table, ...] = tuple(tables)
        self.sizes: list[int] = sizes_of(self.tables)
        self.query: nn.Linear = nn.Linear(input_size, key_size + 1, device=device, dtype=dtype)
        values = self.query.weight.new_empty(programs, sum(self.sizes), input_size)
        self.keys: nn.Parameter = nn.Parameter(values.new_empty(programs, key_size))
        self.programs: nn.Parameter = nn.Parameter(values)
        self.biases: nn.Parameter = nn.Parameter(values.new_empty(values.shape[:2]))
        self._draw()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: each program as `nn.Linear` does, keys normal."""
        self.query.reset_parameters()
        self._draw()

    @torch.no_grad()
    def _draw(self) -> None:
        bound = 1 / math.sqrt(self.programs.shape[-1])
        self.programs.uniform_(-bound, bound)
        self.biases.uniform_(-bound, bound)
        add_biases(self.biases, self.tables)
        self.keys.normal_()

    def weigh(self, h: Tensor) -> Tensor:
        """How much of each program a step takes, [B, P]; `h` is [B, input_size]."""
        query = self.query(h)
        keys = self.keys.expand(len(h), -1, -1).to(query.dtype)
        strengths = positive(query[:, -1:])
        return content_weights(keys, query[:, None, :-1], strengths).squeeze(1)

    def forward(self, h: Tensor) -> tuple[Any, ...]:
        """Return one NamedTuple for each table; `h` is [B, input_size]."""
        raw = run_programs(h, self.weigh(h), self.programs, self.biases)
        return activated(raw, self.tables, self.sizes)


@register
@dataclass(frozen=True, kw_only=True)
class StoredPrograms:
    """The settings of a `ProgramInterface`; with one program, a linear map.

    Raises:
        ValueError: if a size is below 1.
    """

    programs: int = 2
    """how many programs"""
    key_size: int = 2
    """numbers in the key of a program"""

    def __post_init__(self) -> None:
        check_sizes(programs=self.programs, key_size=self.key_size)

    def build(
        self,
        input_size: int,
        tables: Sequence[Table],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> ProgramInterface:
        """Return a new interface for a controller's output of `input_size`, and these tables."""
        return ProgramInterface(
            input_size,
            tables,
            programs=self.programs,
            key_size=self.key_size,
            device=device,
            dtype=dtype,
        )

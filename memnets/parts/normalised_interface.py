"""An interface whose numbers are normalised before they get their ranges.

Franke, Niehues and Waibel 2018, "Robust and Scalable Differentiable Neural Computer for Question
Answering", arXiv 1807.02658, "DNC normalization"; layer normalisation is Ba et al. 2016, arXiv
1607.06450. Axes: B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from memnets.checks import check_epsilons
from memnets.interface import Table, activated, add_biases, match_starts, sizes_of
from memnets.parts.registry import register


class Normalised(nn.Module):
    """An interface with layer normalisation: `scale (z - mean z) / sqrt(var z + eps) + shift`.

    z is what the linear map makes, all numbers of the interface together, whatever they are. The
    fields' biases are in the shift, as the normalisation would take them out of the linear map.

    Args:
        input_size: the size of the controller's output.
        tables: what to emit.
        epsilon: added to the variance.
        device, dtype: of the parameters.

    Raises:
        ValueError: if a table's fields are not the fields of its NamedTuple.
    """

    def __init__(
        self,
        input_size: int,
        tables: Sequence[Table],
        *,
        epsilon: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.tables: tuple[Table, ...] = tuple(tables)
        self.sizes: list[int] = sizes_of(self.tables)
        numbers = sum(self.sizes)
        self.linear: nn.Linear = nn.Linear(input_size, numbers, device=device, dtype=dtype)
        self.norm: nn.LayerNorm = nn.LayerNorm(numbers, eps=epsilon, device=device, dtype=dtype)
        self._start_fields()

    def reset_parameters(self) -> None:
        """Draw the linear map as `nn.Linear` does; scale 1, and as shift the fields' biases."""
        self.linear.reset_parameters()
        self.norm.reset_parameters()
        self._start_fields()

    @torch.no_grad()
    def _start_fields(self) -> None:
        match_starts(self.linear, self.tables)
        add_biases(self.norm.bias, self.tables)

    def forward(self, h: Tensor) -> tuple[Any, ...]:
        """Return one NamedTuple for each table; `h` is [B, input_size]."""
        return activated(self.norm(self.linear(h)), self.tables, self.sizes)


@register
@dataclass(frozen=True, kw_only=True)
class NormalisedInterface:
    """The settings of a `Normalised` interface.

    Raises:
        ValueError: if the epsilon is negative or not finite.
    """

    epsilon: float = 1e-6
    """added to the variance"""

    def __post_init__(self) -> None:
        check_epsilons(epsilon=self.epsilon)

    def build(
        self,
        input_size: int,
        tables: Sequence[Table],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Normalised:
        """Return a new interface for a controller's output of `input_size`, and these tables."""
        return Normalised(input_size, tables, epsilon=self.epsilon, device=device, dtype=dtype)

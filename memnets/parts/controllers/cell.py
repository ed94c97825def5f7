"""What a cell of a controller is, and the base of those with the parameters of torch's cells.

The contract, which `memnets.parts.controllers.register` checks::

    Kind(input_size, hidden_size, *, device=None, dtype=None)   an `nn.Module`
    Kind.state_tensors                 how many tensors [B, hidden] the cell carries, 0 or more
    cell.reset_parameters()            draws the parameters anew, as the constructor did
    cell(x, state) -> (h, state)       x [B, input_size], h [B, hidden], state a tuple of tensors

The state comes and goes in one dtype, also under autocast: h and the state after the step are in
that of the state before it. A cell has no settings: a variant is a subclass with a name of its own.

The cells are written as linear maps and chunks, not as calls of torch's fused cells, because
`torch.func.vmap`, which trains several seeds at once, has no rule for those.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

Device = torch.device | str | None


class CellContract(Protocol):
    """What a class must have to be a cell: see the head of `cell.py`."""

    state_tensors: int
    """How many tensors [B, hidden] make the state."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...

    def reset_parameters(self) -> None:
        """Draw the parameters anew, in the order and from the distribution of a new cell."""
        ...

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step."""
        ...


class OneBiasCell(nn.Module):
    """What recurrent cells with one bias share: W, U and b. Others follow in their constructors."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gates: int,
        device: Device,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.sizes: str = f"{input_size}, {hidden_size}"
        weight = torch.empty(gates * hidden_size, input_size, device=device, dtype=dtype)
        recurrent = weight.new_empty(len(weight), hidden_size)
        self.weight_ih: nn.Parameter = nn.Parameter(weight)
        self.weight_hh: nn.Parameter = nn.Parameter(recurrent)
        self.bias: nn.Parameter = nn.Parameter(weight.new_empty(len(weight)))

    def reset_parameters(self) -> None:
        """Draw all parameters anew, in order, within 1 / sqrt(hidden_size) as torch's cells do."""
        bound = 1 / math.sqrt(self.weight_hh.shape[1])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """Show the sizes, as torch's cells do."""
        return self.sizes


class Cell(nn.Module):
    """A recurrent cell with the parameters of torch's own: names, shapes and initial values."""

    gates: int
    """How many rows of `hidden_size` the weights hold."""
    state_tensors: int = 1
    """How many tensors [B, hidden] make the state."""
    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias_ih: nn.Parameter
    bias_hh: nn.Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.sizes: str = f"{input_size}, {hidden_size}"
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size, device=device, dtype=dtype))
        self.bias_ih = nn.Parameter(torch.empty(rows, device=device, dtype=dtype))
        self.bias_hh = nn.Parameter(torch.empty(rows, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew, uniform within 1 / sqrt(hidden_size) as torch's cells do."""
        bound = 1 / math.sqrt(self.weight_hh.shape[1])
        for parameter in (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh):
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """Show the sizes, as torch's cells do."""
        return self.sizes

    def from_input(self, x: Tensor) -> Tensor:
        """W x + b."""
        return functional.linear(x, self.weight_ih, self.bias_ih)

    def from_hidden(self, h: Tensor) -> Tensor:
        """U h(t-1) + b, with a bias of its own as in torch."""
        return functional.linear(h, self.weight_hh, self.bias_hh)

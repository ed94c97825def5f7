"""The gated recurrent unit with gates that see less."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnets.parts.controllers.cell import Device, OneBiasCell
from memnets.parts.controllers.registry import register


class ReducedGRUCell(OneBiasCell):
    """`h = (1 - z) * h(t-1) + z * tanh(W x + U (r * h(t-1)) + b)`, with gates that do not see x.

    Dey and Salem 2017, "Gate-Variants of Gated Recurrent Unit (GRU) Neural Networks" (arXiv
    1701.05923), section 3. What the gates see is all in which the three differ; none is read from
    x. As in the paper, r is multiplied before U and z is the share of what is new; in `nn.GRUCell`,
    and so in `GRUCell`, r is multiplied after U, and z is the share of what is kept. A choice of
    this package: tanh for the paper's g. All parameters start as those of torch's cells.
    """

    state_tensors = 1
    sees_state: bool
    """Whether the gates see h(t-1)."""
    has_bias: bool
    """Whether the gates have a bias."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, gates=1, device=device, dtype=dtype)
        self.gate_weight: nn.Parameter | None = None
        self.gate_bias: nn.Parameter | None = None
        if self.sees_state:
            self.gate_weight = nn.Parameter(self.bias.new_empty(2 * hidden_size, hidden_size))
        if self.has_bias:
            self.gate_bias = nn.Parameter(self.bias.new_empty(2 * hidden_size))
        self.reset_parameters()

    def gates(self, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return r and z, [B, hidden], or [hidden] where they do not see h(t-1)."""
        if self.gate_weight is not None:
            total = functional.linear(before, self.gate_weight, self.gate_bias)
        else:
            assert self.gate_bias is not None  # gates that see nothing would be constant
            total = self.gate_bias
        reset, update = torch.sigmoid(total).to(before.dtype).chunk(2, dim=-1)
        return reset, update

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step."""
        (before,) = state
        reset, update = self.gates(before)
        recurrent = functional.linear(reset * before, self.weight_hh)
        new = torch.tanh(functional.linear(x, self.weight_ih, self.bias) + recurrent)
        h = torch.lerp(before, new.to(before.dtype), update)  # under autocast h stays as it was
        return h, (h,)


@register("gru1")
class GRU1Cell(ReducedGRUCell):
    """GRU1: the gates see the state and have a bias, `r = sigmoid(U_r h(t-1) + b_r)`, z alike.

    >>> cell = GRU1Cell(3, 2)
    >>> cell.gate_weight.shape, cell.gate_bias.shape
    (torch.Size([4, 2]), torch.Size([4]))
    """

    sees_state = True
    has_bias = True


@register("gru2")
class GRU2Cell(ReducedGRUCell):
    """GRU2: the gates see the state and have no bias, `r = sigmoid(U_r h(t-1))`, z alike.

    >>> cell = GRU2Cell(3, 2)
    >>> cell.gate_weight.shape, cell.gate_bias
    (torch.Size([4, 2]), None)
    """

    sees_state = True
    has_bias = False


@register("gru3")
class GRU3Cell(ReducedGRUCell):
    """GRU3: the gates have a bias alone, `r = sigmoid(b_r)`, z alike: learned, but constant.

    >>> cell = GRU3Cell(3, 2)
    >>> cell.gate_weight, cell.gate_bias.shape
    (None, torch.Size([4]))
    """

    sees_state = False
    has_bias = True

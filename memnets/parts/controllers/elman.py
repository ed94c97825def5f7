"""The simple recurrent network."""

from __future__ import annotations

import torch
from torch import Tensor

from memnets.parts.controllers.cell import Cell
from memnets.parts.controllers.registry import register


@register("elman")
class ElmanCell(Cell):
    """h = tanh(W x + U h(t-1) + b), with the parameters of `nn.RNNCell`."""

    gates = 1

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step."""
        (before,) = state
        h = torch.tanh(self.from_input(x) + self.from_hidden(before)).to(before.dtype)
        return h, (h,)

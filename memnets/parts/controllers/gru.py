"""The gated recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor

from memnets.parts.controllers.cell import Cell
from memnets.parts.controllers.registry import register


@register("gru")
class GRUCell(Cell):
    """Gated recurrent unit, with the equations and parameters of `nn.GRUCell`."""

    gates = 3

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step."""
        (h,) = state
        reset_x, update_x, new_x = self.from_input(x).chunk(3, dim=-1)
        reset_h, update_h, new_h = self.from_hidden(h).chunk(3, dim=-1)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        kept = torch.sigmoid(update_x + update_h)
        h = torch.lerp(new.to(h.dtype), h, kept.to(h.dtype))  # under autocast h stays as it was
        return h, (h,)

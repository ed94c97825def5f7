"""Long short-term memory."""

from __future__ import annotations

import torch
from torch import Tensor

from memnets.parts.controllers.cell import Cell
from memnets.parts.controllers.registry import register


@register("lstm")
class LSTMCell(Cell):
    """Long short-term memory, with the equations and parameters of `nn.LSTMCell`."""

    gates = 4
    state_tensors = 2

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step."""
        h, c = state
        i, f, g, o = (self.from_input(x) + self.from_hidden(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)

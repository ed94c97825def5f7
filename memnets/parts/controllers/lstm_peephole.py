"""Long short-term memory with peepholes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnets.parts.controllers.cell import Device, OneBiasCell
from memnets.parts.controllers.registry import register


@register("lstm_peephole")
class PeepholeLSTMCell(OneBiasCell):
    """Long short-term memory whose gates also see c, each unit's gates its own.

    `i = sigmoid(W_i x + U_i h(t-1) + p_i * c(t-1) + b_i)`, f alike with p_f,
    `g = tanh(W_g x + U_g h(t-1) + b_g)`, `c = f * c(t-1) + i * g`,
    `o = sigmoid(W_o x + U_o h(t-1) + p_o * c + b_o)`, which sees the new c, and `h = o * tanh(c)`:
    Gers and Schmidhuber 2000, "Recurrent Nets that Time and Count" (IJCNN), and Gers, Schraudolph
    and Schmidhuber 2002 (JMLR 3). A choice of this package: both squashing functions are tanh, as
    in Graves 2013 (arXiv 1308.0850, eq. 7 to 11). The rows of the weights are those of i, f, g and
    o, as in torch's cells; all start as those of torch's cells.

    >>> cell = PeepholeLSTMCell(3, 2)
    >>> h, (_, c) = cell(torch.ones(1, 3), (torch.zeros(1, 2), torch.zeros(1, 2)))
    >>> h.shape, cell.peepholes.shape
    (torch.Size([1, 2]), torch.Size([3, 2]))
    """

    state_tensors = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, gates=4, device=device, dtype=dtype)
        self.peepholes: nn.Parameter = nn.Parameter(self.bias.new_empty(3, hidden_size))
        """p_i, p_f and p_o, [3, hidden]."""
        self.reset_parameters()

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step."""
        h, c = state
        to_i, to_f, to_o = self.peepholes.unbind(0)
        total = functional.linear(x, self.weight_ih, self.bias)
        total = total + functional.linear(h, self.weight_hh)
        i, f, g, o = total.to(c.dtype).chunk(4, dim=-1)  # under autocast c stays as it was
        new = torch.sigmoid(i + to_i * c) * torch.tanh(g)
        c = torch.sigmoid(f + to_f * c) * c + new
        h = torch.sigmoid(o + to_o * c) * torch.tanh(c)
        return h, (h, c)

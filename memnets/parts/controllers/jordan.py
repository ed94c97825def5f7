"""Jordan's network: what comes back is the output, not the hidden units."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memnets.parts.controllers.cell import Device
from memnets.parts.controllers.registry import register


@register("jordan")
class JordanCell(nn.Module):
    """`z = tanh(W x + U s(t-1) + b)`, `h = tanh(V z + c)`, `s = decay * s(t-1) + h`.

    Jordan 1986, "Serial Order: A Parallel Distributed Processing Approach" (ICS Report 8604,
    University of California, San Diego): the state units s see the output units through
    connections of weight 1, and themselves through one of weight mu, here `decay`; the hidden
    units z see s and the plan, here x. The output units are the cell's h: there are hidden_size of
    each kind. Choices of this package, not of the report: tanh for the units, as in the other
    cells, and the value of mu, which makes s at most 1 / (1 - decay) = 2. With a decay of 0, s is
    the output of the step before. The three linear maps start as `nn.Linear` does.

    >>> cell = JordanCell(3, 2)
    >>> h, (s,) = cell(torch.ones(1, 3), (torch.zeros(1, 2),))
    >>> h.shape, torch.equal(s, h)
    (torch.Size([1, 2]), True)
    """

    state_tensors = 1
    decay: float = 0.5
    """The weight of a state unit's connection to itself, Jordan's mu: at least 0, below 1."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.from_input: nn.Linear = nn.Linear(input_size, hidden_size, device=device, dtype=dtype)
        self.from_state: nn.Linear = nn.Linear(
            hidden_size, hidden_size, bias=False, device=device, dtype=dtype
        )
        self.to_output: nn.Linear = nn.Linear(hidden_size, hidden_size, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw the parameters anew: W and b, U, then V and c."""
        for linear in (self.from_input, self.from_state, self.to_output):
            linear.reset_parameters()

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden], the output units, and the state after the step."""
        (before,) = state
        hidden = torch.tanh(self.from_input(x) + self.from_state(before))
        h = torch.tanh(self.to_output(hidden)).to(before.dtype)  # under autocast as it was
        return h, (self.decay * before + h,)

"""The network of multiple time scales."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memnets.parts.controllers.cell import Device
from memnets.parts.controllers.registry import register


@register("mtrnn")
class MTRNNCell(nn.Module):
    """Leaking units of two time scales; only the fast ones see x and are seen as h.

    `u = (1 - 1/tau) u(t-1) + (1/tau) (sum of weight * y(t-1) + b)`, `y = sigmoid(u)`: Yamashita and
    Tani 2008, "Emergence of Functional Hierarchy in a Multiple Timescale Neural Network Model:
    A Humanoid Robot Experiment" (PLoS Computational Biology 4), its update of the context units.
    These are fast or slow: all see all context units; the fast ones also see x, and h is their y.
    What is slow reaches neither x nor the heads but through the fast units, as in the paper.
    Choices of this package: as many slow units as fast ones, hidden_size of each; x and the heads
    in place of the paper's units for input and output; biases. The two linear maps start as
    `nn.Linear` does.

    >>> cell = MTRNNCell(3, 2)
    >>> h, (fast, slow) = cell(torch.ones(1, 3), (torch.zeros(1, 2), torch.zeros(1, 2)))
    >>> torch.equal(h, fast.sigmoid()), bool((slow.abs() < fast.abs().max()).all())
    (True, True)
    """

    state_tensors = 2
    fast: float = 5.0
    """The time constant of the fast context units in steps: at least 1. The paper's."""
    slow: float = 70.0
    """The time constant of the slow context units in steps: at least 1. The paper's."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.from_input: nn.Linear = nn.Linear(
            input_size, hidden_size, bias=False, device=device, dtype=dtype
        )
        self.from_context: nn.Linear = nn.Linear(
            2 * hidden_size, 2 * hidden_size, device=device, dtype=dtype
        )

    def reset_parameters(self) -> None:
        """Draw the parameters anew: those from x, then those between the context units."""
        self.from_input.reset_parameters()
        self.from_context.reset_parameters()

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden], the fast units, and the state: u of the fast, of the slow units."""
        fast, slow = state
        context = self.from_context(torch.sigmoid(torch.cat(state, dim=-1)))
        to_fast, to_slow = context.chunk(2, dim=-1)
        to_fast = to_fast + self.from_input(x)
        fast = torch.lerp(fast, to_fast.to(fast.dtype), 1 / self.fast)  # under autocast as it was
        slow = torch.lerp(slow, to_slow.to(slow.dtype), 1 / self.slow)
        return torch.sigmoid(fast), (fast, slow)

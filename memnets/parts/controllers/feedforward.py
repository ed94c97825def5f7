"""Cells without a state: all memory is in the memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from memnets.parts.controllers.cell import Device
from memnets.parts.controllers.registry import register


@register("feedforward")
class FeedforwardCell(nn.Module):
    """h = relu(W x + b): no state, so that all memory is in the memory.

    What is written grows with h, and h with what is read: as h has no bound, a memory can grow from
    step to step until it overflows. `TanhFeedforwardCell` has one.
    """

    state_tensors = 0
    activation: Callable[[Tensor], Tensor] = staticmethod(torch.relu)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.linear: nn.Linear = nn.Linear(input_size, hidden_size, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as `nn.Linear` does."""
        self.linear.reset_parameters()

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step."""
        return self.activation(self.linear(x)), state


@register("feedforward_tanh")
class TanhFeedforwardCell(FeedforwardCell):
    """h = tanh(W x + b): a feed-forward cell whose h is bounded, as the recurrent cells' is."""

    activation: Callable[[Tensor], Tensor] = staticmethod(torch.tanh)

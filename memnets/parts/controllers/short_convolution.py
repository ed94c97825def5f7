"""A cell that sees its input and the one before."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnets.parts.controllers.cell import Device
from memnets.parts.controllers.registry import register


@register("short_convolution")
class ShortConvolutionCell(nn.Module):
    """`h = tanh(u + v * u(t-1) + b)` with `u = W x`: all that it carries is one step.

    A causal convolution over two steps, each unit for itself, as networks with an associative
    memory have it over a few (H3, Fu et al. 2022, arXiv 2212.14052: its shift), so that a key that
    comes a step before its value is written beside it. v [hidden] starts at 1 and b at 0: the h of
    a key alone is then like that of a value after it. W starts as that of torch's recurrent cells.

    >>> cell = ShortConvolutionCell(3, 2)
    >>> state = (torch.zeros(1, 2),)
    >>> first, state = cell(torch.eye(3)[:1], state)
    >>> second, state = cell(torch.zeros(1, 3), state)
    >>> third, state = cell(torch.zeros(1, 3), state)
    >>> bool((first == second).all()), bool((third == 0).all())
    (True, True)
    """

    state_tensors = 1

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
        weight = torch.empty(hidden_size, input_size, device=device, dtype=dtype)
        self.weight_ih: nn.Parameter = nn.Parameter(weight)
        self.weight_before: nn.Parameter = nn.Parameter(weight.new_empty(hidden_size))
        self.bias: nn.Parameter = nn.Parameter(weight.new_empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W anew, and set v to 1 and b to 0."""
        bound = 1 / math.sqrt(len(self.bias))
        nn.init.uniform_(self.weight_ih, -bound, bound)
        nn.init.ones_(self.weight_before)
        nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        """Show the sizes, as torch's cells do."""
        return self.sizes

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step, u."""
        (before,) = state
        u = functional.linear(x, self.weight_ih).to(before.dtype)  # under autocast as it was
        return torch.tanh(u + self.weight_before * before + self.bias), (u,)

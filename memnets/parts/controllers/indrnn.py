"""The independently recurrent network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnets.parts.controllers.cell import Device
from memnets.parts.controllers.registry import register


@register("indrnn")
class IndRNNCell(nn.Module):
    """`h = relu(W x + u * h(t-1) + b)`: each unit sees of the step before only itself.

    Li et al. 2018, "Independently Recurrent Neural Network (IndRNN): Building A Longer and Deeper
    RNN" (arXiv 1803.04831), section 3. Units see each other where cells are stacked, or through the
    memory. The recurrent weight u [hidden] is within `2^(1 / longest)`, so that the product of a
    unit's own weights is at most 2 over a sequence of `longest` steps; it starts uniform from 0
    to this bound. The authors' code puts u back within its bound after each update; here each step
    clamps it, so that the bound holds with any optimizer: a weight past the bound counts as the
    bound, and has no gradient. h itself has no bound. W and b start as those of torch's cells. The
    paper's residual form is `Stack(cell="indrnn", num_layers=..., residual=True)`.

    >>> cell = IndRNNCell(3, 2)
    >>> h, state = cell(torch.ones(1, 3), (torch.zeros(1, 2),))
    >>> h.shape, bool((cell.weight_hh <= 2 ** (1 / 1000)).all())
    (torch.Size([1, 2]), True)
    """

    state_tensors = 1
    longest: int = 1000
    """How many steps the bound is for: of sequences that are shorter, it is less than 2."""

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
        self.weight_hh: nn.Parameter = nn.Parameter(weight.new_empty(hidden_size))
        self.bias: nn.Parameter = nn.Parameter(weight.new_empty(hidden_size))
        self.reset_parameters()

    @property
    def bound(self) -> float:
        """The largest recurrent weight, `2^(1 / longest)`."""
        return 2 ** (1 / self.longest)

    def reset_parameters(self) -> None:
        """Draw the parameters anew: W, u and b, in this order."""
        others = 1 / math.sqrt(len(self.bias))
        nn.init.uniform_(self.weight_ih, -others, others)
        nn.init.uniform_(self.weight_hh, 0, self.bound)
        nn.init.uniform_(self.bias, -others, others)

    def extra_repr(self) -> str:
        """Show the sizes, as torch's cells do."""
        return self.sizes

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step."""
        (before,) = state
        recurrent = self.weight_hh.clamp(-self.bound, self.bound) * before
        h = torch.relu(functional.linear(x, self.weight_ih, self.bias) + recurrent)
        h = h.to(before.dtype)  # under autocast h stays as it was
        return h, (h,)

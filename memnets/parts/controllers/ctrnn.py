"""The continuous-time recurrent network, by Euler's method and by Runge and Kutta's."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnets.parts.controllers.cell import Device, OneBiasCell
from memnets.parts.controllers.registry import register

LONGEST = 10.0
"""About the largest time constant that a unit starts with, in steps."""


@register("ctrnn")
class CTRNNCell(OneBiasCell):
    """`tau du/dt = -u + W x + U tanh(u) + b`, `h = tanh(u)`: units that leak, each at its own rate.

    Funahashi and Nakamura 1993, "Approximation of dynamical systems by continuous time recurrent
    neural networks" (Neural Networks 6), the equation of their theorem, whose weights here are
    theirs times tau. The input is constant during a step, which takes a time of 1 and is computed
    by K = `euler_steps` equal steps of Euler's method, each
    `u = u + (W x + U tanh(u) + b - u) / (tau * K)`. Choices of this package, not of the paper: tanh
    for their sigmoid; time constants that are learned, `tau = 1 + exp(log_time)`, so that no Euler
    step overshoots what u leaks to. They start spread from 1.1 to 11 steps, evenly in log_time. W,
    U and b start as those of torch's cells. With a tau of 1 and one Euler step, it is an Elman
    cell.

    >>> cell = CTRNNCell(3, 2)
    >>> h, (u,) = cell(torch.ones(1, 3), (torch.zeros(1, 2),))
    >>> torch.equal(h, u.tanh()), bool((cell.time_constants > 1).all())
    (True, True)
    """

    state_tensors = 1
    euler_steps: int = 1
    """Steps of Euler's method in each step: with more, u follows the differential equation."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, gates=1, device=device, dtype=dtype)
        self.log_time: nn.Parameter = nn.Parameter(self.bias.new_empty(hidden_size))
        self.reset_parameters()

    @property
    def time_constants(self) -> Tensor:
        """Tau of each unit, [hidden]: above 1, in steps."""
        return 1 + self.log_time.exp()

    def reset_parameters(self) -> None:
        """Draw the parameters anew: W, U, b and the time constants, in this order."""
        bound = 1 / math.sqrt(len(self.bias))
        for parameter in (self.weight_ih, self.weight_hh, self.bias):
            nn.init.uniform_(parameter, -bound, bound)
        nn.init.uniform_(self.log_time, -math.log(LONGEST), math.log(LONGEST))

    def goal(self, u: Tensor, constant: Tensor) -> Tensor:
        """What the units leak to, `W x + b + U tanh(u)`, given W x + b."""
        goal = constant + functional.linear(torch.tanh(u), self.weight_hh)
        return goal.to(u.dtype)  # under autocast u stays as it was

    def advance(self, u: Tensor, constant: Tensor) -> Tensor:
        """Return u [B, hidden] a time of 1 later, while W x + b [B, hidden] is constant."""
        rate = (1 / (self.time_constants * self.euler_steps)).to(u.dtype)
        for _ in range(self.euler_steps):
            u = torch.lerp(u, self.goal(u, constant), rate)
        return u

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step."""
        u = self.advance(state[0], functional.linear(x, self.weight_ih, self.bias))
        return torch.tanh(u), (u,)


@register("ctrnn_rk4")
class CTRNNRungeKuttaCell(CTRNNCell):
    """The same network by the classical Runge-Kutta method of order 4 (Kutta 1901).

    Each step of the network takes `substeps` equal steps of length s, each of four slopes, where
    `f(u) = (W x + b + U tanh(u) - u) / tau`: `k1 = f(u)`, `k2 = f(u + s k1 / 2)`,
    `k3 = f(u + s k2 / 2)`, `k4 = f(u + s k3)`, then `u = u + s (k1 + 2 k2 + 2 k3 + k4) / 6`. Twice
    the steps leave a sixteenth of the error, where Euler's method leaves a half. The steps are the
    same for each row of a batch, unlike those of an adaptive solver.

    >>> cell = CTRNNRungeKuttaCell(1, 1)
    >>> for weight in (cell.weight_ih, cell.weight_hh, cell.bias):
    ...     _ = nn.init.zeros_(weight)
    >>> _, (u,) = cell(torch.zeros(1, 1), (torch.ones(1, 1),))
    >>> bool((u - torch.exp(-1 / cell.time_constants)).abs() < 1e-4)  # it only leaks
    True
    """

    substeps: int = 4
    """Steps of the method in each step of the network."""

    def advance(self, u: Tensor, constant: Tensor) -> Tensor:
        """Return u [B, hidden] a time of 1 later, while W x + b [B, hidden] is constant."""
        rate, step = (1 / self.time_constants).to(u.dtype), 1 / self.substeps

        def slope(u: Tensor) -> Tensor:
            return (self.goal(u, constant) - u) * rate

        for _ in range(self.substeps):
            first = slope(u)
            second = slope(u + step / 2 * first)
            third = slope(u + step / 2 * second)
            fourth = slope(u + step * third)
            u = u + step / 6 * (first + 2 * second + 2 * third + fourth)
        return u

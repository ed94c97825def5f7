"""The products of the input: before the loop, and of its gradient after it.

A step does not wait for them, so that they are made for all steps at once: T * B rows side by side.

Axes: B batch, T time, I input; `rows` are a layer's gates * hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from memnets.backends.cpu.plan import GRU
from memnets.parts.controllers import Cell

Parameters = Sequence[Tensor]
"""weight_ih, weight_hh, bias_ih, bias_hh of a recurrent cell; weight, bias of another."""


def parameters_of(cell: Any) -> Parameters:
    """Return the parameters of a cell of memnets' controllers."""
    # As an attribute, each would cost a call of `nn.Module.__getattr__`.
    if isinstance(cell, Cell):
        own: Any = cell._parameters
        return own["weight_ih"], own["weight_hh"], own["bias_ih"], own["bias_hh"]
    own = cell._modules["linear"]._parameters
    return own["weight"], own["bias"]


def biases_of(parameters: Parameters) -> tuple[Tensor, Tensor | None]:
    """The cell's biases: of what it sees, and of its own output of the step before."""
    if len(parameters) == 2:
        return parameters[1], None
    return parameters[2], parameters[3]


def from_input(kind: int, parameters: Parameters, x: Tensor | None) -> Tensor:
    """What a layer's product holds of x [T * B, I] and the biases, [T * B, rows].

    A layer that does not see x has its biases alone, [1, rows].
    """
    weight, bias = parameters[0], _bias(kind, parameters)
    if x is None:
        return bias.unsqueeze(0)
    weight = weight[:, : x.shape[1]]
    if kind == GRU:  # the fourth block has nothing of x
        weight = torch.cat([weight, weight.new_zeros(weight.shape[0] // 3, x.shape[1])])
    return functional.linear(x, weight, bias)


def _bias(kind: int, parameters: Parameters) -> Tensor:
    if len(parameters) == 2:
        return parameters[1]
    first, second = parameters[2:]
    if kind != GRU:
        return first + second
    # Four blocks: reset, update, and the new value's parts without and with h(t-1).
    gates = len(first) // 3 * 2
    return torch.cat([first[:gates] + second[:gates], first[gates:], second[gates:]])


def to_input(parameters: Parameters, d_gates: Tensor, inputs: int) -> Tensor:
    """The gradient of x [T * B, I] from that of what the layer's activations take."""
    weight = parameters[0]
    return d_gates[:, : weight.shape[0]] @ weight[:, :inputs]

"""Controllers: the network that reads the input and drives the heads.

The contract, for those here and for your own::

    controller.input_size                   the layer's input_size + read_heads * word_size
    controller.output_size                  the size of h
    controller.initial_state(batch_size)    nested tuples of tensors, the batch their first axis
    controller(x, state) -> (h, state)      x [B, input_size], h [B, output_size]

A controller is an `nn.Module`; it keeps nothing between calls but its parameters.

The cells are written as linear maps and chunks, not as calls of torch's fused cells, because
`torch.func.vmap`, which trains several seeds at once, has no rule for those.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnets.checks import check_sizes

Device = torch.device | str | None


class Cell(nn.Module):
    """A recurrent cell with the parameters of torch's own: names, shapes and initial values."""

    gates: int
    """How many rows of `hidden_size` the weights hold."""
    state_tensors: int = 1
    """How many tensors [B, hidden] make the state."""
    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias_ih: nn.Parameter
    bias_hh: nn.Parameter

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
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size, device=device, dtype=dtype))
        self.bias_ih = nn.Parameter(torch.empty(rows, device=device, dtype=dtype))
        self.bias_hh = nn.Parameter(torch.empty(rows, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew, uniform within 1 / sqrt(hidden_size) as torch's cells do."""
        bound = 1 / math.sqrt(self.weight_hh.shape[1])
        for parameter in (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh):
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """Show the sizes, as torch's cells do."""
        return self.sizes

    def from_input(self, x: Tensor) -> Tensor:
        """W x + b."""
        return functional.linear(x, self.weight_ih, self.bias_ih)

    def from_hidden(self, h: Tensor) -> Tensor:
        """U h(t-1) + b, with a bias of its own as in torch."""
        return functional.linear(h, self.weight_hh, self.bias_hh)


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


class ElmanCell(Cell):
    """h = tanh(W x + U h(t-1) + b), with the parameters of `nn.RNNCell`."""

    gates = 1

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return h [B, hidden] and the state after the step."""
        (before,) = state
        h = torch.tanh(self.from_input(x) + self.from_hidden(before)).to(before.dtype)
        return h, (h,)


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


class TanhFeedforwardCell(FeedforwardCell):
    """h = tanh(W x + b): a feed-forward cell whose h is bounded, as the recurrent cells' is."""

    activation: Callable[[Tensor], Tensor] = staticmethod(torch.tanh)


CELLS: dict[str, type[LSTMCell | GRUCell | ElmanCell | FeedforwardCell]] = {
    "lstm": LSTMCell,
    "gru": GRUCell,
    "elman": ElmanCell,
    "feedforward": FeedforwardCell,
    "feedforward_tanh": TanhFeedforwardCell,
}


class Controller(nn.Module):
    """A stack of cells of one kind.

    Args:
        cell: `lstm`, `gru`, `elman`, `feedforward` (a ReLU) or `feedforward_tanh`.
        input_size: the layer's input plus all read vectors.
        hidden_size: of every cell.
        num_layers: how many cells.
        skip_connections: the papers' deep form (DNC Methods, "Controller network"): every cell
            also sees the controller's input, and the output is that of all cells side by side.
        learned_initial_state: the state before the first step is a parameter (the NTM paper's bias
            vector), else zero.

    Raises:
        ValueError: if `cell` is none of the names or a size is below 1.

    >>> controller = Controller("gru", 6, 4, num_layers=2)
    >>> h, state = controller(torch.zeros(1, 6), controller.initial_state(1))
    >>> h.shape, len(state)
    (torch.Size([1, 4]), 2)
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        skip_connections: bool = False,
        learned_initial_state: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(cell, str) or cell not in CELLS:
            raise ValueError(
                f"controller must be one of {', '.join(CELLS)}, or an object with the controller "
                f"contract of memnets.parts.controllers; got {cell!r}."
            )
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.skip_connections = skip_connections
        self.output_size: int = hidden_size * num_layers if skip_connections else hidden_size
        below = hidden_size + input_size if skip_connections else hidden_size
        self.cells: nn.ModuleList = nn.ModuleList(
            CELLS[cell](below if depth else input_size, hidden_size, device=device, dtype=dtype)
            for depth in range(num_layers)
        )
        self.state_shape: tuple[int, int, int] = (
            num_layers,
            CELLS[cell].state_tensors,
            hidden_size,
        )
        # None where it is not learned: a constant is computed, as a buffer that no checkpoint holds
        # would be left without a value by `to_empty` and `load_state_dict`.
        self.start: nn.Parameter | None = None
        if learned_initial_state:
            self.start = nn.Parameter(torch.zeros(self.state_shape, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Draw the parameters anew, in the order and from the distribution of a new controller."""
        for cell in self.cells:
            cell.reset_parameters()  # pyright: ignore[reportCallIssue]
        if self.start is not None:
            nn.init.zeros_(self.start)

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Return the state before the first step: for each cell a tuple of tensors [B, hidden]."""
        depth, tensors, hidden = self.state_shape
        if self.start is None:
            if not tensors:
                return ((),) * depth
            # Not of one number: for one row this is dense, and a kernel need not copy it.
            first: Any = self.cells[0]
            zero = first.weight_hh.new_zeros(hidden)
            return tuple(
                tuple(zero.expand(batch_size, hidden) for _ in range(tensors)) for _ in range(depth)
            )
        return tuple(
            tuple(tensor.expand(batch_size, -1) for tensor in cell.unbind(0))
            for cell in self.start.unbind(0)
        )

    def forward(self, x: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """Return h [B, output_size] and the state after the step; x is [B, input_size]."""
        outputs: list[Tensor] = []
        states = []
        for cell, cell_state in zip(self.cells, state, strict=True):
            seen = [outputs[-1]] if outputs else []
            if self.skip_connections or not outputs:
                seen.insert(0, x)
            inputs = torch.cat(seen, dim=-1) if len(seen) > 1 else seen[0]
            h, cell_state = cell(inputs, cell_state)
            outputs.append(h)
            states.append(cell_state)
        h = torch.cat(outputs, dim=-1) if self.skip_connections else outputs[-1]
        return h, tuple(states)

"""A controller made of cells, and its settings as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from memnets.checks import (
    check_name,
    check_sizes,
    check_switches,
    check_total_size,
    checked_controller,
)
from memnets.parts.controllers.cell import Device
from memnets.parts.controllers.registry import CELLS
from memnets.parts.registry import register


class Controller(nn.Module):
    """A stack of cells of one kind.

    Args:
        cell: the name of one of `memnets.parts.controllers.CELLS`.
        input_size: the layer's input plus all read vectors.
        hidden_size: of every cell.
        num_layers: how many cells.
        skip_connections: the papers' deep form (DNC Methods, "Controller network"): every cell
            also sees the controller's input, and the output is that of all cells side by side.
        residual: from the second cell on, what comes out is h of the cell plus what came out of
            the cell below (the residual IndRNN of Li et al. 2018, without its normalisation).
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
        residual: bool = False,
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
        self.cell = cell
        self.num_layers = num_layers
        self.skip_connections = skip_connections
        self.residual = residual
        self.output_size: int = hidden_size * num_layers if skip_connections else hidden_size
        below = hidden_size + input_size if skip_connections else hidden_size
        kind: Any = CELLS[cell]  # an nn.Module with the contract of a cell, as `register` checks
        self.cells: nn.ModuleList = nn.ModuleList(
            kind(below if depth else input_size, hidden_size, device=device, dtype=dtype)
            for depth in range(num_layers)
        )
        self.state_shape: tuple[int, int, int] = (num_layers, kind.state_tensors, hidden_size)
        # None where it is not learned: a constant is computed, as a buffer that no checkpoint holds
        # would be left without a value by `to_empty` and `load_state_dict`.
        self.start: nn.Parameter | None = None
        if learned_initial_state:
            self.start = nn.Parameter(torch.zeros(self.state_shape, device=device, dtype=dtype))

    @property
    def settings(self) -> Stack:
        """What it was built from."""
        return Stack(
            cell=self.cell,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            skip_connections=self.skip_connections,
            residual=self.residual,
        )

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
            zero = next(self.cells[0].parameters()).new_zeros(hidden)
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
            outputs.append(outputs[-1] + h if self.residual and outputs else h)
            states.append(cell_state)
        h = torch.cat(outputs, dim=-1) if self.skip_connections else outputs[-1]
        return h, tuple(states)


@register
@dataclass(frozen=True, kw_only=True)
class Stack:
    """The settings of a `Controller`: all but the size of its input, which the layer knows.

    Raises:
        ValueError: if `cell` is none of the names, a size is below 1 or a switch is no bool.

    >>> stack = Stack(cell="gru", hidden_size=4, num_layers=2, skip_connections=True)
    >>> stack.build(6).output_size
    8
    """

    cell: str = "lstm"
    """the name of one of `memnets.parts.controllers.CELLS`"""
    hidden_size: int = 100
    """hidden units in each cell"""
    num_layers: int = 1
    """how many cells"""
    skip_connections: bool = False
    """the papers' deep form (DNC Methods, "Controller network"): every cell also sees the
    controller's input, and the output is that of all cells side by side"""
    residual: bool = False
    """from the second cell on, what comes out is h of the cell plus what came out of the cell below
    (the residual IndRNN of Li et al. 2018, without its normalisation)"""

    def __post_init__(self) -> None:
        check_name("cell", self.cell, CELLS)
        check_sizes(hidden_size=self.hidden_size, num_layers=self.num_layers)
        check_switches(skip_connections=self.skip_connections, residual=self.residual)

    def build(
        self,
        input_size: int,
        *,
        learned_initial_state: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> Controller:
        """Return a new controller with these settings.

        Args:
            input_size: the layer's input plus all read vectors.
            learned_initial_state: the state before the first step is a parameter, else zero.
            device: of the parameters.
            dtype: of the parameters.

        Raises:
            ValueError: if the input size is below 1, or no machine holds the weights.
        """
        width = input_size + self.hidden_size * self.num_layers
        check_total_size(width * 4 * self.hidden_size * self.num_layers)
        return Controller(
            self.cell,
            input_size,
            self.hidden_size,
            num_layers=self.num_layers,
            skip_connections=self.skip_connections,
            residual=self.residual,
            learned_initial_state=learned_initial_state,
            device=device,
            dtype=dtype,
        )


def made_controller(
    controller: Any,
    hidden_size: int,
    input_size: int,
    *,
    learned_initial_state: bool,
    device: Device,
    dtype: torch.dtype | None,
) -> nn.Module:
    """Return the controller that a layer's arguments ask for.

    Args:
        controller: the name of a cell, a part with `build` as `Stack` has it, or a module.
        hidden_size: of a controller given by name.
        input_size: what the controller must take.
        learned_initial_state, device, dtype: see `Stack.build`.

    Raises:
        TypeError: if it is none of these, or a module that lacks a part of the contract.
        ValueError: if a size does not fit, or has no effect.
    """
    if isinstance(controller, str):
        check_name("controller", controller, CELLS)
        controller = Stack(cell=controller, hidden_size=hidden_size)
    elif hidden_size != Stack.hidden_size:
        raise ValueError(
            f"hidden_size={hidden_size!r} has no effect beside a controller that is an object: "
            "leave it out, and make the controller with it."
        )
    made: Any = controller
    if hasattr(made, "build") and not isinstance(made, type):
        made = made.build(
            input_size, learned_initial_state=learned_initial_state, device=device, dtype=dtype
        )
    return checked_controller(made, input_size)

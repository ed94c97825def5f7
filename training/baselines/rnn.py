"""A controller without a memory: any cell of memnets as a baseline.

Axes: B batch, T time, I input, O output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from memnets.checks import (
    autocasts,
    check_input,
    check_part,
    check_place,
    check_sizes,
    check_switches,
)
from memnets.inspect import palette
from memnets.parts.controllers import CELLS, Stack
from memnets.parts.registry import as_data
from memnets.state import difference, select
from training.baselines.forms import time_first
from training.baselines.registry import Style, register

ELMAN = Stack(cell="elman", hidden_size=128)


@register("rnn", Style("RNN", palette.SKY, "--"), guess={"run.sequences": 100_000})
class RNN(nn.Module):
    """A stack of recurrent cells and a readout, called like the memory layers.

    What a memory layer is without its memory: `h, s = controller(x, s(t-1))`, `y = V h + c`, with
    any cell of `memnets.parts.controllers.CELLS`. x [T, B, input_size] -> y [T, B, output_size],
    which are logits; the state is the controller's, and starts from learned values.

    Args:
        input_size: channels of the input (I).
        output_size: channels of the output (O).
        controller: the cell, by its name, and the settings of a stack of them
        batch_first: whether the batch is the first axis of input and output.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        ValueError: a size is less than 1.
        TypeError: controller is no Stack.

    >>> layer = RNN(10, 9, controller=Stack(cell="ctrnn", hidden_size=16))
    >>> y, state = layer(torch.zeros(5, 2, 10))
    >>> y.shape, state[0][0].shape
    (torch.Size([5, 2, 9]), torch.Size([2, 16]))
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        controller: Stack = ELMAN,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(input_size=input_size, output_size=output_size)
        check_part("controller", controller, Stack)
        check_switches(batch_first=batch_first)
        check_place(device, dtype)
        self.config: dict[str, Any] = {
            "name": "RNN",
            "arguments": {
                "input_size": input_size,
                "output_size": output_size,
                "controller": as_data(controller, "controller"),
                "batch_first": batch_first,
            },
        }
        self.input_size, self.output_size, self.batch_first = input_size, output_size, batch_first
        learned = CELLS[controller.cell].state_tensors > 0  # else a parameter without a gradient
        self.controller = controller.build(
            input_size, learned_initial_state=learned, device=device, dtype=dtype
        )
        self.hidden_size, self.num_layers = controller.hidden_size, controller.num_layers
        self.readout = nn.Linear(
            self.controller.output_size, output_size, device=device, dtype=dtype
        )

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Return the learned initial state, repeated for each row of the batch."""
        return self.controller.initial_state(batch_size)

    def forward(
        self,
        x: Tensor,
        state: tuple[Any, ...] | None = None,
        lengths: Tensor | Sequence[int] | None = None,
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Map x [T, B, I] (or [T, I]) to logits y [T, B, O] and the state after the last step.

        With lengths, y is 0 past a row's length, and the state is that of its own last step.

        Raises:
            ValueError: the shape of x, of the state or of lengths is not the layer's.
            TypeError: x is no tensor, or not of the layer's dtype.
        """
        weight, batch_first = self.readout.weight, self.batch_first
        check_input(x, input_size=self.input_size, batch_first=batch_first, weight=weight)
        return time_first(self._run, x, state, lengths, batch_first=batch_first)

    def _run(
        self, x: Tensor, state: tuple[Any, ...] | None, lengths: Tensor | None
    ) -> tuple[Tensor, tuple[Any, ...]]:
        time, batch, _ = x.shape
        now = self.initial_state(batch)
        if state is not None:
            dtypes = not autocasts(x.device.type)  # under it a cell may return half precision
            if found := difference(now, state, dtypes=dtypes):
                raise ValueError(f"The state is not of this layer and batch: {found}.")
            now = state
        if lengths is None:
            active: Sequence[Tensor | None] = [None] * time
        else:
            steps = torch.arange(time, device=x.device)[:, None]
            real = steps < lengths.to(x.device)
            # What lies beyond a row's length may be anything, and 0 times a NaN is a NaN.
            x = torch.where(real[..., None], x, 0.0)
            active = real.unbind(0)
        outputs: list[Tensor] = []
        for x_t, rows in zip(x, active, strict=True):
            h, after = self.controller(x_t, now)
            now = after if rows is None else select(rows, after, now)
            outputs.append(h)
        return self.readout(torch.stack(outputs)), now

"""What runs the operator's calls on each kind of device: the one thing that differs between them.

Graphs, transforms and the operator are the same for a kernel on the CPU and on a GPU; here is what
they ask of it. `memnets.backends.registry` fills `ENGINES`.

Axes: B batch, T time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from memnets.backends.cpu.plan import Plan
from memnets.backends.cpu.problems import Call, Tensors


class Engine(Protocol):
    """A kernel on one kind of device. In a graph its sizes may be symbols."""

    begins: bool
    """Whether a call begins from a constant first state that it makes itself."""

    logits: bool
    """Whether it makes those of a small readout."""

    def reason_against(self, device: torch.device, dtype: torch.dtype, plan: Plan) -> str | None:
        """Say why it cannot run a layer; None where it can."""
        ...

    def name(self, dtype: torch.dtype) -> str:
        """Name all that decides how much a forward keeps."""
        ...

    def threads(self, batch: int) -> int:
        """How many threads a call of so many rows takes."""
        ...

    def numbers_a_step(self, plan: Plan) -> int:
        """How many numbers the memory's records of one step of one row have, about."""
        ...

    def kept_numbers(
        self, plan: Plan, dtype: torch.dtype, time: int, batch: int, segment: int, starts: bool
    ) -> int:
        """How many numbers a forward of training keeps."""
        ...

    def forward(self, call: Call, tensors: Tensors, least: int) -> tuple[Sequence[Tensor], Tensor]:
        """Return h, the read vectors, the final state and, where the call wants them, the logits;
        and `least` numbers for a backward.
        """
        ...

    def backward(
        self,
        call: Call,
        tensors: Tensors,
        wanted: Tensors,
        d_outputs: Sequence[Tensor | None],
        outputs: Sequence[Tensor],
        kept: Tensor,
    ) -> list[Tensor | None]:
        """The gradients of a forward's tensors, in the order of `Tensors.flat`.

        `outputs` are h and, where the forward made logits, the read vectors.
        """
        ...


ENGINES: dict[str, Engine] = {}
"""By the type of the device that a call's tensors are on."""


def engine_of(device: torch.device) -> Engine:
    """What runs a call on a device; tensors without values are as on the CPU."""
    return ENGINES.get(device.type, ENGINES["cpu"])

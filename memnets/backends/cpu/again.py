"""The gradients of a sequence that have gradients themselves: made again through the reference.

The kernel's backward is derived by hand and has no derivative of its own. Where one is asked for
(`create_graph=True`: gradient penalties, `torch.autograd.functional.hessian`), or where the
gradients that come in are no plain tensors, the reference runs the sequence once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from memnets.backends.cpu.known import LINEAR, RECURRENT, inner_modules
from memnets.backends.cpu.planned import planned
from memnets.backends.reference import Starts, Unrolled, reference
from memnets.backends.spec import Steps
from memnets.state import State

if TYPE_CHECKING:
    from memnets.backends.cpu.problems import Call, Tensors


class Again(NamedTuple):
    """What a sequence is made again with."""

    layer: Steps
    memory: Any
    """The memory's state, None in place of each tensor: see `memory_of`."""


class _Loop(nn.Module):
    """The reference as a module, whose parameters `functional_call` can replace."""

    def __init__(self, layer: Steps) -> None:
        super().__init__()
        self.layer: Steps = layer

    def forward(
        self, x: Tensor, state: State, lengths: Tensor | None, starts: Starts | None
    ) -> Unrolled:
        return reference(self.layer, x, state, lengths, None, starts)


def gradients(
    call: Call, tensors: Tensors, wanted: Sequence[bool], d_outputs: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The gradients of the tensors of a forward that are wanted, with a graph of their own.

    Args:
        call: of the forward.
        tensors: what it was given.
        wanted: which of them, in the order of `Tensors.flat`.
        d_outputs: the gradients of what it returned.

    Raises:
        RuntimeError: if the layer was changed since the forward.
    """
    layer = call.again.layer
    if planned(layer, inner_modules(layer)).plan is not call.plan:
        raise RuntimeError(
            "The layer was changed between the forward and a backward with create_graph=True, "
            'which runs it again; change it after the backward, or use backend="reference".'
        )
    with torch.enable_grad(), torch.autocast(tensors.x.device.type, enabled=False):
        # Views, so that a tensor which was given in two places gets the gradient of each place.
        views = [tensor.view_as(tensor) for tensor in tensors.flat()]
        made_again = outputs(call, type(tensors).of(views, call.plan, call.readout))
        made = [(o, g) for o, g in zip(made_again, d_outputs, strict=True) if g is not None]
        made = [(output, gradient) for output, gradient in made if output.requires_grad]
        inputs = [view for view, want in zip(views, wanted, strict=True) if want]
        found = torch.autograd.grad(
            [output for output, _ in made],
            inputs,
            [gradient for _, gradient in made],
            create_graph=torch.is_grad_enabled(),
            allow_unused=True,
        )
    left = iter(found)
    return [next(left) if want else None for want in wanted]


def outputs(call: Call, tensors: Tensors) -> list[Tensor]:
    """What the node's forward returns, by the reference."""
    layer: Any = call.again.layer
    state = _state(call, tensors.start_reads, tensors.controller, tensors.memory)
    starts = None
    if call.starts is not None:
        starts = Starts(call.starts, _state(call, *tensors.begin(call.plan)))
    values = {
        "layer.interface.linear.weight": tensors.interface_weights,
        "layer.interface.linear.bias": tensors.interface_bias,
    }
    for depth, parameters in enumerate(tensors.cells):
        names = RECURRENT if len(parameters) == len(RECURRENT) else LINEAR
        prefix = f"layer.controller.cells.{depth}"
        values |= {f"{prefix}.{n}": p for n, p in zip(names, parameters, strict=True)}
    arguments = (tensors.x, state, call.lengths, starts)
    made = functional_call(_Loop(layer), values, arguments, tie_weights=False)
    ends = [tensor for one in made.state.controller for tensor in one]
    memory = [part for part in made.state.memory if isinstance(part, Tensor)]
    reads = made.state.read_vectors.flatten(1)
    seen = made.read_vectors.flatten(2)
    logits = []
    if call.readout:
        logits = [functional.linear(torch.cat([made.h, seen], dim=-1), *tensors.readout)]
    return [made.h, seen, reads, *ends, *memory, *logits]


def _state(
    call: Call, reads: Tensor, controller: Sequence[Sequence[Tensor]], memory: Sequence[Tensor]
) -> State:
    layer = call.again.layer
    vectors = reads.unflatten(1, (layer.read_heads, layer.word_size))
    rebuilt = memory_of(call.again.memory, memory)
    return State(tuple(tuple(one) for one in controller), rebuilt, vectors)


def form_of_memory(memory: Any) -> Any:
    """The state of a memory with None in place of each tensor."""
    return memory._make(None if isinstance(part, Tensor) else part for part in memory)


def memory_of(form: Any, tensors: Sequence[Tensor]) -> Any:
    """The state of a memory of this form, see `form_of_memory`, that has these tensors."""
    left = iter(tensors)
    return form._make(next(left) if part is None else part for part in form)

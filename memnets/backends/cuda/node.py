"""The whole sequence as one node of autograd's graph, on a GPU: as `memnets.backends.cpu.node`.

What is a product over all steps stays torch's: of x with the controller's weights, and the
gradients of weights. Nothing here waits for the device.

Axes: B batch, T time, R read heads, W word, I input.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memnets.backends.cpu import again, products
from memnets.backends.cpu.known import reason_in_modes, reason_in_tensors
from memnets.backends.cpu.node import fresh, input_gradient, loop_gradients, point_to_outputs
from memnets.backends.cpu.plan import ABSENT, GRU, Layer, Plan, Problem
from memnets.backends.cpu.problems import Call, Problems, Tensors
from memnets.backends.cuda import driver, kernels
from memnets.backends.cuda.sizes import arena_size, divide
from memnets.backends.cuda.sources import THREADS


class Launch(NamedTuple):
    """What a kernel is started with."""

    plan: Plan
    forward: bool
    problem: Problem
    layers: ctypes.Array[Layer]
    blocks: int
    rows: int
    """Of the batch, for a block."""
    arena: Tensor
    """[blocks, numbers that one works with]; [blocks, 0] where one works in shared memory."""
    shared: int
    """Bytes of shared memory that a block works with."""


class DeviceProblems(Problems):
    """A problem whose tensors are on a device, with the weights as a pass multiplies by them."""

    def __init__(self, call: Call, tensors: Tensors, forward: bool) -> None:
        if call.lengths is not None:
            call = call._replace(lengths=_on_device(call.lengths, tensors.x.device))
        super().__init__(call, tensors, direct=False)
        self._call, self._x, self._forward = call, tensors.x, forward
        problem = self.problem
        # A memory and its links are kept, and not made again.
        problem.span, problem.links_every = problem.segment, 1
        problem.interface_weights = self._packed(tensors.interface_weights)
        for layer, parameters in zip(self.layers, tensors.cells, strict=True):
            layer.input_weights = self._packed(_weights(layer, problem, parameters))

    def _library(self, dtype: torch.dtype) -> Any:
        return None

    def _packed(self, weights: Tensor) -> int | None:
        return self.address((weights.t() if self._forward else weights).contiguous())

    def divide(self, buffer: Tensor | None) -> int:
        """Point to the parts of what is kept for the backward; return how many numbers it takes."""
        address = None if buffer is None else buffer.data_ptr()
        return divide(self.problem, self.layers, address, self._x.element_size())

    def launch(self) -> None:
        """Start the kernel on torch's current stream."""
        device = self._x.device
        rows = rows_a_block(self.problem.batch, kernels.multiprocessors(device))
        blocks = -(-self.problem.batch // rows)
        size = arena_size(self.problem, self.layers, rows, THREADS, self._forward)
        asked = size * self._x.element_size()
        shared = asked if asked <= kernels.most_shared(device) else 0
        arena = self._x.new_empty(blocks, 0 if shared else size)
        made_of = self._call.plan, self._forward, self.problem, self.layers
        kernels.launch(Launch(*made_of, blocks, rows, arena, shared))


def _on_device(lengths: Tensor, device: torch.device) -> Tensor:
    """Copy the lengths without waiting: the driver reads memory that is not pinned before it
    returns.

    Raises:
        ValueError: if a CUDA graph is being captured, which would read them again when it runs.
    """
    if driver.capturing():
        raise ValueError(
            "lengths are on the CPU, from where a CUDA graph cannot take them: capture calls "
            "without lengths, with the rows padded to T."
        )
    return lengths.to(device, non_blocking=True)


def rows_a_block(batch: int, multiprocessors: int) -> int:
    """As many rows as keep all multiprocessors at work, up to one for each warp of a block; a power
    of two, so that as many warps are there for each.

    >>> rows_a_block(16, 132), rows_a_block(256, 132), rows_a_block(4096, 132)
    (1, 2, 8)
    """
    rows, most = -(-batch // multiprocessors), THREADS // 32
    return min(most, 1 << (rows - 1).bit_length()) if rows else 1


def _weights(layer: Layer, problem: Problem, parameters: Sequence[Tensor]) -> Tensor:
    """What a layer multiplies z with, [rows, width]: see `layer_product` in csrc/weights.h."""
    seen = parameters[0][:, layer.inputs :]
    if layer.own == ABSENT:
        return seen
    own, hidden = parameters[1], problem.hidden
    if problem.cell == GRU:  # four blocks: the third has nothing of h, the fourth nothing else
        seen = torch.cat([seen, seen.new_zeros(hidden, seen.shape[1])])
        own = torch.cat([own[: 2 * hidden], own.new_zeros(hidden, hidden), own[2 * hidden :]])
    return torch.cat([seen, own], dim=1)


def forward(call: Call, tensors: Tensors, least: int = 0) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return h [T, B, hidden], read vectors [T, B, R * W] and the final state; and the buffer,
    which has `least` numbers at least.
    """
    run = DeviceProblems(call, tensors, True)
    problem, x = run.problem, tensors.x
    if call.starts is not None:
        begin = tensors.begin(call.plan)
        run.begin("restart", begin)
    buffer = x.new_empty(max(run.divide(None), least))
    run.divide(buffer)
    if call.lengths is not None:
        # Steps past a row's length are never filled, and must be numbers in the weights' products.
        buffer[: (problem.records - buffer.data_ptr()) // buffer.element_size()].zero_()
    flat_x = x.flatten(0, 1)
    for layer, parameters in zip(run.layers, tensors.cells, strict=True):
        seen = flat_x if layer.inputs else None
        layer.from_input = run.address(products.from_input(problem.cell, parameters, seen))
        layer.from_input_row = layer.rows if layer.inputs else 0
    time, batch, _ = x.shape
    make = x.new_empty if call.lengths is None else x.new_zeros
    h = make((time, batch, tensors.interface_weights.shape[1]))
    read_vectors = make((time, batch, problem.read_heads * problem.word))
    end_reads = fresh(tensors.start_reads)
    ends = [[fresh(part) for part in state] for state in tensors.controller]
    end_memory = [fresh(part) for part in tensors.memory]
    problem.h, problem.read_vectors = run.address(h), run.address(read_vectors)
    problem.start_reads, problem.end_reads = map(run.address, (tensors.start_reads, end_reads))
    run.controller("start", tensors.controller)
    run.controller("end", ends)
    run.parts("start", tensors.memory)
    run.parts("end", end_memory)
    run.launch()
    end_controller = [one for state in ends for one in state]
    return (h, read_vectors, end_reads, *end_controller, *end_memory), buffer


class Sequences(torch.autograd.Function):
    """The kernel's forward and backward, for a call of training."""

    @staticmethod
    def forward(ctx: Any, call: Call, *flat: Tensor) -> tuple[Tensor, ...]:
        """Return what `forward` does."""
        outputs, buffer = forward(call, Tensors.of(flat, call.plan))
        ctx.call, ctx.spent = call, False
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat, outputs[0], buffer)
        return outputs

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *d_outputs: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of all tensors of the forward.

        With `create_graph=True` they have a graph of their own, made by the reference.
        """
        call: Call = ctx.call
        *flat, h, buffer = ctx.saved_tensors
        tensors = Tensors.of(flat, call.plan)
        made = (gradient for gradient in d_outputs if gradient is not None)
        device = tensors.x.device
        if torch.is_grad_enabled() or reason_in_tensors(made, device=device) or reason_in_modes():
            return None, *again.gradients(call, tensors, ctx.needs_input_grad[1:], d_outputs)
        wanted = Tensors.of(ctx.needs_input_grad[1:], call.plan)
        spent, ctx.spent = ctx.spent, True
        return None, *backward(call, tensors, wanted, d_outputs, h, buffer, spent)


def backward(
    call: Call,
    tensors: Tensors,
    wanted: Tensors,
    d_outputs: Sequence[Tensor | None],
    h: Tensor,
    buffer: Tensor,
    spent: bool,
) -> list[Tensor | None]:
    """The gradients of a forward's tensors, in the order of `Tensors.flat`.

    Args:
        call: of the forward.
        tensors: what it was given.
        wanted: of which of them the gradient is used.
        d_outputs: the gradients of what it returned.
        h: what it returned first.
        buffer: what it kept.
        spent: whether a backward has used the buffer before.
    """
    run = DeviceProblems(call, tensors, False)
    problem = run.problem
    run.divide(buffer)
    problem.records_spent = int(spent and problem.checkpoints is not None)
    point_to_outputs(run, d_outputs, call.plan)
    problem.h = run.address(h)
    made = loop_gradients(run, tensors, wanted, call.plan)
    run.launch()
    flat_x = tensors.x.flatten(0, 1)
    d_cells = [
        _cell_gradients(problem, layer, flat_x[:, : layer.inputs], _z(run, layer, buffer), gradient)
        for layer, gradient in zip(run.layers, made.gates, strict=True)
    ]
    d_weights, d_bias = made.raw.t() @ h.flatten(0, 1), made.raw.sum(0)
    d_x = input_gradient(run, tensors, made.gates) if wanted.x else None
    ends = made.states, made.memory, made.restart
    return Tensors(d_x, d_weights, d_bias, made.reads, d_cells, *ends).flat()


def _z(run: DeviceProblems, layer: Layer, buffer: Tensor) -> Tensor:
    """What a layer multiplied at each step, [T * B, width]."""
    steps = run.problem.time * run.problem.batch
    first = (layer.z - buffer.data_ptr()) // buffer.element_size() if layer.width else 0
    return buffer[first : first + steps * layer.width].view(steps, layer.width)


def _cell_gradients(
    problem: Problem, layer: Layer, x: Tensor, z: Tensor, d_gates: Tensor
) -> list[Tensor]:
    """The gradients of a layer's parameters, products over all steps: see csrc/gradients.h."""
    inner = layer.own if layer.own != ABSENT else layer.width
    found, bias = d_gates.t() @ torch.cat([x, z], dim=1), d_gates.sum(0)
    seen, own = found[:, : layer.inputs + inner], found[:, layer.inputs + inner :]
    if layer.own == ABSENT:
        return [seen, bias]
    if problem.cell != GRU:
        return [seen, own, bias, bias.clone()]
    last = 3 * problem.hidden
    reset_and_update = slice(2 * problem.hidden)
    own = torch.cat([own[reset_and_update], own[last:]])
    return [seen[:last], own, bias[:last], torch.cat([bias[reset_and_update], bias[last:]])]

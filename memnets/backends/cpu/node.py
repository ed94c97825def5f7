"""The whole sequence as one node of autograd's graph: the kernel's loop, forward and backward.

Axes: B batch, T time, R read heads, W word, I input.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memnets.backends.cpu import again, products
from memnets.backends.cpu.buffers import ALIGNMENT, borrow, give_back, is_zero, taken
from memnets.backends.cpu.known import reason_in_modes, reason_in_tensors
from memnets.backends.cpu.plan import GRU, Layer, Plan
from memnets.backends.cpu.problems import MANY, NARROW, Call, Problems, Tensors
from memnets.checks import full_precision


def fresh(tensor: Tensor) -> Tensor:
    """A tensor of the same form, contiguous, whose numbers are not set."""
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def _kept_buffer(call: Call, run: Problems, dtype: torch.dtype, least: int) -> Tensor:
    buffer = borrow(max(run.divide(None), least), dtype)
    run.divide(buffer)
    if call.lengths is not None:
        # Steps past a row's length are never filled, and must be numbers in the weights' products.
        buffer[: (run.problem.records - buffer.data_ptr()) // dtype.itemsize].zero_()
    return buffer


def forward(
    call: Call, tensors: Tensors, least: int = 0
) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Return h [T, B, hidden], read vectors [T, B, R * W], the final state, and where the call
    wants them the logits [T, B, O]; and the buffer.

    The buffer holds what a backward needs, `least` numbers at least; None if the call is not one of
    training.
    """
    run = Problems(call, tensors)
    problem, x = run.problem, tensors.x
    used, buffer = None, None
    if call.training:
        buffer = _kept_buffer(call, run, x.dtype, least)
    else:
        used = taken(run.divide(None) * x.dtype.itemsize)
        run.divide(torch.from_numpy(used))
    time, batch, inputs = x.shape
    if problem.direct or batch >= MANY or inputs <= NARROW:
        problem.x = run.address(x)
    else:
        _from_input(run, tensors)
    make = x.new_empty if call.lengths is None else x.new_zeros
    h = make((time, batch, tensors.interface_weights.shape[1]))
    read_vectors = make((time, batch, problem.read_heads * problem.word))
    end_reads = fresh(tensors.start_reads)
    ends = [[fresh(part) for part in state] for state in tensors.controller]
    end_memory = [fresh(part) for part in tensors.memory]
    problem.h, problem.read_vectors = run.address(h), run.address(read_vectors)
    logits = [make((time, batch, len(weight))) for weight in tensors.readout[:1]]
    if logits:
        run.readout(tensors.readout)
        problem.y = run.address(logits[0])
    problem.start_reads = run.address(tensors.start_reads)
    problem.end_reads = run.address(end_reads)
    run.controller("start", tensors.controller)
    run.controller("end", ends)
    run.parts("start", [None if is_zero(part) else part for part in tensors.memory])
    run.parts("end", end_memory)
    if call.starts is not None:
        begin = tensors.begin(call.plan)
        memory = [None if is_zero(part) else part for part in begin.memory]
        run.begin("restart", begin._replace(memory=memory))
    run.library.memnets_forward(run.reference)
    if used is not None:
        give_back(used)
    end_controller = [one for state in ends for one in state]
    return (h, read_vectors, end_reads, *end_controller, *end_memory, *logits), buffer


def _from_input(run: Problems, tensors: Tensors) -> None:
    """Multiply all steps' inputs with the controller's weights at once."""
    flat_x = tensors.x.flatten(0, 1)
    for layer, parameters in zip(run.layers, tensors.cells, strict=True):
        seen = flat_x if layer.inputs else None
        part = products.from_input(run.problem.cell, parameters, seen)
        layer.from_input = run.address(part)
        layer.from_input_row = layer.rows if layer.inputs else 0


def aligned(buffer: Tensor) -> Tensor:
    """A copy of a buffer where the kernel can use it."""
    return borrow(buffer.numel(), buffer.dtype).copy_(buffer)


class Sequences(torch.autograd.Function):
    """The kernel's forward and backward, for a call of training."""

    @staticmethod
    def forward(ctx: Any, call: Call, *flat: Tensor) -> tuple[Tensor, ...]:
        """Return what `forward` does."""
        outputs, buffer = forward(call, Tensors.of(flat, call.plan, call.readout))
        ctx.call, ctx.spent, ctx.lock = call, False, threading.Lock()
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat, *outputs[:2], buffer)
        return outputs

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *d_outputs: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of all tensors of the forward.

        With `create_graph=True` they have a graph of their own, made by the reference.
        """
        call: Call = ctx.call
        *flat, h, read_vectors, buffer = ctx.saved_tensors
        tensors = Tensors.of(flat, call.plan, call.readout)
        made = (gradient for gradient in d_outputs if gradient is not None)
        if torch.is_grad_enabled() or reason_in_tensors(made) or reason_in_modes():
            return None, *again.gradients(call, tensors, ctx.needs_input_grad[1:], d_outputs)
        wanted = Tensors.of(ctx.needs_input_grad[1:], call.plan, call.readout)
        if buffer.data_ptr() % ALIGNMENT:  # as hooks of saved tensors may give it back
            buffer = aligned(buffer)
        # Another thread may run backward on this graph, and a backward writes to the buffer.
        with ctx.lock, full_precision("cpu"):
            spent, ctx.spent = ctx.spent, True
            outputs = h, read_vectors
            return None, *backward(call, tensors, wanted, d_outputs, outputs, buffer, spent)


def backward(
    call: Call,
    tensors: Tensors,
    wanted: Tensors,
    d_outputs: Sequence[Tensor | None],
    outputs: Sequence[Tensor],
    buffer: Tensor,
    spent: bool,
) -> list[Tensor | None]:
    """The gradients of a forward's tensors, in the order of `Tensors.flat`.

    Args:
        call: of the forward.
        tensors: what it was given.
        wanted: of which of them the gradient is used.
        d_outputs: the gradients of what it returned.
        outputs: what it returned, up to the read vectors where it returned logits, else up to h.
        buffer: what it kept.
        spent: whether a backward has used the buffer before.
    """
    run = Problems(call, tensors)
    problem = run.problem
    run.divide(buffer)
    problem.records_spent = int(spent and problem.checkpoints is not None)
    d_readout = _readout_backward(run, tensors, d_outputs, outputs) if tensors.readout else []
    point_to_outputs(run, d_outputs, call.plan)
    h = outputs[0]
    made = loop_gradients(run, tensors, wanted, call.plan)
    d_weights, d_bias = fresh(tensors.interface_weights), fresh(tensors.interface_bias)
    problem.d_interface_weights = run.address(d_weights)
    problem.d_interface_bias = run.address(d_bias)
    problem.x, problem.h = run.address(tensors.x), run.address(h)
    d_cells = [
        _weight_gradients(run, layer, parameters)
        for layer, parameters in zip(run.layers, tensors.cells, strict=True)
    ]
    run.library.memnets_backward(run.reference)
    d_x = input_gradient(run, tensors, made.gates) if wanted.x else None
    ends = made.states, made.memory, made.restart
    return Tensors(d_x, d_weights, d_bias, made.reads, d_cells, *ends, d_readout).flat()


class LoopGradients(NamedTuple):
    """What the loop over time leaves on its way back."""

    reads: Tensor
    states: Sequence[Sequence[Tensor]]
    memory: Sequence[Tensor | None]
    restart: Sequence[Tensor | None]
    raw: Tensor
    """Of the interface's numbers before their ranges, [T * B, numbers]."""
    gates: Sequence[Tensor]
    """Of what each layer's activations take, [T * B, rows]."""


def loop_gradients(run: Problems, tensors: Tensors, wanted: Tensors, plan: Plan) -> LoopGradients:
    """Make what the loop leaves of gradients, and point to it."""
    problem, x = run.problem, tensors.x
    reads = fresh(tensors.start_reads)
    states = [[fresh(part) for part in state] for state in tensors.controller]
    memory = [
        fresh(part) if want else None
        for part, want in zip(tensors.memory, wanted.memory, strict=True)
    ]
    problem.d_start_reads = run.address(reads)
    run.controller("d_start", states)
    run.parts("d_start", memory)
    restart = begin_backward(run, tensors, wanted, plan)
    steps = problem.time * problem.batch
    raw = x.new_empty(steps, problem.numbers)
    problem.d_raw = run.address(raw)
    gates = [x.new_empty(steps, layer.rows) for layer in run.layers]
    for layer, gradient in zip(run.layers, gates, strict=True):
        layer.d_gates = run.address(gradient)
    return LoopGradients(reads, states, memory, restart, raw, gates)


def _weight_gradients(run: Problems, layer: Layer, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Make the gradients of a layer's parameters, and point to them."""
    made = [fresh(parameter) for parameter in parameters]
    weights, biases = made[: len(made) // 2], made[len(made) // 2 :]
    if len(biases) == 2 and run.problem.cell != GRU:
        biases[1] = made[-1] = biases[0]  # both are added to the same sum
    layer.d_input_weights, layer.d_bias_ih = run.address(weights[0]), run.address(biases[0])
    if len(weights) == 2:
        layer.d_own_weights, layer.d_bias_hh = run.address(weights[1]), run.address(biases[1])
    return made


def input_gradient(run: Problems, tensors: Tensors, d_gates: Sequence[Tensor]) -> Tensor:
    """The gradient of x, from those of what the layers' activations take."""
    parts = [
        products.to_input(parameters, gradient, layer.inputs)
        for layer, parameters, gradient in zip(run.layers, tensors.cells, d_gates, strict=True)
        if layer.inputs
    ]
    return functools.reduce(torch.add, parts).view(tensors.x.shape)


def _readout_backward(
    run: Problems,
    tensors: Tensors,
    d_outputs: Sequence[Tensor | None],
    outputs: Sequence[Tensor],
) -> Sequence[Tensor | None]:
    """Point to the gradient of the logits; return those of the readout's weight and bias."""
    d_logits = d_outputs[-1]
    if d_logits is None:
        return [None, None]
    run.readout(tensors.readout)
    found = [fresh(parameter) for parameter in tensors.readout]
    problem = run.problem
    problem.d_readout_weights, problem.d_readout_bias = map(run.address, found)
    problem.d_y, problem.read_vectors = run.address(d_logits), run.address(outputs[1])
    return found


def begin_backward(
    run: Problems, tensors: Tensors, wanted: Tensors, plan: Plan
) -> Sequence[Tensor | None]:
    """Point to gradients of what rows begin anew from, all 0, which the kernel adds to."""
    if not tensors.restart:
        return ()
    gradients = [
        torch.zeros_like(part, memory_format=torch.contiguous_format) if want else None
        for part, want in zip(tensors.restart, wanted.restart, strict=True)
    ]
    run.begin("d_restart", tensors._replace(restart=gradients).begin(plan))
    # The backward needs c of it; it finds the memory in the buffer.
    run.controller("restart", tensors.begin(plan).controller)
    return gradients


def point_to_outputs(run: Problems, d_outputs: Sequence[Tensor | None], plan: Plan) -> None:
    """Point to the gradients of what the forward returned; None of them is no gradient."""
    problem, states = run.problem, plan.states
    d_h, d_read_vectors, d_end_reads, *rest = d_outputs
    problem.d_h, problem.d_read_vectors = run.address(d_h), run.address(d_read_vectors)
    problem.d_end_reads = run.address(d_end_reads)
    depth = problem.depth
    run.controller("d_end", [rest[i * states : (i + 1) * states] for i in range(depth)])
    run.parts("d_end", rest[depth * states : depth * states + len(plan.memory_parts)])

"""The whole sequence as one node of autograd's graph: the kernel's loop, and products around it.

What a step does not wait for is done here, for all steps at once: the input's part of the
controller's product before the loop, and the gradients of the weights after it.

Axes: B batch, T time, R read heads, W word, I input.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from memnets.controllers import Cell, Controller, GRUCell
from memnets.fused.buffers import take
from memnets.fused.library import load
from memnets.fused.plan import STATE_PARTS, Layer, Plan


class Call(NamedTuple):
    """What a call fixes besides its tensors."""

    plan: Plan
    lengths: Tensor | None
    """[B] int64 on the CPU."""
    segment: int
    """How many steps' records of the memory are kept at once."""
    threads: int
    training: bool


def split_products(controller: Controller, x: Tensor, reads: int) -> list[tuple[Tensor, Tensor]]:
    """For each layer: what its product holds of x and the biases [T, B, rows], and the weights of
    the rest [rows, width] (the z of cpp/problem.h).
    """
    parts = []
    for depth, cell in enumerate(controller.cells):
        sees_x = depth == 0 or controller.skip_connections
        if isinstance(cell, Cell):
            weight, bias, own = cell.weight_ih, cell.bias_ih + cell.bias_hh, cell.weight_hh
            if isinstance(cell, GRUCell):
                weight, bias, own = _four_blocks(cell)
        else:
            linear: Any = cell.linear
            weight, bias, own = linear.weight, linear.bias, None
        size = x.shape[-1] if sees_x else 0
        if sees_x:
            from_input = torch.nn.functional.linear(x, weight[:, :size], bias)
        else:
            from_input = bias.expand(*x.shape[:2], -1)
        rest = weight[:, size:]
        parts.append((from_input, rest if own is None else torch.cat([rest, own], dim=1)))
    return parts


def _four_blocks(cell: GRUCell) -> tuple[Tensor, Tensor, Tensor]:
    """A GRU's weights with the new value's two parts, without and with h(t-1), as two blocks."""
    hidden = cell.weight_hh.shape[1]
    nothing = [
        tensor.new_zeros(hidden, tensor.shape[1]) for tensor in (cell.weight_ih, cell.weight_hh)
    ]
    weight = torch.cat([cell.weight_ih, nothing[0]])
    gates = 2 * hidden
    own = torch.cat([cell.weight_hh[:gates], nothing[1], cell.weight_hh[gates:]])
    both = cell.bias_ih[:gates] + cell.bias_hh[:gates]
    return weight, torch.cat([both, cell.bias_ih[gates:], cell.bias_hh[gates:]]), own


class Tensors(NamedTuple):
    """A call's tensors by name; as a tuple they are what autograd sees."""

    interface_weights: Tensor
    interface_bias: Tensor
    start_reads: Tensor
    products: Sequence[tuple[Tensor, Tensor]]
    controller: Sequence[tuple[Tensor, ...]]
    memory: Sequence[Tensor]

    def flat(self) -> list[Tensor]:
        """All tensors in order."""
        return [
            *self[:3],
            *(tensor for pair in self.products for tensor in pair),
            *(tensor for state in self.controller for tensor in state),
            *self.memory,
        ]

    @classmethod
    def of(cls, flat: Sequence[Any], depth: int, states: int) -> Tensors:
        """Undo `flat`, for `depth` layers with `states` tensors each."""
        parts = iter(flat[3:])
        products = [(next(parts), next(parts)) for _ in range(depth)]
        controller = [tuple(next(parts) for _ in range(states)) for _ in range(depth)]
        weights, bias, reads = flat[:3]
        return cls(weights, bias, reads, products, controller, list(parts))


def states_of(plan: Plan) -> int:
    """How many tensors a layer of the controller carries: 2 of an LSTM, 0 of a feed-forward one."""
    return (2, 1, 1, 0)[plan.problem.cell]


class Kept(NamedTuple):
    """What the kernel fills and its backward reads."""

    raw: Tensor
    values: Tensor
    records: Tensor
    checkpoints: Tensor
    layers: Sequence[tuple[Tensor, Tensor, Tensor]]
    """z, gates and an LSTM's cell state, of each layer."""

    def flat(self) -> list[Tensor]:
        """All tensors in order."""
        return [*self[:4], *(tensor for layer in self.layers for tensor in layer)]

    @classmethod
    def of(cls, flat: Sequence[Any]) -> Kept:
        """Undo `flat`."""
        raw, values, records, checkpoints, *rest = flat
        layers = [(rest[i], rest[i + 1], rest[i + 2]) for i in range(0, len(rest), 3)]
        return cls(raw, values, records, checkpoints, layers)


class Problems:
    """A problem with its tensors' addresses; keeps alive what it points to while it is used."""

    def __init__(self, call: Call, time: int, batch: int, dtype: torch.dtype) -> None:
        plan = call.plan
        self.library = load(dtype)
        self.problem = type(plan.problem).from_buffer_copy(plan.problem)
        self.layers = (Layer * len(plan.layers)).from_buffer_copy(plan.layers)
        self.problem.layers = self.layers
        self.problem.time, self.problem.batch = time, batch
        self.problem.threads = call.threads
        self.problem.segment = call.segment
        self.problem.times_kept = int(call.training)
        self.held: list[Tensor] = []
        if call.lengths is not None:
            self.problem.lengths = self.address(call.lengths)

    def address(self, tensor: Tensor | None) -> int | None:
        """The address of a tensor's numbers, made contiguous first; None of none and of empty."""
        if tensor is None:
            return None
        if not tensor.is_contiguous():
            tensor = tensor.contiguous()
        self.held.append(tensor)
        return tensor.data_ptr() or None

    def inputs(self, tensors: Tensors) -> None:
        """Point to what both directions read."""
        problem = self.problem
        problem.interface_weights = self.address(tensors.interface_weights)
        problem.interface_bias = self.address(tensors.interface_bias)
        for layer, (_, weights) in zip(self.layers, tensors.products, strict=True):
            layer.weights = self.address(weights)

    def kept(self, kept: Kept) -> None:
        """Point to what the forward leaves for the backward."""
        problem = self.problem
        problem.raw, problem.values = self.address(kept.raw), self.address(kept.values)
        problem.records = self.address(kept.records)
        problem.checkpoints = self.address(kept.checkpoints)
        for layer, parts in zip(self.layers, kept.layers, strict=True):
            layer.z, layer.gates, layer.cell = (self.address(part) for part in parts)

    def parts(self, field: str, tensors: Sequence[Tensor | None]) -> None:
        """Point to the parts of the memory's state, or of its gradient."""
        found = [self.address(tensor) for tensor in tensors]
        setattr(self.problem, field, (ctypes.c_void_p * STATE_PARTS)(*found))

    def controller(self, prefix: str, states: Sequence[Sequence[Tensor | None]]) -> None:
        """Point to the controller's states, or to their gradients."""
        for layer, state in zip(self.layers, states, strict=True):
            for name, tensor in zip("hc", state, strict=False):
                setattr(layer, f"{prefix}_{name}", self.address(tensor))


def _is_zero(tensor: Tensor) -> bool:
    """Whether it is one zero, expanded: a memory's state before the first step."""
    return (
        tensor.untyped_storage().nbytes() == tensor.element_size()
        and not tensor.flatten()[:1].any()
    )


def _allocate(call: Call, tensors: Tensors, time: int, batch: int) -> tuple[Problems, Kept]:
    like = tensors.interface_weights
    run = Problems(call, time, batch, like.dtype)
    record, state = ctypes.c_int64(), ctypes.c_int64()
    run.library.memnets_sizes(ctypes.byref(run.problem), ctypes.byref(record), ctypes.byref(state))
    times = time if call.training else 1
    segments = -(-time // call.segment)
    checkpoints = segments if segments > 1 and call.training else 0
    hidden, numbers = run.problem.hidden, run.problem.numbers
    sizes = [
        (times, batch, numbers),
        (times, batch, numbers),
        (batch, call.segment + 1, record.value),
        (batch, checkpoints, state.value),
    ]
    for layer in run.layers:
        sizes.append((times + 1, batch, layer.width))
        sizes.append((times, batch, layer.rows))
        sizes.append((times + 1, batch, hidden if run.problem.cell == 0 else 0))
    room = take(sizes, like.dtype)
    if call.lengths is not None:
        # Steps past a row's length are never filled, and must be numbers in the weights' products.
        for tensor in (*room[:2], *room[4:]):
            tensor.zero_()
    return run, Kept.of(room)


class Sequences(torch.autograd.Function):
    """The kernel's forward and backward."""

    @staticmethod
    def forward(ctx: Any, call: Call, *flat: Tensor) -> tuple[Tensor, ...]:
        """Return h [T, B, hidden], read vectors [T, B, R * W] and the final state's tensors."""
        problem = call.plan.problem
        tensors = Tensors.of(flat, problem.depth, states_of(call.plan))
        time, batch = tensors.products[0][0].shape[:2]
        run, kept = _allocate(call, tensors, time, batch)
        run.inputs(tensors)
        run.kept(kept)
        for layer, (from_input, _) in zip(run.layers, tensors.products, strict=True):
            if from_input.stride(-1) != 1:
                from_input = from_input.contiguous()
            run.held.append(from_input)
            layer.from_input = from_input.data_ptr()
            layer.from_input_time, layer.from_input_batch = from_input.stride()[:2]
        make = torch.empty_like if call.lengths is None else torch.zeros_like
        outputs = tensors.interface_weights.shape[1]
        like = tensors.interface_weights
        h = make(like.new_empty(time, batch, outputs))
        read_vectors = make(like.new_empty(time, batch, problem.read_heads * problem.word))
        ends = Tensors(
            *tensors[:2],
            torch.empty_like(tensors.start_reads, memory_format=torch.contiguous_format),
            (),
            [[_fresh(part) for part in state] for state in tensors.controller],  # pyright: ignore[reportArgumentType]
            [_fresh(part) for part in tensors.memory],
        )
        run.problem.h, run.problem.read_vectors = run.address(h), run.address(read_vectors)
        run.problem.start_reads = run.address(tensors.start_reads)
        run.problem.end_reads = run.address(ends.start_reads)
        run.controller("start", tensors.controller)
        run.controller("end", ends.controller)
        run.parts("start", [None if _is_zero(part) else part for part in tensors.memory])
        run.parts("end", ends.memory)
        run.library.memnets_forward(ctypes.byref(run.problem))
        ctx.call, ctx.spent = call, False
        if call.training:
            ctx.set_materialize_grads(False)
            ctx.count = len(flat)
            ctx.save_for_backward(*flat, h, *kept.flat())
        return h, read_vectors, *ends.flat()[2:]

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *given: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of all tensors of the forward."""
        call: Call = ctx.call
        problem = call.plan.problem
        saved = ctx.saved_tensors
        flat, h, kept = saved[: ctx.count], saved[ctx.count], Kept.of(saved[ctx.count + 1 :])
        states = states_of(call.plan)
        tensors = Tensors.of(flat, problem.depth, states)
        time, batch = h.shape[:2]
        run = Problems(call, time, batch, h.dtype)
        run.inputs(tensors)
        run.kept(kept)
        run.problem.records_spent, ctx.spent = int(ctx.spent), kept.checkpoints.numel() > 0
        d_h, d_read_vectors, *d_rest = given
        # The final state's gradients, without the products that are no part of it.
        d_ends = Tensors.of(
            [None, None, d_rest[0], *[None] * 2 * problem.depth, *d_rest[1:]], problem.depth, states
        )
        run.problem.d_h, run.problem.d_read_vectors = run.address(d_h), run.address(d_read_vectors)
        run.problem.d_end_reads = run.address(d_ends.start_reads)
        run.controller("d_end", d_ends.controller)
        run.parts("d_end", d_ends.memory)
        wanted = Tensors.of(ctx.needs_input_grad[1:], problem.depth, states)
        d_starts = Tensors(
            *tensors[:2],
            _fresh(tensors.start_reads),
            (),
            [[_fresh(part) for part in state] for state in tensors.controller],  # pyright: ignore[reportArgumentType]
            [
                _fresh(part) if want else None
                for part, want in zip(tensors.memory, wanted.memory, strict=True)
            ],  # pyright: ignore[reportArgumentType]
        )
        run.problem.d_start_reads = run.address(d_starts.start_reads)
        run.controller("d_start", d_starts.controller)
        run.parts("d_start", d_starts.memory)
        d_raw = torch.empty_like(kept.raw)
        run.problem.d_raw = run.address(d_raw)
        d_gates = [torch.empty_like(gates) for _, gates, _ in kept.layers]
        for layer, gradient in zip(run.layers, d_gates, strict=True):
            layer.d_gates = gradient.data_ptr()
        run.library.memnets_backward(ctypes.byref(run.problem))
        products = [
            (gradient, gradient.flatten(0, 1).T @ z[:-1].flatten(0, 1))
            for gradient, (z, _, _) in zip(d_gates, kept.layers, strict=True)
        ]
        weights = d_raw.flatten(0, 1).T @ h.flatten(0, 1)
        gradients = d_starts._replace(
            interface_weights=weights, interface_bias=d_raw.sum((0, 1)), products=products
        )
        return None, *gradients.flat()


def _fresh(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)

"""What a call of the kernel is given: its tensors by name, and the problem that points to them.

Axes: B batch, T time, R read heads, W word, I input.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memnets.backends.cpu import again, products
from memnets.backends.cpu.division import links_every, span, written_a_step
from memnets.backends.cpu.library import load
from memnets.backends.cpu.plan import ABSENT, Layer, Plan, Problem
from memnets.backends.spec import Steps
from memnets.state import State

FEW = 16
"""For at most this many rows of x in all, the weights are read where they are: packing them would
take longer than what it saves."""
MANY = 8
"""From this many rows of a batch on, a step's product with x is as fast as that of all steps."""
NARROW = 64
"""Up to this many numbers of x it costs little in any case."""
READOUT = 2**15
"""From a readout of up to this many weights the kernel makes the logits. A larger one leaves the
processor's cache from step to step; torch's product of all steps reads it once."""


class Call(NamedTuple):
    """What a call fixes besides its tensors."""

    plan: Plan
    lengths: Tensor | None
    """[B] int64 on the CPU."""
    starts: Tensor | None
    """Where rows begin anew, bool [T, B]."""
    segment: int
    """How many steps' records of the memory are kept at once."""
    threads: int
    training: bool
    readout: bool
    """Whether the logits are wanted too."""
    again: again.Again
    """What a backward that needs a graph of its own runs."""


class Begin(NamedTuple):
    """What a row begins anew from, or its gradients."""

    reads: Any
    """[B, R * W]"""
    controller: Sequence[Sequence[Any]]
    """Of each layer, [B, hidden] each."""
    memory: Sequence[Any]


class Tensors(NamedTuple):
    """A call's tensors, or their gradients, by name; as a tuple they are what autograd sees."""

    x: Any
    """[T, B, I]"""
    interface_weights: Any
    interface_bias: Any
    start_reads: Any
    """[B, R * W]"""
    cells: Sequence[Sequence[Any]]
    """The parameters of each layer of the controller, as `products.Parameters`."""
    controller: Sequence[Sequence[Any]]
    """The state of each layer, [B, hidden] each."""
    memory: Sequence[Any]
    """The state of the memory."""
    restart: Sequence[Any] = ()
    """The tensors of a `Begin` in order; none where no row begins anew."""
    readout: Sequence[Any] = ()
    """Its weight and its bias, where the logits are wanted."""

    def flat(self) -> list[Any]:
        """All tensors in order."""
        nested = [one for group in (*self.cells, *self.controller) for one in group]
        return [*self[:4], *nested, *self.memory, *self.restart, *self.readout]

    @classmethod
    def of(cls, flat: Sequence[Any], plan: Plan, readout: bool = False) -> Tensors:
        """Undo `flat`; `readout` says whether it has one."""
        count = len(flat) - 2 * readout
        flat, logits = flat[:count], flat[count:]
        x, weights, bias, reads = flat[:4]
        depth, parameters, states = plan.problem.depth, plan.parameters, plan.states
        middle = 4 + depth * parameters
        end = middle + depth * states
        cells = [flat[i : i + parameters] for i in range(4, middle, parameters)]
        controller = [flat[middle + i * states :][:states] for i in range(depth)]
        last = end + len(plan.memory_parts)
        memory, restart = flat[end:last], flat[last:]
        return cls(x, weights, bias, reads, cells, controller, memory, restart, logits)

    def begin(self, plan: Plan) -> Begin:
        """Take `restart` apart."""
        depth, states = plan.problem.depth, plan.states
        controller = [self.restart[1 + i * states :][:states] for i in range(depth)]
        return Begin(self.restart[0], controller, self.restart[1 + depth * states :])


def begin_of(state: State) -> list[Tensor]:
    """A state as `Tensors.restart` has it."""
    controller = [one for part in state.controller for one in part]
    memory = [part for part in state.memory if isinstance(part, Tensor)]
    return [state.read_vectors.flatten(1), *controller, *memory]


def tensors_of(layer: Steps, x: Tensor, state: State, restart: State | None) -> Tensors:
    """What the node takes of a layer, its input and its states."""
    modules: Any = layer._modules
    interface = modules["interface"]._modules["linear"]._parameters
    cells = modules["controller"]._modules["cells"]._modules.values()
    return Tensors(
        x,
        interface["weight"],
        interface["bias"],
        state.read_vectors.flatten(1),
        [products.parameters_of(cell) for cell in cells],
        state.controller,
        [part for part in state.memory if isinstance(part, Tensor)],
        [] if restart is None else begin_of(restart),
    )


class Problems:
    """A problem with its tensors' addresses; keeps alive what it points to while it is used."""

    def __init__(self, call: Call, tensors: Tensors, direct: bool | None = None) -> None:
        """`direct`: whether weights are read where they are; None: where that is faster."""
        plan = call.plan
        self.library: Any = self._library(tensors.x.dtype)
        problem = Problem.from_buffer_copy(plan.problem)
        self.problem: Problem = problem
        self.layers: ctypes.Array[Layer] = type(plan.layers).from_buffer_copy(plan.layers)
        problem.layers = self.layers
        problem.time, problem.batch, inputs = tensors.x.shape
        problem.threads, problem.segment = call.threads, call.segment
        problem.times_kept = call.training
        bytes_a_step = problem.batch * written_a_step(plan) * tensors.x.element_size()
        problem.span = span(problem.time, call.segment, bytes_a_step)
        problem.links_every = links_every(problem.time, call.segment)
        if direct is None:
            direct = problem.time * problem.batch <= FEW
        problem.direct = direct
        self.reference: Any = ctypes.byref(problem)
        self.slots: tuple[int, ...] = plan.memory_parts
        self.pointed_to: list[Tensor] = []
        problem.lengths = self.address(call.lengths)
        problem.starts = self.address(call.starts)
        problem.interface_weights = self.address(tensors.interface_weights)
        problem.interface_bias = self.address(tensors.interface_bias)
        for layer, parameters in zip(self.layers, tensors.cells, strict=True):
            weight = parameters[0]
            layer.input_weights = self.address(weight)
            layer.input_stride = weight.shape[1]
            layer.inputs = inputs if layer.reads != ABSENT else 0
            layer.own_weights = self.address(parameters[1]) if layer.own != ABSENT else None
            layer.bias_ih, layer.bias_hh = map(self.address, products.biases_of(parameters))

    def _library(self, dtype: torch.dtype) -> Any:
        """What runs it."""
        return load(dtype)

    def address(self, tensor: Tensor | None) -> int | None:
        """The address of a tensor's numbers, made contiguous first; None of none and of empty."""
        if tensor is None:
            return None
        if not tensor.is_contiguous():
            tensor = tensor.contiguous()
        self.pointed_to.append(tensor)
        return tensor.data_ptr() or None

    def divide(self, buffer: Tensor | None) -> int:
        """Point to the parts of what is kept for the backward; return how many numbers it takes."""
        address = None if buffer is None else ctypes.c_void_p(buffer.data_ptr())
        return self.library.memnets_divide(self.reference, address)

    def parts(self, field: str, tensors: Sequence[Tensor | None]) -> None:
        """Point to the parts of the memory's state, or of its gradient."""
        found = getattr(self.problem, field)
        for index, tensor in zip(self.slots, tensors, strict=True):
            found[index] = self.address(tensor)

    def controller(self, prefix: str, states: Sequence[Sequence[Tensor | None]]) -> None:
        """Point to the controller's states, or to their gradients."""
        for layer, state in zip(self.layers, states, strict=True):
            for name, tensor in zip("hc", state, strict=False):
                setattr(layer, f"{prefix}_{name}", self.address(tensor))

    def readout(self, parameters: Sequence[Tensor]) -> None:
        """Point to the readout's weight and bias."""
        weight, bias = parameters
        self.problem.logits = len(weight)
        self.problem.readout_weights = self.address(weight)
        self.problem.readout_bias = self.address(bias)

    def begin(self, prefix: str, begin: Begin) -> None:
        """Point to what rows begin anew from, or to its gradients."""
        setattr(self.problem, f"{prefix}_reads", self.address(begin.reads))
        self.controller(prefix, begin.controller)
        self.parts(prefix, begin.memory)

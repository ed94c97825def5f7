"""One step after the other of a layer, with all but the input prepared once.

Axes: B batch, I input, O output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memnets.backends.cpu.again import Again, form_of_memory
from memnets.backends.cpu.buffers import borrow
from memnets.backends.cpu.known import reason_in_modes, reason_in_tensors
from memnets.backends.cpu.planned import latest_plan
from memnets.backends.cpu.problems import Call, Problems, tensors_of
from memnets.backends.spec import Steps
from memnets.state import State, copied, leaves


class Stepper:
    """The steps of a layer from a state on, which stays here.

    The state lies in two places: a step takes it from one and leaves it in the other. Each
    direction has a problem of the kernel whose pointers stay, so that a step sets those of x and y
    alone. Weights are read where they are, so that a step has their values of now.
    """

    def __init__(self, layer: Steps, state: State, threads: int) -> None:
        """Prepare for the first step.

        Args:
            layer: one that `supports` has just had nothing against, with this state.
            state: as `copied` makes it: it is written to.
            threads: of the kernel.
        """
        again = Again(layer, form_of_memory(state.memory))
        self._call = Call(latest_plan(layer), None, None, 1, threads, False, True, again)
        self._layer = layer
        self._before, self._after = state, copied(state)
        self._places = [
            (module._parameters, name)
            for module in layer.modules()
            for name, parameter in module._parameters.items()
            if parameter is not None
        ]
        self._shapes = [weight.shape for weight in self._weights()]
        self._dtype = layer.some_weight.dtype
        self._layouts: list[Any] = []
        self._runs: list[tuple[Problems, list[Tensor]]] = []

    @property
    def state(self) -> State:
        """The state after the last step; its tensors are written to by later ones."""
        return self._before

    def begin(self, state: State) -> None:
        """Go on from another state of the same form."""
        for place, tensor in zip(leaves(self._before), leaves(state), strict=True):
            place.copy_(tensor)

    def step(self, x: Tensor) -> Tensor:
        """Do one step with x [B, I], contiguous and of the layer's dtype; return y [B, O].

        Raises:
            ValueError: if the layer's dtype, device or sizes have changed, x is no plain tensor, or
                a mode of torch has to see every operation.
        """
        reason = reason_in_modes() or reason_in_tensors((x,), self._dtype)
        if reason is not None:
            raise ValueError(f"A stream cannot take this step. {reason} Use layer.step.")
        if self._layouts != [_layout(weight) for weight in self._weights()]:
            self._prepare()
        run, seen = self._runs[0]
        problem = run.problem
        y = x.new_empty(x.shape[0], problem.logits)
        problem.x, problem.y = x.data_ptr(), y.data_ptr()
        run.library.memnets_forward(run.reference)
        if not problem.logits:
            y = torch.cat(seen, dim=1)
        self._runs.reverse()
        self._before, self._after = self._after, self._before
        return y

    def _weights(self) -> list[Any]:
        return [parameters[name] for parameters, name in self._places]

    def _prepare(self) -> None:
        weights = self._weights()
        reason = reason_in_tensors(weights, self._dtype)
        if reason is not None or [w.shape for w in weights] != self._shapes:
            raise ValueError(
                "A stream needs the layer's dtype, device and sizes to stay as they were when it "
                f"was made; the layer has changed: make a new stream. {reason or ''}".strip()
            )
        states = self._before, self._after
        self._runs = [self._run(before, after) for before, after in (states, states[::-1])]
        # Weights that are not contiguous are copied, and so prepared at each step.
        there = all(weight.is_contiguous() for weight in weights)
        self._layouts = [_layout(weight) for weight in weights] if there else []

    def _run(self, before: State, after: State) -> tuple[Problems, list[Tensor]]:
        """The problem of a step from one place of the state to the other; h and read vectors."""
        layer, batch = self._layer, before.read_vectors.shape[0]
        weight = layer.some_weight
        x = weight.new_empty(1, batch, layer.input_size)
        tensors, ends = (tensors_of(layer, x, state, None) for state in (before, after))
        run = Problems(self._call, tensors, direct=True)
        problem = run.problem
        buffer = borrow(run.divide(None), weight.dtype)
        run.divide(buffer)
        run.pointed_to.append(buffer)
        h = weight.new_empty(batch, tensors.interface_weights.shape[1])
        reads = torch.empty_like(tensors.start_reads)
        problem.h, problem.read_vectors = run.address(h), run.address(reads)
        if layer.readout is not None:
            run.readout((layer.readout.weight, layer.readout.bias))
        for prefix, one in (("start", tensors), ("end", ends)):
            setattr(problem, f"{prefix}_reads", run.address(one.start_reads))
            run.controller(prefix, one.controller)
            run.parts(prefix, one.memory)
        return run, [h, reads]


def _layout(weight: Tensor) -> tuple[Any, ...]:
    """Where a weight's numbers are, and how they lie."""
    return weight.data_ptr(), weight.shape, weight.stride(), weight.is_neg()

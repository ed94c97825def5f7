"""One step after the other, at the lowest price: for agents and other uses of a trained layer.

Axes: B batch, I input, O output.
"""

from __future__ import annotations

import threading
from typing import NoReturn

import torch
from torch import Tensor

from memnets.backends.registry import stepper
from memnets.calls import prepare
from memnets.checks import check_sizes, full_precision
from memnets.layer import MemoryLayer
from memnets.state import State, copied, select, without_batch


class Stream:
    """A layer that runs step by step, without gradients, and keeps its state itself.

    `stream.step(x_t)` computes what `layer.step(x_t, state)` computes and costs a fraction of it:
    on the fused backend the state stays in the kernel's own tensors, and nothing but x_t is looked
    at again. With the other backends it calls `layer.step`.

    A step takes the values that the layer's parameters have then, and computes in their dtype, also
    under autocast. All else (parts, methods, hooks, dtype, device) is that of the layer when the
    stream was made: change it, and make a new stream. Threads that share a stream take turns.

    Args:
        layer: what runs.
        batch_size: how many rows run side by side; None: x_t has no batch axis.
        state: where to start; None: `layer.initial_state(batch_size)`.

    Raises:
        TypeError: if `layer` is none of memnets, or the state is no State.
        ValueError: if the batch size is below 1, the state is not of this layer and batch, or the
            layer's backend is `fused` and cannot serve it.

    >>> import memnets
    >>> layer = memnets.NTM(3, 2, memory_size=8, word_size=4)
    >>> stream = Stream(layer, batch_size=5)
    >>> stream.step(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    >>> y, _ = layer.step(torch.ones(5, 3), stream.state)
    >>> torch.allclose(stream.step(torch.ones(5, 3)), y, atol=1e-6)
    True
    """

    def __init__(
        self, layer: MemoryLayer, batch_size: int | None = None, state: State | None = None
    ) -> None:
        if not isinstance(layer, MemoryLayer):
            raise TypeError(f"layer must be a layer of memnets; got {type(layer).__name__}.")
        rows = 1 if batch_size is None else batch_size
        check_sizes(batch_size=rows)
        self.layer = layer
        self.batch_size = batch_size
        weight = layer.some_weight
        self._dtype, self._device = weight.dtype, weight.device
        self._lock = threading.Lock()
        self._shape = (layer.input_size,) if batch_size is None else (rows, layer.input_size)
        self._begin(state)

    @property
    def state(self) -> State:
        """The state after the last step, as a copy; set it to go on from another."""
        with self._lock:
            found = copied(self._now())
        return without_batch(found) if self.batch_size is None else found

    @state.setter
    def state(self, state: State | None) -> None:
        self._begin(state)

    @torch.no_grad()
    def step(self, x_t: Tensor, starts: Tensor | None = None) -> Tensor:
        """Do one step.

        Args:
            x_t: [B, I], or [I] without a batch size.
            starts: which rows begin anew from `layer.initial_state` before the step, a tensor of
                bool [B], or of no axis without a batch size.

        Returns:
            Logits y_t [B, O], or [O]; without a graph.

        Raises:
            ValueError: if x_t or starts have another shape or device, x_t requires a gradient, or
                a transform or a mode of torch has to see every operation.
            TypeError: if x_t is of another dtype than the layer, or starts not of bool.
        """
        self._check(x_t)
        rows = x_t.unsqueeze(0) if self.batch_size is None else x_t
        with self._lock:
            if starts is not None:
                self._begin_anew(starts)
            if self._stepper is not None:
                y = self._stepper.step(rows if rows.is_contiguous() else rows.contiguous())
            else:
                with full_precision(self._device.type):
                    y, self._kept = self.layer.step(rows, self._kept)
        return y.squeeze(0) if self.batch_size is None else y

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A Stream is not copied or pickled: make another of its layer and state, "
            "Stream(layer, batch_size, stream.state)."
        )

    @torch.inference_mode(False)
    @torch.no_grad()
    def _begin(self, state: State | None) -> None:
        x = torch.zeros(self._shape, dtype=self._dtype, device=self._device)
        time = 1 if self.layer.batch_first and self.batch_size is not None else 0
        steps, begin = prepare(self.layer, x.unsqueeze(time), state)
        begin = copied(begin)
        with self._lock:
            self._stepper = stepper(self.layer, steps, begin)
            self._kept = begin

    def _now(self) -> State:
        return self._kept if self._stepper is None else self._stepper.state

    def _begin_anew(self, starts: Tensor) -> None:
        must = "starts must be a tensor of bool, True where the row begins anew before the step"
        if not isinstance(starts, Tensor) or starts.dtype is not torch.bool:
            kind = starts.dtype if isinstance(starts, Tensor) else type(starts).__name__
            raise TypeError(f"{must}; got {kind}.")
        if starts.shape != self._shape[:-1] or starts.device != self._device:
            raise ValueError(
                f"{must}, of the shape {self._shape[:-1]} and on {self._device}; got the shape "
                f"{tuple(starts.shape)} on {starts.device}."
            )
        rows = starts.view(-1)
        if rows.any():
            anew = select(rows, self.layer.initial_state(len(rows)), self._now())
            if self._stepper is None:
                self._kept = anew
            else:
                self._stepper.begin(anew)

    def _check(self, x_t: Tensor) -> None:
        if not isinstance(x_t, Tensor) or x_t.shape != self._shape:
            form = "[I]" if self.batch_size is None else "[B, I]"
            found = tuple(x_t.shape) if isinstance(x_t, Tensor) else type(x_t).__name__
            raise ValueError(f"x_t must be a tensor {form} = {self._shape}; got {found}.")
        if x_t.dtype is not self._dtype:
            raise TypeError(f"x_t must be {self._dtype}, as the layer is; got {x_t.dtype}.")
        if x_t.device != self._device:
            raise ValueError(
                f"x_t is on {x_t.device} and the layer on {self._device}; move one of them."
            )
        if x_t.requires_grad:
            raise ValueError(
                "A stream has no gradients, and x_t requires one: use layer.step, or x_t.detach()."
            )

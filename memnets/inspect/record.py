"""Record what the heads of a layer do over a sequence."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from memnets.backends.reference import begin_anew
from memnets.calls import prepare, prepare_starts
from memnets.layer import MemoryLayer
from memnets.state import State, map_tensors, recorded


class Trace(NamedTuple):
    """Every value of a layer over a sequence, time first; see the model's NamedTuples."""

    outputs: Tensor
    """Logits [T, B, O]."""
    read_vectors: Tensor
    """[T, B, R, W]"""
    interface: Any
    """What the heads received: an NTMInterface or a DNCInterface of [T, B, ...]; for heads of
    your own, one NamedTuple a head and then the write vectors."""
    memory: Any
    """The memory after each step: an NTMMemory or a DNCMemory of [T, B, ...]."""


@torch.no_grad()
def record(
    layer: MemoryLayer,
    x: Tensor,
    state: State | None = None,
    *,
    starts: Tensor | None = None,
    restart: State | None = None,
) -> Trace:
    """Run `layer` over `x` and keep every weighting, gate and memory, without gradients.

    Args:
        layer: an NTM, a DNC, or a layer of your own.
        x: as the layer takes it: [T, B, I], [B, T, I] with batch_first, or [T, I].
        state: where to start; None starts anew.
        starts: where rows begin anew, and
        restart: from what, as the layer takes them.

    Returns:
        A `Trace`, time first; without the batch axis if x is unbatched.

    Raises:
        TypeError: if `layer` is none.
        ValueError, TypeError: as the call of the layer.

    >>> import memnets
    >>> trace = record(memnets.NTM(3, 2, memory_size=8, word_size=4), torch.zeros(6, 3))
    >>> trace.memory.write_weights.shape, trace.interface.write_gates.shape
    (torch.Size([6, 1, 8]), torch.Size([6, 1]))
    """
    if not isinstance(layer, MemoryLayer):
        raise TypeError(f"layer must be a memnets.NTM or DNC; got {type(layer).__name__}.")
    batched, carried = prepare(layer, x, state)
    begins = prepare_starts(layer, x, starts, restart)
    steps = []
    for t, x_t in enumerate(batched):
        if begins is not None:
            carried = begin_anew(begins.mask[t], begins.state, carried)
        advanced = layer.advance(x_t, carried)
        carried = advanced.state
        outputs = layer.output(advanced.h, carried.read_vectors)
        parameters = layer.named(advanced.interface)
        steps.append((outputs, carried.read_vectors, parameters, recorded(carried.memory)))
    parts = map_tensors(lambda *tensors: torch.stack(tensors), *steps)
    if x.dim() == 2:
        parts = map_tensors(lambda tensor: tensor.squeeze(1), parts)
    return Trace(*parts)

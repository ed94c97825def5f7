"""Buffers for what a forward keeps for its backward, used again by the next call.

A call keeps tens of megabytes. Fresh from the system, each page of them costs a fault and is set to
zero, which takes longer than filling them; and what was used a moment ago is still in the cache.
"""

from __future__ import annotations

import weakref

import numpy as np
import torch
from torch import Tensor

ALIGNMENT = 64
SPARE_BYTES = 2**30
"""How much of it waits for a next call at most."""

_spare: dict[int, np.ndarray] = {}
# No lock: the finalizer below runs wherever a garbage collection begins, also inside of `borrow` in
# the same thread, which would wait for itself. Each operation on the dictionary is atomic, and of
# two threads that want one buffer, the one whose `pop` finds it has it.


def borrow(count: int, dtype: torch.dtype) -> Tensor:
    """Return `count` numbers of any content; their buffer comes back when no tensor has it.

    >>> borrow(4, torch.float32).shape
    torch.Size([4])
    """
    size = max(count, 1) * dtype.itemsize
    buffer = taken(size)
    view = buffer[:size]
    # torch holds on to the array it was made from for as long as any tensor on it lives.
    weakref.finalize(view, give_back, buffer)
    return torch.from_numpy(view).view(dtype)[:count]


def _aligned(size: int) -> np.ndarray:
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size]


def taken(size: int) -> np.ndarray:
    """The smallest spare buffer of at least `size` bytes, a new one if there is none.

    One that is too small is dropped then: it would wait for nothing, as what is needed grows to the
    largest call.
    """
    for buffer in sorted(_spare.copy().values(), key=lambda one: one.nbytes):
        if buffer.nbytes >= size and _spare.pop(id(buffer), None) is not None:
            return buffer
    for key in list(_spare.copy())[:1]:
        _spare.pop(key, None)
    return _aligned(size)


def give_back(buffer: np.ndarray) -> None:
    """Let a next call use a buffer, which nothing may point to any more."""
    if sum(one.nbytes for one in _spare.copy().values()) + buffer.nbytes <= SPARE_BYTES:
        _spare[id(buffer)] = buffer


def is_zero(tensor: Tensor) -> bool:
    """Whether it is one zero, expanded: a memory's state before the first step."""
    return (
        tensor.untyped_storage().nbytes() == tensor.element_size()
        and not tensor.flatten()[:1].any()
    )

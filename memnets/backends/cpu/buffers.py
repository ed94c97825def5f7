"""Room for what a forward keeps for its backward, used again by the next call.

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
"""How much room waits for a next call at most."""

_spare: dict[int, np.ndarray] = {}
# No lock: the finalizer below runs wherever a garbage collection begins, also inside of `borrow` in
# the same thread, which would wait for itself. Each operation on the dictionary is atomic, and of
# two threads that want one room, the one whose `pop` finds it has it.


def borrow(count: int, dtype: torch.dtype) -> Tensor:
    """Return `count` numbers of any content; their room comes back when no tensor has it.

    >>> borrow(4, torch.float32).shape
    torch.Size([4])
    """
    size = max(count, 1) * dtype.itemsize
    room = taken(size)
    lent = room[:size]
    # torch holds on to the array it was made from for as long as any tensor on it lives.
    weakref.finalize(lent, give_back, room)
    return torch.from_numpy(lent).view(dtype)[:count]


def _aligned(size: int) -> np.ndarray:
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]


def taken(size: int) -> np.ndarray:
    """The smallest spare room of at least `size` bytes, a new one if there is none.

    One that is too small is dropped then: it would wait for nothing, as what is needed grows to the
    largest call.
    """
    for room in sorted(_spare.copy().values(), key=lambda one: one.nbytes):
        if room.nbytes >= size and _spare.pop(id(room), None) is not None:
            return room
    for key in list(_spare.copy())[:1]:
        _spare.pop(key, None)
    return _aligned(size)


def give_back(room: np.ndarray) -> None:
    """Let a next call use a room, which nothing may point to any more."""
    if sum(one.nbytes for one in _spare.copy().values()) + room.nbytes <= SPARE_BYTES:
        _spare[id(room)] = room

"""Room for what a forward keeps for its backward, used again by the next call.

A call keeps tens of megabytes. Fresh from the system, each page of them costs a fault and is set to
zero, which takes longer than filling them; and what was used a moment ago is still in the cache.
"""

from __future__ import annotations

import threading
import weakref

import numpy as np
import torch
from torch import Tensor

ALIGNMENT = 64
SPARE_BYTES = 2**30
"""How much room waits for a next call at most."""

_spare: list[np.ndarray] = []
_lock = threading.Lock()


def borrow(count: int, dtype: torch.dtype) -> Tensor:
    """Return `count` numbers of any content; their room comes back when no tensor has it.

    >>> borrow(4, torch.float32).shape
    torch.Size([4])
    """
    size = max(count, 1) * dtype.itemsize
    with _lock:
        fitting = [room for room in _spare if room.nbytes >= size]
        room = min(fitting, key=lambda one: one.nbytes) if fitting else None
        # One that is too small would wait for nothing: what is needed grows to the largest call.
        taken = room if room is not None else (_spare[0] if _spare else None)
        if taken is not None:
            _spare[:] = [one for one in _spare if one is not taken]
    if room is None:
        room = _aligned(size)
    lent = room[:size]
    # torch holds on to the array it was made from for as long as any tensor on it lives.
    weakref.finalize(lent, _give_back, room)
    return torch.from_numpy(lent).view(dtype)[:count]


def _aligned(size: int) -> np.ndarray:
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]


def _give_back(room: np.ndarray) -> None:
    with _lock:
        if sum(one.nbytes for one in _spare) + room.nbytes <= SPARE_BYTES:
            _spare.append(room)

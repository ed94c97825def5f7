"""The scans of a sparse memory in C++: which words are most like a key, and which are unused.

Each is called as its fellow in `memnets.parts`, finds the same, and hands over to it what the
kernel does not know: other devices and dtypes, graphs and transforms, a machine without a kernel.
Axes: B batch, N memory slots, W word, R read heads, H write heads; K words that a head reads.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int64

import numpy as np
import torch
from torch import Tensor

from memnets.backends.cpu.library import NUMBERS, call, load, reason_against
from memnets.parts.buffer import Buffer
from memnets.parts.search import exact
from memnets.parts.store import InPlace, Words

SKETCHED = 4096
"""From so many words on, a scan looks at a sketch of them first."""


def serves(dtype: torch.dtype, *tensors: Tensor) -> bool:
    """Whether a kernel can look at the numbers of these: on the CPU, outside of any graph."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    plain = all(type(one) is Tensor and one.device.type == "cpu" for one in tensors)
    return plain and dtype in NUMBERS and reason_against(dtype) is None


class Sketch:
    """The words of a buffer in bytes: see csrc/sketch.h. It follows them when it is asked for."""

    def __init__(self, buffer: Buffer) -> None:
        rows, slots, word = buffer.values.shape
        self.kernel: ctypes.CDLL = load(torch.float32)
        self.kernel.memnets_sketch_size.restype = c_int64
        self.row: int = self.kernel.memnets_sketch_size(c_int64(slots), c_int64(word))
        # Zeros of the system: pages of which nothing is written take no room.
        self.bytes: Tensor = torch.from_numpy(np.zeros(rows * self.row + 64, np.uint8))
        self.place: int = -(-self.bytes.data_ptr() // 64) * 64
        self._made = 0
        self._changed: list[Tensor] = []

    def changed(self, rows: Tensor) -> None:
        """Note that rows of [B * N, W] have other numbers now."""
        self._changed.append(rows)

    def of(self, values: Tensor, end: int) -> int:
        """The address of the sketch of the first `end` words of [B, N, W]."""
        if self._changed:
            rows = torch.cat(self._changed)
            self._changed.clear()
            self._sketch(values, rows.data_ptr(), 0, len(rows))
        if end > self._made:
            _, slots, _ = values.shape
            for first in range(self._made, len(values) * slots, slots):
                self._sketch(values, None, first, end - self._made)
            self._made = end
        return self.place

    def _sketch(self, values: Tensor, places: int | None, first: int, count: int) -> None:
        _, slots, word = values.shape
        made, listed = ctypes.c_void_p(self.place), ctypes.c_void_p(places)
        sizes = slots, word, self.row
        call("memnets_sketch", torch.float32, values, made, *sizes, listed, first, count)


def sketch_of(words: Words | InPlace, end: int) -> tuple[int | None, int]:
    """The address of a sketch of the first `end` words, and the bytes of a row; or None."""
    if not isinstance(words, InPlace) or end < SKETCHED or words.values.dtype != torch.float32:
        return None, 0
    buffer = words.buffer
    if buffer.index is None:
        buffer.index = Sketch(buffer)
    return buffer.index.of(buffer.values, end), buffer.index.row


@torch.no_grad()
def scan(
    words: Words | InPlace, written: Tensor, keys: Tensor, count: int, until: int, epsilon: float
) -> Tensor:
    """Find what `memnets.parts.search.exact` finds, in one pass over the words for all heads."""
    values, keys = words.values.detach(), keys.detach().contiguous()
    rows, slots, word = values.shape
    in_rows = values.stride()[1:] == (word, 1) or values.is_contiguous()
    if not (in_rows and serves(values.dtype, values, keys, written) and values.dtype == keys.dtype):
        return exact(words, written, keys, count, until, epsilon)
    heads = keys.shape[1]
    written = written.contiguous()
    found = torch.empty(rows, heads, count, dtype=torch.int64)
    sketch, sketch_row = sketch_of(words, until)
    given = values, keys, written, found, ctypes.c_void_p(sketch)
    sizes = rows, values.stride(0), heads, word, slots, count, sketch_row
    call("memnets_search", values.dtype, *given, *sizes, float(epsilon))
    return found

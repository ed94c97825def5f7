"""How many shuffles and barriers a thread of the kernel for a GPU takes in a time step.

    python -m tests.stress.counts

Counted on the emulator (tests/emulator): T = 4 less T = 2, halved, of one row. Prints the rows of a
table of docs/gpu.md.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any
from unittest import mock

import torch

import memnets
from memnets.backends.cuda import kernels
from memnets.backends.cuda.node import Launch
from tests.emulator import emulated, library


class Counts(ctypes.Structure):
    """Of a block's first thread: emulator::Counts in tests/emulator/fibers.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("shuffles", "of_warp", "of_row", "of_block")]


def counts(layer: Any, time: int) -> list[list[int]]:
    """Shuffles, barriers of a warp, of a row and of a block, of the forward and of the backward."""
    found: list[list[int]] = []
    with emulated(threads=256) as launched:
        launch = kernels.launch

        def counted(one: Launch) -> None:
            launch(one)
            latest = Counts()
            library(one.arena.dtype).memnets_counts(ctypes.byref(latest))
            found.append([getattr(latest, name) for name, *_ in Counts._fields_])

        with mock.patch.object(kernels, "launch", counted):
            layer(torch.zeros(time, 1, 9))[0].sum().backward()
    assert [one.forward for one in launched] == [1, 0]
    return found


def main() -> int:
    """Print the table; return how the program ends."""
    print("| | shuffles | barriers of a warp | of a row | of a block |\n|---|---|---|---|---|")
    for kind in (memnets.NTM, memnets.DNC):
        torch.manual_seed(0)
        layer = kind(9, 8, backend="cuda")
        runs = zip(("forward", "backward"), counts(layer, 2), counts(layer, 4), strict=True)
        for name, few, many in runs:
            step = [(b - a) / 2 for a, b in zip(few, many, strict=True)]
            cells = " | ".join(f"{number:,g}" for number in step)
            print(f"| {kind.__name__}, {name} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

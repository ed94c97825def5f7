"""The kernel for a GPU on a processor: each of CUDA's threads is a fiber (fibers.h).

All of `memnets.backends.cuda` runs so but its compiler and its driver, on tensors of the CPU.
"""

from __future__ import annotations

import ctypes
import functools
import math
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_int, c_int64, c_void_p
from pathlib import Path
from unittest import mock

import torch

from memnets.backends import cuda
from memnets.backends.cpu import compiling
from memnets.backends.cpu.engines import ENGINES
from memnets.backends.cpu.plan import Problem, first_difference
from memnets.backends.cuda import device, kernels
from memnets.backends.cuda.node import Launch
from memnets.backends.cuda.sizes import MemorySizes
from memnets.backends.cuda.sources import NUMBERS

FOLDER = Path(__file__).parent
OPTIONS = ("-O2", "-std=c++20", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off")
ORDERS = (0, 1, 5)
"""The threads of a block run in this order: ascending, descending, or shuffled at every turn."""

_alone = threading.Lock()


@functools.cache
def library(dtype: torch.dtype, options: tuple[str, ...] = ()) -> ctypes.CDLL:
    """Compile the emulated kernel, once for each process."""
    program = compiling.compiler()
    assert program is not None, "there is no C++ compiler here"
    folder = tempfile.mkdtemp()
    target = f"{folder}/{NUMBERS[dtype]}.so"
    fma = ["-mfma"] if b"__FMA__" in compiling.native_macros(program) else []
    command = [program, *OPTIONS, *fma, *compiling.WARNINGS, "-Werror", *options]
    sources = [f"-I{compiling.SOURCES}", str(FOLDER / "kernel.cpp"), "-o", target]
    subprocess.run([*command, f"-DMEMNETS_NUMBER={NUMBERS[dtype]}", *sources], check=True)
    found = ctypes.CDLL(target)
    found.memnets_layout.restype = ctypes.c_char_p
    assert first_difference(found.memnets_layout().decode()) is None
    return found


@functools.cache
def guard() -> None:
    """Let a torch without CUDA have fake tensors on a GPU, in this process from here on."""
    if torch.version.cuda is not None:
        return
    program = compiling.compiler()
    assert program is not None, "there is no C++ compiler here"
    installed = Path(torch.__file__).parent
    target = f"{tempfile.mkdtemp()}/guard.so"
    command = [program, "-std=c++20", "-fPIC", "-shared", f"-I{installed}/include"]
    linked = [f"-L{installed}/lib", "-lc10", "-o", target]
    subprocess.run([*command, str(FOLDER / "guard.cpp"), *linked], check=True)
    ctypes.CDLL(target)


def sizes(problem: Problem, dtype: torch.dtype) -> MemorySizes:
    """What the kernel says of a memory's sizes."""
    found = (c_int64 * len(MemorySizes._fields))()
    library(dtype).memnets_sizes(ctypes.byref(problem), found)
    return MemorySizes(*found)


@contextmanager
def emulated(
    order: int = 0, threads: int = 128, multiprocessors: int = 2, shared: int = 227 * 1024
) -> Iterator[list[Launch]]:
    """Have the backend `cuda` run here; gives what was launched, in order.

    All that a block works with is NaN before it, and a line after it stays so. `shared` is how many
    bytes of shared memory it can have: by default as on sm_90.
    """
    launched: list[Launch] = []

    def launch(one: Launch) -> None:
        launched.append(one)
        blocks, size = one.arena.shape
        arena = torch.full((blocks, size + 64), math.nan, dtype=one.arena.dtype)
        with _alone:
            library(one.arena.dtype).memnets_launch(
                ctypes.byref(one.problem),
                *map(c_int, (one.forward, blocks, threads, one.rows, one.shared)),
                c_void_p(None if one.shared else arena.data_ptr()),
                c_int64(size + 64),
                c_int(order),
            )
        assert arena[:, size:].isnan().all(), "a block works with more than it is given"

    with (
        mock.patch.object(kernels, "launch", launch),
        mock.patch.object(kernels, "multiprocessors", return_value=multiprocessors),
        mock.patch.object(kernels, "most_shared", return_value=shared),
        mock.patch.object(cuda, "reason_against", return_value=None),
        mock.patch.object(device, "reason_against", return_value=None),
        mock.patch.dict(ENGINES, cpu=ENGINES["cuda"]),
        mock.patch("memnets.backends.cuda.node.THREADS", threads),
    ):
        yield launched

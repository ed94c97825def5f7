"""The driver of CUDA by ctypes: what loads a compiled kernel and starts it.

It uses the context that torch made, so that streams, memory and devices are torch's.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable
from contextlib import suppress
from ctypes import byref, c_char_p, c_void_p
from typing import Any

import torch

from memnets.backends.cpu.shipped import UnavailableError

NAMES = ("libcuda.so.1", "nvcuda.dll")


def opened(names: Iterable[str]) -> ctypes.CDLL | None:
    """Return the first library that can be loaded; None if none can."""
    for name in names:
        with suppress(OSError):
            return ctypes.CDLL(name)
    return None


@functools.cache
def library() -> ctypes.CDLL:
    """Return the driver.

    Raises:
        UnavailableError: if there is none.
    """
    found = opened(NAMES)
    if found is None:
        raise UnavailableError("There is no driver of CUDA here: install NVIDIA's for this GPU.")
    return found


def _check(status: int) -> None:
    if status:
        text = c_char_p()
        library().cuGetErrorString(status, byref(text))
        said = text.value.decode() if text.value else f"error {status}"
        raise RuntimeError(f"The driver of CUDA says: {said}.")


def function(cubin: bytes, name: str, device: torch.device) -> c_void_p:
    """Load a function of a compiled kernel on a device.

    Raises:
        RuntimeError: with what the driver says against it.
    """
    with torch.cuda.device(device):
        torch.cuda.current_stream()  # torch has made the context from here on
        module, found = c_void_p(), c_void_p()
        _check(library().cuModuleLoadData(byref(module), cubin))
        _check(library().cuModuleGetFunction(byref(found), module, name.encode()))
    return found


def capturing() -> bool:
    """Whether torch's current stream captures what is started on it in a CUDA graph."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def start(
    kernel: c_void_p, device: torch.device, blocks: int, threads: int, values: list[Any]
) -> None:
    """Start a function on torch's current stream of a device; `values` are its parameters.

    Raises:
        RuntimeError: with what the driver says against it.
    """
    given = (c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    with torch.cuda.device(device):
        stream = c_void_p(torch.cuda.current_stream().cuda_stream)
        size = blocks, 1, 1, threads, 1, 1
        _check(library().cuLaunchKernel(kernel, *size, 0, stream, given, None))

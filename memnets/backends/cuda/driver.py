"""The driver of CUDA by ctypes: what loads a compiled kernel and starts it.

It uses the context that torch made, so that streams, memory and devices are torch's.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable
from contextlib import suppress
from ctypes import byref, c_char_p, c_int, c_void_p
from typing import Any

import torch

from memnets.backends.cpu.shipped import UnavailableError

NAMES = ("libcuda.so.1", "nvcuda.dll")
MOST_SHARED = 97
"""CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: bytes."""
_SHARED = 8
"""CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: 48 KB where it is not set."""


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


def attribute(number: int, device: torch.device) -> int:
    """What the driver says of a device.

    Raises:
        RuntimeError: with what the driver says against it.
    """
    with torch.cuda.device(device):
        torch.cuda.current_stream()  # torch has made the context from here on
        place, found = c_int(), c_int()
        _check(library().cuCtxGetDevice(byref(place)))
        _check(library().cuDeviceGetAttribute(byref(found), c_int(number), place))
    return found.value


def function(cubin: bytes, name: str, device: torch.device, shared: int) -> c_void_p:
    """Load a function of a compiled kernel on a device, which may ask for so many bytes of shared
    memory.

    Raises:
        RuntimeError: with what the driver says against it.
    """
    with torch.cuda.device(device):
        torch.cuda.current_stream()
        module, found = c_void_p(), c_void_p()
        _check(library().cuModuleLoadData(byref(module), cubin))
        _check(library().cuModuleGetFunction(byref(found), module, name.encode()))
        if shared:
            _check(library().cuFuncSetAttribute(found, c_int(_SHARED), c_int(shared)))
    return found


def capturing() -> bool:
    """Whether torch's current stream captures what is started on it in a CUDA graph."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def start(
    kernel: c_void_p,
    device: torch.device,
    blocks: int,
    threads: tuple[int, int],
    shared: int,
    values: list[Any],
) -> None:
    """Start a function on torch's current stream of a device.

    Args:
        kernel: the function.
        device: where it was loaded.
        blocks: how many.
        threads: of a block, x and y.
        shared: bytes of shared memory for a block.
        values: the function's parameters.

    Raises:
        RuntimeError: with what the driver says against it.
    """
    given = (c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    with torch.cuda.device(device):
        stream = c_void_p(torch.cuda.current_stream().cuda_stream)
        size = blocks, 1, 1, *threads, 1
        _check(library().cuLaunchKernel(kernel, *size, shared, stream, given, None))

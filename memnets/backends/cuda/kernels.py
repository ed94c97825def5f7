"""The compiled kernels: made at first use, kept in a cache, loaded once for each device."""

from __future__ import annotations

import ctypes
import functools
import logging
import tempfile
from ctypes import c_longlong, c_ubyte, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from memnets.backends.cpu.library import cache_folder
from memnets.backends.cpu.plan import Layer, Problem
from memnets.backends.cpu.shipped import UnavailableError
from memnets.backends.cuda import driver, nvrtc
from memnets.backends.cuda.sources import THREADS, Sources, sources

if TYPE_CHECKING:
    from memnets.backends.cuda.node import Launch

PARAMETER_BYTES = 4096
"""Of a kernel's parameters, among which are the problem and its layers."""

logger: logging.Logger = logging.getLogger("memnets")


@functools.cache
def multiprocessors(device: torch.device) -> int:
    """How many blocks a device runs at once, at least."""
    return torch.cuda.get_device_properties(device).multi_processor_count


@functools.cache
def most_shared(device: torch.device) -> int:
    """How many bytes of shared memory a block can have on a device, where it asks for them."""
    return driver.attribute(driver.MOST_SHARED, device)


@functools.cache
def architecture(device: torch.device) -> str:
    """The architecture that a device takes compiled kernels of."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


def most_layers() -> int:
    """How many layers of a controller the parameters of a kernel have room for."""
    rest = PARAMETER_BYTES - ctypes.sizeof(Problem) - 2 * 8
    return rest // ctypes.sizeof(Layer)


def cubin(made_of: Sources, architecture: str) -> bytes:
    """Return the compiled kernel from the cache, compiled first if it is not there.

    Raises:
        UnavailableError: if it cannot be compiled, or the folder cannot be written.
    """
    path = cache_folder() / f"{architecture}-{made_of.digest}.cubin"
    if path.exists():
        return path.read_bytes()
    # A warning is shown without any set-up of logging: who waits should know for what.
    logger.warning(
        "memnets: compiling the kernel for %s, once for these sizes; this takes up to a minute.",
        architecture,
    )
    content, _ = nvrtc.compiled(made_of, architecture)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            made.write_bytes(content)
            made.replace(path)
    except OSError as error:
        raise UnavailableError(
            f"The kernel cannot be kept in {path.parent} ({error}); set MEMNETS_CACHE to a folder "
            "that can be written."
        ) from error
    return content


_loaded: dict[tuple[str, torch.device], tuple[c_void_p, c_void_p]] = {}


def _functions(made_of: Sources, device: torch.device, shared: bool) -> tuple[c_void_p, c_void_p]:
    """The forward and the backward on a device."""
    key = made_of.digest, device
    if key not in _loaded:
        if driver.capturing():
            raise RuntimeError(
                "A kernel is loaded in a layer's first call, which cannot be captured in a CUDA "
                "graph: call the layer once before the capture, as it will be called in it."
            )
        content = cubin(made_of, architecture(device))
        names, most = ("memnets_forward", "memnets_backward"), most_shared(device) if shared else 0
        forward, backward = (driver.function(content, name, device, most) for name in names)
        _loaded[key] = forward, backward
    return _loaded[key]


def launch(one: Launch) -> None:
    """Start a kernel.

    Raises:
        UnavailableError: if it cannot be compiled.
        RuntimeError: if it cannot be started, or is not loaded yet while a CUDA graph is captured.
    """
    device, dtype = one.arena.device, one.arena.dtype
    shared = one.shared > 0
    segments = one.problem.checkpoints is not None
    made_of = sources(one.plan, dtype, shared=shared, segments=segments)
    forward, backward = _functions(made_of, device, shared)
    layers = b"".join(map(bytes, one.layers))
    problem = (c_ubyte * (ctypes.sizeof(one.problem) + len(layers))).from_buffer_copy(
        bytes(one.problem) + layers
    )
    arena = c_void_p(one.arena.data_ptr()), c_longlong(one.arena.shape[1])
    kernel = forward if one.forward else backward
    threads = THREADS // one.rows, one.rows
    driver.start(kernel, device, one.blocks, threads, one.shared, [problem, *arena])

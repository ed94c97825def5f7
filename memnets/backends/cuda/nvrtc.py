"""NVRTC, NVIDIA's compiler as a library, by ctypes: it comes with CUDA builds of torch.

It needs neither a GPU nor a C++ compiler: `pip install nvidia-cuda-nvrtc` is enough to compile.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path

from memnets.backends.cpu.shipped import UnavailableError
from memnets.backends.cuda.driver import opened
from memnets.backends.cuda.sources import Sources

NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")


def _installed() -> list[Path]:
    """Where packages of NVIDIA have it, the newest first."""
    folders = [Path(folder) / "nvidia" for folder in sys.path if folder]
    found = (path for folder in folders for path in folder.glob("**/libnvrtc.so.*"))
    return sorted(found, key=lambda path: path.suffix, reverse=True)


@functools.cache
def library() -> ctypes.CDLL:
    """Return NVRTC.

    Raises:
        UnavailableError: if it is not there.
    """
    installed = _installed()
    for path in installed[:1]:  # NVRTC opens its other half by name, which must be loaded then
        for half in path.parent.glob("libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(half), mode=ctypes.RTLD_GLOBAL)
    found = opened((*map(str, installed), *NAMES))
    if found is None:
        raise UnavailableError(
            "There is no NVRTC here, which compiles the kernel for a GPU: install a CUDA build of "
            "torch, or nvidia-cuda-nvrtc."
        )
    return found


def compiled(sources: Sources, architecture: str) -> tuple[bytes, str]:
    """Compile for an architecture, such as sm_90; return the cubin, and what the compiler said.

    Raises:
        UnavailableError: if there is no NVRTC, or it cannot compile; with its last words.
    """
    lib, program = library(), c_void_p()
    headers = {name: text.encode() for name, text in sources.headers.items() if name != "kernel.cu"}
    count = len(headers)
    texts = (c_char_p * count)(*headers.values())
    names = (c_char_p * count)(*(name.encode() for name in headers))
    main = sources.headers["kernel.cu"].encode()
    lib.nvrtcCreateProgram(byref(program), main, b"kernel.cu", c_int(count), texts, names)
    options = [f"--gpu-architecture={architecture}", *sources.options]
    given = (c_char_p * len(options))(*(option.encode() for option in options))
    try:
        status = lib.nvrtcCompileProgram(program, c_int(len(options)), given)
        words = _read(lib, program, "ProgramLog").rstrip(b"\0").decode()
        if status:
            raise UnavailableError(
                f"NVRTC could not compile the kernel for {architecture}; its last words: "
                f"{words[-2000:]}"
            )
        return _read(lib, program, "CUBIN"), words
    finally:
        lib.nvrtcDestroyProgram(byref(program))


def _read(lib: ctypes.CDLL, program: c_void_p, what: str) -> bytes:
    size = c_size_t()
    getattr(lib, f"nvrtcGet{what}Size")(program, byref(size))
    content = ctypes.create_string_buffer(size.value)
    getattr(lib, f"nvrtcGet{what}")(program, content)
    return content.raw

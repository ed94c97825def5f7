"""The compiled kernel: built once for this machine, kept in a cache, loaded by ctypes.

The sources take plain pointers and need nothing of torch: a build needs a C++ compiler alone. One
library holds one kind of number.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import torch

from memnets.fused.plan import first_difference

SOURCES = Path(__file__).parent / "cpp"
NUMBERS = {torch.float32: "float", torch.float64: "double"}
OPTIONS = (
    "-O3",
    "-march=native",
    "-std=c++20",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fvisibility=hidden",
)
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow")
"""Not errors, as a newer compiler may warn of more; the tests compile with -Werror."""

logger: logging.Logger = logging.getLogger("memnets")


class UnavailableError(RuntimeError):
    """The kernel cannot be built or loaded here; the message says why, and what would help."""


def compiler() -> str | None:
    """Return the path of the C++ compiler: that of the variable CXX, else g++ or clang++."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    return next((found for name in names if (found := shutil.which(name))), None)


def cache_folder() -> Path:
    """Where libraries are kept: MEMNETS_CACHE, else memnets in the user's cache folder."""
    chosen = os.environ.get("MEMNETS_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(chosen).expanduser() if chosen else Path(base).expanduser() / "memnets"


def extra_options() -> list[str]:
    """Further options for the compiler, from MEMNETS_CXXFLAGS, such as -fsanitize=address."""
    return shlex.split(os.environ.get("MEMNETS_CXXFLAGS", ""))


def command(program: str, number: str, target: Path) -> list[str]:
    """Return the command that compiles the library."""
    return [
        program,
        *OPTIONS,
        *WARNINGS,
        *extra_options(),
        f"-DMEMNETS_NUMBER={number}",
        str(SOURCES / "kernel.cpp"),
        "-o",
        str(target),
    ]


def library_path(program: str, number: str) -> Path:
    """Where the library for this compiler, machine and these sources is or will be."""
    # What -march=native means differs between machines that share a home folder.
    macros = subprocess.run(
        [program, "-march=native", "-dM", "-E", "-x", "c++", os.devnull],
        capture_output=True,
        check=False,
    ).stdout
    digest = hashlib.sha256(macros)
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.read_bytes())
    digest.update(" ".join([*OPTIONS, *extra_options()]).encode())
    return cache_folder() / f"{number}-{digest.hexdigest()[:20]}.so"


def build(program: str, number: str, target: Path) -> None:
    """Compile to `target`, which appears whole or not at all, however many build at once.

    Raises:
        UnavailableError: if the compiler fails or the folder cannot be written.
    """
    # A warning is shown without any set-up of logging: who waits should know for what.
    logger.warning("memnets: compiling the kernel (%s), once; this takes some 20 s.", number)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / target.name
            status, errors = _compile(command(program, number, made))
            if status != 0:
                raise UnavailableError(
                    f"{program} could not compile the kernel; its last words: {errors[-500:]}"
                )
            made.replace(target)
    except OSError as error:
        raise UnavailableError(
            f"The kernel cannot be kept in {target.parent} ({error}); set MEMNETS_CACHE to a "
            "folder that can be written."
        ) from error


def _compile(words: list[str]) -> tuple[int, str]:
    """Run the compiler; return its status and what it said.

    Ctrl-C in a terminal goes to all processes of a session. In a session of its own the compiler
    does not end by it, as if it had failed: whether to stop is decided by this process.
    """
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            _, errors = process.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, errors.strip()


def built(program: str, number: str) -> Path:
    """Return where the library is, built if it is not there: by one of all who ask at once.

    Raises:
        UnavailableError: as `build`.
    """
    path = library_path(program, number)
    if path.exists():
        return path
    with ExitStack() as held:
        with suppress(ImportError, OSError):  # no such locks on this system, or in this folder
            import fcntl

            path.parent.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(path.with_suffix(".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with its process, however that ends
        if not path.exists():
            build(program, number, path)
    return path


@functools.cache
def load(dtype: torch.dtype) -> ctypes.CDLL:
    """Return the library for numbers of `dtype`, compiled first if it is not in the cache.

    Raises:
        UnavailableError: if there is no compiler, or compiling or loading fails.
    """
    program = compiler()
    if program is None:
        raise UnavailableError(
            "There is no C++ compiler here; install g++ (as by apt install g++) or clang++, or set "
            "CXX to one."
        )
    path = built(program, NUMBERS[dtype])
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise UnavailableError(f"The kernel at {path} cannot be loaded: {error}") from error
    check_layout(library, path)
    library.memnets_divide.restype = ctypes.c_int64
    library.memnets_vectors.restype = ctypes.c_char_p
    return library


def check_layout(library: ctypes.CDLL, path: Path) -> None:
    """Raise unless the library's structures are those that `memnets.fused.plan` fills.

    Raises:
        UnavailableError: with the first field that differs.
    """
    difference = "it does not say what its structures are"
    if hasattr(library, "memnets_layout"):
        library.memnets_layout.restype = ctypes.c_char_p
        difference = first_difference(library.memnets_layout().decode())
    if difference is not None:
        raise UnavailableError(
            f"The kernel at {path} must have the structures of memnets.fused.plan, and "
            f"{difference}. Install memnets anew, so that its Python and C++ are of one version."
        )


@functools.cache
def reason_against(dtype: torch.dtype) -> str | None:
    """Say why the kernel cannot be used here for numbers of `dtype`; None where it can."""
    try:
        load(dtype)
    except UnavailableError as error:
        return str(error)
    return None

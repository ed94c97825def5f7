"""The compiled kernel: that which came with the package, else compiled here; loaded by ctypes.

MEMNETS_KERNEL chooses one by name: an instruction set, of those that came with the package, or
`native`, compiled for this machine on first use and kept in a cache. A source checkout whose kernel
was not compiled when it was installed, or has changed since, compiles it so too. One library holds
one kind of number.
"""

from __future__ import annotations

import ctypes
import difflib
import functools
import hashlib
import logging
import os
import signal
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import torch

from memnets.backends.cpu import compiling, shipped
from memnets.backends.cpu.compiling import OPTIONS, command, compiler, extra_options
from memnets.backends.cpu.plan import first_difference
from memnets.backends.cpu.shipped import UnavailableError

NUMBERS = {torch.float32: "float", torch.float64: "double"}
AUTO, NATIVE = "auto", "native"

logger: logging.Logger = logging.getLogger("memnets")


def cache_folder() -> Path:
    """Where libraries are kept: MEMNETS_CACHE, else memnets in the user's cache folder."""
    chosen = os.environ.get("MEMNETS_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(chosen).expanduser() if chosen else Path(base).expanduser() / "memnets"


def library_path(program: str, number: str) -> Path:
    """Where the library for this compiler, machine and these sources is or will be."""
    # What -march=native means differs between machines that share a home folder.
    digest = hashlib.sha256(compiling.native_macros(program))
    digest.update(compiling.digest_of_sources().encode())
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


def _compile(arguments: list[str]) -> tuple[int, str]:
    """Run the compiler; return its status and what it said.

    Ctrl-C in a terminal goes to all processes of a session. In a session of its own the compiler
    does not end by it, as if it had failed: whether to stop is decided by this process.
    """
    with subprocess.Popen(
        arguments, stderr=subprocess.PIPE, text=True, start_new_session=True
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
    with ExitStack() as stack:
        with suppress(ImportError, OSError):  # no such locks on this system, or in this folder
            import fcntl

            path.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(path.with_suffix(".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with its process, however that ends
        if not path.exists():
            build(program, number, path)
    return path


def compiled_here(number: str) -> Path:
    """Return the library for this machine, compiled first if it is not in the cache.

    Raises:
        UnavailableError: if there is no compiler, or it fails.
    """
    program = compiler()
    if program is None:
        raise UnavailableError(
            "There is no C++ compiler here; install g++ (as by apt install g++) or clang++, or set "
            "CXX to one."
        )
    return built(program, number)


SETTINGS = ("MEMNETS_KERNEL", "MEMNETS_CACHE", "MEMNETS_CXXFLAGS", "MEMNETS_INSTRUCTION_SETS")
"""The variables of the environment that memnets reads; the last is for building a wheel."""


PREFIX = "MEMNETS_"


def _meant(unknown: str) -> list[str]:
    """The setting nearest to a name, if any is near: their common prefix makes all alike."""
    names = [name.removeprefix(PREFIX) for name in SETTINGS]
    return [PREFIX + n for n in difflib.get_close_matches(unknown.removeprefix(PREFIX), names, n=1)]


def setting() -> str:
    """Return which kernel MEMNETS_KERNEL asks for; MEMNETS_CXXFLAGS asks for a native one.

    Raises:
        ValueError: if it is not the name of one, or a variable of the environment begins with
            MEMNETS_ and is none that memnets knows.
    """
    unknown = sorted(n for n in os.environ if n.startswith(PREFIX) and n not in SETTINGS)
    if unknown:
        near = _meant(unknown[0])
        raise ValueError(
            f"{unknown[0]} is no setting of memnets, which has {', '.join(SETTINGS)}: "
            + (f"{near[0]} may be meant." if near else "unset it.")
        )
    sets = compiling.instruction_sets()
    chosen = os.environ.get("MEMNETS_KERNEL") or (NATIVE if extra_options() else AUTO)
    if chosen not in (AUTO, NATIVE, *sets):
        raise ValueError(
            f"MEMNETS_KERNEL must be one of {', '.join((AUTO, NATIVE, *sets))}, not {chosen!r}."
        )
    return chosen


def is_checkout() -> bool:
    """Whether the package lies beside the files that it is built from."""
    return (Path(__file__).parents[3] / "pyproject.toml").is_file()


def chosen_library(number: str) -> Path:
    """Return the library to load for float or double numbers, compiled first where it must be.

    Raises:
        UnavailableError: if there is none, with the reason.
        ValueError: as `setting`.
    """
    chosen = setting()
    if chosen == NATIVE:
        return compiled_here(number)
    try:
        return shipped.library(number, None if chosen == AUTO else chosen)
    except UnavailableError as error:
        if chosen != AUTO or not is_checkout():
            raise UnavailableError(
                f"{error} Or set MEMNETS_KERNEL=native to compile it on first use."
            ) from error
        logger.debug("memnets: the kernel is compiled here. %s", error)
        return compiled_here(number)


@functools.cache
def load(dtype: torch.dtype) -> ctypes.CDLL:
    """Return the library for numbers of `dtype`.

    Raises:
        UnavailableError: if there is none, or it cannot be loaded.
        ValueError: as `setting`.
    """
    path = chosen_library(NUMBERS[dtype])
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise UnavailableError(f"The kernel at {path} cannot be loaded: {error}") from error
    check_layout(library, path)
    library.memnets_divide.restype = ctypes.c_int64
    library.memnets_vectors.restype = ctypes.c_char_p
    return library


def check_layout(library: ctypes.CDLL, path: Path) -> None:
    """Raise unless the library's structures are those that `memnets.backends.cpu.plan` fills.

    Raises:
        UnavailableError: with the first field that differs.
    """
    difference = "it does not say what its structures are"
    if hasattr(library, "memnets_layout"):
        library.memnets_layout.restype = ctypes.c_char_p
        difference = first_difference(library.memnets_layout().decode())
    if difference is not None:
        raise UnavailableError(
            f"The kernel at {path} must have the structures of memnets.backends.cpu.plan, and "
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


def call(
    name: str, dtype: torch.dtype, *arguments: torch.Tensor | ctypes.c_void_p | int | float | None
) -> None:
    """Call a function of the kernel for numbers of `dtype`.

    Args:
        name: of the function, which returns nothing.
        dtype: of its numbers.
        arguments: tensors and addresses, which it takes as pointers, None being a null pointer;
            int as int64_t, float as double. A whole number that is to be a double must be a float.
    """
    made: list[object] = []
    for one in arguments:
        if isinstance(one, torch.Tensor):
            made.append(ctypes.c_void_p(one.data_ptr()))
        elif isinstance(one, float):
            made.append(ctypes.c_double(one))
        else:
            made.append(ctypes.c_int64(one) if isinstance(one, int) else one)
    getattr(load(dtype), name)(*made)

"""How the kernel is compiled: which compiler, which options, for which instruction sets.

Standard library only: the package's build hook (hatch_build.py) runs this file by itself, where
neither torch nor memnets is installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).parent / "csrc"
NUMBERS = ("float", "double")
OPTIONS = ("-O3", "-std=c++20", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow")
"""Not errors, as a newer compiler may warn of more; the tests compile with -Werror."""
BUILT = Path(__file__).parent / "built"
"""Where the libraries are that were compiled when the package was built or installed."""
MANIFEST = "manifest.json"
"""Beside them: the sources, the compiler and the options they come from, and their checksums."""

X86: dict[str, tuple[str, ...]] = {
    "avx512": ("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
    "avx2": ("-mavx2", "-mfma"),
    "sse2": (),
}


def instruction_sets() -> dict[str, tuple[str, ...]]:
    """Return the instruction sets of this kind of processor, best first, and their options."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return X86
    return {"neon": ()} if machine in ("aarch64", "arm64") else {"baseline": ()}


def native_macros(program: str) -> bytes:
    """Return what the compiler defines for the processor of this machine."""
    command = [program, "-march=native", "-dM", "-E", "-x", "c++", os.devnull]
    return subprocess.run(command, capture_output=True, check=False).stdout


def native_instruction_set(program: str) -> str:
    """Return the best instruction set that the processor of this machine has."""
    found = native_macros(program)
    for name, options in instruction_sets().items():
        # -mavx512vl is on where __AVX512VL__ is defined
        if all(f"__{option[2:].upper()}__".encode() in found for option in options):
            return name
    return list(instruction_sets())[-1]


def compiler() -> str | None:
    """Return the path of the C++ compiler: that of the variable CXX, else g++ or clang++."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    return next((found for name in names if (found := shutil.which(name))), None)


def extra_options() -> list[str]:
    """Further options for the compiler, from MEMNETS_CXXFLAGS, such as -fsanitize=address."""
    return shlex.split(os.environ.get("MEMNETS_CXXFLAGS", ""))


def command(
    program: str, number: str, target: Path, options: Sequence[str] | None = None
) -> list[str]:
    """Return the command that compiles the library.

    Args:
        program: the compiler.
        number: float or double.
        target: the library.
        options: for an instruction set; None for this machine's own and MEMNETS_CXXFLAGS.
    """
    return [
        program,
        *OPTIONS,
        *WARNINGS,
        *(("-march=native", *extra_options()) if options is None else options),
        f"-DMEMNETS_NUMBER={number}",
        str(SOURCES / "kernel.cpp"),
        "-o",
        str(target),
    ]


def digest_of_sources() -> str:
    """Return a name for the sources as they are: a library belongs to those it was made from."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.glob("*.[ch]*")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()


def file_name(number: str, instruction_set: str) -> str:
    """Return the name of a library among those that come with the package."""
    return f"{number}-{instruction_set}.so"


def checksum(path: Path) -> str:
    """Return the checksum that the manifest has of a library."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

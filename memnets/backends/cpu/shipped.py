"""The kernel that came with the package: one library for each instruction set and kind of number.

A library is loaded only if it is what the manifest beside it says: a truncated one would end the
process, and one of other sources would compute something else.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from memnets.backends.cpu import compiling

CAPABILITIES = {"AVX512": "avx512", "AVX2": "avx2"}
"""Instruction sets by torch's name of what the processor has; all others are the last one's."""


class UnavailableError(RuntimeError):
    """The kernel cannot be built or loaded here; the message says why, and what would help."""


def best_instruction_set() -> str:
    """Return the best one that this processor has, as torch sees it (ATEN_CPU_CAPABILITY)."""
    found = CAPABILITIES.get(torch.backends.cpu.get_cpu_capability())
    sets = list(compiling.instruction_sets())
    return found if found in sets else sets[-1]


def library(number: str, instruction_set: str | None = None) -> Path:
    """Return the library for float or double numbers that came with the package.

    Without an instruction set it is that for the best one, of those that came, which the processor
    has.

    Raises:
        UnavailableError: if this processor has not those instructions, or the library is missing,
            damaged, or made from other sources than those of this version.
    """
    sets = list(compiling.instruction_sets())
    usable = sets[sets.index(best_instruction_set()) :]
    if instruction_set is not None and instruction_set not in usable:
        raise UnavailableError(
            f"This processor has {usable[0]} at best, and the kernel for {instruction_set} was "
            f"asked for: set MEMNETS_KERNEL to one of {', '.join(usable)}."
        )
    manifest = _manifest()
    names = [compiling.file_name(number, name) for name in usable]
    name = next((name for name in names if name in manifest["files"]), names[0])
    if instruction_set is not None:
        name = compiling.file_name(number, instruction_set)
    path = compiling.BUILT / name
    if not path.is_file() or path.name not in manifest["files"]:
        raise UnavailableError(
            f"The kernel must be at {path}, and nothing is there: it is compiled when memnets is "
            "installed, where a C++ compiler is. Install memnets anew."
        )
    if manifest["sources"] != compiling.digest_of_sources():
        raise UnavailableError(
            f"The kernel at {path} must be made from the sources in {compiling.SOURCES}, and it is "
            "of another version. Install memnets anew."
        )
    if compiling.checksum(path) != manifest["files"][path.name]:
        raise UnavailableError(
            f"The kernel at {path} must have the checksum in {compiling.MANIFEST}, and it is "
            f"damaged ({path.stat().st_size} bytes). Install memnets anew."
        )
    return path


def _manifest() -> dict:
    """The manifest, or one of nothing if there is none or it cannot be read."""
    nothing = {"files": {}, "sources": ""}
    try:
        found = json.loads((compiling.BUILT / compiling.MANIFEST).read_text())
        return found if found.keys() >= nothing.keys() else nothing
    except (OSError, ValueError, AttributeError):
        return nothing

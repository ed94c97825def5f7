"""The kernel's sources for one layer: its sizes and places as constants of C++.

With sizes that are known only when it runs, the kernel took 200 s to compile and four times as many
instructions; so there is one for each layer's sizes and each kind of number.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
from typing import Any, NamedTuple

import torch

from memnets.backends.cpu.compiling import SOURCES
from memnets.backends.cpu.plan import Plan

NUMBERS = {torch.float32: "float", torch.float64: "double"}
THREADS = 256
"""Threads of a block: 8 warps, which divide its rows of the batch among them."""
CONSTANTS: tuple[str, ...] = (
    *("slots", "word", "read_heads", "write_heads", "hidden", "depth", "cell", "skip"),
    *("numbers", "fields_count", "read_first", "erase_vectors", "write_vectors"),
)
"""What of a problem does not change from call to call."""
OPTIONS: tuple[str, ...] = ("--std=c++20", "--device-as-default-execution-space")


class Sources(NamedTuple):
    """What is compiled."""

    headers: dict[str, str]
    """By the names under which kernel.cu includes them."""
    options: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A name for all of it."""
        text = "\0".join([*(part for one in sorted(self.headers.items()) for part in one)])
        return hashlib.sha256((text + "\0" + " ".join(self.options)).encode()).hexdigest()[:20]


def sources(
    plan: Plan, dtype: torch.dtype, *, shared: bool, segments: bool, threads: int = THREADS
) -> Sources:
    """Return what is compiled for a layer and a kind of number.

    Args:
        plan: of the layer.
        dtype: of its numbers.
        shared: whether a block works in shared memory.
        segments: whether a call can have several, of which the backward makes the records again.
        threads: of a block.
    """
    headers = {path.name: path.read_text() for path in sorted(SOURCES.glob("*.h"))}
    headers["kernel.cu"] = (SOURCES / "kernel.cu").read_text()
    headers["sizes.h"] = sizes_text(plan, segments=segments)
    memory = "DncMemory" if plan.problem.dnc else "NtmMemory"
    macros = {"NUMBER": NUMBERS[dtype], "MEMORY": memory, "THREADS": threads, "SHARED": int(shared)}
    return Sources(headers, (*OPTIONS, *(f"-DMEMNETS_{n}={value}" for n, value in macros.items())))


def sizes_text(plan: Plan, *, segments: bool) -> str:
    """Write sizes.h: a Problem whose constants the compiler knows, and which has its layers in it.

    >>> import memnets
    >>> text = sizes_text(Plan(memnets.NTM(9, 8).spec), segments=False)
    >>> "static constexpr Size slots = 128;" in text
    True
    """
    problem = plan.problem
    lines = [f"static constexpr Size {name} = {getattr(problem, name)};" for name in CONSTANTS]
    lines.append("static constexpr Size links_every = 1;")
    if not segments:
        lines.append("static constexpr void* checkpoints = nullptr;")
    lines.append(_array("Field", "fields", plan.fields))
    if problem.dnc:
        lines.append(f"static constexpr DncPlaces places{_value(plan.dnc)};")
        lines.append("static constexpr const DncPlaces* dnc = &places;")
    else:
        lines.append(_array("Head", "heads", plan.heads))
    lines.append(f"Layer layers[{problem.depth}];")
    body = "\n".join(f"  {line}" for line in lines)
    return f"#pragma once\n\nnamespace memnets {{\n\nstruct Sizes : Problem {{\n{body}\n}};\n\n}}\n"


def _array(kind: str, name: str, values: Any) -> str:
    return f"static constexpr {kind} {name}[] = {{{', '.join(map(_value, values))}}};"


def _value(structure: ctypes.Structure) -> str:
    """A structure's fields as C++ writes them."""
    numbers = [getattr(structure, name) for name, *_ in structure._fields_]
    # nvrtc.h takes the largest number for infinity.
    finite = [math.ldexp(2 - 2**-52, 1023) if number == math.inf else number for number in numbers]
    return "{" + ", ".join(map(repr, finite)) + "}"

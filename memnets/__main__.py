"""The command `memnets`, or `python -m memnets`: this machine, or the trainer.

Without a word it says whether this machine can use the fused backend, and why not.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import torch

from memnets import trainer
from memnets.backends.cpu import compiling, library, shipped, threads

USAGE = """usage: memnets                      what this machine can use
       memnets train --task copy    train a network: --help has all flags
       memnets evaluate runs/NAME   measure a run at other sizes
       memnets compare runs/        a table and a page of runs
       memnets sweep FILE.yaml      a sweep on this machine
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words:
        return show_machine()
    command, *rest = words
    if command in trainer.COMMANDS:
        return trainer.run(command, rest)
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    known = ", ".join(trainer.COMMANDS)
    print(f"memnets: error: there is no command {command!r}: say one of {known}", file=sys.stderr)
    return 2


def show_machine() -> int:
    """Load the kernel, and print a table of what was found. Return 0 if it can be used."""
    try:
        library.setting()
    except ValueError as error:
        print(f"settings     {error}")
        return 1
    settings = [f"{name}={os.environ[name]}" for name in library.SETTINGS if name in os.environ]
    rows = [
        ("settings", ", ".join(settings) or "none: MEMNETS_KERNEL is auto"),
        ("processor", f"{shipped.best_instruction_set()} is the best set that it has"),
        ("compiler", library.compiler() or "none found (g++, clang++, or CXX)"),
        ("cache", str(library.cache_folder())),
    ]
    found = [_number(dtype) for dtype in library.NUMBERS]
    rows += [(name, text) for name, text, _ in found]
    rows.append(("threads", f"{threads(batch_size=16)} at batch 16, {threads(batch_size=1)} at 1"))
    for name, text in rows:
        print(f"{name:12} {text}")
    return int(not all(ready for _, _, ready in found))


def _number(dtype: torch.dtype) -> tuple[str, str, bool]:
    """The row of one kind of numbers, and whether the kernel has them."""
    name = str(dtype).removeprefix("torch.")
    began = time.perf_counter()
    reason = library.reason_against(dtype)
    if reason is not None:
        return name, f"the reference, slower. {reason}", False
    vectors = library.load(dtype).memnets_vectors().decode()
    seconds = time.perf_counter() - began
    path = library.chosen_library(library.NUMBERS[dtype])
    origin = "shipped" if path.parent == compiling.BUILT else "compiled here"
    return name, f"fused, with {vectors}, {origin}; loaded in {seconds:.3f} s from {path}", True


if __name__ == "__main__":
    sys.exit(main())

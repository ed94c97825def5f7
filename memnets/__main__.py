"""`python -m memnets`: whether this machine can use the fused backend, and why not."""

from __future__ import annotations

import os
import sys
import time

import torch

from memnets.backends.cpu import compiling, library, shipped, threads


def main() -> int:
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

"""`python -m memnets`: whether this machine can use the fused backend, and why not."""

from __future__ import annotations

import sys
import time

from memnets.backends.cpu import library, shipped, threads


def main() -> int:
    """Load the kernel, and say what was found. Return 0 if it can be used."""
    print(f"setting:  MEMNETS_KERNEL={library.setting()}")
    print(f"best:     {shipped.best_instruction_set()} (what this processor has)")
    print(f"compiler: {library.compiler() or 'none found (g++, clang++, or CXX)'}")
    print(f"cache:    {library.cache_folder()}")
    status = 0
    for dtype in library.NUMBERS:
        began = time.perf_counter()
        reason = library.reason_against(dtype)
        if reason is None:
            vectors = library.load(dtype).memnets_vectors().decode()
            seconds = time.perf_counter() - began
            path = library.chosen_library(library.NUMBERS[dtype])
            print(f"{dtype}: ready, with {vectors}; {seconds:.3f} s to load or build {path}")
        else:
            print(f"{dtype}: cannot be used. {reason}")
            status = 1
    print(f"threads:  {threads(batch_size=16)} at batch 16, {threads(batch_size=1)} at batch 1")
    return status


if __name__ == "__main__":
    sys.exit(main())

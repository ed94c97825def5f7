"""The kernel's functions of every float32, and of float64 drawn at random: the largest errors.

    python -m tests.stress.functions --every 1 --doubles 100000000

`--every 16` looks at every sixteenth float32.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np
import torch

from memnets.backends.cpu import library
from tests.functions import LIMIT, NAMES, largest_error

CHUNK = 2**17


def floats(every: int) -> Iterator[np.ndarray]:
    """Every bit pattern of float32, or one of `every`."""
    for start in range(0, 2**32, CHUNK * every):
        stop = min(start + CHUNK * every, 2**32)
        yield np.arange(start, stop, every, dtype=np.uint64).astype(np.uint32).view(np.float32)


def doubles(count: int) -> Iterator[np.ndarray]:
    """Bit patterns of float64, then normal numbers of several widths."""
    generator = np.random.default_rng(0)
    widths = [None, 1e-3, 0.1, 1, 10, 100, 300]
    for start in range(0, count, CHUNK):
        width = widths[start // CHUNK % len(widths)]
        if width is None:
            yield generator.integers(0, 2**64, CHUNK, dtype=np.uint64).view(np.float64)
        else:
            yield generator.normal(scale=width, size=CHUNK)


def main() -> int:
    """Print a line for each function and kind of number; return 0 if all are within the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="one float32 of so many")
    parser.add_argument("--doubles", type=int, default=100_000_000)
    options = parser.parse_args()
    worst = 0.0
    for dtype in library.NUMBERS:
        kernel = library.load(dtype)
        vectors = kernel.memnets_vectors().decode()
        for name in NAMES:
            chunks = floats(options.every) if dtype is torch.float32 else doubles(options.doubles)
            error, at = max(largest_error(kernel, name, x) for x in chunks)
            print(
                f"{vectors} {dtype} {name}: {error:.3f} units in the last place, at {at!r}",
                flush=True,
            )
            worst = max(worst, error)
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

"""The kernel's own tests with the kernel for a GPU in its place, on the emulator of tests/emulator.

    python -m tests.stress.device
    python -m tests.stress.device --order 5 -k starts

What asks for `backend="fused"` gets what memnets/backends/cuda runs, on tensors of the CPU. Takes
some minutes.
"""

from __future__ import annotations

import argparse
import sys
from unittest import mock

import pytest

from memnets.backends import cpu, cuda
from tests.emulator import emulated

TESTS = ("tests/memnets/backends/test_fused.py",)
CHOSEN = "agree or segments or odd or starts or any_call or twice or within or part_of or gradcheck"


def main() -> int:
    """Run the tests; return pytest's status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--order", type=int, default=0, help="0 ascending, 1 descending, or a seed")
    parser.add_argument("-k", default=CHOSEN, help="which tests")
    options = parser.parse_args()
    arguments = ["-q", "-n", "0", "-p", "no:cacheprovider", "-k", options.k, *TESTS]
    with emulated(options.order) as launched, mock.patch.object(cpu, "run", cuda.run):
        status = pytest.main(arguments)
        print(f"{len(launched)} launches", flush=True)
        return int(status) or int(not launched)


if __name__ == "__main__":
    sys.exit(main())

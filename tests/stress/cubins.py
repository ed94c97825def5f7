"""The kernel for a GPU compiled for the architectures it is for, and what of a GPU it takes.

    pip install nvidia-cuda-nvrtc
    python -m tests.stress.cubins

Needs no GPU. Ends with status 1 where a thread has a stack of more bytes than docs/gpu.md allows;
what is spilled of its registers lies there too.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import time
from typing import Any, NamedTuple

import torch

import memnets
from memnets.backends.cpu.plan import Plan
from memnets.backends.cuda import nvrtc
from memnets.backends.cuda.sources import NUMBERS, Sources, sources

ARCHITECTURES = ("sm_80", "sm_90")
MOST_STACK = {"NTM": 512, "DNC": 3072}
"""Bytes of a thread's stack, where what does not fit into registers goes too."""
ASKED = "--ptxas-options=--verbose"


class Usage(NamedTuple):
    """What a thread of one kernel takes."""

    kernel: str
    registers: int
    stack: int
    """Bytes, as are the two that follow."""
    stores: int
    """Of registers to the stack."""
    loads: int


def usages(said: str) -> list[Usage]:
    """What the compiler says of its kernels.

    >>> usages("Function properties for memnets_forward 8 bytes stack frame, 4 bytes spill stores, "
    ...        "4 bytes spill loads Used 64 registers")
    [Usage(kernel='memnets_forward', registers=64, stack=8, stores=4, loads=4)]
    """
    pattern = (
        r"Function properties for (memnets_\w+).*?(\d+) bytes stack frame, (\d+) bytes spill "
        r"stores, (\d+) bytes spill loads.*?Used (\d+) registers"
    )
    return [
        Usage(name, int(registers), int(stack), int(stores), int(loads))
        for name, stack, stores, loads, registers in re.findall(pattern, said, re.DOTALL)
    ]


def verbose(made_of: Sources) -> Sources:
    """The same, of which the compiler says what a kernel takes."""
    return made_of._replace(options=(*made_of.options, ASKED))


def rows(kind: str, layer: Any, dtype: torch.dtype, architecture: str, segments: bool) -> list[str]:
    """Compile a layer's kernels, for calls of one segment or several; their rows of the table."""
    start = time.perf_counter()
    made_of = verbose(sources(Plan(layer.spec), dtype, shared=True, segments=segments))
    cubin, said = nvrtc.compiled(made_of, architecture)
    seconds = time.perf_counter() - start
    assert len(cubin) > 0
    found = []
    for one in usages(said):
        name = one.kernel.removeprefix("memnets_") + (", segments" if segments else "")
        words = [kind, NUMBERS[dtype], architecture, name]
        numbers = [one.registers, one.stack, one.stores, one.loads, round(seconds)]
        bad = one.stack > MOST_STACK[kind]
        found.append(f"| {' | '.join([*words, *map(str, numbers)])} |{' too much' if bad else ''}")
    assert len(found) == 2, said
    return found


def main() -> int:
    """Compile all; print the table; return how the program ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", nargs="+", default=ARCHITECTURES)
    options = parser.parse_args()
    names = ("layer", "number", "architecture", "kernel", "registers", "stack", "spill stores")
    print(f"| {' | '.join((*names, 'spill loads', 'seconds for both'))} |\n|{'---|' * 9}")
    failed = False
    layers = {"NTM": memnets.NTM(9, 8), "DNC": memnets.DNC(9, 8)}
    for kind, *one in itertools.product(layers, NUMBERS, options.architectures, (False, True)):
        for row in rows(kind, layers[kind], *one):
            print(row, flush=True)
            failed |= row.endswith("too much")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

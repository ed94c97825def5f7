"""The kernel's own tests with the kernel compiled for another processor, under an emulator.

    apt-get install g++-aarch64-linux-gnu qemu-user-static
    python -m tests.stress.emulated --compiler aarch64-linux-gnu-g++ --emulator qemu-aarch64-static

Python and torch run here. Each call of the kernel is written to a file with all that it points to,
carried out by the emulated program, and read back. Takes some minutes.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from ctypes import c_void_p
from pathlib import Path
from typing import Any

import pytest
import torch

from memnets.backends.cpu import compiling, library, problems
from memnets.backends.cpu.plan import DncPlaces, Field, Head, Layer, Problem

ROOT = Path(__file__).parents[2]
BASE = 0x10_0000_0000
"""Where the emulated program maps the file."""
TESTS = ("tests/memnets/backends/test_fused.py", "tests/memnets/parts/test_functions.py")
CHOSEN = "agree or segments or odd or threads_do_not or twice or within or part_of or gradcheck"


def pointers(structure: type[ctypes.Structure]) -> Iterator[int]:
    """Where a structure has addresses."""
    for name, kind in structure._fields_:
        start = getattr(structure, name).offset
        if kind is c_void_p or issubclass(kind, ctypes._Pointer):
            yield start
        elif issubclass(kind, ctypes.Array) and kind._type_ is c_void_p:
            yield from range(start, start + ctypes.sizeof(kind), 8)


class Call:
    """A problem and all that it points to, moved to where the file is mapped, and back."""

    def __init__(self, run: problems.Problems, buffer: torch.Tensor | None) -> None:
        problem = run.problem
        heads = problem.read_heads + problem.write_heads
        structures = [
            (ctypes.addressof(problem), Problem, 1),
            (ctypes.cast(problem.layers, c_void_p).value, Layer, problem.depth),
            (ctypes.cast(problem.fields, c_void_p).value, Field, problem.fields_count),
            (ctypes.cast(problem.heads, c_void_p).value, Head, heads),
            (ctypes.cast(problem.dnc, c_void_p).value, DncPlaces, 1),
        ]
        self.parts: list[tuple[int, int, int]] = []  # here, there, bytes
        self.places: list[int] = []
        self.end = BASE
        for address, kind, count in structures:
            if address:
                size = ctypes.sizeof(kind)
                places = [i * size + place for i in range(count) for place in pointers(kind)]
                self.places += [address + place for place in places]
                self.add(address, size * count)
        for tensor in [*run.pointed_to, *([] if buffer is None else [buffer])]:
            self.add(tensor.data_ptr(), tensor.numel() * tensor.element_size())

    def add(self, address: int, size: int) -> None:
        """Take a part of memory along."""
        self.parts.append((address, self.end, size))
        self.end += (size + 63) // 64 * 64

    def move(self, *, back: bool) -> None:
        """Change every address in the structures to where it points there, or here again."""
        for place in self.places:
            pointer = c_void_p.from_address(place)
            for here, there, size in self.parts:
                start, other = (there, here) if back else (here, there)
                if pointer.value and start <= pointer.value < start + size:
                    pointer.value += other - start
                    break

    def there(self, address: int | None) -> int:
        """Where a part is mapped; 0 for none."""
        return next((there for here, there, _ in self.parts if here == address), 0)


class Kernel:
    """What `library.load` returns, for the emulated one."""

    current: Any = None
    buffer: torch.Tensor | None = None

    def __init__(self, command: list[str], folder: Path) -> None:
        self.command, self.file = command, folder / "call"

    def run(self, name: str, parts: list[tuple[int, int, int]], end: int, *numbers: int) -> str:
        """Write the parts, run the program on them, read them back; return what it printed."""
        content = bytearray(end - BASE)
        for here, there, size in parts:
            content[there - BASE : there - BASE + size] = ctypes.string_at(here, size)
        self.file.write_bytes(content)
        padded = [*numbers, *[0] * (4 - len(numbers))]
        words = [*self.command, str(self.file), name, str(BASE), *map(str, padded)]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        content = self.file.read_bytes()
        for here, there, size in parts:
            ctypes.memmove(here, content[there - BASE :][:size], size)
        return said

    def call(self, name: str, buffer: c_void_p | None = None) -> str:
        """Run a function on the current problem."""
        call = Call(Kernel.current, Kernel.buffer)
        call.move(back=False)
        said = self.run(name, call.parts, call.end, call.there(buffer.value) if buffer else 0)
        call.move(back=True)
        return said

    def memnets_divide(self, _problem: Any, buffer: c_void_p | None) -> int:
        """As the kernel's."""
        return int(self.call("divide", buffer))

    def memnets_forward(self, _problem: Any) -> None:
        """As the kernel's."""
        self.call("forward")

    def memnets_backward(self, _problem: Any) -> None:
        """As the kernel's."""
        self.call("backward")

    def memnets_apply(self, function: Any, x: Any, y: Any, count: Any, flush: Any) -> None:
        """As the kernel's."""
        size = count.value * self.size
        parts = [(x.value, BASE, size), (y.value, BASE + size, size)]
        last = count.value * 2 + flush.value
        self.run("apply", parts, BASE + 2 * size, function.value, BASE, BASE + size, last)


def compiled(program: str, emulator: str, number: str, folder: Path) -> Kernel:
    """The emulated kernel for float or double numbers."""
    target = folder / number
    options = ["-O3", "-std=c++20", "-static", "-pthread", f"-DMEMNETS_NUMBER={number}"]
    source = str(ROOT / "tests" / "stress" / "emulated.cpp")
    command = [program, *options, *compiling.WARNINGS, "-Werror", source, "-o", str(target)]
    subprocess.run(command, check=True)
    kernel = Kernel([emulator, str(target)], folder)
    kernel.size = 4 if number == "float" else 8
    said = subprocess.run([emulator, str(target), "vectors"], capture_output=True, check=True)
    print(f"{number}: compiled, with {said.stdout.decode().strip()}", flush=True)
    return kernel


def watch() -> None:
    """Let a kernel see the problem it is called with, and its buffer."""
    make, divide = problems.Problems.__init__, problems.Problems.divide

    def watched_make(self: problems.Problems, *given: Any) -> None:
        Kernel.current, Kernel.buffer = self, None
        make(self, *given)

    def watched_divide(self: problems.Problems, buffer: torch.Tensor | None) -> int:
        Kernel.buffer = buffer
        return divide(self, buffer)

    problems.Problems.__init__, problems.Problems.divide = watched_make, watched_divide


def main() -> int:
    """Compile for the other processor and run the tests there; return pytest's status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--emulator", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        kernels = {
            dtype: compiled(options.compiler, options.emulator, number, Path(name))
            for dtype, number in library.NUMBERS.items()
        }
        library.load = problems.load = kernels.__getitem__
        watch()
        return pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", "-k", CHOSEN, *TESTS])


if __name__ == "__main__":
    sys.exit(main())

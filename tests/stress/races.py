"""Is there a barrier wherever lanes of a GPU need it, and nowhere else? Asked of ThreadSanitizer.

    python -m tests.stress.races             # no race in the kernel: half a minute
    python -m tests.stress.races --barriers  # and without any one barrier, a race: minutes

On the emulator (tests/emulator) each of CUDA's threads is a thread to the sanitizer, which only
barriers order: it finds two that touch a number, of which one writes, whatever the results are.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import torch

import tests.emulator
from memnets.backends.cpu import compiling
from tests.emulator import FOLDER, emulated
from tests.layers import BY_NAME, inputs
from tests.memnets.backends.test_fused import results

LAYERS = (
    *("ntm_lstm", "ntm_gru", "ntm_feedforward", "ntm_several_heads", "ntm_masked_content"),
    *("ntm_read_first", "ntm_bounded", "dnc_several_heads", "dnc_masked", "dnc_wiped"),
    "dnc_sharpened",
)
OPTIONS = ("-O1", "-fsanitize=thread", "-std=c++20", "-fPIC", "-shared", "-w")
SUPPRESSED = "race:emulator::launch"
"""What starts the threads, which is no part of a kernel."""
FOUND = "WARNING: ThreadSanitizer: data race"


WITHOUT = """#pragma once
#include <cstdlib>
inline const int without = std::atoi(std::getenv("MEMNETS_WITHOUT"));  // which barrier; none: -1
"""


def numbered(folder: Path) -> list[str]:
    """Write the kernel's sources with barriers that can be left out; return the place of each."""
    places: list[str] = []
    for path in sorted(compiling.SOURCES.glob("*.h")):
        text = path.read_text()

        def unless(match: re.Match[str], name: str = path.name, text: str = text) -> str:
            places.append(f"{name}:{text.count(chr(10), 0, match.start()) + 1}")
            return f"(without == {len(places) - 1} ? void() : {match[1]}());"

        (folder / path.name).write_text(re.sub(r"\b((?:block_|row_)?barrier)\(\);", unless, text))
    (folder / "without.h").write_text(WITHOUT)
    return places


def compile_sources(sources: Path, target: Path) -> None:
    """Compile the emulated kernel of `numbered` sources for the sanitizer."""
    program = compiling.compiler()
    assert program is not None, "there is no C++ compiler here"
    given = [f"-I{sources}", "-include", "without.h", "-DMEMNETS_NUMBER=double"]
    command = [program, *OPTIONS, *given, str(FOLDER / "kernel.cpp"), "-o", str(target)]
    subprocess.run(command, check=True)


def run_layers(library: str) -> None:
    """Forward and backward of all layers, with lengths, starts and segments; in this process."""
    loaded = ctypes.CDLL(library)
    starts = torch.tensor([[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]).bool()
    with mock.patch.object(tests.emulator, "library", return_value=loaded):
        for name in LAYERS:
            layer = BY_NAME[name].build()
            with emulated(threads=64, multiprocessors=3):  # a block has one row, of two warps
                results(layer, "cuda", inputs())
            with emulated(threads=128, multiprocessors=2):  # two rows, of two warps each
                results(layer, "cuda", inputs(), torch.tensor([5, 3, 4]), 2, starts)
    print("ended", flush=True)


def has_races(library: Path, without: int) -> bool:
    """Whether the sanitizer finds a race, which ends the run, in a kernel without a barrier."""
    suppressions = library.with_name("suppressions")
    suppressions.write_text(SUPPRESSED + "\n")
    program = compiling.compiler()
    asked = subprocess.run(
        [str(program), "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True
    )
    environment = {
        **os.environ,
        "LD_PRELOAD": os.path.realpath(asked.stdout.strip()),
        "TSAN_OPTIONS": f"halt_on_error=1 report_signal_unsafe=0 suppressions={suppressions}",
        "OMP_NUM_THREADS": "1",
        "MEMNETS_WITHOUT": str(without),
    }
    command = [sys.executable, "-m", "tests.stress.races", "--library", str(library)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    found = FOUND in ran.stderr
    assert found != ("ended" in ran.stdout), ran.stderr[-2000:]
    return found


def main() -> int:
    """Print what was found; return how the program ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--barriers", action="store_true", help="take each away in turn, too")
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        run_layers(options.library)
        return 0
    with tempfile.TemporaryDirectory() as name:
        library = Path(name) / "kernel.so"
        places = numbered(Path(name))
        compile_sources(Path(name), library)
        bad = has_races(library, -1)
        print(f"the kernel as it is: {'a race' if bad else 'no race'}", flush=True)
        for index, place in enumerate(places if options.barriers else ()):
            missed = has_races(library, index)
            print(f"without {place}: {'a race' if missed else 'not needed'}", flush=True)
            bad |= not missed
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())

"""Is there a barrier wherever lanes of a GPU need it, and nowhere else? Asked of ThreadSanitizer.

    python -m tests.stress.races             # no race in the kernel: half a minute
    python -m tests.stress.races --barriers  # and with any barrier taken away, one: ten minutes

On the emulator (tests/emulator) each of CUDA's threads is a thread to the sanitizer, which only
barriers order: it finds two that touch a number, of which one writes, whatever the results are.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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
OPTIONS = ("-O1", "-g", "-fsanitize=thread", "-std=c++20", "-fPIC", "-shared", "-w")
SUPPRESSED = "race:emulator::launch"
"""What starts the threads, which is no part of a kernel."""
FOUND = "WARNING: ThreadSanitizer: data race"


def compile_sources(sources: Path, target: Path) -> None:
    """Compile the emulated kernel of these sources for the sanitizer."""
    program = compiling.compiler()
    assert program is not None, "there is no C++ compiler here"
    given = [f"-I{sources}", "-DMEMNETS_NUMBER=double", str(FOLDER / "kernel.cpp")]
    subprocess.run([program, *OPTIONS, *given, "-o", str(target)], check=True)


def run_layers(library: str) -> None:
    """Forward and backward of all layers, with lengths, starts and segments; in this process."""
    loaded = ctypes.CDLL(library)
    starts = torch.tensor([[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]).bool()
    with mock.patch.object(tests.emulator, "library", return_value=loaded), emulated():
        for name in LAYERS:
            layer = BY_NAME[name].build()
            for given in ((), (torch.tensor([5, 3, 4]), 2, starts)):
                results(layer, "cuda", inputs(), *given)
    print("ended", flush=True)


def races(sources: Path, folder: Path) -> int:
    """How many races the sanitizer finds in a kernel of these sources."""
    target, suppressions = folder / "kernel.so", folder / "suppressions"
    compile_sources(sources, target)
    suppressions.write_text(SUPPRESSED + "\n")
    program = compiling.compiler()
    asked = subprocess.run(
        [str(program), "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True
    )
    environment = {
        **os.environ,
        "LD_PRELOAD": os.path.realpath(asked.stdout.strip()),
        "TSAN_OPTIONS": f"report_signal_unsafe=0 suppressions={suppressions}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.stress.races", "--library", str(target)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert "ended" in ran.stdout, ran.stderr[-2000:]
    return ran.stderr.count(FOUND)


def barriers() -> Iterator[tuple[Path, int, int, str]]:
    """Every barrier of the kernel: its file, where it begins and ends there, and its line."""
    for path in sorted(compiling.SOURCES.glob("*.h")):
        text = path.read_text()
        for match in re.finditer(r"\b(block_)?barrier\(\);", text):
            line = text.count("\n", 0, match.start()) + 1
            yield path, match.start(), match.end(), f"{path.name}:{line}"


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
        folder = Path(name)
        found = races(compiling.SOURCES, folder)
        print(f"{found} races", flush=True)
        bad = found > 0
        for path, start, end, place in barriers() if options.barriers else ():
            changed = folder / "sources"
            shutil.copytree(compiling.SOURCES, changed, dirs_exist_ok=True)
            text = path.read_text()
            (changed / path.name).write_text(text[:start] + ";" + text[end:])
            found = races(changed, folder)
            print(f"without the barrier at {place}: {found} races", flush=True)
            bad |= found == 0
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())

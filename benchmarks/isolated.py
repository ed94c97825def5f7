"""What only a fresh process can show: peak memory of training, and what the first call costs.

`python -m benchmarks.isolated REQUEST` does one measurement and prints it as JSON; `peak_memory`
and `first_call` start it.
"""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import contestants, machine
from benchmarks.cases import Case
from benchmarks.contestants import inputs
from benchmarks.timing import training

CACHES = ("XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TORCH_EXTENSIONS_DIR")
"""Environment variables that say where what was built is kept; also HOME."""

OWN_PAGES = {"MALLOC_MMAP_THRESHOLD_": str(2**16)}
"""Environment in which the GNU C library gives a block of 64 KiB and more pages of its own, and
takes them back once it is free: else what it keeps for later moves a peak by half, either way."""

STEPS_TO_WARM_UP = 8


def peak_memory(case: Case, backend: str, checkpoint_every: int | None = None) -> dict[str, Any]:
    """Peak memory of one training step in a fresh process, of blocks that are in use.

    Returns:
        `mebibytes`: the peak above what importing torch and memnets takes; `of_the_sequence`: above
        what is held after a training step of 8 steps (a backend's compiler, parameters). Or
        `failed`, with the reason.
    """
    request = {"measure": "memory", "backend": backend, "checkpoint_every": checkpoint_every}
    return _ask(request, case, OWN_PAGES)


def first_call(case: Case, backend: str) -> dict[str, dict[str, Any]]:
    """Seconds of the first training step in a fresh process: `cold`, then with what that built.

    Returns:
        For `cold` and `cached`: `first` and `second` call, in seconds, or `failed`.
    """
    with tempfile.TemporaryDirectory() as folder:
        # HOME moves every cache that is kept under it, and with it the user's site-packages.
        empty = {name: str(Path(folder) / name) for name in CACHES}
        empty |= {"HOME": folder, "PYTHONUSERBASE": site.getuserbase()}
        request = {"measure": "first_call", "backend": backend}
        return {name: _ask(request, case, empty) for name in ("cold", "cached")}


def _ask(
    request: Mapping[str, Any], case: Case, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    threads = torch.get_num_threads()
    content = json.dumps({**request, "case": asdict(case), "threads": threads})
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.isolated", content],
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
        return {"failed": said[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def measure_memory(case: Case, options: Mapping[str, Any]) -> dict[str, float]:
    """Mebibytes of one training step in this process, which has only imported so far."""
    imported = machine.own_memory()["now"]
    contestant = _contestant(case, options)
    training(contestant, inputs(replace(case, steps=min(case.steps, STEPS_TO_WARM_UP))))
    warm = machine.own_memory()["now"]
    x = inputs(case)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is that of a compiler
    training(contestant, x)
    peak = machine.own_memory()["peak"]
    return {"mebibytes": (peak - imported) / 2**20, "of_the_sequence": (peak - warm) / 2**20}


def measure_first_call(case: Case, options: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of the first and the second training step in this process."""
    contestant, x = _contestant(case, options), inputs(case)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        training(contestant, x)
        seconds.append(time.perf_counter() - started)
    return {"first": seconds[0], "second": seconds[1]}


def _contestant(case: Case, options: Mapping[str, Any]) -> contestants.Contestant:
    return contestants.own(options["backend"], options.get("checkpoint_every"))(case)


MEASURES: dict[str, Callable[[Case, Mapping[str, Any]], dict[str, float]]] = {
    "memory": measure_memory,
    "first_call": measure_first_call,
}


def main(arguments: list[str]) -> None:
    """Answer one request."""
    request = json.loads(arguments[0])
    torch.set_num_threads(request["threads"])
    torch.manual_seed(0)
    print(json.dumps(MEASURES[request["measure"]](Case(**request["case"]), request)))


if __name__ == "__main__":
    main(sys.argv[1:])

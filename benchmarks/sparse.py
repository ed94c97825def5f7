"""What a sparse memory costs: a step of training and its memory, each in a process of its own.

`python -m benchmarks.sparse` prints a table: LSTM of 100, words of 32, 4 heads, K = 4, one row. A
memory is new (the sequence begins with nothing written) or full (all N words were written, and are
scanned; it is shared, so that no call copies it). Axes: T time, N memory slots.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import torch

import memnets
from benchmarks import machine
from benchmarks.isolated import OWN_PAGES
from memnets.sharing import share

WORD, HEADS, INPUTS, OUTPUTS = 32, 4, 9, 8
STEPS_TO_WARM_UP = 8
MEBIBYTE = 2**20
SIZES = (1_024, 65_536, 1_000_000)


def layer_of(model: str, slots: int) -> memnets.MemoryLayer:
    """The layer that is measured, `sam` or `ntm`.

    >>> layer_of("sam", 100).memory_size
    100
    """
    torch.manual_seed(0)
    kind = {"sam": memnets.SAM, "ntm": memnets.NTM}[model]
    sizes = {"memory_size": slots, "word_size": WORD}
    return kind(INPUTS, OUTPUTS, read_heads=HEADS, write_heads=HEADS, **sizes)


def full(state: memnets.State) -> memnets.State:
    """The state with all words written, shared."""
    kept = state.memory
    memory = torch.randn(kept.memory.shape)
    written = torch.full_like(kept.written, memory.shape[1])
    kept = kept._replace(memory=memory, written=written, accessed=torch.ones_like(kept.accessed))
    return share(state._replace(memory=kept), restore=True)


def measured(model: str, slots: int, steps: int, rounds: int, filled: bool) -> dict[str, float]:
    """Milliseconds of processor time a step of training takes, the median; and mebibytes.

    `sequence` is the peak above what is held after a training step of a few steps, `store` the
    bytes of all words of the memory.
    """
    torch.set_num_threads(1)
    layer = layer_of(model, slots)
    state = full(layer.initial_state(1)) if filled else None
    x = torch.randn(steps, 1, INPUTS)

    def train(x: torch.Tensor) -> None:
        layer(x, state)[0].sum().backward()

    train(x[:STEPS_TO_WARM_UP])
    machine.forget_peak()  # that of the preparation
    held = machine.own_memory()["now"]
    times = []
    for _ in range(rounds):
        began = time.process_time()
        train(x)
        times.append(time.process_time() - began)
    peak = machine.own_memory()["peak"] - held
    return {
        "milliseconds": 1e3 * sorted(times)[len(times) // 2] / steps,
        "sequence": peak / MEBIBYTE,
        "store": 4 * slots * WORD / MEBIBYTE,
    }


def in_a_process(request: dict[str, Any]) -> dict[str, float]:
    """The same, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.sparse", "--one", json.dumps(request)]
    environment = {**os.environ, **OWN_PAGES}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def table(sizes: list[int], steps: int, rounds: int, dense: int) -> str:
    """The table, as text in Markdown; `dense` is the size of the NTM beside it."""
    lines = [
        "| memory | N | ms a step | MiB of the sequence | MiB of the store |",
        "|---|---|---|---|---|",
    ]
    cases = [("sam", size, filled) for size in sizes for filled in (False, True)]
    for model, size, filled in [*cases, *([("ntm", dense, False)] if dense else [])]:
        length = steps if model == "sam" else min(steps, 10)
        request = {"model": model, "slots": size, "steps": length, "rounds": rounds}
        found = in_a_process({**request, "filled": filled})
        name = f"{model.upper()}, {'full' if filled else 'new'}"
        name += "" if length == steps else f", T = {length}"
        lines.append(
            f"| {name} | {size:,} | {found['milliseconds']:.2f} | {found['sequence']:.1f} | "
            f"{found['store']:.1f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Print the table, or as JSON what `--one` asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="slots N")
    parser.add_argument("--steps", type=int, default=100, help="steps of a sequence, T")
    parser.add_argument("--rounds", type=int, default=3, help="sequences; the median counts")
    parser.add_argument("--dense", type=int, default=65_536, help="slots of the NTM; 0: none")
    parser.add_argument("--one", help="one measurement, as JSON; without it, all")
    asked = parser.parse_args(arguments)
    if asked.one:
        print(json.dumps(measured(**json.loads(asked.one))))
        return
    print(table(asked.sizes, asked.steps, asked.rounds, asked.dense))
    print(f"\nT = {asked.steps}; {machine.in_a_line()}")


if __name__ == "__main__":
    main()

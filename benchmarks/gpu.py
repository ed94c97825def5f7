"""Everything to ask of a GPU, in one command: python -m benchmarks.gpu --out gpu.json.

First whether the kernel is right there: against the reference in float64, in both precisions, three
runs to the same bits, gradients by finite differences. Then how long it takes, beside the steps in
Python, the same under CUDA graphs, nn.LSTM of cuDNN, and the peers whose repositories are given.
Then a training run. What is known is written after every part: a run that is cut off leaves it.

Axes: B batch, T time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

import memnets
from benchmarks import contestants, peers
from benchmarks.cases import CASES, Case
from benchmarks.contestants import LSTM, REFUSALS, Build, Contestant
from memnets.state import leaves

KERNEL = "cuda"
SMALL = Case(memory_size=40, word_size=6, hidden_size=33, read_heads=2, batch=5, steps=6)
"""Of sizes that are no whole vectors."""
RUN = ("--task", "copy", "--run.seed", "0")


def main(
    out: Path = Path("gpu.json"),
    device: str = "cuda",
    cases: tuple[str, ...] = ("ntm-128x20", "dnc-128x20", "dnc-256x64"),
    batches: tuple[int, ...] = (16, 256, 4096),
    steps: tuple[int, ...] = (40, 200),
    rounds: int = 20,
    ntm_repository: Path | None = None,
    dnc_repository: Path | None = None,
    run: bool = True,
) -> None:
    """Ask all of it; print and write each answer.

    Args:
        out: the file, as JSON.
        device: a GPU.
        cases: names of benchmarks.cases.CASES.
        batches: rows, B.
        steps: T.
        rounds: measurements of each pass.
        ntm_repository: a clone of pytorch-ntm.
        dnc_repository: a clone of pytorch-dnc.
        run: whether to train a network on copy at the end.
    """
    there, found = torch.device(device), {}
    repositories = peers.Repositories(ntm_repository, dnc_repository)
    parts = [("machine", lambda: machine(there))]
    for kind in ("NTM", "DNC"):
        parts += [(f"{kind}: agreement", lambda kind=kind: agreement(kind, there, batches))]
        parts += [(f"{kind}: finite differences", lambda kind=kind: differences(kind, there))]
    for case in sized(cases, batches, steps):
        parts += [(case.title, lambda case=case: times(case, there, rounds, repositories))]
    if run:
        parts += [("training", lambda: training_run(device))]
    for name, part in parts:
        found[name] = answered(part)
        print(name, json.dumps(found[name]), flush=True)
        out.write_text(json.dumps(found, indent=1))


def answered(part: Callable[[], Any]) -> Any:
    """What a part found, or why it could not: the others are asked in any case."""
    start = time.perf_counter()
    try:
        found = part()
    except (*REFUSALS, AssertionError) as error:
        found = {"error": f"{type(error).__name__}: {error}"[:2000]}
    return {**found, "seconds": round(time.perf_counter() - start, 2)}


def sized(
    cases: tuple[str, ...], batches: tuple[int, ...], steps: tuple[int, ...]
) -> Iterator[Case]:
    """The cases in each of the sizes."""
    for name in cases:
        for length in steps:
            for batch in batches:
                yield replace(CASES[name], batch=batch, steps=length)


def machine(device: torch.device) -> dict[str, Any]:
    """What ran it."""
    found: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        found |= {"name": facts.name, "multiprocessors": facts.multi_processor_count}
        found["capability"] = torch.cuda.get_device_capability(device)
    return found


# ---------------------------------------------------------------------------- is it right?


def results(
    layer: memnets.MemoryLayer, backend: str, x: Tensor, segment: int | None = None
) -> list[Tensor]:
    """Outputs, final state, gradients of x and of every parameter, in float64 on the CPU."""
    layer.backend, layer.checkpoint_every = backend, segment
    x = x.clone().requires_grad_()
    lengths = [1 + row % x.shape[0] for row in range(x.shape[1])]
    y, state = layer(x, lengths=lengths)
    made = [y, *leaves(state)]
    weights = [torch.linspace(-1, 1, one.numel()).to(one).view_as(one) for one in made]
    found = torch.autograd.grad(made, [x, *layer.parameters()], weights, materialize_grads=True)
    return [one.detach().cpu().double() for one in (*made, *found)]


def agreement(kind: str, device: torch.device, batches: tuple[int, ...]) -> dict[str, Any]:
    """Whether it agrees in both precisions: with each batch, by which a block has one row or more,
    and in several segments, for which another kernel is compiled.
    """
    found: dict[str, Any] = {}
    for dtype in (torch.float64, torch.float32):
        for batch, segment in (*((batch, None) for batch in batches), (batches[0], 2)):
            name = f"{dtype}, batch {batch}" + (f", segments of {segment}" if segment else "")
            case = replace(SMALL, kind=kind, batch=batch)
            found[name] = difference(case, segment, device, dtype)
    return found


def difference(
    case: Case, segment: int | None, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """How far from the reference in float64, of each result's largest number; and three runs."""
    torch.manual_seed(0)
    layer = contestants.layer(case, "reference", torch.float64)
    x = contestants.inputs(case, torch.float64)
    expected = results(layer, "reference", x)
    layer.to(device, dtype)
    runs = [results(layer, KERNEL, x.to(device, dtype), segment) for _ in range(3)]
    largest = max(
        float((one - other).abs().max() / other.abs().max().clamp_min(1e-30))
        for one, other in zip(runs[0], expected, strict=True)
    )
    again = [torch.equal(*pair) for run in runs[1:] for pair in zip(runs[0], run, strict=True)]
    return {"difference": largest, "three runs to the same bits": all(again)}


def differences(kind: str, device: torch.device) -> dict[str, Any]:
    """Whether the gradient of x is that of finite differences, in float64."""
    torch.manual_seed(0)
    case = Case(kind=kind, memory_size=5, word_size=3, hidden_size=4, batch=2, steps=3)
    layer = contestants.layer(case, KERNEL, torch.float64).to(device)
    x = contestants.inputs(case, torch.float64).to(device).requires_grad_()
    return {"agree": torch.autograd.gradcheck(lambda one: layer(one)[0], (x,))}


# ------------------------------------------------------------------------- how long does it take?


def times(
    case: Case, device: torch.device, rounds: int, repositories: peers.Repositories
) -> dict[str, Any]:
    """Milliseconds of a forward and of a training step of each contestant, and its peak memory."""
    builds: dict[str, Build] = {
        KERNEL: contestants.own(KERNEL),
        "reference": contestants.own("reference"),
        "reference in CUDA graphs": graphed,
        LSTM: contestants.lstm,
    }
    others = peers.builders(case.kind, repositories)
    builds |= {f"peer {number}": build for number, build in enumerate(others)}
    x = contestants.inputs(case).to(device)
    return {name: timed(build, case, x, rounds) for name, build in builds.items()}


def graphed(case: Case) -> Contestant:
    """The reference's steps, which torch.compile records as CUDA graphs."""
    made = contestants.own("reference")(case)
    compiled: Any = torch.compile(made.model, mode="reduce-overhead")
    return replace(made, run=lambda x: compiled(x)[0])


def timed(build: Build, case: Case, x: Tensor, rounds: int) -> dict[str, Any]:
    """Medians of a forward and of a training step, in ms, and peak memory; or why none."""
    try:
        contestant = build(case)
        contestant.model.to(x.device)
        return {"name": contestant.name, **passes(contestant, x, rounds)}
    except (*REFUSALS, contestants.Absent) as error:
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def passes(contestant: Contestant, x: Tensor, rounds: int) -> dict[str, float]:
    """The medians, and MiB of both passes."""
    parameters = [one for one in contestant.model.parameters() if one.requires_grad]

    def forward() -> None:
        with torch.no_grad():
            contestant.run(x)

    def training() -> None:
        torch.autograd.grad(contestant.run(x).sum(), parameters, allow_unused=True)

    found = {}
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats(x.device)
    for name, step in (("forward", forward), ("training", training)):
        for _ in range(3):
            step()
        found[name] = round(statistics.median(milliseconds(step, x) for _ in range(rounds)), 4)
    if x.is_cuda:
        found["MiB"] = round(torch.cuda.max_memory_allocated(x.device) / 2**20, 1)
    return found


def milliseconds(step: Callable[[], None], x: Tensor) -> float:
    """How long a step takes until the device has done it."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    start = time.perf_counter()
    step()
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return 1e3 * (time.perf_counter() - start)


def training_run(device: str) -> dict[str, Any]:
    """Train on copy with the kernel; the last words of the run, and how it ended."""
    command = [sys.executable, "train.py", *RUN, "--device", device]
    command += ["--model.backend", KERNEL]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return {"status": ended.returncode, "last words": (ended.stdout + ended.stderr)[-1500:]}


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.gpu")

"""`python -m benchmarks`: memnets beside other packages, in one run."""

from __future__ import annotations

import json
import math
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch

from benchmarks import (
    cases,
    command_line,
    compare,
    contestants,
    data_rate,
    gate,
    isolated,
    machine,
    profiling,
    report,
)
from benchmarks.cases import Case
from benchmarks.peers import Repositories


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = command_line.parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        found = RUNS[options.mode](options)
    except (gate.Disagreement, contestants.Absent) as verdict:
        print(verdict, file=sys.stderr)
        return 1
    print(f"\n{machine.in_a_line()}")
    if options.json is not None:
        content = {"machine": machine.facts(), "options": _plain(options), options.mode: found}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


def _plain(options: Namespace) -> dict[str, Any]:
    return {
        name: value if value is None or isinstance(value, (int, float, list)) else str(value)
        for name, value in vars(options).items()
    }


def _settings(options: Namespace, seconds: float) -> compare.Settings:
    return compare.Settings(
        seconds=seconds,
        clock=options.clock,
        repositories=Repositories(
            options.ntm_repository, options.dnc_repository, options.csordas_repository
        ),
        backends=None if options.backends is None else tuple(options.backends),
    )


def _cases(options: Namespace) -> tuple[Case, ...]:
    return cases.chosen(options.cases, options.batch, options.steps)


def _wanted(options: Namespace) -> list[str]:
    return options.backends or ["reference", *contestants.timed_backends()]


def run_comparison(options: Namespace) -> list[dict[str, Any]]:
    """The main table, a part for each case, and its picture."""
    found = []
    for case in _cases(options):
        found.append(compare.compare(case, _settings(options, options.seconds)))
        print(report.comparison(found[-1], clock=options.clock), end="\n\n", flush=True)
    if options.plot is not None:
        from benchmarks import picture  # needs matplotlib

        picture.draw(found, options.plot)
    return [asdict(one) for one in found]


def run_growth(options: Namespace) -> list[dict[str, Any]]:
    """How the cost grows around each chosen case, the first NTM and DNC if none is chosen."""
    names = options.cases or ["ntm-128x20", "dnc-128x20"]
    bases = cases.chosen(names, options.batch, options.steps)
    found = []
    for base in bases:
        print(f"around {base.title}: microseconds per training step\n")
        for axis, values in cases.GROWTH.items():
            settings = _settings(options, options.seconds / len(values))
            found.append(compare.growth(base, axis, cases.grown(base, axis), settings))
            print(report.growth(found[-1]), end="\n\n", flush=True)
    return found


def run_memory(options: Namespace) -> list[dict[str, Any]]:
    """Peak memory of each backend, with and without recomputing."""
    found = []
    for case in _cases(options):
        print(f"{case.title}: peak of a training step, MiB\n")
        for backend in _wanted(options):
            every = options.checkpoint_every or max(math.isqrt(case.steps), 1)
            for segment in (None, every):
                row = isolated.peak_memory(case, backend, segment)
                found.append(
                    {"case": asdict(case), "backend": backend, "checkpoint_every": segment, **row}
                )
                name = backend if segment is None else f"{backend}, checkpoint_every={segment}"
                print(f"{name:40}  {_memory(row)}", flush=True)
        print()
    return found


def _memory(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"left out: {row['failed']}"
    return (
        f"{row['mebibytes']:8,.0f} above the imports, {row['of_the_sequence']:8,.0f} above what a "
        f"short sequence leaves"
    )


def run_first_call(options: Namespace) -> list[dict[str, Any]]:
    """Seconds of the first training step of each backend."""
    found = []
    for case in _cases(options):
        print(f"{case.title}: seconds of the first training step\n")
        for backend in _wanted(options):
            row = isolated.first_call(case, backend)
            found.append({"case": asdict(case), "backend": backend, **row})
            said = [f"{name} {_seconds(one)}" for name, one in row.items()]
            print(f"{backend:12}  {'; '.join(said)}", flush=True)
        print()
    return found


def _seconds(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"left out: {row['failed']}"
    return f"{row['first']:.2f}, the second {row['second']:.3f}"


def run_profile(options: Namespace) -> list[dict[str, Any]]:
    """Where the time goes, and how far it is from the limit, for each chosen case."""
    found = []
    for case in _cases(options):
        one = profiling.profiled(case, options.backend, seconds=options.seconds / 6)
        found.append({"case": asdict(case), **one})
        print(profiling.page(case, one), end="\n\n", flush=True)
    return found


def run_tasks(options: Namespace) -> dict[str, dict[str, float]]:
    """How fast the tasks make sequences."""
    batch = (options.batch or [Case.batch])[0]
    found = data_rate.rates(seconds=options.seconds / 15, backend=options.backend, batch=batch)
    print(data_rate.page(found, batch=batch))
    return found


RUNS: dict[str, Callable[[Namespace], Any]] = {
    "compare": run_comparison,
    "growth": run_growth,
    "memory": run_memory,
    "first-call": run_first_call,
    "profile": run_profile,
    "tasks": run_tasks,
}


if __name__ == "__main__":
    sys.exit(main())

"""The table and the JSON beside it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import memnets
from benchmarks.contestants import Contestant, Group, Sizes
from benchmarks.timing import PASSES, Spread, Times, ratios


def machine() -> dict[str, Any]:
    """What the times depend on: processor, threads, versions and the commit of memnets."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "memnets": memnets.__version__,
        "commit": _commit(),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of the folder that memnets was imported from, and whether it has changes."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(memnets.__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        changed = git("status", "--porcelain", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with changes" if changed else commit


def rows(
    groups: Sequence[Group], contestants: Mapping[str, Contestant], times: Times
) -> Iterator[dict[str, Any]]:
    """One row for each group, contestant and pass; contestants that are absent have none."""
    for group in groups:
        for name in (group.reference, *group.rivals):
            if name not in contestants:
                continue
            for one_pass in PASSES:
                sample = times[name][one_pass]
                yield {
                    "group": group.title,
                    "contestant": name,
                    "pass": one_pass,
                    "microseconds_per_step": asdict(Spread.of(sample)),
                    "ratio_to_reference": asdict(ratios(sample, times[group.reference][one_pass])),
                    "note": contestants[name].note,
                    "rounds": sample,
                }


def table(found: Sequence[Mapping[str, Any]], *, sizes: Sizes, clock: str) -> str:
    """Lay the rows out for reading."""
    header = ("contestant", "pass", "us/step", "quartiles", "x reference", "quartiles", "note")
    lines: list[tuple[str, ...]] = []
    group = None
    for row in found:
        if row["group"] != group:
            group = row["group"]
            lines.append((f"-- {group}",))
        us, ratio = row["microseconds_per_step"], row["ratio_to_reference"]
        lines.append(
            (
                row["contestant"],
                row["pass"],
                f"{us['median']:,.0f}",
                f"{us['lower']:,.0f} to {us['upper']:,.0f}",
                f"{ratio['median']:.2f}",
                f"{ratio['lower']:.2f} to {ratio['upper']:.2f}",
                row["note"] if row["pass"] == PASSES[0] else "",
            )
        )
    complete = [line for line in (header, *lines) if len(line) > 1]
    widths = [max(map(len, column)) for column in zip(*complete, strict=True)]
    title = (
        f"batch {sizes.batch}, T {sizes.steps}, memory {sizes.memory_size}x{sizes.word_size}, "
        f"LSTM {sizes.hidden_size}, 1 read and 1 write head; {clock} time"
    )
    return "\n".join([title, "", *(_line(line, widths) for line in (header, *lines))])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    if len(cells) == 1:
        return cells[0]
    aligned = [
        cell.rjust(width) if 2 <= column <= 5 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()

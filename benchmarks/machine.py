"""What the figures depend on: processor, threads, memory, versions and the commit of memnets."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import memnets
from training.files import provenance


def facts() -> dict[str, Any]:
    """Processor, cores, threads, versions and the commit of memnets."""
    return {**provenance.machine(), "commit": own_commit()}


def in_a_line() -> str:
    """The facts, for the foot of a table."""
    return ", ".join(f"{name} {value}" for name, value in facts().items())


def free_memory() -> float:
    """Bytes that a new allocation may take; infinite where the system does not say."""
    for name, value in _kibibytes("/proc/meminfo"):
        if name == "MemAvailable":
            return float(value)
    return float("inf")


def own_memory() -> dict[str, int]:
    """Bytes of this process: `now` in main memory, and the `peak` so far.

    Raises:
        OSError: where /proc/self/status does not say.
    """
    found = dict(_kibibytes("/proc/self/status"))
    if not {"VmRSS", "VmHWM"} <= set(found):
        raise OSError("Peak memory is read from /proc/self/status, which needs Linux.")
    return {"now": found["VmRSS"], "peak": found["VmHWM"]}


def _kibibytes(path: str) -> list[tuple[str, int]]:
    file = Path(path)
    lines = file.read_text().splitlines() if file.exists() else []
    parted = [line.partition(":") for line in lines]
    return [
        (name, 1024 * int(value.split()[0])) for name, _, value in parted if value.endswith(" kB")
    ]


def commit_of(folder: Path) -> str:
    """The commit of a clone, or that it is not known."""
    found = _git(folder, "rev-parse", "--short", "HEAD")
    return found if found is not None else "commit unknown"


def own_commit() -> str:
    """The commit of the folder that memnets was imported from, and whether it has changes."""
    folder = Path(memnets.__file__).parent
    commit = _git(folder, "rev-parse", "--short", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--", ".")
    if commit is None or changed is None:
        return "unknown"
    return f"{commit} with changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None

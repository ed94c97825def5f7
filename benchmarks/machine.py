"""What the figures depend on: processor, threads, memory, versions and the commit of memnets."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import memnets
from training.files import provenance


def facts() -> dict[str, Any]:
    """Processor, cores, threads, versions and the commit of memnets."""
    here = Path(memnets.__file__).parent
    return {**provenance.machine(), "commit": provenance.commit_of(here, ".") or "unknown"}


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


def forget_peak() -> None:
    """Let the peak of this process begin at what it holds now, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _kibibytes(path: str) -> list[tuple[str, int]]:
    file = Path(path)
    lines = file.read_text().splitlines() if file.exists() else []
    parted = [line.partition(":") for line in lines]
    return [
        (name, 1024 * int(value.split()[0])) for name, _, value in parted if value.endswith(" kB")
    ]

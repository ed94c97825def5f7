"""Which code and which machine computed a run: a line of environment.jsonl for each part of it."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

import memnets

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT.name == "_trainer"
"""whether this is the trainer inside of an installed package, and no clone: memnets/trainer.py"""
FILE = "environment.jsonl"
CODE = ("memnets", "tasks", "training", "train.py")


@functools.cache
def facts() -> dict[str, Any]:
    """The processor, the versions, and the commit of the code that trains."""
    return {**machine(), "commit": commit()}


def machine() -> dict[str, Any]:
    """Processor, cores, threads and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "memnets": memnets.__version__,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """The commit of this clone, with a `+` if the code has changes; None outside of a clone."""
    # An environment may stand in a clone of something else.
    return None if INSTALLED else commit_of(ROOT, *CODE)


def commit_of(folder: Path, *paths: str) -> str | None:
    """The commit of a clone, with a `+` if one of these paths in it has changes; None: no clone."""
    found = _git(folder, "rev-parse", "--short", "HEAD")
    if not found or not paths:
        return found or None
    return found + ("+" if _git(folder, "status", "--porcelain", "--", *paths) else "")


def note(folder: Path) -> None:
    """Append the facts of a run that begins or goes on now."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"moment": moment, **facts()}) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """The facts of every part of a run, or nothing for one from before they were noted."""
    path = folder / FILE
    if not path.is_file():
        return []
    # A machine that lost its power may have left half a line.
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:  # no git
        return None
    return done.stdout.strip() if done.returncode == 0 else None

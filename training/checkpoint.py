"""Files that are never half-written: a run's checkpoints, its configuration, its metrics."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import torch

VERSION = 1
LAST = "checkpoints/last.pt"
BEST = "checkpoints/best.pt"


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one instant: a kill at any moment leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name too must reach the disk
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, values: Any) -> None:
    """Write values as readable JSON, atomically."""
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    buffer = io.BytesIO()
    torch.save({**content, "version": VERSION}, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; nothing in the file can run code.

    Raises:
        ValueError: the file is no checkpoint, or one of another version; says what to do.
        OSError: there is no such file, or it cannot be read.
    """
    file = io.BytesIO(path.read_bytes())
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises IndexError, and others, for a file of rubbish
        raise ValueError(
            f"{path} is damaged or no checkpoint ({type(error).__name__}): {remedy(path)}"
        ) from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise ValueError(
            f"{path} is a checkpoint of version {version}, and this memnets reads {VERSION}"
        )
    return content


def remedy(path: Path) -> str:
    """What to do about a checkpoint that is missing or damaged."""
    best = path.with_name(Path(BEST).name)
    if path != best and best.is_file():
        return f"restore it, or copy {best} over it to continue from there"
    return "restore it, or start a new run"


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run folder.

    Raises:
        ValueError: the folder is no run, or its config.json cannot be read.
    """
    path = folder / "config.json"
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        near = sorted(p.parent.name for p in folder.parent.glob("*/config.json"))
        known = f"; runs there: {', '.join(near[:20])}" if near else ""
        raise ValueError(f"{folder} is no run folder: it has no config.json{known}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


class MetricsFile:
    """metrics.jsonl: one JSON object a line, each with the step and the sequences it belongs to."""

    def __init__(self, path: Path, step: int, *, write: bool = True) -> None:
        """Open for appending; first cut off what a run that was killed wrote after this step.

        write: False leaves the file alone, as all but one of several processes do.
        """
        self._file = None
        if not write:
            return
        if path.exists():
            kept = [
                line for line in path.read_bytes().splitlines(keepends=True) if _until(line, step)
            ]
            write_atomically(path, b"".join(kept))
        self._file = path.open("a", encoding="utf-8")  # closed by close()

    def write(self, row: dict[str, Any]) -> None:
        """Append a row."""
        if self._file is not None:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def sync(self) -> None:
        """Return once all rows are on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write everything out and close the file."""
        if self._file is not None:
            self._file.close()


def _until(line: bytes, step: int) -> bool:
    if not line.endswith(b"\n"):
        return False  # the process was killed in the middle of this line
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, KeyError, TypeError):
        return False

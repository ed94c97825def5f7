"""Files that are never half-written: a run's checkpoints, its configuration, its metrics."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

VERSION = 1
LAST = "checkpoints/last.pt"
PREVIOUS = "checkpoints/previous.pt"
BEST = "checkpoints/best.pt"
TEMPORARY = ".*.[0-9]*.tmp"


class DamagedError(ValueError):
    """A file that is there, and does not hold what it should."""


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
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            _name_the_file(error, path)
        raise
    if os.name == "posix":  # the new name too must reach the disk
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _name_the_file(error: OSError, path: Path) -> None:
    """A full disk does not say of itself where it is."""
    if error.errno is not None and error.filename is None:
        error.filename = str(path)


def write_json(path: Path, values: Any) -> None:
    """Write values as readable JSON, atomically."""
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    write_atomically(path, _packed(content))


def _packed(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save({**content, "version": VERSION}, buffer)
    return buffer.getvalue()


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; nothing in the file can run code.

    Raises:
        DamagedError: the file is no checkpoint; says what to do.
        ValueError: it is one of another version.
        OSError: there is no such file, or it cannot be read.
    """
    file = io.BytesIO(path.read_bytes())
    try:
        _check_sums(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises IndexError, and others, for a file of rubbish
        raise DamagedError(
            f"{path} is damaged or no checkpoint ({type(error).__name__}): {remedy(path)}"
        ) from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise ValueError(
            f"{path} is a checkpoint of version {version}, and this memnets reads {VERSION}"
        )
    return content


def _check_sums(file: io.BytesIO) -> None:
    """Refuse a file with a wrong bit, which torch would take for another weight."""
    with zipfile.ZipFile(file) as archive:
        wrong = archive.testzip()
    if wrong is not None:
        raise zipfile.BadZipFile(f"{wrong} is not as it was written")
    file.seek(0)


def remedy(path: Path) -> str:
    """What to do about a checkpoint that is missing or damaged."""
    best = path.with_name(Path(BEST).name)
    if path != best and best.is_file():
        return f"restore it, or copy {best} over it to continue from there"
    return "restore it, or start a new run"


def save_last(folder: Path, content: dict[str, Any]) -> None:
    """Write a run's last.pt; the one before it stays as previous.pt, should this be damaged."""
    last, previous = folder / LAST, folder / PREVIOUS
    buffer = _packed(content)
    if last.exists():
        previous.unlink(missing_ok=True)
        try:
            os.link(last, previous)
        except OSError:  # no links on this file system; a resume finds a last.pt that was renamed
            last.replace(previous)
    write_atomically(last, buffer)


def load_last(folder: Path) -> tuple[dict[str, Any], str | None]:
    """Read a run's last.pt, or previous.pt if last.pt is damaged or missing, and what to say of it.

    A damaged last.pt becomes damaged.pt, so that it cannot take the place of previous.pt.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: neither can be used; says what to do.
        OSError: one of them cannot be read.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    try:
        return load(last), None
    except (DamagedError, FileNotFoundError) as error:
        try:
            content = load(previous)
        except (DamagedError, FileNotFoundError):
            raise error from None
        wrong = f"{last} is missing"
        if isinstance(error, DamagedError):
            wrong = f"{last} was damaged (it is damaged.pt now)"
            with contextlib.suppress(FileNotFoundError):  # another process of the run was faster
                last.replace(last.with_name("damaged.pt"))
        return content, f"{wrong}: going on from {previous}, the checkpoint before it"


def clean_up(folder: Path) -> None:
    """Remove the temporary files of a run that was killed while it wrote."""
    for path in folder.rglob(TEMPORARY):
        path.unlink(missing_ok=True)


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing, or what a run leaves that is killed before its first file."""
    return all(path.match(TEMPORARY) or path.is_dir() for path in folder.rglob("*"))


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run folder; a checkpoint has it too, should config.json be lost.

    Raises:
        ValueError: the folder is no run, or its config.json cannot be read.
        OSError: a file cannot be read.
    """
    path = folder / "config.json"
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        wrong = "missing"
        near = sorted(p.parent.name for p in folder.parent.glob("*/config.json"))
        known = f"; runs there: {', '.join(near[:20])}" if near else ""
        hopeless = f"{folder} is no run folder: it has no config.json{known}"
    except (ValueError, RecursionError) as error:
        wrong, hopeless = "damaged", f"{path} is damaged: {error}"
    try:
        content, _ = load_last(folder)
        values = content["config"]
    except (FileNotFoundError, NotADirectoryError, KeyError, DamagedError):
        raise ValueError(hopeless) from None
    print(f"{path} was {wrong}, and is made again from a checkpoint")
    write_json(path, values)
    return values


class MetricsFile:
    """metrics.jsonl: one JSON object a line, each with the step and the sequences it belongs to."""

    def __init__(self, path: Path, step: int, *, write: bool = True) -> None:
        """Open for appending; first cut off what a run that was killed wrote after this step.

        write: False leaves the file alone, as all but one of several processes do.
        """
        self._path, self._file = path, None
        if not write:
            return
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if _until(line, step)]
            if kept != lines:
                write_atomically(path, b"".join(kept))
        self._file = path.open("a+", encoding="utf-8")  # closed by close()

    def write(self, row: dict[str, Any]) -> None:
        """Append a row."""
        if self._file is None:
            return
        self._file.write(json.dumps(row) + "\n")
        try:
            self._file.flush()
        except OSError as error:
            _name_the_file(error, self._path)
            raise

    def sync(self) -> bool:
        """Return once all rows are on the disk: False if the file was deleted and is made again."""
        if self._file is None:
            return True
        there = self._path.exists()
        if not there:
            self._file.seek(0)  # what was deleted can be read as long as it is open
            content = self._file.read()
            self._file.close()
            write_atomically(self._path, content.encode())
            self._file = self._path.open("a+", encoding="utf-8")
        os.fsync(self._file.fileno())
        return there

    def close(self) -> None:
        """Close the file."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # of a row that could not be written, and was reported
            self._file.close()


def _until(line: bytes, step: int) -> bool:
    if not line.endswith(b"\n"):
        return False  # the process was killed in the middle of this line
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, KeyError, TypeError):
        return False

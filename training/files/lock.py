"""A folder that belongs to one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, activity: str) -> Iterator[None]:
    """Keep other processes out of a folder until this one ends, in whatever way.

    Raises:
        ValueError: another process is busy with the activity there.
    """
    try:
        import fcntl
    except ImportError:  # there is no such lock on Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another process is {activity} in {folder}: wait until it ends, or stop it"
            ) from None
        except OSError:  # some network file systems have no locks
            pass
        yield
    finally:
        os.close(descriptor)

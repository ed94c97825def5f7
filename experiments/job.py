"""One run of the table, in a process of its own: train or go on, then evaluate.

`python -m experiments.job FOLDER SEQUENCES SLOTS FLAGS...`, as `experiments/__main__.py` calls it:
SEQUENCES of each setting are evaluated, with SLOTS of memory (None: as many as in training), and
FLAGS are those of train.py.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import train
from training.evaluate import generalisation
from training.files.metrics import is_finished


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is left of a run: the folder, then train.py's flags; return the exit status."""
    folder, *flags = sys.argv[1:] if arguments is None else arguments
    with locked(Path(folder)):
        return finish(Path(folder), flags)


def finish(folder: Path, flags: Sequence[str]) -> int:
    """Train to the end, from wherever the run is, then evaluate on the grid."""
    sequences, slots, *flags = flags
    status = finish_training(folder, flags)
    if status:
        return status
    memory_size = None if slots == "None" else int(slots)
    if not (folder / generalisation.file_name(memory_size)).is_file():
        evaluation = ["--evaluate", str(folder), "--sequences", sequences]
        return train.main([*evaluation, "--memory-size", slots])
    return 0


def finish_training(folder: Path, flags: Sequence[str]) -> int:
    """Train to the end, from wherever the run is; return the exit status."""
    if is_finished(folder):
        return 0
    if (folder / "config.json").is_file():
        run_arguments = ["--resume", str(folder)]
    else:
        shutil.rmtree(folder, ignore_errors=True)  # killed before anything was in it
        run_arguments = [*flags, "--folder", str(folder.parent), "--name", folder.name]
    return train.main([*run_arguments, "--wandb", "disabled"])


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other process works on this run; the system frees what a killed one held."""
    path = lock_of(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lock_of(folder: Path) -> Path:
    """Beside the run folder, which train.py wants to make itself."""
    return folder.with_name(f".{folder.name}.lock")


def stop_with_parent() -> None:
    """Stop as on SIGTERM (finish the step, save) once whoever started this process is gone.

    Its end of the pipe to this process's standard input is closed then, even by SIGKILL.
    """

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    stop_with_parent()
    sys.exit(main())

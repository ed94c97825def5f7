"""Where the trainer and its tasks are, which come with the package under no name of their own.

`train.py`, `training` and `tasks` stand beside `memnets` in the repository, and in a folder inside
of it where a wheel is installed: so generic names are no top-level names of site-packages. The
library imports none of them; the command `memnets` runs them.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "train": ("train", ()),
    "evaluate": ("train", ("--evaluate",)),
    "compare": ("training.compare", ()),
    "sweep": ("training.sweep", ()),
}
"""What each command of `memnets` runs: a module, and the words before those that are given."""

EXTRA: tuple[str, ...] = (
    "docstring_parser",
    "matplotlib",
    "optuna",
    "PIL",
    "tqdm",
    "tyro",
    "wandb",
    "yaml",
)
"""What the trainer imports beside what the library needs: the extras `train` and `sweep`."""


def folder() -> Path:
    """The folder that holds `train.py`, `training` and `tasks`.

    Raises:
        FileNotFoundError: if they are neither in the package nor beside it.

    >>> (folder() / "train.py").is_file()
    True
    """
    package = Path(__file__).parent
    for place in (package / "_trainer", package.parent):
        if (place / "train.py").is_file() and (place / "training").is_dir():
            return place
    raise FileNotFoundError(
        f"The trainer must be in {package / '_trainer'} or beside {package}, and is in neither: "
        "install memnets again."
    )


def on_path() -> None:
    """Let `tasks` and `training` be imported in this process, as in a clone.

    >>> on_path()
    >>> from tasks import Copy
    >>> Copy().output_size
    8

    Raises:
        FileNotFoundError: if they are not there: see `folder`.
    """
    place = str(folder())
    if place not in sys.path:
        sys.path.insert(0, place)


def run(command: str, arguments: Sequence[str]) -> int:
    """Run a command of `COMMANDS` as a program of its own would; return its exit status."""
    module, before = COMMANDS[command]
    on_path()
    sys.argv = [f"memnets {command}", *before, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        print(
            f"memnets: error: {command} needs more than the library ({error}): "
            f"pip install 'memnets[{'sweep' if error.name == 'optuna' else 'train'}]'",
            file=sys.stderr,
        )
        return 2
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0

"""Where metrics go beside the run folder: Weights & Biases, or nowhere.

The default never asks and never hangs: online where somebody is logged in and the network answers,
else offline, into a folder that `wandb leet` shows and `wandb sync` uploads.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

PROJECT = "memnets"
INIT_SECONDS = 20.0
FINISH_SECONDS = 120.0


class Tracker(Protocol):
    """What the trainer tells a tracker."""

    run_id: str | None
    """the tracker's own name of the run; a resumed run passes it on"""

    def log(self, values: Mapping[str, float], step: int, sequences: int) -> None:
        """Log scalars."""
        ...

    def image(self, name: str, pixels: np.ndarray, caption: str, step: int) -> None:
        """Log a picture: uint8 [height, width, 3]."""
        ...

    def summary(self, values: Mapping[str, float]) -> None:
        """Set figures of the run as a whole."""
        ...

    def finish(self, status: int) -> None:
        """Write everything out; status 0 is success."""
        ...


class NullTracker:
    """A tracker that keeps nothing."""

    def __init__(self, run_id: str | None = None) -> None:
        self.run_id = run_id

    def log(self, values: Mapping[str, float], step: int, sequences: int) -> None:
        """Do nothing."""

    def image(self, name: str, pixels: np.ndarray, caption: str, step: int) -> None:
        """Do nothing."""

    def summary(self, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def finish(self, status: int) -> None:
        """Do nothing."""


class WandbTracker:
    """A run of Weights & Biases, online or offline; the axis of its charts is sequences seen."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._lost = False
        self.run_id: str | None = run.id
        run.define_metric("sequences")
        run.define_metric("*", step_metric="sequences")

    def log(self, values: Mapping[str, float], step: int, sequences: int) -> None:
        """Log scalars; several calls at one step make one row."""
        # An explicit step: a resumed run goes on where its checkpoint was, not where W&B stopped.
        self._try(lambda: self._run.log({**values, "sequences": sequences}, step=step))

    def image(self, name: str, pixels: np.ndarray, caption: str, step: int) -> None:
        """Log a picture: uint8 [height, width, 3] (W&B would draw floats in [0, 1] all black)."""
        import wandb

        if pixels.dtype != np.uint8:
            raise TypeError(f"pixels must be uint8, got {pixels.dtype}")
        self._try(lambda: self._run.log({name: wandb.Image(pixels, caption=caption)}, step=step))

    def summary(self, values: Mapping[str, float]) -> None:
        """Set figures of the run as a whole."""
        self._try(lambda: self._run.summary.update(dict(values)))

    def finish(self, status: int) -> None:
        """Write everything out, and say how to look at it, unless W&B was lost on the way."""
        self._try(lambda: self._run.finish(exit_code=status))
        self._try(lambda: print(_hint(self._run), flush=True))

    def _try(self, action: Callable[[], object]) -> None:
        """Do it, unless W&B was lost: its service may die, and the training must not."""
        if self._lost:
            return
        try:
            action()
        except Exception as error:  # W&B raises many kinds
            self._lost = True
            print(
                f"W&B was lost ({_first_line(error)}): metrics go on in the run folder", flush=True
            )


def start_tracker(
    mode: str, *, config: dict[str, Any], folder: Path, run_id: str | None
) -> Tracker:
    """Start tracking a run.

    Args:
        mode: auto, online, offline or disabled; auto is what the environment's WANDB_MODE says,
            else online for those who are logged in, else offline.
        config: the configuration of the run, as nested dictionaries.
        folder: the run folder; its name is the run's name.
        run_id: the id of the run that is continued, or None for a new one.

    What the environment sets (WANDB_PROJECT, WANDB_NAME, WANDB_DIR, ...) wins over the trainer's
    own. Whatever goes wrong in here costs the tracking, never the training.
    """
    if mode == "disabled" or (mode == "auto" and os.environ.get("WANDB_MODE") == "disabled"):
        return NullTracker(run_id)
    try:
        import wandb
    except ImportError:
        print("wandb is not installed: metrics go to the run folder only (pip install wandb)")
        return NullTracker(run_id)
    folder = folder.resolve()  # else that of `--resume .` has no name
    run_id = run_id or os.environ.get("WANDB_RUN_ID") or _new_id(folder.name)
    mode = _choose_mode(mode, wandb)
    try:
        return WandbTracker(_init(wandb, mode, config, folder, run_id))
    except Exception as error:  # W&B raises many kinds, its settings' validation errors among them
        print(f"W&B cannot be used {mode} ({_first_line(error)}): going on offline", flush=True)
    try:
        # Without the teardown the service remembers the failed run, and refuses its id.
        wandb.teardown()
        return WandbTracker(_init(wandb, "offline", config, folder, run_id))
    except Exception as error:
        print(
            f"W&B cannot be used at all ({_first_line(error)}): metrics go to the run folder only"
        )
        return NullTracker(run_id)


def _choose_mode(mode: str, wandb: Any) -> str:
    asked = os.environ.get("WANDB_MODE") if mode == "auto" else mode
    if asked and asked != "online":
        return asked
    try:
        # Looks for a key without asking for one, and without the network. Online is checked too:
        # without a key, wandb.init would ask for one on a terminal, and wait for ever.
        logged_in = wandb.login(prompt=False, verify=False)
    except Exception as error:
        print(f"W&B login failed ({_first_line(error)}): going on offline", flush=True)
        return "offline"
    if asked and not logged_in:
        print("W&B has no key (`wandb login` gives it one): going on offline", flush=True)
    return "online" if logged_in else "offline"


def _init(wandb: Any, mode: str, config: dict[str, Any], folder: Path, run_id: str) -> Any:
    def unless_set(variable: str, value: Any) -> Any:
        return None if os.environ.get(variable) else value

    settings: dict[str, Any] = {"finish_timeout": FINISH_SECONDS, "quiet": True}
    if not os.environ.get("WANDB_INIT_TIMEOUT"):
        settings["init_timeout"] = INIT_SECONDS
    return wandb.init(
        mode=mode,
        id=run_id,
        resume="allow",
        config=config,
        project=unless_set("WANDB_PROJECT", PROJECT),
        name=unless_set("WANDB_NAME", folder.name),
        group=unless_set("WANDB_RUN_GROUP", config["task"]),
        job_type=unless_set("WANDB_JOB_TYPE", "train"),
        tags=unless_set("WANDB_TAGS", [config["task"], config["model"], config["optimizer"]]),
        # A new object each time: init changes the one it is given.
        settings=wandb.Settings(**settings),
    )


def _new_id(name: str) -> str:
    """An id that says what the run is (`wandb leet` lists runs by it), and that is unique."""
    return f"{re.sub('[^A-Za-z0-9_-]', '-', name)[:50]}-{uuid.uuid4().hex[:6]}"


def _hint(run: Any) -> str:
    if not run.settings._offline:
        return f"W&B: {run.url}"
    newest = Path(run.settings.sync_dir)
    # A run that was resumed has one folder for each part; their files have the run's exact id.
    files = newest.parent.glob(f"offline-run-*/run-{glob.escape(run.id)}.wandb")
    parts = sorted({newest, *(file.parent for file in files)})
    upload = shlex.join(["wandb", "sync", *map(_shortest, parts)])
    return (
        f"W&B, offline: look with `{shlex.join(['wandb', 'leet', _shortest(newest)])}`, "
        f"upload with `{upload}`"
    )


def _shortest(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

"""Where metrics go beside the run folder: Weights & Biases, or nowhere.

The default never asks and never hangs: online where somebody is logged in and the network answers,
else offline, into a folder that `wandb leet` shows and `wandb sync` uploads.
"""

from __future__ import annotations

import os
import re
import shlex
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from training.options.grouping import group_name
from training.options.wandb import WandbOptions
from training.report import wandb_objects
from training.report.tracker import NullTracker, Tracker

PROJECT = "memnets"
PARTS = "wandb_parts.txt"
INIT_SECONDS = 20.0
FINISH_SECONDS = 120.0


class WandbTracker:
    """A run of Weights & Biases, online or offline; the axis of its charts is sequences seen."""

    def __init__(self, run: Any, folder: Path | None = None) -> None:
        """folder: of the run, which remembers where its offline parts are."""
        self._run, self._folder = run, folder
        self._lost = False
        self.run_id: str | None = run.id
        run.define_metric("sequences", hidden=True)
        run.define_metric("*", step_metric="sequences")
        if folder is not None and run.settings._offline:
            with suppress(OSError), (folder / PARTS).open("a", encoding="utf-8") as file:
                file.write(f"{run.settings.sync_dir}\n")

    @property
    def listening(self) -> bool:
        """Whether W&B is still there."""
        return not self._lost

    def log(self, values: Mapping[str, float], step: int, sequences: int) -> None:
        """Log scalars; several calls at one step make one row."""
        # An explicit step: a resumed run goes on where its checkpoint was, not where W&B stopped.
        self._try(lambda: self._run.log({**values, "sequences": sequences}, step=step))

    def image(self, name: str, pixels: np.ndarray, caption: str, step: int) -> None:
        """Log a picture: uint8 [height, width, 3].

        Raises:
            TypeError: the pixels are of another type.
        """
        wandb_objects.check_pixels(pixels)  # a mistake of ours, and no loss of W&B
        self._try(lambda: self._run.log({name: wandb_objects.image(pixels, caption)}, step=step))

    def images(self, name: str, pictures: Sequence[tuple[np.ndarray, str]], step: int) -> None:
        """Log several pictures, with their captions, as one gallery."""
        make = wandb_objects.image
        self._try(lambda: self._run.log({name: [make(*one) for one in pictures]}, step=step))

    def histograms(self, values: Mapping[str, tuple[np.ndarray, np.ndarray]], step: int) -> None:
        """Log histograms, each by its counts and edges."""
        make = wandb_objects.histogram
        self._try(lambda: self._run.log({k: make(*v) for k, v in values.items()}, step=step))

    def table(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int
    ) -> None:
        """Log a table, whose cells are numbers, words or pixels."""
        self._try(lambda: self._run.log({name: wandb_objects.table(columns, rows)}, step=step))

    def checkpoint(self, path: Path, aliases: Sequence[str], metadata: Mapping[str, Any]) -> None:
        """Keep a version of the run's checkpoint; metadata has its step."""
        self._try(
            lambda: self._run.log_artifact(
                wandb_objects.checkpoint(self._run, path, metadata), aliases=list(aliases)
            )
        )

    def keep_code(self) -> None:
        """Keep the code as it is now, and say where it is, as W&B's own `log_code` does."""

        def keep() -> None:
            artifact = self._run.log_artifact(wandb_objects.code(self._run))
            path = {"code_path": artifact.name}  # by this, the Code tab finds it
            self._run.config.update({"_wandb": path}, allow_val_change=True)

        self._try(keep)

    def use_last_checkpoint(self) -> None:
        """Say which checkpoint a resumed run began with, where the server can be asked."""
        if not self._run.resumed:  # offline, it never is
            return
        try:
            self._run.use_artifact(f"checkpoint-{self.run_id}:last")
        except Exception as error:  # it was killed before it kept one, or keeps none
            print(f"W&B has no checkpoint that this run goes on from ({_first_line(error)})")

    def summary(self, values: Mapping[str, float]) -> None:
        """Set figures of the run as a whole."""
        self._try(lambda: self._run.summary.update(dict(values)))

    def watch(self) -> list[str]:
        """Lines that say how to look at the run while it trains."""
        if not self._run.settings._offline:
            return [str(self._run.url)]
        return [shlex.join(["wandb", "leet", _shortest(Path(self._run.settings.sync_dir))])]

    def finish(self, status: int) -> None:
        """Write everything out, and say how to look at it, unless W&B was lost on the way."""
        self._try(lambda: self._run.finish(exit_code=status))
        self._try(lambda: print(_hint(self._run, self._folder), flush=True))

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
    mode: str,
    *,
    config: dict[str, Any],
    folder: Path,
    run_id: str | None,
    options: WandbOptions | None = None,
) -> Tracker:
    """Start tracking a run.

    Args:
        mode: auto, online, offline or disabled; auto is what the environment's WANDB_MODE says,
            else online for those who are logged in, else offline.
        config: the configuration of the run, as nested dictionaries.
        folder: the run folder; its name is the run's name.
        run_id: the id of the run that is continued, or None for a new one.
        options: what the flags say of the run.

    What the environment sets (WANDB_PROJECT, WANDB_NAME, WANDB_DIR, ...) wins over the trainer's
    own, and a flag over both. Whatever goes wrong in here costs the tracking, never the training.
    """
    if mode == "disabled" or (mode == "auto" and os.environ.get("WANDB_MODE") == "disabled"):
        return NullTracker(run_id)
    try:
        import wandb
    except ImportError:
        print("wandb is not installed: metrics go to the run folder only (pip install wandb)")
        return NullTracker(run_id)
    folder = folder.resolve()  # else that of `--resume .` has no name
    run_id = run_id or new_id(folder.name)
    options = options or WandbOptions()
    mode = _choose_mode(mode, wandb)
    arguments = _arguments(config, folder, run_id, options)
    try:
        return _started(wandb, mode, arguments, options, folder)
    except Exception as error:  # W&B raises many kinds, its settings' validation errors among them
        print(f"W&B cannot be used {mode} ({_first_line(error)}): going on offline", flush=True)
    try:
        # Without the teardown the service remembers the failed run, and refuses its id.
        wandb.teardown()
        return _started(wandb, "offline", arguments, options, folder)
    except Exception as error:
        print(
            f"W&B cannot be used at all ({_first_line(error)}): metrics go to the run folder only"
        )
        return NullTracker(run_id)


def _started(
    wandb: Any, mode: str, arguments: dict[str, Any], options: WandbOptions, folder: Path
) -> Tracker:
    tracker = WandbTracker(_init(wandb, mode, arguments), folder)
    if options.code and not os.environ.get("WANDB_DISABLE_CODE"):
        tracker.keep_code()
    if options.checkpoints:
        tracker.use_last_checkpoint()
    return tracker


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


def _arguments(
    config: dict[str, Any], folder: Path, run_id: str, options: WandbOptions
) -> dict[str, Any]:
    """What a run is told of itself: by a flag, else by the environment, else by the trainer."""

    def choose(flag: str | None, variable: str, own: Any) -> Any:
        if flag is not None:
            return flag
        return None if os.environ.get(variable) else own

    tags = [config["task"], config["model"], config["optimizer"]]
    if options.tags is not None:
        tags += [tag.strip() for tag in options.tags.split(",") if tag.strip()]
    elif os.environ.get("WANDB_TAGS"):
        tags = None
    return {
        "id": run_id,
        "resume": "allow",
        "config": config,
        "project": choose(options.project, "WANDB_PROJECT", PROJECT),
        "entity": options.entity,
        "name": choose(None, "WANDB_NAME", folder.name),
        "group": choose(options.group, "WANDB_RUN_GROUP", group_name(config)),
        "job_type": choose(options.job_type, "WANDB_JOB_TYPE", "train"),
        "tags": tags,
        "notes": options.notes,
    }


def _init(wandb: Any, mode: str, arguments: dict[str, Any]) -> Any:
    settings: dict[str, Any] = {"finish_timeout": FINISH_SECONDS, "quiet": True}
    if not os.environ.get("WANDB_INIT_TIMEOUT"):
        settings["init_timeout"] = INIT_SECONDS
    # New settings each time: init changes those it is given.
    return wandb.init(mode=mode, settings=wandb.Settings(**settings), **arguments)


def new_id(name: str) -> str:
    """The environment's WANDB_RUN_ID, or one that is unique and says what the run is."""
    if os.environ.get("WANDB_RUN_ID"):
        return os.environ["WANDB_RUN_ID"]
    return f"{re.sub('[^A-Za-z0-9_-]', '-', name)[:50]}-{uuid.uuid4().hex[:6]}"


def _hint(run: Any, folder: Path | None) -> str:
    if not run.settings._offline:
        return f"W&B: {run.url}"
    newest = str(run.settings.sync_dir)
    # A run that was resumed has one part for each time, maybe of another working directory.
    written: list[str] = []
    if folder is not None and (folder / PARTS).is_file():
        written = (folder / PARTS).read_text(encoding="utf-8").splitlines()
    # A part is called offline-run-TIME-ID.
    kept = {p for p in written if Path(p).is_dir() and Path(p).name.split("-", 3)[-1] == run.id}
    parts = sorted({newest, *kept}, key=os.path.basename)
    upload = shlex.join(["wandb", "sync", *(_shortest(Path(part)) for part in parts)])
    return (
        f"W&B, offline: look with `{shlex.join(['wandb', 'leet', _shortest(Path(newest))])}`, "
        f"upload with `{upload}`"
    )


def _shortest(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

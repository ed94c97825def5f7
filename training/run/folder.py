"""runs/NAME: made for a new run, opened for a run that goes on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from training.files import checkpoint
from training.files.lock import locked
from training.machine import device, distributed
from training.machine.distributed import Ranks
from training.machine.environment import changes, runtime
from training.options.config import Config, from_json, to_json
from training.options.recipes import is_guess
from training.options.same_run import cooldown
from training.report.wandb_tracker import new_id
from training.run.state import Training, restore, snapshot, start


class Run(NamedTuple):
    """A configuration, the training that it describes, and the folder of both."""

    config: Config
    training: Training
    folder: Path
    notes: tuple[str, ...] = ()
    """what to say of how the run was found"""


@contextmanager
def open_run(config: Config, ranks: Ranks) -> Iterator[Run]:
    """Make the folder of a new run, or continue the one that config.resume names; hold it.

    Raises:
        ValueError: the folder of a new run exists, or that of an old one cannot be continued, or
            another process trains in it.
        OSError: the folder cannot be written.
        LostError: another process has ended.
    """
    folder = ranks.tell(_folder(config) if ranks.first else None)
    with locked(folder, "training") if ranks.first else nullcontext():
        if ranks.first:
            checkpoint.clean_up(folder)
        yield (_continue if config.resume else _begin)(config, folder, ranks)


def _begin(config: Config, folder: Path, ranks: Ranks) -> Run:
    if ranks.first and not checkpoint.is_empty(folder):  # another process was faster
        raise ValueError(_exists(folder))
    training = start(config, ranks)
    training.wandb_id = ranks.tell(new_id(folder.name))
    run = Run(config, training, folder, tuple(_notes(config)))
    if ranks.first:
        checkpoint.write_json(folder / "config.json", to_json(config))
    save_start(run)
    return run


def save_start(run: Run) -> None:
    """Save a checkpoint before a step is done, so that a run killed at any moment can go on."""
    content = snapshot(run.config, run.training)
    if run.training.ranks.first:
        checkpoint.save_last(run.folder, content)


def _continue(config: Config, folder: Path, ranks: Ranks) -> Run:
    saved = from_json(checkpoint.read_config(folder))
    config = dataclasses.replace(config, resume=None)
    found = ranks.tell(_last(folder) if ranks.first else None)
    notes: list[str | None] = [*_notes(config)]
    if found is None:
        training = start(config, ranks)
        training.wandb_id = ranks.tell(new_id(folder.resolve().name))
    else:
        content, note = found
        training = restore(config, content, ranks)
        ranks.check_same(content.get("processes", 1))
        notes.append(note)
        if training.step:
            now = runtime(training.layer, config.device)
            before = {"device": content["config"]["device"], **_runtime_of(content)}
            notes += changes(before, {"device": config.device, **now})
        if training.step >= config.steps:
            notes.append(_finished(config, folder))
    if (config.run, config.device) != (saved.run, saved.device) and ranks.first:
        checkpoint.write_json(folder / "config.json", to_json(config))
    return Run(config, training, folder, tuple(note for note in notes if note))


def _runtime_of(content: Mapping[str, Any]) -> dict[str, str]:
    """What a checkpoint was computed with, under the name that it has or had."""
    return content.get("runtime", content.get("surroundings", {}))


def _notes(config: Config) -> list[str]:
    """What to know of a configuration before it is trained."""
    guess = (
        f"the defaults of {config.task} with {config.model} are a first guess: nobody has seen yet "
        "if they train it"
    )
    return [*device.notes(config), *([guess] if is_guess(config.task, config.model) else [])]


def _finished(config: Config, folder: Path) -> str:
    count = config.steps * config.run.batch_size
    longer = (
        f"to train it longer: {distributed.command()} --resume {folder} --run.sequences {2 * count}"
    )
    if cooldown(config) > 0:
        longer = (
            "it cannot be made longer, because its learning rate has fallen to 0 "
            f"(--optimizer.cooldown {cooldown(config)}): for more sequences, start a new run"
        )
    return f"finished: {count:,} of {count:,} sequences, only evaluated again; {longer}"


def _last(folder: Path) -> tuple[dict[str, Any], str | None] | None:
    """The last checkpoint of a run, and what to say of it; None if it had not come to any."""
    try:
        return checkpoint.load_last(folder)
    except FileNotFoundError:
        # Killed before its first checkpoint, a run has lost nothing and starts over.
        last = folder / checkpoint.LAST
        if (folder / "metrics.jsonl").exists() or (folder / checkpoint.BEST).exists():
            raise ValueError(f"{last} is missing: {checkpoint.remedy(last)}") from None
        return None


def _folder(config: Config) -> Path:
    return Path(config.resume) if config.resume else _new_folder(config)


def _new_folder(config: Config) -> Path:
    parent = Path(config.folder)
    if config.name is not None:
        folder = parent / config.name
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            # A run killed before its first file has left an empty folder, which is taken over.
            if not folder.is_dir() or not checkpoint.is_empty(folder):
                raise ValueError(_exists(folder)) from None
        return folder
    moment = time.strftime("%Y%m%d-%H%M%S")
    # Of module:Class, the class: a colon has a meaning in the paths of other programs.
    task, model = (name.rpartition(":")[2] for name in (config.task, config.model))
    name = f"{task}__{model}__seed{config.seed}__{moment}"
    for number in range(1, 1000):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # several runs of a sweep begin in the same second
            continue
        return folder
    raise ValueError(f"{parent} has too many runs of the name {name}: give one with --name")


def _exists(folder: Path) -> str:
    return f"{folder} exists: choose another --name, or continue it with --resume {folder}"

"""runs/NAME: made for a new run, opened for a run that goes on."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import NamedTuple

from training import checkpoint
from training.config import Config, from_json, to_json
from training.distributed import Ranks
from training.loop import Training, restore, snapshot, start


class Run(NamedTuple):
    """A configuration, the training that it describes, and the folder of both."""

    config: Config
    training: Training
    folder: Path


def open_run(config: Config, ranks: Ranks) -> Run:
    """Make the folder of a new run, or continue the one that config.resume names.

    Raises:
        ValueError: the folder of a new run exists, or that of an old one cannot be continued.
        OSError: the folder cannot be written.
        LostError: another process has ended.
    """
    if config.resume:
        return _continue(config, Path(config.resume), ranks)
    return _begin(config, ranks)


def _begin(config: Config, ranks: Ranks) -> Run:
    training = start(config, ranks)
    folder = ranks.tell(_new_folder(config) if ranks.first else None)
    run = Run(config, training, folder)
    if ranks.first:
        checkpoint.write_json(folder / "config.json", to_json(config))
    save_start(run)
    return run


def save_start(run: Run) -> None:
    """Save a checkpoint before a step is done, so that a run killed at any moment can go on."""
    content = snapshot(run.config, run.training)
    if run.training.ranks.first:
        checkpoint.save(run.folder / checkpoint.LAST, content)


def _continue(config: Config, folder: Path, ranks: Ranks) -> Run:
    saved = from_json(checkpoint.read_config(folder))
    config = dataclasses.replace(config, resume=None)
    last = folder / checkpoint.LAST
    try:
        content = checkpoint.load(last)
        ranks.check_same(content.get("processes", 1))
        training = restore(config, content, ranks)
    except FileNotFoundError:
        # Killed before its first checkpoint, a run has lost nothing and starts over.
        if (folder / "metrics.jsonl").exists() or (folder / checkpoint.BEST).exists():
            raise ValueError(f"{last} is missing: {checkpoint.remedy(last)}") from None
        training = start(config, ranks)
    if config.run != saved.run and ranks.first:
        checkpoint.write_json(folder / "config.json", to_json(config))
    return Run(config, training, folder)


def _new_folder(config: Config) -> Path:
    parent = Path(config.folder)
    if config.name is not None:
        try:
            (parent / config.name).mkdir(parents=True)
        except FileExistsError:
            raise ValueError(
                f"{parent / config.name} exists: choose another --name, or continue it with "
                f"--resume {parent / config.name}"
            ) from None
        return parent / config.name
    moment = time.strftime("%Y%m%d-%H%M%S")
    name = f"{config.task}__{config.model}__seed{config.seed}__{moment}"
    for number in range(1, 1000):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # several runs of a sweep begin in the same second
            continue
        return folder
    raise ValueError(f"{parent} has too many runs of the name {name}: give one with --name")

"""From the command line to a configuration, or to an error that names what is valid."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch
import tyro

import tasks
from tasks.acting import Acts
from tasks.by_path import is_path
from tasks.curriculum import CURRICULA
from tasks.levels import levels
from training.command_line.help_text import short_help
from training.command_line.spelling import FlagValues, check, joined, split, with_parts
from training.files import checkpoint
from training.machine import device, distributed
from training.options.config import (
    MODELS,
    OPTIMIZERS,
    Config,
    from_json,
    make_curriculum,
    make_layer,
    make_optimizer,
    make_task,
    problems,
)
from training.options.models import check_call
from training.options.parts import in_words
from training.options.recipes import recipe, standing
from training.options.same_run import CHANGEABLE, cooldown, differences

DESCRIPTION = f"""Train a memory-augmented network on an algorithmic task.

--task takes {", ".join(tasks.TASKS)}.

--model takes {", ".join(MODELS)}. --optimizer takes {", ".join(OPTIMIZERS)}.

--curriculum takes {", ".join(CURRICULA)}.

{{parts}}

The options below are those of the chosen ones. {{standing}} For others, ask for help with them:
train.py --task priority_sort --model dnc --help-all
"""


def parse(arguments: Sequence[str] | None = None) -> Config:
    """Read the command line (`sys.argv` without arguments); recipes give the defaults.

    `--a-b` and `--a_b` are the same, and every flag takes a value (`--model.read-first True`),
    after a space or `=`, as W&B's sweep agents write it; `training.command_line.spelling` says how
    else a value may be written. Errors go to stderr, with status 2.

    >>> parse(["--task", "copy", "--task.max_length=10"]).task_options
    Copy(bits=8, min_length=1, max_length=10)
    """
    try:
        flags = split(sys.argv[1:] if arguments is None else arguments)
        saved = _defaults(flags)
        flags, defaults = with_parts(flags, saved)
        if defaults.streams is None and distributed.processes() > 1:
            defaults = dataclasses.replace(defaults, streams=distributed.processes())
        check(flags, defaults)
    except (ValueError, OSError) as error:
        fail(str(error))
    if {"-h", "--help"} & {name for name, _ in flags}:
        print(short_help(defaults))
        raise SystemExit(0)
    config = _fill_in(defaults, joined(flags, defaults))
    found = [*problems(config), *device.problems(config), *distributed.problems(config)]
    if config.resume:
        found += _changes(saved, config)
    if found:
        fail("\n".join(found))
    try:
        # On the CPU: several processes have not shared out the GPUs yet.
        layer, task = make_layer(dataclasses.replace(config, device="cpu")), make_task(config)
        if is_path(config.model):
            sizes = (task.input_size, task.output_size)
            given = task.sample(1, torch.Generator().manual_seed(0)).lengths is not None
            acts = isinstance(task, Acts)
            check_call(config.model, layer, *sizes, lengths=given, goes_on=acts)
        make_optimizer(config, layer)
        make_curriculum(config).start(levels(task))
    except (ValueError, TypeError, RuntimeError) as error:
        fail(str(error))
    return config


def fail(message: str) -> NoReturn:
    """Print an error of the user's, once for all processes, and exit with status 2."""
    if os.environ.get("RANK", "0") == "0":
        program = distributed.command().removeprefix("python ")
        print(f"train.py: error: {message}\nSee {program} --help", file=sys.stderr)
    raise SystemExit(2)


def _defaults(flags: FlagValues) -> Config:
    folder = _value(flags, "resume")
    if folder is not None:
        saved = from_json(checkpoint.read_config(Path(folder)))
        return dataclasses.replace(saved, resume=folder)
    task = _value(flags, "task") or Config.task
    model = _value(flags, "model") or Config.model
    return recipe(task, model, _value(flags, "optimizer"), _value(flags, "curriculum"))


def _value(flags: FlagValues, flag: str) -> str | None:
    """The last value of a flag, before the real parser (which needs to know it) has run."""
    values = [value for name, value in flags if name == f"--{flag}"]
    if values and not values[-1]:
        raise ValueError(f"--{flag} needs a value")
    return values[-1] if values else None


def _fill_in(defaults: Config, arguments: Sequence[str]) -> Config:
    return tyro.cli(
        Config,
        default=defaults,
        args=["--help" if word == "--help-all" else word for word in arguments],
        prog="train.py",
        description=DESCRIPTION.format(
            standing=standing(defaults.task, defaults.model),
            parts="\n\n".join(f"--model.{line}" for line in in_words(defaults.model_options)),
        ),
        # `--flag True` instead of a bare `--flag`: the form that a sweep's ${args} has.
        config=(tyro.conf.FlagConversionOff,),
    )


def _changes(saved: Config, config: Config) -> list[str]:
    """What was asked for beside --resume, and cannot be: it would not be the same run."""
    found = differences(saved, config)
    messages = [
        f"--{name.replace('_', '-')} {after} differs from the {before} of {config.resume}: beside "
        "--resume, only --run.sequences, --run.non-finite, --device and --wandb can change; start "
        "a new run for the rest"
        for name, (before, after) in found.items()
        if name not in CHANGEABLE
    ]
    if "run.sequences" not in found:
        return messages
    before, after = found["run.sequences"]
    differs = f"--run.sequences {after} differs from the {before} of {config.resume}"
    if cooldown(saved) > 0:
        messages.append(
            f"{differs}, where the learning rate falls to 0 (--optimizer.cooldown "
            f"{cooldown(saved)}): start a new run of more sequences; one with "
            "--optimizer.cooldown 0 can be made longer later"
        )
    elif after < before:
        messages.append(f"{differs}: a resumed run can only be made longer")
    return messages

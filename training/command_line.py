"""From the command line to a configuration, or to an error that names what is valid."""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import tyro

import tasks
from tasks.curriculum import CURRICULA
from tasks.levels import levels
from training import checkpoint, distributed, machine
from training.config import (
    GROUPS,
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
from training.help_text import short_help
from training.recipes import recipe
from training.same_run import CHANGEABLE, cooldown, differences

DESCRIPTION = f"""Train a memory-augmented network on an algorithmic task.

--task takes {", ".join(tasks.TASKS)}.

--model takes {", ".join(MODELS)}. --optimizer takes {", ".join(OPTIMIZERS)}.

--curriculum takes {", ".join(CURRICULA)}.

The options below are those of the chosen ones, with the defaults that train them. For others,
ask for help with them: train.py --task priority_sort --model dnc --help-all
"""


def parse(arguments: Sequence[str] | None = None) -> Config:
    """Read the command line (`sys.argv` without arguments); recipes give the defaults.

    `--a-b` and `--a_b` are the same, and every flag takes a value (`--model.read-first True`),
    after a space or `=`, as W&B's sweep agents write it. Errors go to stderr, with status 2.

    >>> parse(["--task", "copy", "--task.max_length=10"]).task_options
    Copy(bits=8, min_length=1, max_length=10)
    """
    arguments = _expanded(sys.argv[1:] if arguments is None else arguments)
    try:
        defaults = _defaults(arguments)
        if defaults.streams is None and distributed.processes() > 1:
            defaults = dataclasses.replace(defaults, streams=distributed.processes())
        _check_flags(arguments, defaults)
    except (ValueError, OSError) as error:
        fail(str(error))
    if {"-h", "--help"} & set(arguments):
        print(short_help(defaults))
        raise SystemExit(0)
    arguments = ["--help" if word == "--help-all" else word for word in arguments]
    config = _fill_in(defaults, arguments)
    found = [*problems(config), *machine.problems(config), *distributed.problems(config)]
    if config.resume:
        found += _changes(defaults, config)
    if found:
        fail("\n".join(found))
    try:
        # On the CPU: several processes have not shared out the GPUs yet.
        make_optimizer(config, make_layer(dataclasses.replace(config, device="cpu")))
        make_curriculum(config).start(levels(make_task(config)))
    except (ValueError, TypeError, RuntimeError) as error:
        fail(str(error))
    return config


def fail(message: str) -> NoReturn:
    """Print an error of the user's, once for all processes, and exit with status 2."""
    if os.environ.get("RANK", "0") == "0":
        print(f"train.py: error: {message}\nSee train.py --help", file=sys.stderr)
    raise SystemExit(2)


def flags(config: Config) -> list[str]:
    """Every flag that is valid beside the chosen task, model, optimiser and curriculum.

    >>> "--task.max-length" in flags(recipe("copy", "ntm"))
    True
    """
    names: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            group = field.name.removesuffix("_options")
            names += [f"{group}.{inner.name}" for inner in dataclasses.fields(value)]
        else:
            names.append(field.name)
    return [f"--{name}".replace("_", "-") for name in names]


def _expanded(arguments: Sequence[str]) -> list[str]:
    """Write out `--compile`: what a run computes with is one field, the backend of its model."""
    words, backend = [], ["--model.backend", "compiled"]
    for word in arguments:
        if words[-2:] == backend and word.lower() == "true":
            continue  # `--compile True`, as all other flags are written
        words += backend if word.lower() in ("--compile", "--compile=true") else [word]
    return words


def _defaults(arguments: Sequence[str]) -> Config:
    folder = _value(arguments, "resume")
    if folder is not None:
        saved = from_json(checkpoint.read_config(Path(folder)))
        return dataclasses.replace(saved, resume=folder)
    task = _value(arguments, "task") or Config.task
    model = _value(arguments, "model") or Config.model
    return recipe(task, model, _value(arguments, "optimizer"), _value(arguments, "curriculum"))


def _value(arguments: Sequence[str], flag: str) -> str | None:
    """The last value of a flag, before the real parser (which needs to know it) has run."""
    found = None
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if name == f"--{flag}":
            found = value if equals else following
    if found is not None and (found == "" or found.startswith("--")):
        raise ValueError(f"--{flag} needs a value")
    return found


def _check_flags(arguments: Sequence[str], config: Config) -> None:
    valid = flags(config)
    for word in arguments:
        name = word.partition("=")[0].replace("_", "-")
        if not name.startswith("--") or name in valid or name in ("--help", "--help-all"):
            continue
        close = difflib.get_close_matches(name, valid, n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        group = next((g for g in (*GROUPS, "run", "wandb") if name.startswith(f"--{g}.")), None)
        if group in GROUPS:
            heading = f"The {group} {getattr(config, group)} has"
        else:
            heading = f"The {group} options are" if group else "Valid flags are"
        listed = [flag for flag in valid if group is None or flag.startswith(f"--{group}.")]
        raise ValueError(f"there is no flag {name}.{hint}\n{heading} {', '.join(listed)}")


def _fill_in(defaults: Config, arguments: Sequence[str]) -> Config:
    return tyro.cli(
        Config,
        default=defaults,
        args=arguments,
        prog="train.py",
        description=DESCRIPTION,
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

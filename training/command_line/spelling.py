"""Flags and values as people write them: what is meant, or what else to write."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from training.options.config import OPTION_GROUPS, Config, choices, option_class
from training.options.parts import flags, full_path, replaced

HELP = ("-h", "--help", "--help-all")
ALONE = (*HELP, "--no-wandb")

# What other trainers call a flag.
OTHER_NAMES = {
    "lr": "--optimizer.learning-rate",
    "optim": "--optimizer",
    "epochs": "--run.sequences (a sequence is never seen twice, so there are no epochs)",
    "num-epochs": "--run.sequences (a sequence is never seen twice, so there are no epochs)",
    "steps": "--run.sequences (steps times --run.batch-size)",
    "max-steps": "--run.sequences (steps times --run.batch-size)",
    "iterations": "--run.sequences (steps times --run.batch-size)",
    "batch": "--run.batch-size",
    "log-interval": "--run.log-every",
    "gpu": "--device cuda",
    "cuda": "--device cuda",
    "bf16": "--precision bf16",
    "checkpoint": "--resume",
    "output-dir": "--folder",
}

FlagValues = list[tuple[str, str | None]]
"""flags and their values; a value without a flag has the flag ''"""


def split(arguments: Sequence[str]) -> FlagValues:
    """Take a command line apart; short forms are written out.

    >>> split(["--task", "copy", "--seed=1", "--no-wandb", "dnc"])
    [('--task', 'copy'), ('--seed', '1'), ('--wandb', 'disabled'), ('', 'dnc')]

    Raises:
        ValueError: --compile has another value than True or False.
    """
    found: FlagValues = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            found.append(("", word))
            continue
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        takes_next = not equals and name not in ALONE and rest and not rest[0].startswith("--")
        found.append((name, rest.pop(0) if takes_next else value if equals else None))
    return [pair for name, value in found for pair in _written_out(name, value)]


def _written_out(name: str, value: str | None) -> FlagValues:
    lower = None if value is None else value.lower()
    if name == "--no-wandb" and value is None:
        return [("--wandb", "disabled")]
    if name == "--wandb" and lower in ("off", "false"):
        return [("--wandb", "disabled")]
    if name == "--compile":  # what a run computes with is one field, the backend of its model
        if lower not in (None, "true", "false"):
            raise ValueError(f"--compile takes True or False, got {value!r}")
        return [] if lower == "false" else [("--model.backend", "compiled")]
    return [(name, value)]


def fields(config: Config) -> dict[str, Any]:
    """The type behind every flag that is valid beside the chosen task, model and so on.

    >>> from training.options.recipes import recipe
    >>> fields(recipe("copy", "ntm"))["--task.max-length"]
    <class 'int'>
    """
    found = {}
    for name, hint in typing.get_type_hints(Config).items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            group = name.removesuffix("_options")
            found |= {f"{group}.{flag.path}": flag.hint for flag in flags(value)}
        else:
            found[name] = hint
    return {f"--{name}".replace("_", "-"): hint for name, hint in found.items()}


def with_parts(flags: FlagValues, config: Config) -> tuple[FlagValues, Config]:
    """Give a model the parts that are chosen by name, and write out what is left.

    A flag of a part may leave out where the part is, if no other flag ends alike.

    >>> from training.options.recipes import recipe
    >>> flags = [("--model.controller", "gru"), ("--model.num-layers", "2")]
    >>> left, config = with_parts(flags, recipe("copy", "ntm"))
    >>> left, config.model_options.controller.cell
    ([('--model.controller.num-layers', '2')], 'gru')

    Raises:
        ValueError: there is no such part.
    """
    left: FlagValues = []
    for name, value in flags:
        options = config.model_options
        path = _path(options, name)
        if path is not None and value and _hint(options, path) is None:
            options = replaced(options, {path: value})
            config = dataclasses.replace(config, model_options=options)
        else:
            left.append((name, value))
    found = [(name, value, _path(config.model_options, name)) for name, value in left]
    return [
        (name if path is None else f"--model.{path}".replace("_", "-"), value)
        for name, value, path in found
    ], config


def _path(options: Any, name: str) -> str | None:
    group, _, rest = name.partition(".")
    return full_path(options, rest.replace("-", "_")) if group == "--model" and rest else None


def _hint(options: Any, path: str) -> Any:
    return next(flag.hint for flag in flags(options) if flag.path == path)


def joined(flags: FlagValues, config: Config) -> list[str]:
    """The command line again, with values as Python writes them: 1e5 is 100000, true is True.

    >>> from training.options.recipes import recipe
    >>> joined([("--run.sequences", "1e5"), ("--run.pictures", "false")], recipe("copy", "ntm"))
    ['--run.sequences=100000', '--run.pictures=False']
    """
    hints = fields(config)
    return [
        name if value is None else f"{name}={_plain(value, hints.get(name))}"
        for name, value in flags
    ]


def _plain(value: str, hint: Any) -> str:
    kinds = typing.get_args(hint) or (hint,)
    if bool in kinds and value.lower() in ("true", "false"):
        return value.capitalize()
    if type(None) in kinds and str not in kinds and value.lower() == "none":
        return "None"
    if int in kinds and re.fullmatch(r"[+-]?\d+(\.\d*)?([eE]\+?\d{1,2})?", value, re.ASCII):
        number = Decimal(value)
        return str(int(number)) if number == number.to_integral_value() else value
    return value


def check(flags: FlagValues, config: Config) -> None:
    """Refuse flags that there are not, and values without a flag.

    Raises:
        ValueError: naming the first of them, what may be meant and what is valid.
    """
    valid = [*fields(config), *HELP]
    for name, value in flags:
        if name == "":
            _refuse_value(value or "", config)
        if name not in valid:
            _refuse_flag(name, config)


def _refuse_value(word: str, config: Config) -> NoReturn:
    every = {choice: group for group in OPTION_GROUPS for choice in choices(group)}
    near = [word] if word in every else difflib.get_close_matches(word, every, n=2)
    meant = [f"--{every[choice]} {choice}" for choice in near]
    if f"--{word.partition('=')[0]}".replace("_", "-") in fields(config):
        meant = [f"--{word}"]
    elif Path(word, "config.json").is_file():
        meant = [f"--resume {word}", f"--evaluate {word}"]
    raise ValueError(f"there is no flag before {word!r}.{_question(meant)}")


def _refuse_flag(name: str, config: Config) -> NoReturn:
    valid = list(fields(config))
    group, dot, bare = name.lstrip("-").rpartition(".")
    meant = [flag for flag in valid if re.split(r"[.]|^--", flag)[-1] == bare]
    meant = [OTHER_NAMES[bare]] if bare in OTHER_NAMES else meant
    owners = [] if meant else list(_owners(group if dot else None, bare))
    if owners:
        said = f"there is no flag {name} here: {'; '.join(owners)}."
    else:
        meant = meant or difflib.get_close_matches(name, valid, n=3)
        said = f"there is no flag {name}.{_question(meant)}"
    if dot or not (owners or meant):
        said += f"\n{_listed(group, config)}"
    raise ValueError(said)


def _owners(group: str | None, name: str) -> Iterator[str]:
    """Say with which tasks, models, optimisers or curricula there is such a flag."""
    for one in OPTION_GROUPS if group is None else {group} & set(OPTION_GROUPS):
        having = [
            choice
            for choice in choices(one)
            if full_path(option_class(one, choice)(), name.replace("-", "_"))
        ]
        if having:
            yield f"--{one}.{name} goes with --{one} {', '.join(having)}"


def _question(meant: Sequence[str]) -> str:
    return f" Did you mean {' or '.join(meant)}?" if meant else ""


def _listed(group: str, config: Config) -> str:
    listed = [flag for flag in fields(config) if flag.startswith(f"--{group}.")]
    if not listed:
        return f"Valid flags are {', '.join(fields(config))}"
    heading = f"The {group} options are"
    if group in OPTION_GROUPS:
        heading = f"The {group} {getattr(config, group)} has"
    return f"{heading} {', '.join(listed)}"

"""The short help of train.py: every flag of the chosen task and model on a line of its own."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

import tasks
from tasks.curriculum import CURRICULA
from training.machine import distributed
from training.options.config import OPTIMIZERS, OPTION_GROUPS, Config
from training.options.models import MODELS
from training.options.parts import Flag, field_texts, flags, name_of
from training.options.recipes import standing

WIDTH = 100
HEADING = "usage: python train.py [--task NAME] [--model NAME] [--FLAG VALUE ...]"
PURPOSE = "Train a memory-augmented network on an algorithmic task."
EXAMPLES = """examples:
  python train.py --task reverse --model dnc --model.memory-size 64 --curriculum incremental
  python train.py --resume runs/NAME
  python train.py --evaluate runs/NAME --memory-size 256   (--help after it lists its own flags)
  python train.py --task priority_sort --model dnc --help   the flags of both; --help-all: in full
  python train.py --model.shift-range 2    short for --model.heads.read.shift-range, the only one"""


def short_help(config: Config) -> str:
    """The help for the task, model, optimiser and curriculum of a configuration.

    >>> from training.options.recipes import recipe
    >>> text = short_help(recipe("copy", "ntm"))
    >>> print(next(line for line in text.splitlines() if "--task.bits" in line).strip())
    --task.bits 8                          Bits in each vector
    """
    about = f"{PURPOSE} {standing(config.task, config.model)}"
    lines = [HEADING, textwrap.fill(about, WIDTH), EXAMPLES]
    for name, chosen in zip(
        OPTION_GROUPS, (tasks.TASKS, MODELS, OPTIMIZERS, CURRICULA), strict=True
    ):
        listed = f"--{name:12} {', '.join(chosen)}"
        lines.append(textwrap.fill(listed, WIDTH, subsequent_indent=" " * 15))
    texts = field_texts(Config)
    plain = [
        Flag(field.name, field.type, getattr(config, field.name), texts[field.name])
        for field in dataclasses.fields(config)
        if not dataclasses.is_dataclass(getattr(config, field.name))
        and field.name not in OPTION_GROUPS
    ]
    lines += ["", "general", *_lines(plain)]
    for field in dataclasses.fields(config):
        options = getattr(config, field.name)
        if not dataclasses.is_dataclass(options):
            continue
        group = field.name.removesuffix("_options")
        heading = f"{group} {getattr(config, group)}" if group in OPTION_GROUPS else group
        found = [flag._replace(path=f"{group}.{flag.path}") for flag in flags(options)]
        if group == "wandb":
            named = " ".join(f"--{flag.path}".replace("_", "-") for flag in found)
            filled = textwrap.fill(named, WIDTH - 2, break_on_hyphens=False)
            lines += ["", f"{heading} (docs/tracking.md)", textwrap.indent(filled, "  ")]
        elif found:
            lines += ["", heading, *_lines(found)]
    return "\n".join(lines).replace("python train.py", distributed.command())


def _lines(listed: Sequence[Flag]) -> list[str]:
    found = []
    for path, hint, value, text in listed:
        shown = name_of(value) if hint is None else value
        flag = f"--{path}".replace("_", "-")
        text = text.partition(";")[0].removesuffix(".")
        found.append(_cut(f"  {f'{flag} {shown}':38} {text}"))
    return found


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3].rsplit(" ", 1)[0] + " ..."

"""The short help of train.py: every flag of the chosen task and model on a line of its own."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap

import tasks
from tasks.curriculum import CURRICULA
from training.options.config import GROUPS, OPTIMIZERS, Config
from training.options.models import MODELS, flag_texts
from training.options.recipes import standing

WIDTH = 100
HEADING = """usage: python train.py [--task NAME] [--model NAME] [--FLAG VALUE ...]
"""
PURPOSE = "Train a memory-augmented network on an algorithmic task."
EXAMPLES = """
examples:
  python train.py --task copy
  python train.py --task reverse --model dnc --model.memory-size 64 --curriculum incremental
  python train.py --resume runs/NAME
  python train.py --evaluate runs/NAME --memory-size 256   (--help after it lists its own flags)
  python train.py --task priority_sort --model dnc --help        the flags of that task and model
  python train.py --help-all                                     the same as this, in full
"""


def short_help(config: Config) -> str:
    """The help for the task, model, optimiser and curriculum of a configuration.

    >>> from training.options.recipes import recipe
    >>> text = short_help(recipe("copy", "ntm"))
    >>> print(next(line for line in text.splitlines() if "--task.bits" in line).strip())
    --task.bits 8                          Bits in each vector
    """
    about = f"{PURPOSE} {standing(config.task, config.model)}"
    lines = [HEADING, textwrap.fill(about, WIDTH), EXAMPLES]
    for name, chosen in zip(GROUPS, (tasks.TASKS, MODELS, OPTIMIZERS, CURRICULA), strict=True):
        listed = f"--{name:12} {', '.join(chosen)}"
        lines.append(textwrap.fill(listed, WIDTH, subsequent_indent=" " * 15))
    plain = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if not dataclasses.is_dataclass(getattr(config, field.name)) and field.name not in GROUPS
    }
    lines += ["", "general", *_lines("", plain, field_texts(Config))]
    for field in dataclasses.fields(config):
        options = getattr(config, field.name)
        if not dataclasses.is_dataclass(options):
            continue
        group = field.name.removesuffix("_options")
        texts = flag_texts(options) if group == "model" else field_texts(type(options))
        heading = f"{group} {getattr(config, group)}" if group in GROUPS else group
        if vars(options):
            lines += ["", heading, *_lines(f"{group}.", vars(options), texts)]
    return "\n".join(lines)


def _lines(prefix: str, values: dict[str, object], texts: dict[str, str]) -> list[str]:
    found = []
    for name, value in values.items():
        flag = f"--{prefix}{name}".replace("_", "-")
        text = " ".join(texts[name].split()).partition(";")[0].removesuffix(".")
        found.append(_cut(f"  {f'{flag} {value}':38} {text}"))
    return found


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3].rsplit(" ", 1)[0] + " ..."


def field_texts(options: type) -> dict[str, str]:
    """The string under each field of a dataclass, which explains it.

    >>> from training.options.config import RunOptions
    >>> field_texts(RunOptions)["batch_size"]
    'sequences in each step'
    """
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(options))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = str(text.value.value)
    return found

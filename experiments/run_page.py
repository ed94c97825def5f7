"""What the pages of a single run share: its command, its facts, and a part that is written anew."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from training.files import checkpoint, provenance
from training.options.config import Config, flat, to_json
from training.options.recipes import recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = ("name", "folder", "task.folder", "task.map_file", "wandb")
"""what is a matter of the machine"""


class Marks(NamedTuple):
    """Two lines of a page between which everything is written by a program."""

    begin: str
    end: str


def marks(module: str) -> Marks:
    """The marks of a module.

    >>> marks("experiments.babi").begin
    '<!-- written by python -m experiments.babi: do not edit by hand -->'
    """
    return Marks(
        f"<!-- written by python -m {module}: do not edit by hand -->",
        f"<!-- the end of what python -m {module} writes -->",
    )


def command(config: Config, *own: str) -> str:
    """The command line of a run, without what is a matter of the machine but these words."""
    plain = flat(to_json(recipe(config.task, config.model, config.optimizer, config.curriculum)))
    changed = {
        name: value
        for name, value in flat(to_json(config)).items()
        if name not in HERE and not name.startswith("wandb.") and value != plain.get(name)
    }
    flags = [f"--{name.replace('_', '-')} {value}" for name, value in changed.items()]
    chosen = [
        f"--{group} {getattr(config, group)}"
        for group in ("optimizer", "curriculum")
        if getattr(config, group) != getattr(recipe(config.task, config.model), group)
    ]
    first = f"python train.py --task {config.task} --model {config.model}"
    return shlex.join(shlex.split(" ".join([first, *own, *chosen, *flags])))


def facts(run: Path, config: Config, *own: str) -> dict[str, Any]:
    """How a run was made: its command, seed, commits and processors."""
    parts = provenance.read(run)
    return {
        "command": command(config, *own),
        "seed": config.seed,
        "commits": list(dict.fromkeys(part["commit"] for part in parts)),
        "processors": list(dict.fromkeys(part["processor"] for part in parts)),
    }


def write(
    page: Path, found: dict[str, Any], text: str, figures: dict[str, Figure], own: Marks, name: str
) -> list[Path]:
    """Write what stands between the marks of a page, its figures, and what they are made of.

    Args:
        page: a page that is not there is begun.
        found: becomes results/NAME.json beside the page.
        text: for between the marks.
        figures: by the name of their file in pictures/.
        own: the marks.
        name: of the results.

    Raises:
        ValueError: the page lacks the marks.
    """
    whole = page.read_text() if page.exists() else f"# {name}\n\n{own.begin}\n{own.end}\n"
    begins, ends = whole.count(own.begin), whole.count(own.end)
    if (begins, ends) != (1, 1) or whole.index(own.begin) > whole.index(own.end):
        raise ValueError(f"{page} must have a line {own.begin} and, below it, a line {own.end}")
    data, pictures = page.parent / "results" / f"{name}.json", page.parent / "pictures"
    for folder in (data.parent, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    checkpoint.write_atomically(data, (json.dumps(found, indent=1) + "\n").encode())
    for file, figure in figures.items():
        figure.savefig(pictures / file, metadata={"Software": None})
    before, after = whole[: whole.index(own.begin)], whole[whole.index(own.end) :]
    checkpoint.write_atomically(page, f"{before}{own.begin}\n\n{text}\n{after}".encode())
    return [page, data, *(pictures / file for file in figures)]

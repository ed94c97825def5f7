"""What the pages of a single run share: its command, its facts, and a part that is written anew."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.marks import Marks
from training.files import checkpoint, provenance
from training.options.config import Config, flat, to_json
from training.options.recipes import recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = ("name", "folder", "task.folder", "task.map_file", "wandb")
"""what is a matter of the machine"""


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
    before, after = own.around(page, name)
    data, pictures = page.parent / "results" / f"{name}.json", page.parent / "pictures"
    for folder in (data.parent, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    checkpoint.write_atomically(data, (json.dumps(found, indent=1) + "\n").encode())
    for file, figure in figures.items():
        figure.savefig(pictures / file, metadata={"Software": None})
    checkpoint.write_atomically(page, f"{before}{text}{after}".encode())
    return [page, data, *(pictures / file for file in figures)]

"""The layers that come trained with the package: taken from runs, with a card of each.

`python -m experiments.trained copy runs/copy` writes memnets/trained/copy.safetensors and
copy.json, of a run that `train.py --evaluate` has measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

import memnets
from memnets.loading import TRAINED
from training.evaluate.generalisation import file_name
from training.files import checkpoint, provenance
from training.options.config import from_json

FIGURES = ("wrong_", "exact_match")
LARGEST = 290_000
"""bytes of weights, so that a file is below 300,000"""


@dataclass(frozen=True)
class Options:
    """Put the layer of a run into the package, as memnets.pretrained(NAME)."""

    name: Annotated[str, tyro.conf.Positional]
    """by which it is loaded"""
    run: Annotated[Path, tyro.conf.Positional]
    """its folder"""
    flags: str = ""
    """of train.py that are not those of its recipe, for the command of the card"""
    memory_size: int | None = None
    """slots of the layer, as `--evaluate --memory-size` had; None: as in training"""


def keep(options: Options, folder: Path = TRAINED) -> Path:
    """Write the file and the card; return the path of the file.

    Raises:
        ValueError: the run is none, was not evaluated so, or its file would be too large.
        OSError: a file cannot be read or written.
    """
    saved = checkpoint.load(options.run / checkpoint.LAST)
    arguments = {**saved["layer"]["arguments"]}
    if options.memory_size is not None:
        arguments["memory_size"] = options.memory_size
    size = sum(weight.nbytes for weight in saved["weights"].values())
    if size > LARGEST:
        raise ValueError(
            f"the weights of a trained layer must be at most {LARGEST:,} bytes, got {size:,}: "
            "train a smaller one"
        )
    layer = memnets.from_config({**saved["layer"], "arguments": arguments})
    layer.load_state_dict(saved["weights"])
    path = folder / f"{options.name}.safetensors"
    described = card(options, saved)
    memnets.save(layer, path)
    checkpoint.write_json(path.with_suffix(".json"), described)
    return path


def card(options: Options, saved: dict[str, Any]) -> dict[str, Any]:
    """What there is to know of the layer of a run, of which this is the checkpoint.

    Raises:
        ValueError: the run went on after it was evaluated.
        OSError: it was not evaluated so.
    """
    config = from_json(saved["config"])
    figures = json.loads((options.run / file_name(options.memory_size)).read_text())
    if figures["step"] != saved["step"]:
        raise ValueError(f"{options.run} went on after it was evaluated: evaluate it again")
    part = provenance.read(options.run)[-1]
    words = ["python train.py", f"--task {config.task}", f"--model {config.model}"]
    words += [*([options.flags] if options.flags else []), f"--seed {config.seed}"]
    return {
        "task": config.task,
        "task_options": vars(config.task_options),
        "model": config.model,
        "command": " ".join(words),
        "seed": config.seed,
        "commit": part["commit"],
        "machine": {name: part[name] for name in ("processor", "torch", "python", "memnets")},
        "sequences": saved["sequences"],
        "minutes": round(saved["seconds"] / 60, 1),
        "weights": sum(weight.numel() for weight in saved["weights"].values()),
        "evaluated": figures["evaluated"],
        "settings": {
            name: {figure: row[figure] for figure in row if figure.startswith(FIGURES)}
            for name, row in figures["settings"].items()
        },
    }


def main() -> None:
    """Do what the command line asks for."""
    try:
        print(keep(tyro.cli(Options, prog="python -m experiments.trained")))
    except (ValueError, OSError) as error:
        raise SystemExit(f"trained: error: {error}") from None


if __name__ == "__main__":
    main()

"""Sum up finished runs: a Markdown table and a picture of their curves.

`python -m training.compare.summary runs/a runs/b --picture curves.png` prints, for each run, after
how many sequences it solved its task and what it does at the evaluation's settings, all from its
own files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tasks import make
from training.compare.data import Found, errors, errors_name, read
from training.evaluate.solved import rule
from training.files.metrics import EVALUATION
from training.options.models import MODELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def unit(runs: list[Found]) -> str:
    """What runs count as wrong, in words; runs of several tasks may count several things.

    >>> bits = Found("a", {}, [{"wrong_bits": 0.0}], {}, [])
    >>> unit([bits, Found("b", {}, [{"wrong_symbols": 0.0}], {}, [])])
    'wrong bits or wrong symbols'
    """
    names = dict.fromkeys(errors_name(row) for run in runs for row in run.training[:1])
    return " or ".join(names).replace("_", " ")


def read_finished(folder: Path) -> Found:
    """Read a finished run.

    Raises:
        FileNotFoundError: if the run is not finished, or the folder is no run.
        ValueError: its config.json cannot be read.
    """
    for name in ("metrics.jsonl", "config.json", EVALUATION):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}: give the folder of a finished run")
    return read(folder)


def table(runs: list[Found]) -> str:
    """One row a run: when it was solved, its time, and what is wrong in a sequence of each setting.

    Solved is what the run's task states, in the column before.

    >>> row = {"sequences": 800, "wrong_bits": 0.0, "seconds": 90.0}
    >>> setting = {"length_10": {"wrong_bits": 0.25}}
    >>> config = {"task": "copy", "model": "ntm", "seed": 1}
    >>> print(table([Found("a", config, [row], setting, [])]))
    | task | model | seed | solved is | solved after | minutes | wrong bits: length_10 |
    | --- | --- | --- | --- | --- | --- | --- |
    | copy | ntm | 1 | below 0.01 wrong bits a sequence | 800 | 1.5 | 0.25 |
    """
    settings = list(dict.fromkeys(name for run in runs for name in run.evaluation))
    heading = ["task", "model", "seed", "solved is", "solved after", "minutes"]
    heading += [f"{unit(runs)}: {name}" if name == settings[0] else name for name in settings]
    lines = [heading, ["---"] * len(heading)]
    for run in runs:
        cells = [str(run.config[name]) for name in ("task", "model", "seed")]
        cells.append(rule(make(run.config["task"], **run.config.get("task_options", {})).solved))
        cells.append("never" if run.solved is None else f"{run.solved.sequences:,}")
        cells.append(f"{run.training[-1]['seconds'] / 60:.1f}")
        for name in settings:
            found = run.evaluation.get(name)
            cells.append("" if found is None else f"{errors(found):.3g}")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def curves(runs: list[Found]) -> Figure:
    """What is wrong in a sequence, against the sequences seen, in thousands: a line a run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    models = sorted({run.config["model"] for run in runs})
    # A run of another version of memnets may have a model that is no more.
    colours = {m: MODELS[m].style.colour if m in MODELS else "grey" for m in models}
    for run in runs:
        axes.plot(
            [row["sequences"] / 1000 for row in run.training],
            [errors(row) for row in run.training],
            color=colours[run.config["model"]],
            alpha=0.8,
            linewidth=1.2,
        )
    for model in models:
        seeds = sorted(run.config["seed"] for run in runs if run.config["model"] == model)
        label = f"{model}, seeds {', '.join(map(str, seeds))}"
        axes.plot([], [], color=colours[model], label=label)
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("sequences seen (thousands)")
    axes.set_ylabel(f"{unit(runs)} per sequence")
    axes.set_title(", ".join(sorted({run.config["task"] for run in runs})), loc="left")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def main(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    picture: Path | None = None,
) -> None:
    """Sum up finished runs.

    Args:
        runs: their folders.
        picture: where to draw their curves.
    """
    try:
        found = [read_finished(folder) for folder in runs]
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from None
    print(table(found))
    if picture is not None:
        curves(found).savefig(picture)


if __name__ == "__main__":
    tyro.cli(main, prog="python -m training.compare.summary")

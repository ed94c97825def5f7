"""Sum up finished runs: a Markdown table and a picture of their curves.

`python -m training.compare.summary runs/a runs/b --picture curves.png` prints, for each run, after
how many sequences it solved its task and what it does at the evaluation's settings, all from its
own files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tasks import make
from training.evaluate.solved import outcome_of, rule
from training.files.metrics import read_rows, training_rows
from training.options.models import MODELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Finished:
    """What a run left in its folder."""

    name: str
    config: dict[str, Any]
    rows: list[dict[str, float]]
    """of metrics.jsonl"""
    evaluation: dict[str, dict[str, float]]

    @property
    def training(self) -> list[dict[str, float]]:
        """The rows that are about training."""
        return training_rows(self.rows)

    @property
    def solved(self) -> int | None:
        """The sequences after which it had solved its task; None: it never did."""
        first = outcome_of(self.config, self.rows, self.evaluation.get("training")).first
        return None if first is None else first.sequences


def errors(row: dict[str, float]) -> float:
    """The wrong bits of a row of metrics or figures, or what else its task counts as wrong.

    >>> errors({"bits_per_sequence": 3.5, "wrong_symbols": 0.25, "exact_match": 0.8})
    0.25
    """
    return row[errors_name(row)]


def errors_name(row: dict[str, float]) -> str:
    """What a row counts as wrong: wrong_bits, wrong_symbols or wrong_answers."""
    return next(name for name in row if name.startswith("wrong_"))


def unit(runs: list[Finished]) -> str:
    """What runs count as wrong, in words; runs of several tasks may count several things.

    >>> bits = Finished("a", {}, [{"wrong_bits": 0.0}], {})
    >>> unit([bits, Finished("b", {}, [{"wrong_symbols": 0.0}], {})])
    'wrong bits or wrong symbols'
    """
    names = dict.fromkeys(errors_name(row) for run in runs for row in run.training[:1])
    return " or ".join(names).replace("_", " ")


def read_run(folder: Path) -> Finished:
    """Read a run's files.

    Raises:
        FileNotFoundError: if the run is not finished, or the folder is no run.
    """
    for name in ("metrics.jsonl", "config.json", "evaluation.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}: give the folder of a finished run")
    return Finished(
        folder.name,
        json.loads((folder / "config.json").read_text()),
        read_rows(folder),
        json.loads((folder / "evaluation.json").read_text())["settings"],
    )


def table(runs: list[Finished]) -> str:
    """One row a run: when it was solved, its time, and what is wrong in a sequence of each setting.

    Solved is what the run's task states, in the column before.

    >>> row = {"sequences": 800, "wrong_bits": 0.0, "seconds": 90.0}
    >>> setting = {"length_10": {"wrong_bits": 0.25}}
    >>> config = {"task": "copy", "model": "ntm", "seed": 1}
    >>> print(table([Finished("a", config, [row], setting)]))
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
        cells.append("never" if run.solved is None else f"{run.solved:,}")
        cells.append(f"{run.training[-1]['seconds'] / 60:.1f}")
        for name in settings:
            found = run.evaluation.get(name)
            cells.append("" if found is None else f"{errors(found):.3g}")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def curves(runs: list[Finished]) -> Figure:
    """What is wrong in a sequence, against the sequences seen, in thousands: a line a run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    models = sorted({run.config["model"] for run in runs})
    # A run of another version of memnets may have a model that is no more.
    colours = {m: MODELS[m].look.colour if m in MODELS else "grey" for m in models}
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
        found = [read_run(folder) for folder in runs]
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    print(table(found))
    if picture is not None:
        curves(found).savefig(picture)


if __name__ == "__main__":
    tyro.cli(main, prog="python -m training.compare.summary")

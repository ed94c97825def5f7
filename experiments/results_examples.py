"""Draw what trained networks answer at unseen sizes, like the paper's figures 4, 5, 8, 9, 12."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from experiments.results import Summary, middle_run
from experiments.table import EXAMPLES, TARGETS, Example
from memnets.inspect.palette import INK
from memnets.inspect.plots.style import WRONG
from tasks.base import Task
from training.evaluate import evaluation, generalisation
from training.files import checkpoint
from training.options.config import Config, from_json, make_task
from training.options.seeds import seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def name_of(example: Example) -> str:
    """The file of an example.

    >>> name_of(EXAMPLES[0])
    'results_copy-ntm_figure_4.png'
    """
    return f"results_{example.row}_{example.figure.replace(' ', '_')}.png"


def of_task(task: str) -> list[Example]:
    """The examples of a task.

    >>> [example.figure for example in of_task("copy")]
    ['figure 4', 'figure 5']
    """
    return [example for example in EXAMPLES if example.row.startswith(task.replace("_", "-") + "-")]


def draw(runs: Path, summaries: dict[str, Summary], folder: Path) -> list[Path]:
    """Draw the examples of those rows that have evaluated runs: of the median seed at the last."""
    paths: list[Path] = []
    for example in EXAMPLES:
        summary = summaries.get(example.row)
        if summary is None:
            continue
        errors = TARGETS[summary["task"]].errors
        run = middle_run(summary, example.settings[-1], errors)
        if run is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        paths.append(folder / name_of(example))
        one = runs / f"{example.row}-seed{run['seed']}"
        drawn = picture(one, example, summary["model"], summary["memory_size"])
        drawn.savefig(paths[-1], metadata={"Software": None})
    return paths


def picture(folder: Path, example: Example, label: str, memory_size: int | None) -> Figure:
    """Draw one example from the last checkpoint of a run, with so many slots of memory."""
    config = from_json(checkpoint.read_config(folder))
    config = dataclasses.replace(config, device="cpu")
    saved = checkpoint.load(folder / checkpoint.LAST)
    layer = generalisation.build(config, saved, memory_size).eval()
    chosen = generalisation.choose(make_task(config), example.settings)
    seed = seeds(config.seed)[2]
    title = f"{TARGETS[config.task].title}, {label}, seed {config.seed}"
    if example.memory:
        ((name, task),) = chosen.items()
        drawn, _ = evaluation.picture(layer, task, f"{title}, {name.replace('_', ' ')}", seed=seed)
        drawn.set_dpi(90)
        return drawn
    return answers(layer, chosen, config, title, seed)


@torch.no_grad()
def answers(
    layer: nn.Module, chosen: dict[str, Task], config: Config, title: str, seed: int
) -> Figure:
    """Targets above answers for one sequence of each setting; wrong bits have a dot."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 1.15 * len(chosen) + 0.5), dpi=100, layout="constrained")
    drawn.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    panels: list[Axes] = list(drawn.subplots(2 * len(chosen), 1, squeeze=False)[:, 0])
    for index, (name, task) in enumerate(chosen.items()):
        batch = task.sample(1, torch.Generator().manual_seed(seed))
        outputs, _ = layer(batch.inputs)
        scored = batch.mask[:, 0] > 0
        targets = batch.targets[scored, 0].numpy()
        found = task.cost.activate(outputs[scored, 0]).numpy()
        wrong = ((found > 0.5) != (targets > 0.5)) | np.isnan(found)
        above, below = panels[2 * index : 2 * index + 2]
        for axes, values, said in ((above, targets, "target"), (below, found, "answer")):
            axes.imshow(
                values.T, aspect="auto", interpolation="nearest", cmap="Greys", vmin=0, vmax=1
            )
            axes.set_ylabel(said, fontsize=7, color=INK, rotation=0, ha="right", va="center")
            axes.set_yticks([])
            axes.tick_params(labelsize=7, colors=INK, length=2)
        steps, bits = wrong.nonzero()
        below.scatter(steps, bits, s=5, color=WRONG, linewidths=0)
        above.set_xticks([])
        count = f"{int(wrong.sum()):,} wrong of {wrong.size:,} bits"
        above.set_title(f"{name.replace('_', ' ')}: {count}", loc="left", fontsize=8, color=INK)
    return drawn

"""How the ways to learn of docs/learning.md go: its programs, run and drawn.

`python -m experiments.learning`, some twenty core-seconds, runs the Python of the page as its tests
do, and writes docs/results/learning.json and docs/pictures/learning.png, which the page shows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import tyro

from experiments.kept import write
from memnets.inspect import palette
from training.files import provenance
from training.files.provenance import ROOT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Options:
    """Run the page's programs, and write the figure."""

    page: Path = ROOT / "docs" / "learning.md"
    """whose blocks of Python are run, one after the other"""
    folder: Path = ROOT / "docs"
    """where results/ and pictures/ are"""


def curves(page: str) -> dict[str, Sequence[float]]:
    """Run the programs of a page, and return what each kept of how it learned.

    >>> page = ["lessons = {'BPTT': [1.0]}", "evolved = [3]", "bred = [2]", "aligned = [4.0]"]
    >>> curves("".join(f"```python\\n{block}\\n```\\n" for block in page))["evolution strategies"]
    [3]
    """
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "page", "exec"), names)
    return {
        **names["lessons"],
        "evolution strategies": names["evolved"],
        "genetic algorithm": names["bred"],
        "temporal classification": names["aligned"],
    }


def figure(found: Mapping[str, Sequence[float]]) -> Figure:
    """Gradients without plain BPTT, evolution, and answers without an alignment."""
    from matplotlib.figure import Figure

    *lessons, strategies, genetic, aligned = found
    panels = (
        ("an Elman cell learns another's", "updates", "mean square of the error", lessons),
        (
            "an NTM copies three bits",
            "generations of 256",
            "wrong bits of 24",
            (strategies, genetic),
        ),
        ("two NTMs spell words", "batches of 16", "cost of a symbol, nats", (aligned,)),
    )
    drawing = Figure(figsize=(11, 3.2), dpi=110, layout="constrained")
    for axes, (title, x, y, names) in zip(drawing.subplots(1, 3), panels, strict=True):
        for number, name in enumerate(names):
            style = "--" if name == "in real time" else "-"  # it lies on BPTT's
            axes.plot(found[name], style, color=palette.LINES[number], label=name)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel(x, fontsize=9)
        axes.set_ylabel(y, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7)
    drawing.axes[0].set_yscale("log")
    return drawing


def main(options: Options) -> int:
    """Run the programs, and write the curves and their figure; return the exit status."""
    torch.set_num_threads(1)
    found = curves(options.page.read_text())
    commit = provenance.facts()["commit"]
    kept = [{"name": name, "commit": commit, "curve": list(curve)} for name, curve in found.items()]
    write(options.folder, "learning", kept, figure(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.learning", description=__doc__)))

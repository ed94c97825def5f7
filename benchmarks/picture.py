"""The chart of a comparison: microseconds per training step, a panel for each case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare import Comparison
from benchmarks.contestants import LSTM

COLOURS = {"own": "#1f5fa8", "reference": "#9dbfe3", "floor": "#2b2b2b", "rival": "#c9822b"}
"""memnets' fast paths, its readable path, nn.LSTM, and other packages."""


def draw(found: Sequence[Comparison], target: Path) -> None:
    """Write a PNG with horizontal bars on a logarithmic axis, the fastest on top.

    Raises:
        ImportError: without matplotlib, which the extra `train` installs.
    """
    # Imported here: whoever wants only the table needs no matplotlib.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [(one.case.title, _bars(one.rows)) for one in found]
    bars = [len(lines) for _, lines in panels]
    figure = Figure(figsize=(8, 0.36 * sum(bars) + 0.72 * len(bars) + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": bars}
    )[:, 0]
    longest = max(us for _, lines in panels for _, us, _ in lines)
    shortest = min(us for _, lines in panels for _, us, _ in lines)
    for panel, (title, lines) in zip(axes, panels, strict=True):
        places = range(len(lines))
        panel.barh(
            places, [us for _, us, _ in lines], color=[colour for *_, colour in lines], height=0.7
        )
        panel.set_yticks(places, [name for name, *_ in lines], fontsize=9)
        panel.invert_yaxis()
        panel.set_xscale("log")
        panel.set_xlim(10 ** math.floor(math.log10(shortest)), 2.5 * longest)
        panel.xaxis.set_major_formatter("{x:,.0f}")
        panel.grid(axis="x", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        for place, (_, us, _) in zip(places, lines, strict=True):
            panel.text(us * 1.06, place, f"{us:,.0f}", va="center", fontsize=9)
        panel.set_title(title, loc="left", fontsize=10, fontweight="bold")
        panel.spines[["top", "right", "left", "bottom"]].set_visible(False)
        panel.tick_params(which="both", length=0)
    axes[-1].set_xlabel("microseconds per training step (logarithmic; shorter is faster)")
    figure.savefig(target, dpi=150)


def _bars(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, str]]:
    """Name, microseconds per training step and colour, the fastest first."""
    lines = [
        (row["contestant"], row["microseconds_per_step"]["median"], _colour(row))
        for row in rows
        if row["pass"] == "training"
    ]
    return sorted(lines, key=lambda line: line[1])


def _colour(row: Mapping[str, Any]) -> str:
    if row["contestant"] == LSTM:
        return COLOURS["floor"]
    if not row["own"]:
        return COLOURS["rival"]
    return COLOURS["reference" if row["contestant"].endswith(" reference") else "own"]

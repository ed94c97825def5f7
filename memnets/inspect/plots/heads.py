"""How each head moves over a sequence: its weighting, its gates, and how sharp its focus is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from memnets.inspect.palette import BLUE, GREEN, INK, ORANGE, PALE, PINK, SKY
from memnets.inspect.plots.style import (
    WEIGHTS,
    array,
    check_one_sequence,
    colour_bar,
    heading,
    image,
    tidy,
    time_axis,
    used_slots,
)
from memnets.inspect.record import Trace
from memnets.panels import Lines, Panel, Shares, Slots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[["Axes"], None]
LEGEND: dict[str, Any] = {"fontsize": 7, "framealpha": 0.8, "edgecolor": "none"}
HEIGHTS = {"weighting": 1.7, "usage": 1.7}
"""of the rows that are images, in inches; the others are lower"""


def slots_in_focus(weights: Tensor) -> Tensor:
    """How many slots a weighting spreads over: exp of its entropy, from 1 (one slot) to N (all).

    Args:
        weights: [..., N], at least 0. What they sum to does not matter, unless it is 0: then NaN.

    Returns:
        [...]

    >>> slots_in_focus(torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]]))
    tensor([1., 2.])
    """
    shares = weights / weights.sum(-1, keepdim=True)
    return torch.exp(-torch.special.xlogy(shares, shares).sum(-1))


def heads_figure(trace: Trace, *, title: str = "", all_slots: bool = False) -> Figure:
    """Draw the heads over time, write heads at the left: weightings, gates and focus.

    An NTM's heads have their content gate (NTM eq. 7), mean shift (eq. 8) and sharpening (eq. 9).
    A DNC's write heads have their write and allocation gates, and the memory's usage; its read
    heads their free gate, and their read modes, stacked. Heads of your own have what all have.

    Args:
        trace: what `memnets.record` gave for one sequence (without a batch axis).
        title: printed above.
        all_slots: draw every memory slot, and not only the range of slots that some head used.

    Raises:
        ValueError: the trace has a batch axis.

    >>> import memnets
    >>> layer = memnets.DNC(3, 2, memory_size=8, word_size=4, read_heads=2)
    >>> figure = heads_figure(memnets.record(layer, torch.zeros(6, 3)))
    >>> [axes.get_title() for axes in figure.axes if axes.get_title()]
    ['write head', 'read head 1', 'read head 2']
    """
    from matplotlib.figure import Figure

    check_one_sequence(trace)
    writes = array(trace.memory.write_weights).swapaxes(0, 1)
    reads = array(trace.memory.read_weights).swapaxes(0, 1)
    slots = used_slots([*writes, *reads], all_slots)
    columns = _columns(trace, slots)
    rows = max(map(len, columns.values()))
    first = next(iter(columns.values()))
    heights = [HEIGHTS.get(name, 0.85) for name in first]
    width = min(2.2 + 2.6 * len(columns), 14.0)
    figure = Figure(figsize=(width, sum(heights) + 1.0), dpi=150, layout="constrained")
    grid = figure.subplots(
        rows, len(columns), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    heading(figure, title)
    for number, (name, panels) in enumerate(columns.items()):
        for axis, draw in zip(grid[:, number], panels.values(), strict=True):
            draw(axis)
            axis.tick_params(bottom=axis is grid[-1, number])
        grid[0, number].set_title(name, fontsize=9, color=INK)
        time_axis(grid[-1, number])
        figure.align_ylabels(grid[:, number])
    grid[0, 0].set_xlim(-0.5, len(writes[0]) - 0.5)
    label = "weight, usage" if "usage" in first else "weight"
    colour_bar(figure, grid[0, -1].images[0], list(grid[0]), label, [0, 0.5, 1])
    return figure


def _columns(trace: Trace, slots: np.ndarray) -> dict[str, dict[str, Draw]]:
    """The panels of each head, by the head's name; all have as many."""
    memory, found = trace.memory, {}
    for kind, weights in (("write", memory.write_weights), ("read", memory.read_weights)):
        count = weights.shape[1]
        for head in range(count):
            panels = {"weighting": _slots(Slots("slot", weights[:, head]), slots)}
            if hasattr(trace.interface, "panels"):  # not that of parts of your own
                own = trace.interface.panels(memory, kind, head)
                panels |= {name: _drawn(panel, slots) for name, panel in own.items()}
            panels["focus"] = _focus(weights[:, head])
            found[f"{kind} head{f' {head + 1}' if count > 1 else ''}"] = panels
    return found


def _drawn(panel: Panel, slots: np.ndarray) -> Draw:
    if isinstance(panel, Slots):
        return _slots(panel, slots)
    return _lines(panel) if isinstance(panel, Lines) else _shares(panel)


def _slots(panel: Slots, slots: np.ndarray) -> Draw:
    values = array(panel.values)[:, slots]
    return lambda axis: _keep(image(axis, values, panel.label, WEIGHTS, slots=slots))


def _keep(_drawn: Any) -> None:
    """Panels draw and return nothing."""


def _lines(panel: Lines) -> Draw:
    values, limits = panel.values, panel.limits

    def draw(axis: Axes) -> None:
        tidy(axis, panel.label)
        for colour, (name, line) in zip((BLUE, ORANGE), values.items(), strict=False):
            axis.plot(
                array(line),
                color=colour,
                linestyle="-" if colour == BLUE else "--",
                linewidth=1.2,
                marker=".",
                markersize=3,
                label=name or None,
            )
        if limits is not None:
            low, high = limits
            axis.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
            axis.set_yticks([low, (low + high) / 2, high])
        axis.yaxis.set_major_formatter("{x:g}")
        axis.grid(axis="y", color=PALE, linewidth=0.4)
        if len(values) > 1:
            axis.legend(loc="lower left", **LEGEND)

    return draw


def _shares(panel: Shares) -> Draw:
    """Numbers that sum to 1, stacked."""

    def draw(axis: Axes) -> None:
        values = {name: array(one) for name, one in panel.values.items()}
        steps = np.arange(max(map(len, values.values())))
        bottom = np.zeros(len(steps))
        for colour, (name, part) in zip((PINK, SKY, GREEN), values.items(), strict=False):
            axis.bar(steps, part, 1.0, bottom, color=colour, label=name, linewidth=0)
            bottom += part
        tidy(axis, panel.label)
        axis.set_ylim(0, 1)
        axis.set_yticks([0, 0.5, 1])
        axis.legend(loc="upper left", **LEGEND)

    return draw


def _focus(weights: Tensor) -> Draw:
    def draw(axis: Axes) -> None:
        # A weighting that sums to nearly 0 writes nothing, wherever that may be.
        faint = array(weights.sum(-1)) < 0.01
        focus = array(slots_in_focus(weights))
        focus[faint] = np.nan
        tidy(axis, "slots in focus")
        axis.plot(focus, color=BLUE, linewidth=1.2, marker=".", markersize=3)
        size = weights.shape[-1]
        axis.set_yscale("log", base=2)
        axis.set_ylim(0.85, size * 1.18)
        axis.set_yticks([1, size] if size < 4 else [1, round(size**0.5), size])
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.grid(axis="y", color=PALE, linewidth=0.4)

    return draw

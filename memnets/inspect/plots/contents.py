"""What is in a memory at some steps, and a DNC's links between slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memnets.inspect.palette import INK
from memnets.inspect.plots.style import (
    CONTENTS,
    WEIGHTS,
    array,
    check_one_sequence,
    colour_bar,
    heading,
    image,
    symmetric_ticks,
)
from memnets.inspect.record import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def memory_figure(
    trace: Trace,
    *,
    steps: Sequence[int] | None = None,
    slots: Sequence[int] | None = None,
    title: str = "",
) -> Figure:
    """Draw the contents of the memory after some steps, side by side: a row a slot, 0 is white.

    Args:
        trace: what `memnets.record` gave for one sequence (without a batch axis).
        steps: which, from 0; below 0 they count from the end. None: four, evenly spaced.
        slots: which, in their order; None: all.
        title: printed above.

    Raises:
        ValueError: the trace has a batch axis, or there is no such step or slot.

    >>> import memnets, torch
    >>> layer = memnets.NTM(3, 2, memory_size=8, word_size=4)
    >>> figure = memory_figure(memnets.record(layer, torch.zeros(9, 3)), steps=[0, -1])
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['after step 0', 'after step 8']
    """
    check_one_sequence(trace)
    contents = array(trace.memory.memory)
    time, size, _ = contents.shape
    if steps is None:
        steps = sorted({round(step) for step in np.linspace(0, time - 1, 4)})
    steps = _within("steps", steps, time)
    rows = np.array(_within("slots", range(size) if slots is None else slots, size))
    shown = contents[steps][:, rows]
    figure, grid = _panels(len(shown), 1.5, 0.9 + min(0.11 * len(rows), 5.0), title)
    largest = float(np.abs(shown).max()) or 1.0
    for axis, step, values in zip(grid, steps, shown, strict=True):
        image(axis, values.T, "", CONTENTS, slots=rows, low=-largest, high=largest)
        axis.set_title(f"after step {step}", fontsize=9, color=INK)
        axis.set_xlabel("number in the word", fontsize=9, color=INK)
    grid[0].set_ylabel("slot", fontsize=9, color=INK)
    colour_bar(figure, grid[-1].images[0], grid, "content", symmetric_ticks(largest))
    return figure


def link_figure(trace: Trace, *, step: int = -1, head: int = 0, title: str = "") -> Figure:
    """Draw a DNC's link matrix after a step, by slot and in the order in which slots were written.

    Entry i, j is how much slot i was written right after slot j (DNC Methods, "Temporal memory
    linkage"). In the order of the writes, a memory that was written once from first to last has all
    its links just below the diagonal.

    Args:
        trace: what `memnets.record` gave for one sequence of a DNC (without a batch axis).
        step: from 0; below 0 it counts from the end.
        head: the write head.
        title: printed above.

    Raises:
        ValueError: the trace has a batch axis, its layer has no links, or there is no such step or
            head.

    >>> import memnets, torch
    >>> layer = memnets.DNC(3, 2, memory_size=8, word_size=4)
    >>> figure = link_figure(memnets.record(layer, torch.zeros(9, 3)))
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['slots by number', 'slots as they were written']
    """
    check_one_sequence(trace)
    if not hasattr(trace.memory, "link"):
        raise ValueError(
            f"trace must be of a DNC: a {type(trace.memory).__name__} has no link matrix."
        )
    if isinstance(trace.memory.link, tuple):
        raise ValueError("trace must be of a DNC with a linkage: with linkage=None it has no link.")
    links = array(trace.memory.link)
    (step,) = _within("step", [step], len(links))
    (head,) = _within("head", [head], links.shape[1])
    matrix = links[step, head]
    strengths = array(trace.memory.write_weights)[: step + 1, head]
    numbers = np.arange(len(matrix))
    written = np.flatnonzero(strengths.max(0) > 0.1)
    in_order = written[np.argsort(strengths[:, written].argmax(0), kind="stable")]
    figure, grid = _panels(2, 2.6, 3.2, title)
    orders = [("slots by number", numbers), ("slots as they were written", in_order)]
    for axis, (name, order) in zip(grid, orders, strict=True):
        values = matrix[np.ix_(order, order)]
        image(axis, values.T, "", WEIGHTS, slots=order, low=0.0, high=1.0)
        axis.set_xticks(axis.get_yticks(), [text.get_text() for text in axis.get_yticklabels()])
        axis.set_aspect("equal")
        axis.set_title(name, fontsize=9, color=INK)
        axis.set_xlabel("from slot", fontsize=9, color=INK)
    grid[0].set_ylabel("to slot", fontsize=9, color=INK)
    colour_bar(figure, grid[-1].images[0], grid, "link", [0, 0.5, 1])
    return figure


def _panels(count: int, width: float, height: float, title: str) -> tuple[Figure, list[Any]]:
    from matplotlib.figure import Figure

    size = (min(1.2 + width * count, 14.0), height)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    heading(figure, title)
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _within(name: str, wanted: Sequence[int], size: int) -> list[int]:
    """The numbers, those below 0 counted from the end.

    Raises:
        ValueError: one is out of range.
    """
    wrong = [number for number in wanted if not -size <= number < size]
    if wrong or not len(wanted):
        raise ValueError(f"{name} must be from {-size} to {size - 1}, got {list(wanted)}.")
    return [number % size for number in wanted]

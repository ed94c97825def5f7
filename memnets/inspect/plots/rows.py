"""Channels over time: rows with names, and a colour scale for each range of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from memnets.inspect.palette import PALE
from memnets.inspect.plots.style import BITS, CONTENTS, array, colour_bar, image, symmetric_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Rows = Sequence[tuple[str, int, tuple[float, float]]]
"""Neighbouring channels of one kind, in order: their name, count, and least and greatest value."""

LABEL_HEIGHT = 0.11
"""inches that the name of a row needs"""
LOWEST, HIGHEST = 0.6, 2.6
"""inches of a panel"""


class Panel(NamedTuple):
    """Channels to draw below each other, over time."""

    label: str
    values: np.ndarray
    """[T, channels]"""
    rows: Rows | None


class Scale(NamedTuple):
    """A range of values that some of the channels share."""

    low: float
    high: float
    channels: np.ndarray
    """[channels], True for those of this range"""
    names: tuple[str, ...]

    @property
    def is_bits(self) -> bool:
        """Whether values run from 0 to 1: these are grey, all others brown, white and green."""
        return (self.low, self.high) == (0.0, 1.0)

    @property
    def limits(self) -> tuple[float, float]:
        """The values at the ends of the colours; 0 is white in both sets of colours."""
        end = max(abs(self.low), abs(self.high))
        return (0.0, 1.0) if self.is_bits else (-end, end)

    def alone(self, values: np.ndarray) -> np.ndarray:
        """The values [T, channels], NaN in the channels of other ranges."""
        return np.where(self.channels, values, np.nan)


def panel(label: str, values: Tensor, rows: Rows | None, *, argument: str) -> Panel:
    """A panel of values [T, channels]; refuses rows that do not describe every channel.

    Raises:
        ValueError: the counts do not add up to the channels, or a range is empty.
    """
    counts = [count for _, count, _ in rows or ()]
    if rows is not None and (sum(counts) != values.shape[1] or min(counts) < 1):
        raise ValueError(
            f"{argument} must describe all {values.shape[1]} channels, but the counts are "
            f"{counts}: give a name, a count of 1 or more and a range for each kind of channel, "
            "in order."
        )
    for name, _, (low, high) in rows or ():
        if not low < high:
            raise ValueError(
                f"{argument}: the range of {name} must go from its least to its greatest value, "
                f"got {low} to {high}."
            )
    return Panel(label, array(values), rows)


def scales(shown: Panel) -> list[Scale]:
    """The ranges of a panel's values, that from 0 to 1 first.

    Without rows, all channels with a value below 0 or above 1 have the range of these.

    >>> rows = [("bits", 2, (0, 1)), ("key", 1, (-1, 1))]
    >>> [scale.names for scale in scales(Panel("input", np.eye(3), rows))]
    [('bits',), ('key',)]
    >>> values = np.array([[0.0, -2.0], [1.0, 0.0]])
    >>> [scale.channels.tolist() for scale in scales(Panel("input", values, None))]
    [[True, False], [False, True]]
    """
    rows = _found_rows(shown.values) if shown.rows is None else shown.rows
    ends = np.cumsum([count for _, count, _ in rows])
    found: list[Scale] = []
    for low, high in sorted({limits for *_, limits in rows}, key=lambda one: one != (0, 1)):
        channels, names = np.zeros(shown.values.shape[1], bool), []
        for (name, count, limits), end in zip(rows, ends, strict=True):
            if limits == (low, high):
                channels[end - count : end] = True
                names.append(name)
        found.append(Scale(float(low), float(high), channels, tuple(names)))
    return found


def _found_rows(values: np.ndarray) -> Rows:
    """A nameless row for each channel, of the range that its values show."""
    least, greatest = np.nanmin(values, 0, initial=0.0), np.nanmax(values, 0, initial=0.0)
    outside = (least < 0) | (greatest > 1)
    whole = (
        float(least.min(where=outside, initial=0.0)),
        float(greatest.max(where=outside, initial=0.0)),
    )
    return [("", 1, whole if out else (0.0, 1.0)) for out in outside]


def draw_rows(axis: Axes, shown: Panel, ranges: Sequence[Scale]) -> list[AxesImage]:
    """Draw a panel, channel 0 at the top: an image for every range."""
    drawn = []
    for scale in ranges:
        (low, high), colours = scale.limits, BITS if scale.is_bits else CONTENTS
        values = scale.alone(shown.values)
        drawn.append(image(axis, values, shown.label, colours, low=low, high=high))
    if shown.rows is not None:
        counts = np.array([count for _, count, _ in shown.rows])
        ends = counts.cumsum()
        axis.set_yticks(ends - counts / 2 - 0.5, [name for name, *_ in shown.rows], fontsize=7)
        for end in ends[:-1]:
            axis.axhline(end - 0.5, color=PALE, linewidth=0.6)
    return drawn


def panel_height(shown: Panel) -> float:
    """Inches of a panel in which neither its label nor the names of its rows overlap others."""
    counts = np.array([count for _, count, _ in shown.rows or ()])
    apart = (counts[1:] + counts[:-1]) / 2
    channels = shown.values.shape[1]
    names = 0.2 + channels * LABEL_HEIGHT / apart.min(initial=np.inf)
    return max(min(max(0.2 + 0.075 * channels, LOWEST), HIGHEST), names)


def scale_bar(figure: Figure, scale: Scale, drawn: AxesImage, axes: Sequence[Axes]) -> None:
    """The colour bar of a range of values beside the panels that have it."""
    label = "value" if scale.is_bits else "\n".join(filter(None, scale.names)) or "value"
    ticks = [0, 0.5, 1] if scale.is_bits else symmetric_ticks(scale.limits[1])
    colour_bar(figure, drawn, axes, label, ticks)

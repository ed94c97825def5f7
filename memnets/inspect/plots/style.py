"""What all pictures share: colours that the colour-blind can tell apart, axes, arrays, slots.

Lines take the palette of Okabe and Ito; weightings and usage are viridis, bits are grey, and the
memory's contents run from brown through white (0) to green-blue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from memnets.inspect.palette import (
    INK,
    PALE,
    VERMILION,
)
from memnets.inspect.record import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WRONG = VERMILION
BITS, WEIGHTS, CONTENTS = "Greys", "viridis", "BrBG"


def check_one_sequence(trace: Trace) -> None:
    """Refuse a trace of a batch.

    Raises:
        ValueError: the trace has a batch axis; the message says how to take one row of it.
    """
    if trace.outputs.dim() != 2:
        raise ValueError(
            f"trace must be of one sequence, without a batch axis; its outputs are "
            f"{list(trace.outputs.shape)}. Take one of them with "
            "memnets.map_tensors(lambda part: part[:, 0], trace)."
        )


def array(tensor: Tensor) -> np.ndarray:
    """A copy as float64, whatever the device."""
    return tensor.detach().to("cpu", torch.float64).numpy().copy()


def used_slots(weightings: Sequence[np.ndarray], all_slots: bool = False) -> np.ndarray:
    """The slots to draw: the shortest run, maybe around the end, that holds all used ones.

    Args:
        weightings: [T, N] of each head.
        all_slots: all of them, used or not.
    """
    size = weightings[0].shape[1]
    strongest = np.max([head.max(axis=0) for head in weightings], axis=0)
    used = np.flatnonzero(strongest > 0.1)
    if all_slots or len(used) == 0:
        return np.arange(size)
    # Shifts go around the end, so the memory is a ring: leave out its longest unused part.
    gaps = np.diff(used, append=used[0] + size)
    start = used[(int(gaps.argmax()) + 1) % len(used)]
    length = size - int(gaps.max()) + 1
    length, start = min(length + 2, size), start - 1  # one unused slot at either side
    return np.arange(start, start + length) % size if length < size else np.arange(size)


def tidy(axis: Axes, label: str = "") -> None:
    """Small grey axes that do not shout over the data."""
    axis.set_ylabel(label, fontsize=9, color=INK)
    axis.tick_params(labelsize=8, colors=INK, length=2)
    for spine in axis.spines.values():
        spine.set_color(PALE)
        spine.set_linewidth(0.6)


def image(
    axis: Axes,
    values: np.ndarray,
    label: str,
    colours: str,
    *,
    slots: np.ndarray | None = None,
    low: float | None = None,
    high: float | None = None,
) -> AxesImage:
    """One panel: values [T, rows], time to the right, row 0 at the top, and ticks at some rows."""
    rows = values.shape[1]
    axis.set_facecolor("#eef1f4")
    least, most = np.nanmin(values, initial=0.0), np.nanmax(values, initial=1.0)
    drawn = axis.imshow(
        values.T,
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=float(least) if low is None else low,
        vmax=float(most) if high is None else high,
    )
    tidy(axis, label)
    if slots is None:
        axis.set_yticks([0, rows - 1] if rows > 1 else [0])
    else:
        every = max(1, int(np.ceil(rows / 6)))
        axis.set_yticks(np.arange(0, rows, every), [str(slot) for slot in slots[::every]])
    return drawn


def colour_bar(
    figure: Figure, drawn: AxesImage, axes: Sequence[Axes], label: str, ticks: Sequence[float]
) -> None:
    """A thin bar beside some panels."""
    bar = figure.colorbar(
        drawn, ax=list(axes), ticks=list(ticks), fraction=0.02, pad=0.01, aspect=25
    )
    bar.set_label(label, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK, length=2)
    bar.outline.set_visible(False)  # type: ignore[operator]


def time_axis(axis: Axes) -> None:
    """Steps are whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axis.set_xlabel("time step", fontsize=9, color=INK)


def symmetric_ticks(largest: float) -> list[float]:
    """Ticks for values from minus to plus this.

    >>> symmetric_ticks(4.37), symmetric_ticks(0.98)
    ([-4.0, 0.0, 4.0], [-0.9, 0.0, 0.9])
    """
    unit = 10.0 ** np.floor(np.log10(largest))
    end = float(f"{np.floor(largest / unit) * unit:.1g}")
    return [-end, 0.0, end]


def heading(figure: Figure, title: str) -> None:
    """A title at the left."""
    if title:
        figure.suptitle(title, fontsize=11, color=INK, x=0.01, ha="left")

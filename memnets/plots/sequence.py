"""One sequence over time: what went in, what came out, and where the heads were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from memnets.plots.style import (
    BITS,
    WEIGHTS,
    WRONG,
    array,
    colour_bar,
    heading,
    image,
    time_axis,
    used_slots,
)
from memnets.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def sequence_figure(
    inputs: Tensor,
    targets: Tensor,
    outputs: Tensor,
    trace: Trace | None = None,
    *,
    mask: Tensor | None = None,
    title: str = "",
    all_slots: bool = False,
    mark_wrong: bool = True,
) -> Figure:
    """Draw one sequence over time: inputs, targets, outputs, and the weightings of the heads.

    It is the picture of figures 4 to 6 of the NTM paper. Every wrong bit has an orange dot.

    Args:
        inputs: [T, I].
        targets: [T, O], in [0, 1].
        outputs: [T, O], the probabilities of a 1 (not logits).
        trace: what `memnets.record` gave for this one sequence (without a batch axis), or None.
        mask: [T], 0 for steps that are not scored: their targets and outputs are left blank.
        title: printed above.
        all_slots: draw every memory slot, and not only the range of slots that some head used.
        mark_wrong: whether targets are bits, of which the wrong ones are marked.

    Returns:
        A matplotlib figure; `figure.savefig("sequence.png")` saves it.

    Raises:
        ValueError: inputs, targets, outputs, mask or trace are not all of one sequence.

    >>> import memnets, torch
    >>> layer, x = memnets.NTM(3, 2, memory_size=8, word_size=4), torch.zeros(6, 3)
    >>> trace = memnets.record(layer, x)
    >>> figure = sequence_figure(x, torch.zeros(6, 2), trace.outputs.sigmoid(), trace)
    >>> [axes.get_ylabel() for axes in figure.axes[:5]]
    ['input', 'target', 'output', 'written slot', 'read slot']
    """
    _check(inputs, targets, outputs, trace, mask)
    panels = [("input", array(inputs)), ("target", array(targets)), ("output", array(outputs))]
    if mask is not None:
        silent = array(mask) == 0
        for _, bits in panels[1:]:
            bits[silent] = np.nan
    weightings = _weightings(trace)
    found = [values for _, values in weightings]
    window = used_slots(found, all_slots) if found else np.arange(0)
    weightings = [(label, values[:, window]) for label, values in weightings]
    return _draw(panels, weightings, window, title, mark_wrong)


def pixels(figure: Figure) -> np.ndarray:
    """Render a figure as uint8 [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _check(
    inputs: Tensor, targets: Tensor, outputs: Tensor, trace: Trace | None, mask: Tensor | None
) -> None:
    shapes = {"inputs": inputs.shape, "targets": targets.shape, "outputs": outputs.shape}
    time = inputs.shape[0]
    if any(len(shape) != 2 or shape[0] != time for shape in shapes.values()):
        raise ValueError(
            f"inputs, targets and outputs must be [T, ...] of one sequence, got {shapes}"
        )
    if targets.shape != outputs.shape:
        raise ValueError(f"targets and outputs must have the same shape, got {shapes}")
    if mask is not None and mask.shape != (time,):
        raise ValueError(f"mask must be [T] with T = {time}, got {list(mask.shape)}")
    if trace is not None and trace.outputs.shape != outputs.shape:
        raise ValueError(
            f"trace must be of this sequence alone, without a batch axis: its outputs are "
            f"{list(trace.outputs.shape)} and must be {list(outputs.shape)}"
        )


def _weightings(trace: Trace | None) -> list[tuple[str, np.ndarray]]:
    """The weightings [T, N] of each head, write heads first, with their labels."""
    found: list[tuple[str, np.ndarray]] = []
    if trace is None:
        return found
    for label, weights in (
        ("written", trace.memory.write_weights),
        ("read", trace.memory.read_weights),
    ):
        heads = array(weights).swapaxes(0, 1)
        for index, head in enumerate(heads):
            number = f"\nhead {index + 1}" if len(heads) > 1 else ""
            found.append((f"{label} slot{number}", head))
    return found


def _draw(
    panels: list[tuple[str, np.ndarray]],
    weightings: list[tuple[str, np.ndarray]],
    window: np.ndarray,
    title: str,
    mark_wrong: bool,
) -> Figure:
    from matplotlib.figure import Figure

    time = len(panels[0][1])
    heights = [0.2 + 0.075 * values.shape[1] for _, values in panels]
    heights += [min(max(0.25 + 0.055 * len(window), 0.9), 2.6)] * len(weightings)
    width = min(max(3.0 + 0.11 * time, 6.0), 14.0)
    figure = Figure(
        figsize=(width, sum(heights) + 0.16 * len(heights) + 0.9), dpi=150, layout="constrained"
    )
    axes: list[Axes] = list(
        figure.subplots(
            len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
        )[:, 0]
    )
    heading(figure, title)
    images = [
        image(axis, bits, label, BITS) for axis, (label, bits) in zip(axes, panels, strict=False)
    ]
    images += [
        image(axis, weights, label, WEIGHTS, slots=window)
        for axis, (label, weights) in zip(axes[3:], weightings, strict=True)
    ]
    if mark_wrong:
        _mark_wrong(axes[2], panels[1][1], panels[2][1])
    bars = [(images[2], axes[:3], "bit"), (images[-1], axes[3:], "weight")]
    for drawn, group, label in bars if weightings else bars[:1]:
        colour_bar(figure, drawn, group, label, [0, 0.5, 1])
    for axis in axes[:-1]:
        axis.tick_params(bottom=False)
    figure.align_ylabels(axes)
    time_axis(axes[-1])
    return figure


def _mark_wrong(axis: Axes, targets: np.ndarray, outputs: np.ndarray) -> None:
    scored = ~np.isnan(targets)
    steps, bits = np.nonzero(scored & ((outputs > 0.5) != (targets > 0.5)))
    axis.scatter(steps, bits, s=9, color=WRONG, linewidths=0)

"""One sequence over time: what went in, what came out, and where the heads were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from memnets.inspect.palette import INK
from memnets.inspect.plots.rows import (
    Panel,
    Rows,
    draw_rows,
    panel,
    panel_height,
    scale_bar,
    scales,
)
from memnets.inspect.plots.style import (
    WEIGHTS,
    WRONG,
    array,
    colour_bar,
    heading,
    image,
    time_axis,
    used_slots,
)
from memnets.inspect.record import Trace

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
    symbols: bool = False,
    input_rows: Rows | None = None,
    output_rows: Rows | None = None,
) -> Figure:
    """Draw one sequence over time: inputs, targets, outputs, and the weightings of the heads.

    It is the picture of figures 4 to 6 of the NTM paper. Every wrong bit or symbol has an orange
    dot. Values from 0 to 1 are grey; rows of another range have a colour scale of their own.

    Args:
        inputs: [T, I].
        targets: [T, O], in [0, 1].
        outputs: [T, O], the probabilities of a 1 (not logits).
        trace: what `memnets.record` gave for this one sequence (without a batch axis), or None.
        mask: [T], 0 for steps that are not scored: their targets and outputs are left blank.
        title: printed above.
        all_slots: draw every memory slot, and not only the range of slots that some head used.
        mark_wrong: whether to mark wrong answers.
        symbols: whether the answer of a step is a symbol, that of the largest output; a wrong one
            is marked there. False: every output is a bit, 1 above 0.5.
        input_rows: what the channels of the inputs hold: name, count and range of neighbouring
            channels, in order, such as ("bits", 8, (0, 1)), ("priority", 1, (-1, 1)). A value
            outside of the range has the colour of its end. None: rows are numbered, and channels
            with values below 0 or above 1 have the range of these.
        output_rows: the same for the targets and outputs.

    Returns:
        A matplotlib figure; `figure.savefig("sequence.png")` saves it.

    Raises:
        ValueError: inputs, targets, outputs, mask or trace are not all of one sequence, or rows do
            not describe every channel.

    >>> import memnets, torch
    >>> layer, x = memnets.NTM(3, 2, memory_size=8, word_size=4), torch.zeros(6, 3)
    >>> trace = memnets.record(layer, x)
    >>> figure = sequence_figure(x, torch.zeros(6, 2), trace.outputs.sigmoid(), trace)
    >>> [axes.get_ylabel() for axes in figure.axes[:5]]
    ['input', 'target', 'output', 'written slot', 'read slot']
    """
    _check(inputs, targets, outputs, trace, mask)
    panels = [
        panel("input", inputs, input_rows, argument="input_rows"),
        panel("target", targets, output_rows, argument="output_rows"),
        panel("output", outputs, output_rows, argument="output_rows"),
    ]
    if mask is not None:
        for one in panels[1:]:
            one.values[array(mask) == 0] = np.nan
    weightings = _weightings(trace)
    found = [values for _, values in weightings]
    window = used_slots(found, all_slots) if found else np.arange(0)
    weightings = [(label, values[:, window]) for label, values in weightings]
    marks = "symbol" if symbols else "bit"
    return _draw(panels, weightings, window, title, marks if mark_wrong else None)


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
    panels: list[Panel],
    weightings: list[tuple[str, np.ndarray]],
    window: np.ndarray,
    title: str,
    marks: str | None,
) -> Figure:
    from matplotlib.figure import Figure

    time = len(panels[0].values)
    heights = [panel_height(one) for one in panels]
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
    _draw_channels(figure, axes[:3], panels)
    slots = [
        image(axis, weights, label, WEIGHTS, slots=window)
        for axis, (label, weights) in zip(axes[3:], weightings, strict=True)
    ]
    if slots:
        colour_bar(figure, slots[-1], axes[3:], "weight", [0, 0.5, 1])
    if marks is not None:
        _mark_wrong(axes[2], panels[1].values, panels[2].values, marks)
    for axis in axes[:-1]:
        axis.tick_params(bottom=False)
    figure.align_ylabels(axes)
    time_axis(axes[-1])
    return figure


def _draw_channels(figure: Figure, axes: list[Axes], panels: list[Panel]) -> None:
    """Inputs, targets and outputs, with a colour bar for every range of their values."""
    inputs, targets, outputs = panels
    answers = np.concatenate([targets.values, outputs.values])
    of_inputs, of_answers = scales(inputs), scales(targets._replace(values=answers))
    drawn = [
        list(zip(found, draw_rows(axis, one, found), strict=True))
        for axis, one, found in zip(axes, panels, (of_inputs, of_answers, of_answers), strict=True)
    ]
    if all(scale.is_bits for scale in [*of_inputs, *of_answers]):
        scale_bar(figure, *drawn[2][0], axes)
        return
    for scale, picture in drawn[2]:
        scale_bar(figure, scale, picture, axes[1:])
    shared = any(scale.is_bits for scale in of_answers)
    for scale, picture in drawn[0]:
        if not (scale.is_bits and shared):
            scale_bar(figure, scale, picture, axes[:1])


def _mark_wrong(axis: Axes, targets: np.ndarray, outputs: np.ndarray, kind: str) -> None:
    scored = ~np.isnan(targets)
    if kind == "symbol":
        answers = np.nan_to_num(outputs, nan=-np.inf).argmax(1)
        wrong = answers != np.nan_to_num(targets).argmax(1)
        steps = np.flatnonzero(wrong & scored.any(1))
        rows = answers[steps]
    else:
        steps, rows = np.nonzero(scored & ((outputs > 0.5) != (targets > 0.5)))
    dots = axis.scatter(steps, rows, s=9, color=WRONG, linewidths=0)
    if len(steps):
        # Above the panel, so that it hides no answer.
        axis.legend(
            [dots],
            [f"wrong {kind}"],
            loc="lower right",
            bbox_to_anchor=(1, 1),
            borderaxespad=0,
            handletextpad=0,
            frameon=False,
            fontsize=8,
            labelcolor=INK,
        )

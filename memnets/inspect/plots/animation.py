"""A sequence as it is processed: a GIF of the memory, step after step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from memnets.inspect.palette import BLUE, INK, ORANGE, PALE
from memnets.inspect.plots.rows import Panel, Rows, draw_rows, panel, panel_height, scales
from memnets.inspect.plots.style import (
    CONTENTS,
    array,
    check_one_sequence,
    colour_bar,
    heading,
    image,
    symmetric_ticks,
    tidy,
    time_axis,
    used_slots,
)
from memnets.inspect.record import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_animation(
    path: str | Path,
    inputs: Tensor,
    outputs: Tensor,
    trace: Trace,
    *,
    mask: Tensor | None = None,
    frames_per_second: float = 3.0,
    all_slots: bool = False,
    title: str = "",
    dpi: int = 80,
    input_rows: Rows | None = None,
    output_rows: Rows | None = None,
) -> None:
    """Save a GIF, a frame a step: inputs and outputs so far, the memory, what is written and read.

    Left of the memory, bars say how much each slot was written in the step, right of it how much
    it was read; several heads are added up.

    Args:
        path: of the file, NAME.gif.
        inputs: [T, I].
        outputs: [T, O], the probabilities of a 1 (not logits).
        trace: what `memnets.record` gave for this one sequence (without a batch axis).
        mask: [T], 0 for steps that are not scored: their outputs are left blank.
        frames_per_second: above 0; the last frame stays for a second more.
        all_slots: draw every memory slot, and not only the range of slots that some head used.
        title: printed above.
        dpi: dots per inch; the picture is 6.4 inches wide.
        input_rows: what the channels of the inputs hold, as in `sequence_figure`.
        output_rows: the same for the outputs.

    Raises:
        ValueError: the three are not of one sequence, frames_per_second is not above 0, or rows do
            not describe every channel.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    check_one_sequence(trace)
    if not len(inputs) == len(outputs) == len(trace.outputs) or inputs.dim() != 2:
        raise ValueError(
            f"inputs, outputs and trace must be [T, ...] of one sequence, got "
            f"{list(inputs.shape)}, {list(outputs.shape)} and {list(trace.outputs.shape)}."
        )
    if not frames_per_second > 0:
        raise ValueError(f"frames_per_second must be above 0, got {frames_per_second}.")
    panels = [
        panel("input", inputs, input_rows, argument="input_rows"),
        panel("output", outputs, output_rows, argument="output_rows"),
    ]
    if mask is not None:
        panels[1].values[array(mask) == 0] = np.nan
    figure, update = _stage(panels, trace, all_slots, title, dpi)
    canvas = FigureCanvasAgg(figure)
    pictures = []
    for step in range(len(inputs)):
        update(step)
        canvas.draw()
        if step == 0:  # one layout for all frames, or the panels would tremble
            figure.set_layout_engine("none")
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    # One palette for all frames: then a frame holds only what differs from the one before.
    width, height = pictures[0].size
    strip = Image.new("RGB", (width, height * len(pictures)))
    for step, picture in enumerate(pictures):
        strip.paste(picture, (0, height * step))
    palette = strip.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    first, *others = [picture.quantize(palette=palette, dither=0) for picture in pictures]
    milliseconds = [round(1000 / frames_per_second)] * len(pictures)
    milliseconds[-1] += 1000
    first.save(path, save_all=True, append_images=others, duration=milliseconds, loop=0)


def _stage(
    panels: list[Panel], trace: Trace, all_slots: bool, title: str, dpi: int
) -> tuple[Figure, Any]:
    """The figure, and what draws a step into it."""
    from matplotlib.figure import Figure

    written = array(trace.memory.write_weights).sum(1)
    read = array(trace.memory.read_weights).sum(1)
    slots = used_slots([written, read], all_slots)
    contents = array(trace.memory.memory)[:, slots]
    height = 1.6 + min(max(0.13 * len(slots), 1.8), 5.0)
    figure = Figure(figsize=(6.4, height), dpi=dpi, layout="constrained")
    heading(figure, title)
    left, right = list(figure.subfigures(1, 2, width_ratios=[1.0, 1.15]))  # type: ignore[arg-type]
    writes, middle, reads = right.subplots(
        1, 3, sharey=True, gridspec_kw={"width_ratios": [1, 2.2, 1]}
    )
    show_channels = _channels(left, panels)
    largest = float(np.abs(contents).max()) or 1.0
    memory = image(middle, contents[0].T, "", CONTENTS, slots=slots, low=-largest, high=largest)
    middle.set_title("memory", fontsize=9, color=INK)
    middle.set_xlabel("number in the word", fontsize=9, color=INK)
    rows = np.arange(len(slots))
    bars = []
    for axis, name, colour in ((writes, "written", ORANGE), (reads, "read", BLUE)):
        bars.append(axis.barh(rows, np.zeros(len(slots)), 0.8, color=colour))
        axis.set_title(name, fontsize=9, color=INK)
        axis.set_xlim((1, 0) if name == "written" else (0, 1))
        axis.set_xticks([0, 1])
        axis.set_xlabel("weight", fontsize=9, color=INK)
        axis.grid(axis="x", color=PALE, linewidth=0.4)
        tidy(axis, "slot" if name == "written" else "")
    colour_bar(right, memory, [writes, middle, reads], "content", symmetric_ticks(largest))

    def update(step: int) -> None:
        show_channels(step)
        memory.set_data(contents[step])
        for group, weights in zip(bars, (written, read), strict=True):
            for bar, weight in zip(group, weights[step, slots], strict=True):
                bar.set_width(weight)

    return figure, update


def _channels(figure: Any, panels: list[Panel]) -> Callable[[int], None]:
    """Draw inputs above outputs; return what shows them up to a step."""
    heights = [panel_height(one) for one in panels]
    axes = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": heights})
    ranges = [scales(one) for one in panels]
    drawn = list(map(draw_rows, axes, panels, ranges))
    cursors = [axis.axvline(0, color=ORANGE, linewidth=1.2) for axis in axes]
    time_axis(axes[-1])

    def show(step: int) -> None:
        for images, one, found in zip(drawn, panels, ranges, strict=True):
            so_far = one.values.copy()
            so_far[step + 1 :] = np.nan
            for picture, scale in zip(images, found, strict=True):
                picture.set_data(scale.alone(so_far).T)
        for cursor in cursors:
            cursor.set_xdata([step + 0.5, step + 0.5])

    return show

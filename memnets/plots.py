"""Draw what the heads of a trained layer do over a sequence (needs matplotlib)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from memnets.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

INK = "#1f2933"
WRONG = "#d1242f"


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

    It is the picture of figures 4 to 6 of the NTM paper. Every wrong bit has a red dot.

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

    >>> import memnets
    >>> layer, x = memnets.NTM(3, 2, memory_size=8, word_size=4), torch.zeros(6, 3)
    >>> trace = memnets.record(layer, x)
    >>> figure = sequence_figure(x, torch.zeros(6, 2), trace.outputs.sigmoid(), trace)
    >>> [axes.get_ylabel() for axes in figure.axes[:5]]
    ['input', 'target', 'output', 'written slot', 'read slot']
    """
    _check(inputs, targets, outputs, trace, mask)
    panels = [("input", _array(inputs)), ("target", _array(targets)), ("output", _array(outputs))]
    if mask is not None:
        silent = _array(mask) == 0
        for _, bits in panels[1:]:
            bits[silent] = np.nan
    weightings = _weightings(trace)
    window = _window([values for _, values in weightings], all_slots)
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


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float64).numpy().copy()


def _weightings(trace: Trace | None) -> list[tuple[str, np.ndarray]]:
    """The weightings [T, N] of each head, write heads first, with their labels."""
    found: list[tuple[str, np.ndarray]] = []
    if trace is None:
        return found
    for label, weights in (
        ("written", trace.memory.write_weights),
        ("read", trace.memory.read_weights),
    ):
        heads = _array(weights).swapaxes(0, 1)
        for index, head in enumerate(heads):
            number = f"\nhead {index + 1}" if len(heads) > 1 else ""
            found.append((f"{label} slot{number}", head))
    return found


def _window(weightings: list[np.ndarray], all_slots: bool) -> np.ndarray:
    """The slots to draw: the shortest run, maybe around the end, that holds all used ones."""
    if not weightings:
        return np.arange(0)
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
    figure.suptitle(title, fontsize=11, color=INK, x=0.01, ha="left")
    images = [
        _image(axis, bits, label, "Greys", bits.shape[1])
        for axis, (label, bits) in zip(axes, panels, strict=False)
    ]
    images += [
        _image(axis, weights, label, "viridis", len(window), window)
        for axis, (label, weights) in zip(axes[3:], weightings, strict=True)
    ]
    if mark_wrong:
        _mark_wrong(axes[2], panels[1][1], panels[2][1])
    bars = [(images[2], axes[:3], "bit"), (images[-1], axes[3:], "weight")]
    for image, group, label in bars if weightings else bars[:1]:
        bar = figure.colorbar(
            image, ax=group, ticks=[0, 0.5, 1], fraction=0.02, pad=0.01, aspect=25
        )
        bar.set_label(label, fontsize=9, color=INK)
        bar.ax.tick_params(labelsize=8, colors=INK, length=2)
        bar.outline.set_visible(False)  # type: ignore[operator]
    for axis in axes[:-1]:
        axis.tick_params(bottom=False)
    figure.align_ylabels(axes)
    axes[-1].set_xlabel("time step", fontsize=9, color=INK)
    return figure


def _image(
    axis: Axes,
    values: np.ndarray,
    label: str,
    colours: str,
    rows: int,
    slots: np.ndarray | None = None,
) -> AxesImage:
    """One panel: values [T, rows], time to the right, row 0 at the top."""
    axis.set_facecolor("#eef1f4")
    low = min(0.0, float(np.nanmin(values, initial=0.0)))
    image = axis.imshow(
        values.T,
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=low,
        vmax=max(1.0, float(np.nanmax(values, initial=1.0))),
    )
    axis.set_ylabel(label, fontsize=9, color=INK)
    axis.tick_params(labelsize=8, colors=INK, length=2)
    for spine in axis.spines.values():
        spine.set_color("#c9d1d9")
        spine.set_linewidth(0.6)
    if slots is None:
        axis.set_yticks([0, rows - 1] if rows > 1 else [0])
    else:
        every = max(1, int(np.ceil(rows / 6)))
        axis.set_yticks(np.arange(0, rows, every), [str(slot) for slot in slots[::every]])
    return image


def _mark_wrong(axis: Axes, targets: np.ndarray, outputs: np.ndarray) -> None:
    scored = ~np.isnan(targets)
    steps, bits = np.nonzero(scored & ((outputs > 0.5) != (targets > 0.5)))
    axis.scatter(steps, bits, s=9, color=WRONG, linewidths=0)

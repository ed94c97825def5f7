"""The figures of docs/graphs.md: lessons over training, and the memory while a path is followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

import memnets
from memnets.inspect import palette
from tasks.graph_traversal import GraphTraversal
from tasks.triples import TRIPLE_SIZE, decode, phases, said

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODES = (("backward", palette.SKY), ("forward", palette.ORANGE), ("content", palette.GREEN))


def lessons_figure(found: dict[str, Any]) -> Figure:
    """The lesson and the cost over training, and the share that is right of each lesson."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawn = Figure(figsize=(9, 3.2), dpi=110, layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    curve = found["curve"]
    for axes, name, title in (
        (left, "level", "mean lesson of 100 batches"),
        (middle, "loss", "nats a triple"),
    ):
        axes.plot(curve["sequences"], curve[name], color=palette.GREEN, linewidth=1)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("sequences")
        axes.set_title(title, loc="left", fontsize=10)
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    shares = found["right"]
    right.bar(range(1, len(shares) + 1), [100 * share for share in shares], color="0.6")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.axhline(90, color=palette.VERMILION, linewidth=1)
    right.set_ylim(0, 100)
    right.yaxis.set_major_formatter(lambda value, _: f"{value:g}%")
    right.set_xlabel("lesson (line: passed)")
    right.set_title("sequences right at the end", loc="left", fontsize=10)
    for axes in (left, middle, right):
        axes.grid(alpha=0.25, axis="y")
    return drawn


def example(passed: int) -> GraphTraversal:
    """A graph of twelve edges, and a path as long as a network knows that passed so many lessons.

    >>> example(0).path, example(2).path, example(14).path
    (1, 2, 3)
    """
    return GraphTraversal(nodes=6, degree=2, path=min(max(passed, 1), 3))


def memory_figure(layer: nn.Module, task: GraphTraversal, *, seed: int) -> Figure:
    """Where a graph and a query are written, where they are read, and by which mode.

    As figure 3 of Graves et al. 2016: slots stand in the order in which they were written to most,
    each beside the triple that was shown then.

    Raises:
        ValueError: the layer is no DNC with links between its slots.
    """
    from matplotlib.figure import Figure

    batch = task.sample(1, torch.Generator().manual_seed(seed))
    inputs = batch.inputs[:, 0]
    trace = memnets.record(layer, inputs)  # type: ignore[arg-type]
    writes, reads = trace.memory.write_weights[:, 0], trace.memory.read_weights
    _, asked, due = phases(batch.inputs)
    written = slots(writes[: due.start].numpy())
    heads = reads.shape[1]
    drawn = Figure(figsize=(9.5, 3.4 + 1.05 * heads), dpi=110, layout="constrained")
    grid = drawn.subplots(
        1 + heads, 2, squeeze=False, gridspec_kw={"height_ratios": [3.2] + [1] * heads}
    )
    top, bottom = grid[0], grid[1:]
    weights(top[0], writes[:, written].numpy(), "written")
    labels = [said(row) for row in decode(inputs[: due.start, :TRIPLE_SIZE]).tolist()]
    top[0].set_yticks(range(len(written)), labels, fontsize=6, family="monospace")
    strongest = reads.amax(1)
    weights(top[1], strongest[:, written].numpy(), "read, by the head that reads it most")
    top[1].set_yticks([])
    answers = decode(trace.outputs[due])
    wrong = (answers != decode(batch.targets[due, 0])).any(-1)
    for head, (modes, focus) in enumerate(bottom, start=1):
        shares(modes, read_modes(trace.interface)[:, head - 1].numpy())
        modes.set_ylabel(f"head {head}\nmode", fontsize=7)
        weights(focus, reads[:, head - 1, written].numpy(), "")
        focus.set_yticks([])
        focus.set_ylabel("reads", fontsize=7)
    for axes in grid.flat:
        for step in (asked.start, due.start):
            axes.axvline(step - 0.5, color=palette.VERMILION, linewidth=1)
        axes.set_xlim(-0.5, len(inputs) - 0.5)
        axes.tick_params(labelsize=6)
    for axes in bottom[-1]:
        axes.set_xlabel("step (lines: the query, the answer)", fontsize=8)
    bottom[0, 0].legend(fontsize=6, ncols=3, loc="upper left", framealpha=0.8)
    right = "all right" if not wrong.any() else f"{int(wrong.sum())} of {len(wrong)} triples wrong"
    drawn.suptitle(f"{task.nodes} nodes, a path of {task.path}: {right}", fontsize=10)
    return drawn


def read_modes(interface: Any) -> Tensor:
    """The read modes [T, R, 3] of a DNC of any parts.

    Raises:
        ValueError: it has none.
    """
    if isinstance(interface, memnets.DNCInterface):
        return interface.read_modes
    modes = getattr(getattr(interface, "linkage", None), "read_modes", None)
    if modes is None:
        raise ValueError(
            f"the figure must be of a DNC with a linkage, got a {type(interface).__name__} without "
            "read modes: train one with --model dnc"
        )
    return modes


def slots(writes: np.ndarray) -> list[int]:
    """For each step [T, N], the slot it writes to most that no earlier step did."""
    free = writes.copy()
    found: list[int] = []
    for step in range(len(free)):
        found.append(int(free[step].argmax()))
        free[:, found[-1]] = -1
    return found


def weights(axes: Axes, values: np.ndarray, title: str) -> None:
    """Weightings [T, N] as an image, a row a slot."""
    axes.imshow(values.T, aspect="auto", cmap="Greens", vmin=0, vmax=1, interpolation="none")
    axes.set_title(title, loc="left", fontsize=9)


def shares(axes: Axes, modes: np.ndarray) -> None:
    """Read modes [T, 3] as stacked bars."""
    below = np.zeros(len(modes))
    for (name, colour), share in zip(MODES, modes.T, strict=True):
        axes.bar(range(len(modes)), share, bottom=below, width=1, color=colour, label=name)
        below += share
    axes.set_ylim(0, 1)
    axes.set_yticks([])

"""What a memory did over one sequence, as small heat-maps of plain pixels.

A matplotlib figure takes far longer to draw, and these are drawn while training goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from memnets.inspect.record import Trace
from tasks.base import Batch, Rows, Task

SIDE = 256
"""pixels of a heat-map: two for each of 128 slots"""
RED = (209, 36, 47)


class Picture(NamedTuple):
    """uint8 [height, width, 3], and what it shows."""

    pixels: np.ndarray
    caption: str


def heat_map(*parts: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Colour values from low (dark) to high (bright); uint8 [256, 256, 3].

    Every value becomes a block of pixels, and what is not finite is red. The parts [rows, columns]
    stand below each other, with a white line between them. All heat-maps have one size, because
    W&B shows several together.

    >>> heat_map(np.array([[0.0, 1.0]])).shape
    (256, 256, 3)
    """
    white = np.full((1, parts[0].shape[1], 3), 255, np.uint8)
    coloured = [_coloured(part, low, high) for part in parts]
    cells = np.concatenate([piece for part in coloured for piece in (white, part)][1:])
    rows, columns = (np.arange(SIDE) * size // SIDE for size in cells.shape[:2])
    return cells[rows[:, None], columns]


def _coloured(values: np.ndarray, low: float, high: float) -> np.ndarray:
    finite = np.isfinite(values)
    scaled = np.where(finite, (values - low) / max(high - low, 1e-12), 0.0)
    found = _colours()[(scaled.clip(0, 1) * 255).astype(np.uint8)]
    found[~finite] = RED
    return found


@functools.cache
def _colours() -> np.ndarray:
    """256 colours that the colour-blind tell apart too, uint8 [256, 3]."""
    import matplotlib

    return (matplotlib.colormaps["viridis"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)


def sequence_picture(task: Task, batch: Batch, outputs: Tensor, caption: str) -> Picture:
    """Inputs, targets, outputs and their differences of one sequence, below each other, over time.

    Every row is coloured by the range of its values that the task states, and a difference from 0
    to the length of that range.

    Args:
        task: which names the rows.
        batch: of one sequence; targets, outputs and differences are drawn where its mask is 1.
        outputs: [T, 1, O], as they compare with the targets.
        caption: what to say of it.
    """
    given, wanted = (
        ", ".join(row.name for row in rows) for rows in (task.input_rows, task.output_rows)
    )
    text = f"{caption}; from above: input ({given}), target ({wanted}), output, difference"
    return Picture(heat_map(*_parts(task, batch, outputs)), text)


def sequence_parts(task: Task, batch: Batch, outputs: Tensor) -> list[np.ndarray]:
    """The four parts of `sequence_picture`, each as pixels of its own."""
    return [heat_map(part) for part in _parts(task, batch, outputs)]


def _parts(task: Task, batch: Batch, outputs: Tensor) -> list[np.ndarray]:
    """Each part [channels, T], every channel from 0 to 1: the ends of its range."""
    scored = _array(batch.mask[:, 0])
    inputs, targets, found = (_array(x[:, 0]).T for x in (batch.inputs, batch.targets, outputs))
    low, length = _ranges(task.input_rows)
    least, span = _ranges(task.output_rows)
    return [
        (inputs - low) / length,
        (targets - least) / span * scored,
        (found - least) / span * scored,
        np.abs(found - targets) / span * scored,
    ]


def _ranges(rows: Sequence[Rows]) -> tuple[np.ndarray, np.ndarray]:
    """The least value of every channel and the length of its range, each [channels, 1]."""
    ends = np.array([row.range for row in rows for _ in range(row.count)])
    return ends[:, :1], ends[:, 1:] - ends[:, :1]


def memory_pictures(trace: Trace) -> dict[str, Picture]:
    """The weightings, gates, usage, links and contents of one sequence, by name.

    Args:
        trace: what `memnets.record` gave for one sequence, without a batch axis.

    Returns:
        A picture of each that the model has; time goes to the right, slots go down.

    >>> import torch, memnets
    >>> trace = memnets.record(memnets.DNC(3, 2, memory_size=8, word_size=4), torch.zeros(6, 3))
    >>> list(memory_pictures(trace))
    ['write_weights', 'read_weights', 'usage', 'links', 'contents', 'gates']
    """
    memory, found = trace.memory, {}
    for name in ("write_weights", "read_weights"):
        heads = _array(getattr(memory, name)).transpose(1, 2, 0)  # [head, slot, time]
        text = f"{name.replace('_weights', '')} weighting: slots down, time right, 0 to 1"
        text += f"; {len(heads)} heads below each other" if len(heads) > 1 else ""
        found[name] = Picture(heat_map(*heads), text)
    if hasattr(memory, "usage"):
        found["usage"] = Picture(
            heat_map(_array(memory.usage).T), "usage: slots down, time right, 0 to 1"
        )
    if isinstance(getattr(memory, "link", None), Tensor):  # a DNC may be without a linkage
        text = "links after the last step: row i, column j is how much i was written right after j"
        found["links"] = Picture(heat_map(*_array(memory.link[-1])), text)
    contents = _array(memory.memory[-1])
    low, high = (float(f(np.nan_to_num(contents))) for f in (np.min, np.max))
    text = f"contents after the last step: slots down, words right, {low:.2g} to {high:.2g}"
    found["contents"] = Picture(heat_map(contents, low=low, high=high), text)
    gates = _gates(trace)
    if gates:
        text = "gates over time, 0 to 1, from above: " + ", ".join(gates)
        found["gates"] = Picture(heat_map(np.stack(list(gates.values()))), text)
    return found


def _gates(trace: Trace) -> dict[str, np.ndarray]:
    """Every gate and read mode over time, by its name and head."""
    found = {}
    for name, value in _named(trace.interface):
        if not name.endswith(("gates", "_modes")):
            continue
        rows = _array(value).reshape(len(value), -1).T
        for index, row in enumerate(rows):
            label = name.replace("_", " ").removesuffix("s")
            found[f"{label} {index + 1}" if len(rows) > 1 else label] = row
    return found


def _named(interface: Any) -> Iterator[tuple[str, Tensor]]:
    """The fields of an interface, and of the parts in it."""
    for name, value in getattr(interface, "_asdict", dict)().items():
        if isinstance(value, Tensor):
            yield name, value
        else:
            yield from _named(value)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu").double().numpy()

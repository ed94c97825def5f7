"""What the trainer tells whoever keeps its metrics beside the run folder; or nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# W&B's workspace makes a section of every name before the slash.
SECTIONS = {
    "gradient_norm": "optimizer",
    "learning_rate": "optimizer",
    "sequences_per_second": "speed",
    "seconds": "speed",
    "core_seconds": "speed",
}


def in_sections(row: Mapping[str, float]) -> dict[str, float]:
    """A row of metrics under the names of W&B's sections.

    >>> in_sections({"loss": 0.7, "seconds": 2.0, "validation/wrong_bits": 3.0})
    {'train/loss': 0.7, 'speed/seconds': 2.0, 'validation/wrong_bits': 3.0}
    """
    return {
        name if "/" in name else f"{SECTIONS.get(name, 'train')}/{name}": value
        for name, value in row.items()
    }


def best_so_far(best: Mapping[str, float]) -> dict[str, float]:
    """The figures of the best evaluation so far, as a sweep's goal can name them.

    >>> best_so_far({"wrong_bits": 3.0, "step": 500, "sequences": 8000})
    {'best/wrong_bits': 3.0}
    """
    return {f"best/{k}": v for k, v in best.items() if k not in ("step", "sequences")}


class Tracker(Protocol):
    """What the trainer tells a tracker."""

    run_id: str | None
    """the tracker's own name of the run; a resumed run passes it on"""

    @property
    def listening(self) -> bool:
        """Whether anything is kept: pictures need not be drawn for a tracker that keeps nothing."""
        ...

    def log(self, values: Mapping[str, float], step: int, sequences: int) -> None:
        """Log scalars."""
        ...

    def image(self, name: str, pixels: np.ndarray, caption: str, step: int) -> None:
        """Log a picture: uint8 [height, width, 3]."""
        ...

    def images(self, name: str, pictures: Sequence[tuple[np.ndarray, str]], step: int) -> None:
        """Log several pictures, with their captions, as one gallery."""
        ...

    def histograms(self, values: Mapping[str, tuple[np.ndarray, np.ndarray]], step: int) -> None:
        """Log histograms, each by its counts and edges."""
        ...

    def table(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int
    ) -> None:
        """Log a table, whose cells are numbers, words or pixels."""
        ...

    def checkpoint(self, path: Path, aliases: Sequence[str], metadata: Mapping[str, Any]) -> None:
        """Keep a version of the run's checkpoint; metadata has its step."""
        ...

    def summary(self, values: Mapping[str, float]) -> None:
        """Set figures of the run as a whole."""
        ...

    def watch(self) -> list[str]:
        """Lines that say how to look at the run while it trains."""
        ...

    def finish(self, status: int) -> None:
        """Write everything out; status 0 is success."""
        ...


class NullTracker:
    """A tracker that keeps nothing."""

    listening = False

    def __init__(self, run_id: str | None = None) -> None:
        self.run_id = run_id

    def log(self, values: Mapping[str, float], step: int, sequences: int) -> None:
        """Do nothing."""

    def image(self, name: str, pixels: np.ndarray, caption: str, step: int) -> None:
        """Do nothing."""

    def images(self, name: str, pictures: Sequence[tuple[np.ndarray, str]], step: int) -> None:
        """Do nothing."""

    def histograms(self, values: Mapping[str, tuple[np.ndarray, np.ndarray]], step: int) -> None:
        """Do nothing."""

    def table(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int
    ) -> None:
        """Do nothing."""

    def checkpoint(self, path: Path, aliases: Sequence[str], metadata: Mapping[str, Any]) -> None:
        """Do nothing."""

    def summary(self, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def watch(self) -> list[str]:
        """Nothing to look at."""
        return []

    def finish(self, status: int) -> None:
        """Do nothing."""

"""Sums of metrics over the steps between two rows."""

from __future__ import annotations

import torch
from torch import Tensor


class MetricSums:
    """Sums of metrics over steps, kept on the device and read only when a row is due."""

    def __init__(self, sums: dict[str, float]) -> None:
        self._count = int(sums.get("steps", 0))
        # The sums of a checkpoint, and those since: numbers of the device's own precision are
        # added up in the order of the steps, so that a resumed run reads the same bits.
        self._sums = {name: value for name, value in sums.items() if name != "steps"}
        self._since: dict[str, list[Tensor]] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Add the metrics of one step."""
        self._count += 1
        for name, value in values.items():
            self._since.setdefault(name, []).append(value)

    @property
    def count(self) -> int:
        """How many steps the sums are of."""
        return self._count

    def read(self) -> dict[str, float]:
        """The sums so far as numbers, and how many steps they are of."""
        return {"steps": self._count, **self._read()}

    def means(self) -> dict[str, float]:
        """The means since the last row."""
        return {name: value / self._count for name, value in self._read().items()}

    def clear(self) -> None:
        """Start anew."""
        self._count, self._sums, self._since = 0, {}, {}

    def _read(self) -> dict[str, float]:
        for name, values in self._since.items():
            if values:
                for value in torch.stack(values).tolist():
                    self._sums[name] = self._sums.get(name, 0.0) + value
                values.clear()
        return self._sums

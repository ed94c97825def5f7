"""A controller, and how it is connected to the memory and the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memnets.checks import check_builders
from memnets.parts.controllers import Stack
from memnets.parts.registry import register


@register
@dataclass(frozen=True, kw_only=True)
class WiredStack(Stack):
    """A `Stack`, and what lies between it, the memory and the output; by default as in the papers.

    It goes where a `Stack` goes, as the `controller` of a layer with a memory.

    Raises:
        ValueError: as `Stack`.
        TypeError: if a part is not of its kind.

    >>> import memnets
    >>> from memnets.parts.uniform_writing import UniformWriting
    >>> controller = WiredStack(cell="gru", schedule=UniformWriting(interval=4))
    >>> memnets.DNC(9, 8, controller=controller).schedule.interval
    4
    """

    schedule: Any = None
    """at which steps the memory is written to, a `UniformWriting`; None: at every step"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_builders(schedule=self.schedule)

    @property
    def wired(self) -> bool:
        """Whether anything is connected in another way than in the papers."""
        return self.schedule is not None

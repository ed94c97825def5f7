"""A controller, and how it is connected to the memory and the output.

Bypass dropout: Franke, Niehues and Waibel 2018, "Robust and Scalable Differentiable Neural Computer
for Question Answering", arXiv 1807.02658.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memnets.checks import check_builders, check_share
from memnets.parts.controllers import Stack
from memnets.parts.registry import register


@register
@dataclass(frozen=True, kw_only=True)
class WiredStack(Stack):
    """A `Stack`, and what lies between it, the memory and the output; by default as in the papers.

    It goes where a `Stack` goes, as the `controller` of a layer with a memory.

    Raises:
        ValueError: as `Stack`, or if the dropout is not in [0, 1).
        TypeError: if a part is not of its kind.

    >>> import memnets
    >>> from memnets.parts.uniform_writing import UniformWriting
    >>> controller = WiredStack(cell="gru", schedule=UniformWriting(interval=4))
    >>> memnets.DNC(9, 8, controller=controller).schedule.interval
    4
    """

    schedule: Any = None
    """at which steps the memory is written to, a `UniformWriting`; None: at every step"""

    interface: Any = None
    """what makes the interface of the controller's output, a `NormalisedInterface` or
    `StoredPrograms`; None: a linear map"""
    bypass_dropout: float = 0.0
    """in training, the share of the controller's output that does not reach the output of the layer
    but through the memory (Franke et al. 2018); the rest is scaled up, as `nn.Dropout` does"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_builders(schedule=self.schedule, interface=self.interface)
        check_share(bypass_dropout=self.bypass_dropout)

    @property
    def wired(self) -> bool:
        """Whether anything is connected in another way than in the papers."""
        parts = self.schedule is not None or self.interface is not None
        return parts or self.bypass_dropout > 0

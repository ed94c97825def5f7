"""Signals that stop a run: the first one after the step, the second one at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether somebody asked the run to stop, and with which signal."""

    def __init__(self) -> None:
        self.noted: int | None = None
        """the signal that came"""
        self.signal: int | None = None
        """the signal that stops the run"""
        self.alone = True
        """whether the one is the other; several processes must agree first on the step"""

    def note(self, number: int) -> None:
        """Remember that a signal came."""
        self.noted = number
        if self.alone:
            self.signal = number

    @property
    def requested(self) -> bool:
        """Whether to stop after this step."""
        return self.signal is not None

    @property
    def status(self) -> int:
        """The exit status that shells give to a process ended by this signal."""
        return 128 + self.signal if self.signal is not None else 0


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn a first SIGINT or SIGTERM into a request to stop; a second one acts at once."""
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(number: int, _frame: FrameType | None) -> None:
        stop.note(number)
        # torchrun passes on a signal that its processes had too: that second one means no more.
        if stop.alone:
            restore()

    for number in numbers:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        restore()

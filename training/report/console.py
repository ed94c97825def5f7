"""What a run shows while it trains, and how it is stopped."""

from __future__ import annotations

import sys
import time
from collections import deque

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0
SHOWN = {
    "bits_per_sequence": "bits",
    "squared_error": "squared error",
    "wrong_bits": "wrong bits",
    "wrong_symbols": "wrong symbols",
    "wrong_answers": "wrong answers",
    "level": "level",
}


class Console:
    """The progress of training: a live bar if stderr is a terminal, otherwise plain lines."""

    def __init__(self, sequences: int, done: int, *, quiet: bool = False) -> None:
        """sequences: how many there are in all; done: how many of them were trained on before.

        quiet: show nothing.
        """
        self._quiet = quiet
        self._sequences, self._done = sequences, done
        self._last_line = -SECONDS_BETWEEN_LINES
        # The last minute or so: an average over the whole run would hide a slow-down.
        self._times: deque[tuple[float, int]] = deque([(time.perf_counter(), done)], maxlen=20)
        self._live = sys.stderr.isatty() and not quiet
        self._bar: tqdm | None = None  # begins with the first step, and so does its clock

    def advance(self, count: int) -> None:
        """Note that this many more sequences were trained on."""
        if self._live and self._bar is None:
            self._bar = tqdm(
                total=self._sequences,
                initial=self._done,
                unit=" sequences",
                dynamic_ncols=True,
                smoothing=0.05,
            )
        self._done += count
        if self._bar is not None:
            self._bar.update(count)

    def rate(self) -> float:
        """Sequences per second, over the last 20 calls."""
        now = time.perf_counter()
        then, done = self._times[0]
        self._times.append((now, self._done))
        return (self._done - done) / max(now - then, 1e-9)

    def show(self, row: dict[str, float], sequences: int) -> None:
        """Show the latest means."""
        if self._quiet:
            return
        shown = {"loss": f"{row['loss']:.4f}"}
        for name, value in row.items():
            if name in SHOWN:
                shown[SHOWN[name]] = f"{value:.3g}"
        if self._bar is not None:
            self._bar.set_postfix(shown)
            return
        now = time.perf_counter()
        if now - self._last_line >= SECONDS_BETWEEN_LINES or sequences >= self._sequences:
            self._last_line = now
            speed = row["sequences_per_second"]
            left = max(self._sequences - sequences, 0) / speed
            words = "  ".join(f"{name} {value}" for name, value in shown.items())
            print(
                f"{sequences:>8,} of {self._sequences:,} sequences  {words}  "
                f"{speed:.0f} sequences/s  {duration(left)} left",
                flush=True,
            )

    def close(self) -> None:
        """Leave the terminal to others."""
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """A time as a person says it.

    >>> duration(3725)
    '1 h 02 min'
    >>> duration(65), duration(9)
    ('1 min 05 s', '9 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

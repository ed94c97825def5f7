"""What is measured: models and sizes, as data.

Axes: B batch, T time, N memory slots, W word, R read heads, I input, O output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Case:
    """A model and its sizes; one write head; I, O and the LSTM are those of the NTM's copy task."""

    kind: str = "NTM"
    memory_size: int = 128
    word_size: int = 20
    read_heads: int = 1
    batch: int = 16
    steps: int = 40
    input_size: int = 9
    output_size: int = 8
    hidden_size: int = 100

    @property
    def title(self) -> str:
        """The sizes in words.

        >>> Case().title
        'NTM 128x20, 1 read head, LSTM 100, batch 16, T 40'
        """
        heads = f"{self.read_heads} read head{'s' if self.read_heads > 1 else ''}"
        return (
            f"{self.kind} {self.memory_size}x{self.word_size}, {heads}, LSTM {self.hidden_size}, "
            f"batch {self.batch}, T {self.steps}"
        )


CASES = {
    "ntm-128x20": Case(kind="NTM"),
    "dnc-128x20": Case(kind="DNC"),
    "dnc-256x64": Case(kind="DNC", memory_size=256, word_size=64, read_heads=4),
    "dnc-1024x64": Case(kind="DNC", memory_size=1024, word_size=64, read_heads=4),
}
"""By the name that `--cases` takes; batch and steps are chosen beside it."""

MAIN = (
    CASES["ntm-128x20"],
    replace(CASES["ntm-128x20"], batch=1),
    CASES["dnc-128x20"],
    CASES["dnc-256x64"],
)
"""What `python -m benchmarks` measures when nothing is chosen."""

GROWTH: dict[str, tuple[int, ...]] = {
    "memory_size": (32, 64, 128, 256, 512),
    "word_size": (10, 20, 40, 80),
    "read_heads": (1, 2, 4, 8),
    "steps": (10, 20, 40, 80, 160),
    "batch": (1, 4, 16, 64),
}
"""What `--growth` changes, one at a time, and the values it takes."""


def chosen(
    names: Sequence[str] | None, batches: Sequence[int] | None, steps: Sequence[int] | None
) -> tuple[Case, ...]:
    """Every combination of what is given; `MAIN` where nothing is.

    What is left out is all of `CASES` but the largest, batch 16, 40 steps.

    >>> chosen(None, None, None) == MAIN
    True
    >>> [(case.batch, case.steps) for case in chosen(["ntm-128x20"], [1, 64], [200])]
    [(1, 200), (64, 200)]
    """
    if names is None and batches is None and steps is None:
        return MAIN
    return tuple(
        replace(CASES[name], batch=batch, steps=length)
        for name in names or [name for name in CASES if name != "dnc-1024x64"]
        for batch in batches or (Case.batch,)
        for length in steps or (Case.steps,)
    )


def grown(base: Case, axis: str) -> list[Case]:
    """The base with each of the values of `GROWTH[axis]` in turn.

    >>> [case.batch for case in grown(Case(), "batch")]
    [1, 4, 16, 64]
    """
    options: list[dict[str, int]] = [{axis: value} for value in GROWTH[axis]]
    return [replace(base, **option) for option in options]  # pyright: ignore[reportArgumentType]

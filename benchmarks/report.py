"""Tables of what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.compare import Comparison
from benchmarks.timing import PASSES

HEADER = ("contestant", "pass", "us/step", "quartiles", "x nn.LSTM", "quartiles", "times faster")


def comparison(found: Comparison, *, clock: str) -> str:
    """The table of one case, what was compared, and what was left out."""
    lines = [_cells(row) for row in found.rows]
    notes = [
        f"{row['contestant']}: {row['note']}."
        for row in found.rows
        if row["note"] and row["pass"] == next(iter(PASSES))
    ]
    heading = f"{found.case.title}; {clock} time"
    return "\n".join(
        [
            heading,
            "",
            table(HEADER, lines, left=(0, 1, 6)),
            "",
            *found.checks,
            *notes,
            *found.absent,
        ]
    )


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    us, ratio = row["microseconds_per_step"], row["ratio_to_lstm"]
    faster = [
        f"{spread['median']:.1f} ({spread['lower']:.1f} to {spread['upper']:.1f}) than {rival}"
        for rival, spread in row["times_faster"].items()
    ]
    return (
        row["contestant"],
        row["pass"],
        f"{us['median']:,.0f}",
        f"{us['lower']:,.0f} to {us['upper']:,.0f}",
        f"{ratio['median']:.2f}",
        f"{ratio['lower']:.2f} to {ratio['upper']:.2f}",
        ", ".join(faster),
    )


def growth(found: Mapping[str, Any]) -> str:
    """Microseconds per training step along one axis, a line a contestant, and what was counted."""
    columns = {**found["microseconds_per_step"], **found["counted"]}
    values = sorted({value for column in columns.values() for value in column})
    header = (found["axis"], *(f"{value:,}" for value in values), "grows as")
    lines = [
        (
            name,
            *(f"{column[value]:,.0f}" if value in column else "-" for value in values),
            _power(found["exponent"][name], found["axis"]),
        )
        for name, column in columns.items()
    ]
    return "\n".join([table(header, lines, left=(0,)), *found["absent"]])


def _power(exponent: float | None, axis: str) -> str:
    return "-" if exponent is None else f"{axis}^{exponent:.2f}"


def table(
    header: Sequence[str], lines: Sequence[Sequence[str]], *, left: Sequence[int] = (0,)
) -> str:
    """Lay cells out in columns, numbers to the right, the columns in `left` to the left.

    >>> print(table(("name", "us"), [("a", "5"), ("bcdef", "1,000")]))
    name      us
    a          5
    bcdef  1,000
    """
    complete = [tuple(header), *map(tuple, lines)]
    widths = [max(map(len, column)) for column in zip(*complete, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in complete
    )

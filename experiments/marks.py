"""The part of a page that a command writes, between two marks; the words around it stay."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Marks(NamedTuple):
    """Two lines of a page between which everything is written by a command."""

    begin: str
    end: str

    def around(self, page: Path, title: str) -> tuple[str, str]:
        """What stands before and after that part, with the marks; a page that is not there begins.

        Raises:
            ValueError: the page lacks the marks.
        """
        begin, end = self
        text = page.read_text() if page.exists() else f"# {title}\n\n{begin}\n{end}\n"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise ValueError(f"{page} must have a line {begin} and, below it, a line {end}")
        return f"{text[: text.index(begin)]}{begin}\n\n", f"\n{text[text.index(end) :]}"


def marks(command: str) -> Marks:
    """The marks of a command.

    >>> marks("python -m experiments").begin
    '<!-- written by python -m experiments: do not edit by hand -->'
    """
    return Marks(
        f"<!-- written by {command}: do not edit by hand -->",
        f"<!-- the end of what {command} writes -->",
    )

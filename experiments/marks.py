"""The part of a page that a command writes, between two marks; the words around it stay."""

from __future__ import annotations

from pathlib import Path

from training.files import checkpoint


def write_between(page: Path, title: str, command: str, body: str) -> None:
    """Write `body` between the marks of a command; a page that is not there begins with a title.

    Raises:
        ValueError: the page lacks the marks.
    """
    begin = f"<!-- written by {command}: do not edit by hand -->"
    end = f"<!-- the end of what {command} writes -->"
    text = page.read_text() if page.exists() else f"# {title}\n\n{begin}\n{end}\n"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{page} must have a line {begin} and, below it, a line {end}")
    page.parent.mkdir(parents=True, exist_ok=True)
    before, after = text[: text.index(begin)], text[text.index(end) :]
    checkpoint.write_atomically(page, f"{before}{begin}\n\n{body}\n{after}".encode())

"""Rules of writing: one file each, short enough to be read at once."""

import inspect
from pathlib import Path

import pytest

from memnets.parts.hopfield import Hopfield
from memnets.parts.registry import PARTS
from memnets.parts.rules import Rule
from memnets.parts.writing import EraseAdd

RULES = [
    kind
    for kind in PARTS.values()
    if callable(getattr(kind, "write", None)) and kind.__module__.startswith("memnets.")
]
LONGEST = 80
"""lines of a file"""


@pytest.mark.parametrize("kind", [*RULES, Hopfield], ids=lambda kind: kind.__name__)
def test_a_rule_is_one_short_file(kind: type) -> None:
    """With Hopfield retrieval, which stands beside them in docs/writing.md."""
    path = Path(inspect.getfile(kind))
    lines = path.read_text().count("\n")
    assert lines <= LONGEST, f"{path.name} has {lines} lines; a way to write has {LONGEST} at most"
    held = [one.__name__ for one in RULES if one is kind or inspect.getfile(one) == str(path)]
    assert len(held) <= 1, f"{path.name} holds {held}: a way to write has a file of its own"


def test_every_rule_is_a_registered_part() -> None:
    assert {EraseAdd, *Rule.__subclasses__()} == set(RULES)
    assert len(RULES) == 7

"""One palette: no other file of the project names a colour of it by its number."""

import re
from pathlib import Path

from memnets.inspect import palette

ROOT = Path(__file__).parents[3]
FOLDERS = ("memnets", "training", "experiments", "benchmarks")
COLOURS = {value for value in vars(palette).values() if isinstance(value, str) and value[0] == "#"}


def test_a_colour_is_written_once():
    assert len(set(palette.LINES)) == len(palette.LINES) == 8
    assert set(palette.LINES) < COLOURS
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".js") and path.name != "palette.py":
                found = set(re.findall(r"#[0-9a-f]{6}\b", path.read_text().lower()))
                assert not found & set(palette.LINES), path

"""The ways to learn: what the page's programs keep is drawn and written."""

import json
from pathlib import Path

import pytest

from experiments.learning import Options, curves, figure, main

PAGE = """# A page

```python
lessons = {"BPTT": [1.0, 0.5], "in real time": [1.0, 0.5]}
evolved = [len(lessons)]
```

Words.

```python
bred, aligned = [*evolved, 1, 0], [2.5, 1.5]
```
"""


def test_the_programs_of_a_page_are_run_in_turn_and_written():
    Path("docs").mkdir()
    page = Path("docs/learning.md")
    page.write_text(PAGE)
    assert main(Options(page=page, folder=page.parent)) == 0
    found = json.loads(Path("docs/results/learning.json").read_text())
    assert {one["name"]: one["curve"] for one in found} == {
        "BPTT": [1.0, 0.5],
        "in real time": [1.0, 0.5],
        "evolution strategies": [2],
        "genetic algorithm": [2, 1, 0],
        "temporal classification": [2.5, 1.5],
    }
    assert Path("docs/pictures/learning.png").stat().st_size > 5_000


def test_each_panel_has_its_curves():
    panels = figure(curves(PAGE)).axes
    drawn = [[line.get_label() for line in axes.lines] for axes in panels]
    assert drawn == [
        ["BPTT", "in real time"],
        ["evolution strategies", "genetic algorithm"],
        ["temporal classification"],
    ]


def test_a_page_that_keeps_no_curve_is_refused():
    with pytest.raises(KeyError, match="aligned"):
        curves(PAGE.replace("bred, aligned", "bred, other"))

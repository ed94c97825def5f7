"""Every figure of README.md's results is one of the results files', rounded as it is there."""

import json
import re
from collections.abc import Iterator

import pytest

import tasks
from training.files.provenance import ROOT

README = (ROOT / "README.md").read_text()
KEPT = ROOT / "docs" / "results"
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!\w)")

# What each paragraph is about: the task whose files it may quote, and what follows from sizes.
SOURCES: dict[str, tuple[str, tuple[int, ...]]] = {
    "Copy": ("copy", (120 * 8,)),  # bits of a sequence
    "Copy, far beyond:": ("copy", (2 * 20_000 * 8, 64)),  # bits of two sequences; spare slots
    "Duplicate string": ("duplicate_string", ()),
    "Repeat copy:": ("repeat_copy", ()),
    "Associative recall:": ("associative_recall", ()),
    "Thousands of pairs:": ("pair_recall", ()),
    "Dynamic N-grams:": ("dynamic_ngram", ()),
    "Priority sort": ("priority_sort", (24 * 8,)),  # bits of an answer to 30 vectors
}


def paragraphs(text: str) -> dict[str, str]:
    """The paragraphs of the results, by the words in bold that they begin with."""
    section = text[text.index("\n## Results\n") :]
    section = section[: section.index("\n## ", 1)]
    found = re.findall(r"^- \*\*(.+?)\*\*(.*?)(?=^- \*\*|^!\[)", section, re.DOTALL | re.MULTILINE)
    return dict(found)


def quoted(paragraph: str) -> list[str]:
    """The numbers of a paragraph, without those of code and of addresses."""
    plain = re.sub(r"`[^`]*`|\]\([^)]*\)|\n  !\[.*", "", paragraph)
    return [number.rstrip(",") for number in NUMBER.findall(plain)]


def values(content: object) -> Iterator[float]:
    """All numbers in the content of a file, in its words too, without curves and times."""
    if isinstance(content, dict):
        for name, inner in content.items():
            if name != "curve" and not name.endswith("seconds"):
                yield from values(name.replace("_", " "))
                yield from values(inner)
    elif isinstance(content, list):
        yield from (value for inner in content for value in values(inner))
    elif isinstance(content, str):
        yield from (float(number.replace(",", "")) for number in NUMBER.findall(content))
    elif isinstance(content, int | float):
        yield float(content)


def in_percent(runs: list[dict]) -> Iterator[float]:
    """The numbers of trainings on pairs, their seconds too, and the shares of wrong values."""
    for run in runs:
        yield from values([run["seed"], run["settings"]])
        yield from (number for row in run["rows"] for number in row.values())
        for pairs, share in run["wrong"].items():
            yield from (float(pairs), 100 * share)


def recorded(task: str) -> list[float]:
    """What the files of a task hold, the paper's figures and the sizes of the task."""
    rows = [json.loads(path.read_text()) for path in KEPT.glob(f"{task.replace('_', '-')}-*.json")]
    if task == "pair_recall":
        return list(in_percent(json.loads((KEPT / "pairs.json").read_text())))
    reach = json.loads((KEPT / "lengths.json").read_text())
    rows += [entry for entry in reach if entry["task"] == task]
    for row in rows:
        for run in row["runs"]:
            for figures in run.get("settings", {}).values():
                figures.update({name: found[0] for name, found in figures.items()})
    made = tasks.make(task)
    return [*values(rows), *values(str(made.solved)), *values(vars(made))]


def missing(title: str, paragraph: str) -> list[str]:
    """The numbers of a paragraph that its sources do not have."""
    task, sizes = SOURCES[title]
    known = [*recorded(task), *sizes]
    return [word for word in quoted(paragraph) if not any(is_it(value, word) for value in known)]


def is_it(value: float, word: str) -> bool:
    """Whether a number, rounded as a word is, is that word."""
    places = len(word.partition(".")[2])
    return round(value, places) == float(word.replace(",", ""))


def test_each_paragraph_of_the_results_has_its_sources():
    assert [title for title in paragraphs(README) if title != "Speed:"] == list(SOURCES)


@pytest.mark.parametrize("title", SOURCES)
def test_its_figures_are_recorded(title):
    paragraph = paragraphs(README)[title]
    assert len(quoted(paragraph)) >= 2
    assert missing(title, paragraph) == []


def test_the_figures_of_speed_are_those_of_the_page():
    page = (ROOT / "docs" / "results.md").read_text()
    known = list(values(page[page.index("\n## Speed\n") :]))
    found = quoted(paragraphs(README)["Speed:"])
    assert len(found) >= 6
    assert [word for word in found if not any(is_it(value, word) for value in known)] == []


@pytest.mark.parametrize(
    ("title", "old", "new"),
    [
        ("Copy", "9,200 to", "9,300 to"),
        ("Copy", "1.9 of", "6.9 of"),
        ("Repeat copy:", "69,600", "69,700"),
        ("Priority sort", "11.3", "11.2"),
        ("Thousands of pairs:", "4,096", "4,097"),
    ],
)
def test_another_figure_is_told(title, old, new):
    paragraph = paragraphs(README)[title]
    assert old in paragraph
    assert missing(title, paragraph.replace(old, new)) == [new.split()[0]]

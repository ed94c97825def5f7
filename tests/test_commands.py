"""The commands that the pages name: the trainer understands each, and each module is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.command_line import parser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
GIVEN = {"SEED": "0"}
LATER = ("--help", "--resume", "--evaluate")
"""What is said of a run that is there, and is read by another parser."""
ELSEWHERE = ("--task rotate", "--task.folder")
"""A task that a page writes, and files that the package does not have."""
OTHERS = ("venv", "build", "pytest")
"""Modules of other packages."""


def commands(text: str) -> Iterator[str]:
    """The commands of a page that begin with python, in blocks and in sentences."""
    block = re.compile(r"^```\n(.*?)^```", re.DOTALL | re.MULTILINE)
    for found in block.findall(text):
        for line in found.replace("\\\n", "").splitlines():
            written = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line.strip())
            if written.startswith("python "):
                yield re.split(r"\s{3,}|\s+#\s|\s&&\s", written)[0]
    sentences = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for found in re.findall(r"`(python [^`]+)`", sentences):
        yield " ".join(found.split())


ALL = {f"{page.name}: {one}" for page in PAGES for one in commands(page.read_text())}


def words(command: str) -> list[str]:
    return [GIVEN.get(word, word) for word in shlex.split(command.partition(": ")[2])]


def is_whole(command: str) -> bool:
    """Whether nothing is left out or to be filled in."""
    rest = words(command)[2:]
    left_out = any(word == "..." or re.fullmatch("[A-Z]{2,}", word) for word in rest)
    return not left_out and not any(word in command for word in (*LATER, *ELSEWHERE))


TRAINED = sorted(one for one in ALL if words(one)[1] == "train.py" and is_whole(one))
MODULES = sorted({words(one)[2] for one in ALL if words(one)[1] == "-m"} - set(OTHERS))


@pytest.mark.parametrize("command", TRAINED)
def test_the_trainer_understands_a_command(command: str) -> None:
    parser.parse(words(command)[2:])


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_is_run_is_there(module: str) -> None:
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_commands_are_found() -> None:
    assert len(TRAINED) > 30
    assert len(MODULES) > 10
    text = "```\nX=1 python a.py \\\n -b  # why\n```\nand `python -m\nx y`, not `pytest`"
    assert list(commands(text)) == ["python a.py  -b", "python -m x y"]

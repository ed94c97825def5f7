"""The project around the code: public names, file map, examples in the pages, lint and types."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import memnets
from tests.stress.own_loop import STEPS as LONG_LOOP

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\n") if name and (ROOT / name).is_file()]


def test_all_lists_the_public_names():
    bound = {name for name in vars(memnets) if not name.startswith("_")}
    listed = set(memnets.__all__)
    submodules = {path.stem for path in (ROOT / "memnets").iterdir()} | {"fused"}
    assert listed <= bound
    assert bound - listed <= submodules, "a public name is missing from memnets.__all__"


def test_the_library_imports_neither_tasks_nor_training_nor_extras():
    # torch itself loads what it finds (tqdm, for one): only what memnets adds counts.
    code = "import sys, torch; before = set(sys.modules); import memnets; "
    code += "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(printed.stdout.split())
    assert "memnets" in loaded
    assert not loaded & {"tasks", "training", "wandb", "tyro", "matplotlib", "tqdm", "PIL"}, loaded


def test_the_file_map_names_every_file_and_nothing_else():
    readme = (ROOT / "README.md").read_text()
    listing = re.search(r"<!-- file map -->\n```\n(.*?)```", readme, re.DOTALL)
    assert listing, "README.md needs a file map between <!-- file map --> and the end of its block"
    mapped = set()
    folder = ""
    for line in listing[1].splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
        mapped.add(name if name == folder or not line.startswith(" ") else folder + name)
    python = {name for name in tracked_files() if name.endswith(".py")}
    python = {name for name in python if not name.startswith("tests/")}
    python = {name for name in python if not name.endswith("__init__.py")}
    folders = {name.split("/")[0] + "/" for name in tracked_files() if "/" in name}
    folders = {name for name in folders if not name.startswith(".")}
    assert {name for name in mapped if name.endswith(".py")} == python
    assert {name for name in mapped if name.endswith("/")} == folders


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what a page saves is no part of the project
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    names: dict = {"__name__": "page"}
    for block in blocks:
        block = block.replace(LONG_LOOP, "range(3)")  # tests.stress.own_loop runs all its steps
        exec(compile(block, str(page), "exec"), names)
    assert not blocks or len(names) > 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_exist(page):
    text = page.read_text()
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    quoted = re.findall(r"`((?:memnets|tasks|training|tests|docs|benchmarks)/[\w/]+\.\w+)`", text)
    missing = [name for name in linked if not (page.parent / name).exists()]
    missing += [name for name in quoted if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize(
    "command", [["ruff", "check"], ["ruff", "format", "--check"], ["pyright"]], ids=" ".join
)
def test_the_code_is_clean(command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_public_types_are_complete():
    """What `py.typed` promises to strict users: every public symbol has a known type."""
    command = [sys.executable, "-m", "pyright", "--verifytypes", "memnets", "--ignoreexternal"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Type completeness score: 100%" in done.stdout, done.stdout + done.stderr


def test_the_citation_has_the_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {memnets.__version__}\n" in citation
    assert f"\n## {memnets.__version__} " in (ROOT / "CHANGELOG.md").read_text()

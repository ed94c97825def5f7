"""The project around the code: public names, folders, imports, pages, lint and types."""

import ast
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

import memnets
import tasks
from memnets.parts.controllers import CELLS
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


@functools.cache
def folders() -> dict[str, set[str]]:
    """The folders of CONTRIBUTING.md, from top to bottom, and what each may import."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = re.search(r"<!-- folders -->\n(.*?)<!-- end of folders -->", text, re.DOTALL)
    assert table, (
        "CONTRIBUTING.md needs a table between <!-- folders --> and <!-- end of folders -->"
    )
    cells = [line.split("|") for line in table[1].splitlines()[2:]]
    return {row[1].strip().strip("`"): set(re.findall(r"`(.*?)`", row[3])) for row in cells}


def test_every_folder_is_in_the_map_and_no_other():
    parts = [Path(name).parent.parts for name in tracked_files()]
    parts = [part[:1] if part[0] in ("tests", "docs") else part for part in parts if part]
    there = {"/".join(part) + "/" for part in parts if not part[0].startswith(".")} - {"training/"}
    listed = set(folders()) - {"train.py"}
    assert not there - listed, "CONTRIBUTING.md must have a row for each folder: add these"
    assert not listed - there, "CONTRIBUTING.md has rows for folders that do not exist: drop these"


def folder_of(module: str) -> str:
    """The row of the map that a module belongs to; of other packages, no row."""
    first, *rest = module.split(".")
    if first == "train":
        return "train.py"
    return f"{first}/{rest[0]}/" if first == "training" and rest else f"{first}/"


def arrows(path: str, source: str) -> list[tuple[int, str]]:
    """The lines on which a file imports from another folder, wherever they are, and those."""
    own = path.removesuffix(".py").split("/")
    found = []
    for node in ast.walk(ast.parse(source)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = own[: len(own) - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            modules = [f"{module}.{name.name}" for name in node.names]
        found += [(node.lineno, folder_of(name)) for name in modules]
    return sorted({(line, name) for line, name in found if name != folder_of(".".join(own))})


def upward(path: str, source: str) -> list[str]:
    """What a file imports that the map does not let it import, a sentence each."""
    allowed = folders()[folder_of(path.removesuffix(".py").replace("/", "."))]
    listed = ", ".join(sorted(allowed)) or "nothing"
    return [
        f"{path}:{line} imports {name}, but may import only {listed} (CONTRIBUTING.md): move what "
        "it needs down to one of these"
        for line, name in arrows(path, source)
        if name in folders() and name not in allowed
    ]


def test_the_map_points_down():
    names = list(folders())
    for place, (name, allowed) in enumerate(folders().items()):
        assert allowed <= set(names[place + 1 :]), f"{name} may import only rows below its own"


def test_imports_point_one_way():
    files = [name for name in tracked_files() if name.endswith(".py")]
    # The build hook runs alone, before anything of the package can be imported.
    outside = ("tests", "docs", "hatch_build.py")
    files = [name for name in files if name.split("/")[0] not in outside]
    files.remove("training/__init__.py")
    assert len(files) > 100
    found = [line for name in files for line in upward(name, (ROOT / name).read_text())]
    assert not found, "\n".join(found)


LIBRARY = (
    ("memnets.checks", "memnets.arguments", "memnets.state", "memnets.interface"),
    ("memnets.parts",),
    ("memnets.backends",),
    ("memnets.layer",),
    ("memnets.registry",),
    ("memnets.ntm", "memnets.dnc"),
    ("memnets.paper", "memnets.loading", "memnets.inspect", "memnets.rl", "memnets.compat"),
)
"""From the equations up to what is made of them: a backend knows no layer, a part no backend."""


def floor(module: str) -> int:
    names = [name for row in LIBRARY for name in row if f"{module}.".startswith(f"{name}.")]
    return next(n for n, row in enumerate(LIBRARY) if set(names) & set(row)) if names else -1


def test_the_library_imports_point_down():
    """Also those inside functions and those for types alone."""
    found = []
    for path in sorted((ROOT / "memnets").rglob("*.py")):
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{name.name}" for name in node.names]
            above = [name for name in modules if floor(name) > floor(own) >= 0]
            found += [f"{own} imports {name}, which stands above it" for name in above]
    assert not found, "\n".join(found)


def test_an_import_that_points_up_is_named():
    source = "import torch\nfrom memnets.inspect import plots\n\n\ndef late():\n    {}\n"
    said = (
        "training/files/form.py:6 imports {}, but may import only memnets/ (CONTRIBUTING.md): move "
        "what it needs down to one of these"
    )
    for line, name in (
        ("from benchmarks import machine", "benchmarks/"),
        ("import train", "train.py"),
        ("from training import files, run", "training/run/"),
        ("import training.options.config as config", "training/options/"),
        ("from ..machine import device", "training/machine/"),
        ("from .. import report", "training/report/"),
    ):
        assert upward("training/files/form.py", source.format(line)) == [said.format(name)]
    for line in (
        "from training.files import form",
        "import memnets.state",
        "from . import metrics",
    ):
        assert upward("training/files/form.py", source.format(line)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what a page saves is no part of the project
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    names: dict = {"__name__": "page"}
    # A page may register a task or a cell of its own.
    with mock.patch.dict(tasks.TASKS), mock.patch.dict(CELLS):
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
    """What `py.typed` promises to strict users: every public symbol has a known type.

    But for classes of memnets.rl, whose bases are of libraries that have no types, or are not here.
    """
    command = [sys.executable, "-m", "pyright", "--verifytypes", "memnets", "--ignoreexternal"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    shown = done.stdout.partition("Symbols used in public interface:")[2] or done.stdout
    unknown = re.findall(r"^(memnets\.[\w.]+)$", shown, re.MULTILINE)
    assert all(name.startswith("memnets.rl.") for name in unknown), done.stdout + done.stderr
    assert "Type completeness score: " in done.stdout, done.stdout + done.stderr


def test_the_citation_has_the_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {memnets.__version__}\n" in citation
    assert f"\n## {memnets.__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert not any(cell.get("outputs") for cell in cells)  # what it prints is not kept
    names: dict = {"__name__": "notebook"}
    for number, cell in enumerate(code, 1):
        exec(compile(cell, f"notebook.ipynb, block {number}", "exec"), names)
    assert names["figure"].get_axes()

"""The reference that is built from the docstrings: every page and every public name is in it."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import memnets
from memnets.inspect import plots

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(
    path.relative_to(DOCS).with_suffix("").as_posix()
    for path in DOCS.rglob("*.md")
    if path.name != "index.md"
)


def functions(module: ModuleType) -> list[str]:
    """The public functions of a module, and of a package those that it lists."""
    listed = getattr(module, "__all__", None)
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and (name in listed if listed else value.__module__ == module.__name__)
    ]


MODULES = [name for name in memnets.__all__ if isinstance(getattr(memnets, name), ModuleType)]
NAMES = [
    value.__name__ if isinstance(value, ModuleType) else f"memnets.{name}"
    for name, value in ((name, getattr(memnets, name)) for name in memnets.__all__)
]
PARTS = [getattr(memnets.parts, name) for name in memnets.parts.__all__]
for _module in (*PARTS, plots):
    NAMES += [f"{_module.__name__}.{name}" for name in functions(_module)]


def test_every_page_is_listed_once():
    index = (DOCS / "index.md").read_text()
    blocks = re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
    listed = [line for block in blocks for line in block.splitlines() if line]
    assert sorted(line for line in listed if not line.startswith(":")) == PAGES


PAGED = [getattr(memnets, name) for name in MODULES] + [plots]


@pytest.mark.parametrize("module", PAGED, ids=[module.__name__ for module in PAGED])
def test_a_module_has_a_page(module):
    name = module.__name__
    page = (DOCS / "reference" / f"{name.removeprefix('memnets.')}.md").read_text()
    assert f".. automodule:: {name}\n" in page
    for part in PARTS:
        if part.__name__.startswith(f"{name}."):
            assert f".. automodule:: {part.__name__}\n" in page


def test_a_public_name_has_a_docstring():
    """Without one, the generator leaves it out in silence."""
    assert ".. automodule:: memnets\n" in (DOCS / "reference" / "memnets.md").read_text()
    assert len(NAMES) > 50
    for name in NAMES:
        module, _, last = name.rpartition(".")
        found = sys.modules[name] if name in sys.modules else getattr(sys.modules[module], last)
        assert inspect.getdoc(found), name


def test_what_stands_in_backticks_ends_in_its_line():
    """Broken across lines, an equation is a link to nowhere, which stops the build of the site."""
    torn = [
        f"{path.name}: {line.strip()}"
        for path in sorted((DOCS.parent / "memnets").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        for line in (ast.get_docstring(node) or "").splitlines()
        if line.count("`") % 2
    ]
    assert not torn


def test_the_site_is_built_without_a_warning_has_every_name_and_loads_nothing_from_elsewhere(
    tmp_path,
):
    for library in ("sphinx", "myst_parser", "furo", "latex2mathml"):
        pytest.importorskip(library, reason=f"the reference needs {library}")
    command = (DOCS.parent / "CONTRIBUTING.md").read_text()
    (options,) = re.findall(r"^sphinx-build (.*) docs build/site$", command, re.MULTILINE)
    assert "-W" in options.split()
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options.split(), "docs", str(tmp_path)],
        cwd=DOCS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    listed = subprocess.run(
        [sys.executable, "-m", "sphinx.ext.intersphinx", str(tmp_path / "objects.inv")],
        capture_output=True,
        text=True,
        check=True,
    )
    entries = {line.split()[0] for line in listed.stdout.splitlines() if line.startswith(" ")}
    assert not set(NAMES) - entries
    assert all((tmp_path / f"{page}.html").is_file() for page in PAGES)
    pages = {path: path.read_text() for path in tmp_path.rglob("*.html")}
    loaded = [
        tag for text in pages.values() for tag in re.findall(r"<(?:script|link|img)[^>]*", text)
    ]
    assert len(loaded) > len(pages)
    assert not [tag for tag in loaded if re.search(r"""(?:src|href)=["'](?:https?:)?//""", tag)]
    formulas = re.findall("<math.*?</math>", pages[tmp_path / "derivations.html"], re.DOTALL)
    assert len(formulas) > 200
    assert not [formula for formula in formulas if re.search(r">(?:&(?:amp;)?|\\\\.*)<", formula)]

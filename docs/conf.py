"""The site of docs/ and the docstrings: sphinx-build -W --keep-going docs build/site."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import BuiltinFunctionType
from typing import Any

from docutils import nodes
from latex2mathml import converter

sys.path.insert(0, str(Path(__file__).parent.parent))  # these sources, whatever is installed

import memnets

project = "memnets"
author = "The memnets authors"
copyright = author  # noqa: A001 - Sphinx's name for it
version = release = memnets.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # GitHub's fence for equations
myst_heading_anchors = 3
html_math_renderer = "mathml"  # browsers draw it themselves: nothing is loaded from elsewhere

html_theme = "furo"
html_title = f"memnets {version}"
html_copy_source = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_theme_options = {"light_css_variables": {"code-font-size": "78%"}}
smartquotes_action = "D"  # dashes; quotes stay, as M' is a matrix

autodoc_default_options = {"members": True, "exclude-members": "extra_repr"}
autodoc_member_order = "bysource"
autodoc_mock_imports = ["sb3_contrib", "stable_baselines3", "tensordict", "torchrl"]  # heavy
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False

# A name in backticks becomes a link where it is one of memnets, and else stays code; a name that
# begins with `memnets.` must be one.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*"), ("py:obj", r"(?!memnets\.).*")]


def skip(app: Any, what: str, name: str, member: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out what another page documents, and functions of torch that a class keeps."""
    if isinstance(member, BuiltinFunctionType):
        return True
    page = app.env.docname
    if what != "module" or page == "reference/memnets":
        return None
    if name in memnets.__all__ and getattr(memnets, name) is member:
        return True
    home = "reference/" + getattr(member, "__module__", "").removeprefix("memnets.")
    return True if home != page and home in app.env.found_docs else None


def tidy(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Mend the docstrings of attributes, before napoleon reads them."""
    if what not in {"attribute", "data", "property"} or not lines:
        return
    if lines[0].startswith("Alias for field number"):  # Python's own, of a NamedTuple's field
        lines.clear()
    else:  # napoleon takes what stands before a colon in the first line for a type
        lines[:0] = ["..", ""]


def formulas(app: Any, name: str, source: list[str]) -> None:
    """Take GitHub's inline formulas, a code span between dollars, as MyST's between dollars."""
    source[0] = re.sub(r"\$`([^`]*)`\$", r"$\1$", source[0])


def inline_formula(translator: Any, node: nodes.math) -> None:
    """Write a formula as MathML."""
    translator.body.append(converter.convert(node.astext()))
    raise nodes.SkipNode


def formula(translator: Any, node: nodes.math_block) -> None:
    """Write a formula of its own lines as MathML, in a box that scrolls where it is too wide."""
    lines = node.astext().replace("{aligned}", "{align*}")  # what the converter calls it
    made = converter.convert(lines, display="block")
    translator.body.append(f'<div class="formula">{made}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Connect what is above; Sphinx calls this."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
    app.connect("source-read", formulas)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", tidy, priority=400)

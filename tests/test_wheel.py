"""The wheel: built, installed where no compiler is, and used from another folder.

As it is released, for all instruction sets:

    python -m tests.test_wheel
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from memnets.backends.cpu import compiling, shipped

ROOT = Path(__file__).parents[1]
NEEDED = ("memnets", "pyproject.toml", "README.md", "LICENSE", "hatch_build.py")


def run(command, folder, **environment):
    """Run it; without PYTHONPATH, which would find the sources. Return what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    given = {"cwd": folder, "env": clean | environment, "text": True, "check": False}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **given)
    assert done.returncode == 0, done.stdout
    return done.stdout


def copy_of_sources(folder):
    """What a wheel is built from, and the libraries that are there, which need no compiling."""
    folder.mkdir()
    for name in NEEDED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def built_wheel(folder, **environment):
    """The wheel, and what the build said."""
    options = ["--no-deps", "--no-cache-dir", "-v", "--wheel-dir", str(folder / "dist")]
    sources = copy_of_sources(folder / "sources")
    said = run([sys.executable, "-m", "pip", "wheel", *options, "."], sources, **environment)
    (wheel,) = (folder / "dist").iterdir()
    return wheel, said


def installed(folder, wheel):
    """An interpreter that has the wheel, and after it all that this one has."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], folder)
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    run([*pip, "install", "--no-deps", "--no-index", str(wheel)], folder)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "outer.pth").write_text("\n".join(path for path in sys.path if "packages" in path))
    return python


def used(folder, python):
    """What an installed memnets says of itself, with no compiler on the path."""
    for name in ("empty", "elsewhere"):
        (folder / name).mkdir()
    command = [str(python), str(ROOT / "tests" / "installed.py")]
    return run(command, folder / "elsewhere", PATH=str(folder / "empty"))


@pytest.mark.skipif(compiling.compiler() is None, reason="a wheel is compiled where a compiler is")
def test_the_wheel_serves_where_no_compiler_is(tmp_path):
    best = shipped.best_instruction_set()
    wheel, _ = built_wheel(tmp_path, MEMNETS_INSTRUCTION_SETS=best)
    assert re.fullmatch(r"memnets-.*-py3-none-(manylinux_2_28|linux|macosx)_.*\.whl", wheel.name)
    said = used(tmp_path, installed(tmp_path, wheel))
    assert f"float-{best}.so serves without a compiler" in said


def test_without_a_compiler_the_wheel_is_without_the_kernel_and_says_so(tmp_path):
    wheel, said = built_wheel(tmp_path, CXX=str(tmp_path / "none"))
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "no C++ compiler" in said


def main():
    """Build for all instruction sets, and use it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, _ = built_wheel(folder)
        print(wheel.name, f"{wheel.stat().st_size / 1e6:.2f} MB")
        print(used(folder, installed(folder, wheel)), end="")


if __name__ == "__main__":
    main()

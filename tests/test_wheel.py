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
import zipfile
from pathlib import Path

import pytest

from memnets.backends.cpu import compiling, shipped
from memnets.loading import trained_names

ROOT = Path(__file__).parents[1]
TRAINER = ("train.py", "training", "tasks")
NEEDED = ("memnets", *TRAINER, "pyproject.toml", "README.md", "LICENSE", "hatch_build.py")
OWN_TASK = """
from dataclasses import dataclass

from tasks import Reverse


@dataclass(frozen=True, kw_only=True)
class Rotate(Reverse):
    pass
"""
SMALL = "--task.max-length 3 --model.memory-size 4 --model.word-size 3 --model.hidden-size 5 "
SMALL += "--run.sequences 16 --run.evaluation-sequences 4 --run.pictures False --wandb disabled"


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


def top_level(wheel):
    """The names that a wheel puts into site-packages, and all that is in it."""
    names = zipfile.ZipFile(wheel).namelist()
    return {name.partition("/")[0] for name in names}, names


def trained(folder, python):
    """What the command `memnets` says of a task of somebody else's, in a folder of their own."""
    own = folder / "own"
    (own / "mypackage").mkdir(parents=True)
    (own / "mypackage" / "tasks.py").write_text(OWN_TASK)
    memnets = str(python.with_name("memnets"))
    words = ["--task", "mypackage.tasks:Rotate", *SMALL.split(), "--name", "mine"]
    said = run([memnets, "train", *words], own)
    said += run([memnets, "train", "--resume", "runs/mine", "--wandb", "disabled"], own)
    said += run([memnets, "evaluate", "runs/mine", "--sequences", "4"], own)
    return said + run([memnets, "compare", "runs"], own)


@pytest.mark.skipif(compiling.compiler() is None, reason="a wheel is compiled where a compiler is")
def test_the_wheel_serves_where_no_compiler_is(tmp_path):
    best = shipped.best_instruction_set()
    wheel, _ = built_wheel(tmp_path, MEMNETS_INSTRUCTION_SETS=best)
    assert re.fullmatch(r"memnets-.*-py3-none-(manylinux_2_28|linux|macosx)_.*\.whl", wheel.name)
    python = installed(tmp_path, wheel)
    assert f"float-{best}.so serves without a compiler" in used(tmp_path, python)
    top, names = top_level(wheel)
    assert {name for name in top if not name.endswith(".dist-info")} == {"memnets"}
    assert {f"memnets/trained/{name}.safetensors" for name in trained_names()} <= {*names}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    said = trained(tmp_path, python)
    assert "then: memnets train --resume runs/mine" in said
    assert "finished: 16 of 16 sequences" in said
    assert "runs/mine/generalisation.json" in said
    assert "mypackage.tasks:Rotate ntm  0      0 of 1" in said


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

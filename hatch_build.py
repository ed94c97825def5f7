"""The build hook: compiles the kernel when a wheel is built or the package is installed.

A wheel also takes the trainer along, inside of the package: see memnets/trainer.py.

Where no C++ compiler is, or it fails, the wheel holds the library without it, and says so in a
line: the layers run on the reference backend then.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TRAINER = ("train.py", "training", "tasks")

OLDEST = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11), "GCC": (8, 0, 0)}
"""The newest versions of the system's symbols that a wheel for manylinux_2_28 may ask for."""


class KernelHook(BuildHookInterface):
    """Compiles to memnets/backends/cpu/built, and names the wheel by the platform it is for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless all is there; `version` is standard or editable."""
        if version == "standard":  # an editable install finds it in the repository
            build_data["force_include"] |= {name: f"memnets/_trainer/{name}" for name in TRAINER}
        compiling = load_compiling(Path(self.root))
        program = compiling.compiler()
        if program is None:
            shutil.rmtree(compiling.BUILT, ignore_errors=True)
            self.app.display_warning(
                "memnets: no C++ compiler (g++, clang++ or CXX), so without the compiled kernel: "
                "the layers will run on the reference backend, which is many times slower."
            )
            return
        sets = wanted_sets(compiling, program, version)
        manifest = wanted(compiling, program)
        if not is_up_to_date(compiling, manifest, sets):
            error = self.compile(compiling, program, manifest, sets)
            if error is not None:
                shutil.rmtree(compiling.BUILT, ignore_errors=True)
                self.app.display_warning(
                    f"memnets: {program} could not compile the kernel, so without it: the layers "
                    f"will run on the reference backend. Its last words: {error[-500:]}"
                )
                return
        build_data["artifacts"].append("memnets/backends/cpu/built/*")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(sorted(compiling.BUILT.glob('*.so')))}"

    def compile(
        self, compiling: ModuleType, program: str, manifest: dict[str, Any], sets: Sequence[str]
    ) -> str | None:
        """Compile all libraries, several at once; return what the compiler said if it failed."""
        shutil.rmtree(compiling.BUILT, ignore_errors=True)
        compiling.BUILT.mkdir()
        began = time.perf_counter()
        jobs = [(number, name) for name in sets for number in compiling.NUMBERS]

        def run(job: tuple[str, str]) -> subprocess.CompletedProcess[str]:
            target = compiling.BUILT / compiling.file_name(*job)
            options = compiling.instruction_sets()[job[1]]
            command = compiling.command(program, job[0], target, options)
            return subprocess.run(command, capture_output=True, text=True, check=False)

        self.app.display_info(f"memnets: compiling the kernel by {program}, {len(jobs)} libraries")
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for index, done in enumerate(pool.map(run, jobs)):
                if done.returncode != 0:
                    pool.shutdown(cancel_futures=True)
                    return done.stderr.strip() or f"exit status {done.returncode}"
                seconds = time.perf_counter() - began
                self.app.display_info(
                    f"memnets: {index + 1} of {len(jobs)} ({' '.join(jobs[index])}), "
                    f"{seconds:.0f} s"
                )
        paths = sorted(compiling.BUILT.glob("*.so"))
        files = {path.name: compiling.checksum(path) for path in paths}
        text = json.dumps(manifest | {"files": files}, indent=1)
        (compiling.BUILT / compiling.MANIFEST).write_text(text)
        return None


def load_compiling(root: Path) -> ModuleType:
    """Return memnets/backends/cpu/compiling.py without its package, which needs torch."""
    path = root / "memnets" / "backends" / "cpu" / "compiling.py"
    spec = importlib.util.spec_from_file_location("memnets_compiling", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wanted_sets(compiling: ModuleType, program: str, version: str) -> list[str]:
    """Return the instruction sets to compile for: all, or this machine's where it stays here.

    Raises:
        ValueError: if MEMNETS_INSTRUCTION_SETS names one that this kind of processor has not.
    """
    known = list(compiling.instruction_sets())
    named = os.environ.get("MEMNETS_INSTRUCTION_SETS", "").split()
    for name in named:
        if name not in known:
            raise ValueError(
                f"MEMNETS_INSTRUCTION_SETS must be of {' '.join(known)}, not {name!r}."
            )
    own = [compiling.native_instruction_set(program)] if version == "editable" else known
    return named or own


def wanted(compiling: ModuleType, program: str) -> dict[str, Any]:
    """Return what the manifest says besides the files."""
    version = [program, "--version"]
    first = subprocess.run(version, capture_output=True, text=True, check=False).stdout
    return {
        "sources": compiling.digest_of_sources(),
        "compiler": first.partition("\n")[0],
        "options": list(compiling.OPTIONS),
        "instruction_sets": {
            name: list(options) for name, options in compiling.instruction_sets().items()
        },
    }


def is_up_to_date(compiling: ModuleType, manifest: dict[str, Any], sets: Sequence[str]) -> bool:
    """Whether all wanted libraries are there, whole, from these sources and options."""
    try:
        found = json.loads((compiling.BUILT / compiling.MANIFEST).read_text())
    except (OSError, ValueError):
        return False
    files = found.pop("files", {})
    names = [compiling.file_name(number, name) for name in sets for number in compiling.NUMBERS]
    paths = [compiling.BUILT / name for name in names]
    return found == manifest and all(
        path.is_file() and compiling.checksum(path) == files.get(path.name) for path in paths
    )


def platform_tag(libraries: Sequence[Path]) -> str:
    """Return manylinux_2_28 where the libraries' symbols allow it, else this very platform."""
    own = re.sub(r"[^a-z0-9]", "_", sysconfig.get_platform().lower())
    if not own.startswith("linux_") or platform.libc_ver()[0] != "glibc":
        return own
    allowed = all(is_allowed(versions_needed(path)) for path in libraries)
    return own.replace("linux_", "manylinux_2_28_", 1) if allowed else own


def versions_needed(library: Path) -> list[tuple[str, tuple[int, ...]]] | None:
    """Return the versions of symbols that a library asks for, as readelf has them, or None."""
    if shutil.which("readelf") is None:
        return None
    command = ["readelf", "--version-info", "--wide", str(library)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.findall(r"Name: ([A-Z]+)_([0-9.]+)", shown)
    return [(name, tuple(map(int, version.split(".")))) for name, version in found]


def is_allowed(versions: Sequence[tuple[str, tuple[int, ...]]] | None) -> bool:
    """Whether manylinux_2_28 has all of these; not if there are none, as then none were found."""
    return bool(versions) and all(
        version <= OLDEST.get(name, (0,)) for name, version in versions or ()
    )

"""Adapters to other people's packages. They import what the user has; they contain no code of it.

Their equations are not memnets' (the notes say where), so that their results are not compared, only
their sizes are the same.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants import Absent, Build, Contestant, Sizes

PYTORCH_NTM = "pytorch-ntm"
DNC_PACKAGE = "dnc (PyPI)"

GET_PYTORCH_NTM = (
    "git clone https://github.com/loudinthecloud/pytorch-ntm, then --ntm-repository pytorch-ntm"
)
# Without --no-deps pip also builds flann, which only its sparse models import.
GET_DNC = "pip install --no-deps dnc==1.1.0"


@contextmanager
def importable_from(folder: Path, package: str) -> Iterator[None]:
    """Let `package` be imported from a folder, and from nowhere else, while the block runs."""
    hidden = _take_modules(package)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        _take_modules(package)
        sys.modules.update(hidden)


def _take_modules(package: str) -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == package or name.startswith(f"{package}.")]
    return {name: sys.modules.pop(name) for name in names}


def pytorch_ntm(repository: Path | None) -> Build:
    """Return a builder of loudinthecloud/pytorch-ntm's EncapsulatedNTM, from a clone of it."""

    def build(sizes: Sizes) -> Contestant:
        if repository is None:
            raise Absent(f"{PYTORCH_NTM} is left out: no --ntm-repository ({GET_PYTORCH_NTM}).")
        folder = repository.expanduser().resolve()
        if not (folder / "ntm" / "aio.py").is_file():
            raise Absent(
                f"{PYTORCH_NTM} is left out: {repository} has no ntm/aio.py ({GET_PYTORCH_NTM})."
            )
        with importable_from(folder, "ntm"):
            kind: Any = importlib.import_module("ntm.aio").EncapsulatedNTM
        model = kind(
            num_inputs=sizes.input_size,
            num_outputs=sizes.output_size,
            controller_size=sizes.hidden_size,
            controller_layers=1,
            num_heads=1,
            N=sizes.memory_size,
            M=sizes.word_size,
        )

        def run(x: Tensor) -> Tensor:
            model.init_sequence(x.shape[1])
            return torch.stack([model(x_t)[0] for x_t in x.unbind(0)])

        note = f"{_commit(folder)}; reads before it writes, outputs squashed"
        return Contestant(PYTORCH_NTM, model, run, sizes.output_size, note)

    return build


def dnc_package(sizes: Sizes) -> Contestant:
    """Build the DNC of the PyPI package `dnc`."""
    try:
        kind: Any = importlib.import_module("dnc").DNC
        version = metadata.version("dnc")
    except (ImportError, AttributeError) as error:
        raise Absent(f"{DNC_PACKAGE} is left out: {error} ({GET_DNC}).") from error
    model = kind(
        input_size=sizes.input_size,
        hidden_size=sizes.hidden_size,
        num_hidden_layers=1,
        nr_cells=sizes.memory_size,
        cell_size=sizes.word_size,
        read_heads=1,
        batch_first=False,
    )
    note = (
        f"{version}; its controller never sees what was read, "
        f"{sizes.input_size} outputs, as many as inputs"
    )
    return Contestant(DNC_PACKAGE, model, lambda x: model(x)[0], sizes.input_size, note)


def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else "commit unknown"

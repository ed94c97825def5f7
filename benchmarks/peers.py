"""Adapters to other people's packages. They import what the user has; they contain no code of it.

Their equations are not memnets' (the notes say where), so that their results are not compared, only
their sizes are the same.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import Case
from benchmarks.contestants import Absent, Build, Contestant
from training.files.provenance import commit_of

PYTORCH_NTM = "pytorch-ntm"
PYTORCH_DNC = "pytorch-dnc"
DNC_PACKAGE = "dnc (PyPI)"
CSORDAS_DNC = "RobertCsordas/dnc"

GET = {
    PYTORCH_NTM: "git clone https://github.com/loudinthecloud/pytorch-ntm, then "
    "--ntm-repository pytorch-ntm",
    PYTORCH_DNC: "git clone https://github.com/ixaxaar/pytorch-dnc, then "
    "--dnc-repository pytorch-dnc",
    # Without --no-deps pip also builds flann, which only its sparse models import.
    DNC_PACKAGE: "pip install --no-deps dnc==1.1.0",
    CSORDAS_DNC: "git clone https://github.com/RobertCsordas/dnc csordas-dnc, then "
    "--csordas-repository csordas-dnc",
}

# True of both: the package is 1.1.0 of 2021, the repository's newest code 2.0.0b1, reworked in 2025
# with the same equations.
_DNC_DIFFERS = (
    "its controller never sees what was read and starts at random, keys and written vectors in "
    "(-1, 1), strengths above 0, as many outputs as inputs"
)


@dataclass(frozen=True)
class Repositories:
    """Where the user has clones of other people's repositories; None where not."""

    ntm: Path | None = None
    dnc: Path | None = None
    csordas: Path | None = None


def builders(kind: str, repositories: Repositories) -> list[Build]:
    """What can be compared with memnets' layer of a kind; nothing for one that has no peers."""
    peers = {
        "NTM": [pytorch_ntm(repositories.ntm)],
        "DNC": [pytorch_dnc(repositories.dnc), dnc_package, csordas_dnc(repositories.csordas)],
    }
    return peers.get(kind, [])


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


def _module(name: str, repository: Path | None, module: str) -> tuple[Any, str]:
    """Import a module of a repository; return it and the repository's commit.

    Raises:
        Absent: if the user has not given the repository, or it is another.
    """
    if repository is None:
        raise Absent(f"{name} is left out: its repository is not given ({GET[name]}).")
    folder = repository.expanduser().resolve()
    file = module.replace(".", "/") + ".py"
    if not (folder / file).is_file():
        raise Absent(f"{name} is left out: {repository} has no {file} ({GET[name]}).")
    with importable_from(folder, module.partition(".")[0]):
        try:
            return importlib.import_module(module), commit_of(folder) or "commit unknown"
        except ImportError as error:
            raise Absent(
                f"{name} is left out: it cannot be imported with torch "
                f"{torch.__version__}: {error}."
            ) from error


def pytorch_ntm(repository: Path | None) -> Build:
    """Return a builder of loudinthecloud/pytorch-ntm's EncapsulatedNTM, from a clone of it."""

    def build(case: Case) -> Contestant:
        module, commit = _module(PYTORCH_NTM, repository, "ntm.aio")
        model = module.EncapsulatedNTM(
            num_inputs=case.input_size,
            num_outputs=case.output_size,
            controller_size=case.hidden_size,
            controller_layers=1,
            num_heads=case.read_heads,  # pairs of a read and a write head
            N=case.memory_size,
            M=case.word_size,
        )

        def run(x: Tensor) -> Tensor:
            model.init_sequence(x.shape[1])
            return torch.stack([model(x_t)[0] for x_t in x.unbind(0)])

        note = f"{commit}; reads before it writes, memory starts at random, outputs squashed"
        return Contestant(PYTORCH_NTM, model, run, case.output_size, note)

    return build


def pytorch_dnc(repository: Path | None) -> Build:
    """Return a builder of ixaxaar/pytorch-dnc's DNC, from a clone of it (2.0.0b1)."""

    def build(case: Case) -> Contestant:
        module, commit = _module(PYTORCH_DNC, repository, "dnc.dnc")
        # With batch_first it takes [B, T, I] and returns [T, B, I].
        model = _dnc(module.DNC, case, batch_first=True)

        def run(x: Tensor) -> Tensor:
            return model(x.transpose(0, 1), None)[0]

        note = f"{commit}; {_DNC_DIFFERS}"
        return Contestant(PYTORCH_DNC, model, run, case.input_size, note)

    return build


def dnc_package(case: Case) -> Contestant:
    """Build the DNC of the PyPI package `dnc`."""
    try:
        kind: Any = importlib.import_module("dnc").DNC
        version = metadata.version("dnc")
    except (ImportError, AttributeError) as error:
        raise Absent(f"{DNC_PACKAGE} is left out: {error} ({GET[DNC_PACKAGE]}).") from error
    model = _dnc(kind, case, batch_first=False)
    note = f"{version}; {_DNC_DIFFERS}"
    return Contestant(DNC_PACKAGE, model, lambda x: model(x)[0], case.input_size, note)


def _dnc(kind: Any, case: Case, *, batch_first: bool) -> Any:
    return kind(
        input_size=case.input_size,
        hidden_size=case.hidden_size,
        num_hidden_layers=1,
        nr_cells=case.memory_size,
        cell_size=case.word_size,
        read_heads=case.read_heads,
        batch_first=batch_first,
    )


def csordas_dnc(repository: Path | None) -> Build:
    """Return a builder of RobertCsordas/dnc's DNC with its extensions switched off."""

    def build(case: Case) -> Contestant:
        module, commit = _module(CSORDAS_DNC, repository, "Models.DNC")
        model = module.DNC(
            input_size=case.input_size,
            output_size=case.output_size,
            word_length=case.word_size,
            cell_count=case.memory_size,
            n_read_heads=case.read_heads,
            controller=module.LSTMController([case.hidden_size]),
            mask=False,
            dealloc_content=False,
            link_sharpness_control=False,
        )
        note = (
            f"{commit}; without its extensions; no gradient from usage to writing, "
            "interface clipped to 20"
        )
        return Contestant(CSORDAS_DNC, model, model, case.output_size, note)

    return build

"""What is timed: a model of a case, the same sizes for all that are compared.

Axes: B batch, T time, I input, O output.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import memnets
from benchmarks.cases import Case
from memnets.backends.registry import BACKENDS, Backend

LSTM = "torch.nn.LSTM"


@dataclass(frozen=True)
class Contestant:
    """A model that can be timed.

    `run(x)` takes [T, B, I] through the model from a fresh state and returns [T, B, outputs];
    `model` owns the parameters; `outputs` is the last axis of what `run` returns; `note` says in
    which way it is not the same as what it is compared with; `own` is whether it is memnets'.
    """

    name: str
    model: nn.Module
    run: Callable[[Tensor], Tensor]
    outputs: int
    note: str = ""
    own: bool = False


class Absent(Exception):  # noqa: N818 - it is no error: the row is left out, and the reason printed
    """A contestant that this machine does not have; the message says how to get it."""


REFUSALS = (RuntimeError, ValueError, OSError, ImportError)
"""What a backend that cannot serve may raise (NotImplementedError is a RuntimeError)."""

Build = Callable[[Case], Contestant]


def constructor(kind: str) -> Callable[..., Any]:
    """The class of memnets' layer of a kind, which is its name.

    >>> constructor("DNC")
    <class 'memnets.dnc.DNC'>
    """
    return getattr(memnets, kind)


def layer(
    case: Case, backend: str | Backend, dtype: torch.dtype | None = None
) -> memnets.MemoryLayer:
    """Build memnets' layer of a case, with one write head."""
    kind = constructor(case.kind)
    several = "read_heads" in inspect.signature(kind).parameters
    return kind(
        case.input_size,
        case.output_size,
        memory_size=case.memory_size,
        word_size=case.word_size,
        hidden_size=case.hidden_size,
        **({"read_heads": case.read_heads} if several else {}),
        backend=backend,
        dtype=dtype,
    )


def own(backend: str, checkpoint_every: int | None = None) -> Build:
    """Return a builder of memnets' layer on a backend."""

    def build(case: Case) -> Contestant:
        model = layer(case, Backend(backend, checkpoint_every))
        name = own_name(case.kind, backend)
        return Contestant(name, model, lambda x: model(x)[0], case.output_size, own=True)

    return build


def own_name(kind: str, backend: str) -> str:
    """Return the name of memnets' row of the table."""
    return f"memnets.{kind} {backend}"


def lstm(case: Case) -> Contestant:
    """torch's own LSTM with as much input as the controllers have: the floor."""
    read_size = case.read_heads * case.word_size
    model = nn.LSTM(case.input_size + read_size, case.hidden_size)

    def run(x: Tensor) -> Tensor:
        padded = nn.functional.pad(x, (0, read_size))
        return model(padded)[0]

    note = f"{model.input_size} inputs, no memory, no readout: the floor"
    return Contestant(LSTM, model, run, case.hidden_size, note)


def timed_backends(backends: Mapping[str, object] = BACKENDS) -> list[str]:
    """The backends that do not run the reference's own code, and so have a time of their own.

    `auto` has none: it takes one of the others. `cuda` is timed by `benchmarks.gpu`.
    """
    others = "auto", "cuda"
    reference = backends["reference"]
    return [name for name, run in backends.items() if run is not reference and name not in others]


def inputs(case: Case, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same random x [T, B, I] for every contestant of a case."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(
        case.steps, case.batch, case.input_size, generator=generator, dtype=torch.float64
    ).to(dtype)

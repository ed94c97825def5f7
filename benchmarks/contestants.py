"""What is timed: a model with its sizes, the same sizes for all that are compared.

Axes: B batch, T time, I input, O output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

import memnets
from memnets.unroll import BACKENDS


@dataclass(frozen=True)
class Sizes:
    """The sizes that all contestants share: those of the copy task in the NTM paper."""

    input_size: int = 9
    output_size: int = 8
    memory_size: int = 128
    word_size: int = 20
    hidden_size: int = 100
    batch: int = 16
    steps: int = 40


@dataclass(frozen=True)
class Contestant:
    """A model that can be timed.

    `run(x)` takes [T, B, I] through the model from a fresh state and returns [T, B, outputs];
    `model` owns the parameters; `outputs` is the last axis of what `run` returns; `note` says in
    which way it is not the same as what it is compared with.
    """

    name: str
    model: nn.Module
    run: Callable[[Tensor], Tensor]
    outputs: int
    note: str = ""


class Absent(Exception):  # noqa: N818 - it is no error: the row is left out, and the reason printed
    """A contestant that this machine does not have; the message says how to get it."""


Build = Callable[[Sizes], Contestant]


@dataclass(frozen=True)
class Group:
    """Contestants that are compared: all ratios are to the reference."""

    title: str
    reference: str
    rivals: tuple[str, ...]


def layer(kind: str, backend: str, sizes: Sizes, **options: object) -> memnets.MemoryLayer:
    """Build `memnets.NTM` or `memnets.DNC` with one read and one write head."""
    return {"NTM": memnets.NTM, "DNC": memnets.DNC}[kind](
        sizes.input_size,
        sizes.output_size,
        memory_size=sizes.memory_size,
        word_size=sizes.word_size,
        hidden_size=sizes.hidden_size,
        read_heads=1,
        backend=backend,
        **options,  # pyright: ignore[reportArgumentType]
    )


def own(kind: str, backend: str) -> Build:
    """Return a builder of `memnets.NTM` or `memnets.DNC` on a backend."""

    def build(sizes: Sizes) -> Contestant:
        model = layer(kind, backend, sizes)
        return Contestant(own_name(kind, backend), model, lambda x: model(x)[0], sizes.output_size)

    return build


def own_name(kind: str, backend: str) -> str:
    """Return the name of memnets' row of the table."""
    return f"memnets.{kind} {backend}"


def lstm(sizes: Sizes) -> Contestant:
    """torch's own LSTM with as much input as the controllers have: the floor."""
    inputs = sizes.input_size + sizes.word_size
    model = nn.LSTM(inputs, sizes.hidden_size)

    def run(x: Tensor) -> Tensor:
        padded = nn.functional.pad(x, (0, sizes.word_size))
        return model(padded)[0]

    note = "no memory, no readout: the floor"
    return Contestant(LSTM, model, run, sizes.hidden_size, note)


LSTM = "torch.nn.LSTM"


def timed_backends(backends: Mapping[str, object] = BACKENDS) -> list[str]:
    """The backends that do not run the reference's own code, and so have a time of their own."""
    return [name for name, run in backends.items() if run is not backends["reference"]]

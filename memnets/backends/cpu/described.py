"""A layer as text, and the layer that a text describes: what an operator in a graph is told.

A graph outlives the layer that it was made from, and may be saved and run by another process. So
its operator is told by its own arguments what to compute: the layer's `config` as JSON.

Axes: B batch, T time, I input, R read heads, W word.
"""

from __future__ import annotations

import functools
import json
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memnets.backends.cpu.again import form_of_memory
from memnets.backends.cpu.engines import ENGINES
from memnets.backends.cpu.known import inner_modules
from memnets.backends.cpu.library import NUMBERS
from memnets.backends.cpu.plan import Plan
from memnets.backends.cpu.planned import planned
from memnets.backends.cpu.problems import tensors_of
from memnets.backends.cpu.written import LAYERS, rewritten
from memnets.backends.spec import Steps
from memnets.parts.registry import from_data


class Described(NamedTuple):
    """What a text describes."""

    layer: Steps
    """A layer of the same spec, without values: on the meta device."""
    plan: Plan
    memory: Any
    """As `again.form_of_memory` says it."""
    parameters: tuple[tuple[int, ...], ...]
    """The shapes of the parameters, in the order of `problems.Tensors`: the interface's two, then
    those of the cells."""
    readout: tuple[tuple[int, ...], ...]
    """The shapes of the readout's weight and bias; none without one."""


class DescriptionError(ValueError):
    """A layer that no text describes, or a text that describes no layer of the kernel."""


_texts: weakref.WeakKeyDictionary[Plan, dict[str, str]] = weakref.WeakKeyDictionary()
"""By the name of the engine."""


def text_of(layer: Any, engine: str) -> str:
    """Describe a layer that the kernel knows, for one of `engines.ENGINES`.

    Raises:
        DescriptionError: if a layer that is made from its `config` computes something else.
    """
    plan = planned(layer, inner_modules(layer)).plan
    texts = _texts.setdefault(plan, {})
    if engine not in texts:
        # torch.compile takes a graph from its cache on disk if its text is the same.
        kernel = ENGINES[engine].name(layer.some_weight.dtype)
        try:
            text = json.dumps({**layer.config, "kernel": kernel})
        except ValueError as error:
            raise DescriptionError(str(error)) from error
        if described(text).layer.spec != layer.spec:
            raise DescriptionError(
                "It knows in a graph the layers that their config describes; this one was changed "
                "after it was made."
            )
        texts[engine] = text
    return texts[engine]


@functools.lru_cache(maxsize=64)
def described(text: str) -> Described:
    """Return what `text_of` described, in whatever process.

    Raises:
        DescriptionError: if the kernel does not know such a layer.
    """
    # The modes of a compiler belong to its thread, and must not see the layer being made.
    with ThreadPoolExecutor(max_workers=1) as elsewhere:
        return elsewhere.submit(_made, text).result()


def _made(text: str) -> Described:
    try:
        config = json.loads(text)
        kinds = {kind.__name__: kind for kind in LAYERS}
        arguments = {name: from_data(value) for name, value in config["arguments"].items()}
        layer = kinds[config["name"]](**arguments, backend="reference", device="meta")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DescriptionError(
            "memnets::sequence takes the config of a memnets.NTM or a memnets.DNC as JSON; got "
            f"{text!r} ({error!r}): make the graph again with this version of memnets."
        ) from error
    found = planned(layer, inner_modules(layer))
    if found.reason is not None:
        raise DescriptionError(found.reason)
    state = layer.initial_state(1)
    tensors = tensors_of(layer, state.read_vectors, state, None)
    cells = [one for cell in tensors.cells for one in cell]
    parameters = [tensors.interface_weights, tensors.interface_bias, *cells]
    shapes = tuple(tuple(parameter.shape) for parameter in parameters)
    readout: Any = layer.readout
    of_readout = () if readout is None else (tuple(readout.weight.shape), tuple(readout.bias.shape))
    return Described(layer, found.plan, form_of_memory(state.memory), shapes, of_readout)


@functools.lru_cache(maxsize=64)
def shapes_of(
    known: Described, time: int, batch: int, restarts: bool, readout: bool
) -> list[tuple[int, ...]]:
    """The shapes of a call's tensors, in the order of `problems.Tensors.flat`."""
    *carried, reads = known.plan.shapes(batch)
    flat_reads = (batch, reads[1] * reads[2])
    inputs = (time, batch, known.layer.input_size)
    return [
        *(inputs, *known.parameters[:2], flat_reads, *known.parameters[2:], *carried),
        *((flat_reads, *carried) if restarts else ()),
        *(known.readout if readout else ()),
    ]


def check_functions() -> None:
    """Raise if the kernel would not compute what memnets does in this process.

    Raises:
        ValueError: if a function of memnets was replaced.
    """
    replaced = rewritten()
    if replaced is not None:
        raise ValueError(
            f"memnets::sequence computes what {replaced} did before it was replaced: make the "
            'graph again with backend="reference".'
        )


def check_tensors(
    known: Described,
    tensors: Sequence[Tensor],
    lengths: Tensor | None,
    starts: Tensor | None,
    readout: bool,
) -> None:
    """Raise unless the tensors of an operator's call are those of the layer: the kernel takes them
    by their addresses.

    Raises:
        ValueError: with what must hold, and what is there.
    """
    if not tensors or tensors[0].dim() != 3:
        raise ValueError("memnets::sequence takes x [T, B, I] as the first of its tensors.")
    time, batch = tensors[0].shape[:2]
    wanted = shapes_of(known, time, batch, starts is not None, readout)
    dtype = tensors[0].dtype
    if [tensor.shape for tensor in tensors] != wanted:
        shapes = [tuple(tensor.shape) for tensor in tensors]
        raise ValueError(f"memnets::sequence takes tensors of the shapes {wanted}; got {shapes}.")
    device = tensors[0].device
    others = [] if starts is None else [starts]
    if any(tensor.device != device for tensor in (*tensors, *others)):
        found = sorted({str(tensor.device) for tensor in (*tensors, *others)})
        raise ValueError(f"memnets::sequence takes tensors of one device; got {', '.join(found)}.")
    # That they are dense is by what torch found this operator.
    for tensor in tensors:
        if tensor.dtype is not dtype or dtype not in NUMBERS or not tensor.data_ptr():
            raise ValueError(
                "memnets::sequence takes tensors of one dtype, float32 or float64, that hold their "
                f"numbers; got {tensor.dtype} beside {dtype}, at {tensor.data_ptr()}."
            )
    if starts is not None and (starts.dtype is not torch.bool or starts.shape != (time, batch)):
        raise ValueError(
            f"memnets::sequence takes starts of bool [T, B] = {(time, batch)}; got {starts.dtype} "
            f"{tuple(starts.shape)}."
        )
    if lengths is None:
        return
    right = lengths.dtype is torch.int64 and lengths.shape == (batch,) and lengths.is_cpu
    if not right or int(lengths.min()) < 1 or int(lengths.max()) > time:
        raise ValueError(
            f"lengths must be {batch} whole numbers from 1 to T={time}, one a row, as int64 on the "
            f"CPU; got {lengths.tolist()}."
        )

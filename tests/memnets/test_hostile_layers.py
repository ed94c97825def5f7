"""A table of hostile inputs of the layers: each is refused in words, by a line of ours."""

import dataclasses
import math
import re
import typing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import memnets
from memnets.backends.registry import Backend
from memnets.parts.content import Content
from memnets.parts.controllers import Stack
from memnets.parts.heads import Heads, ReadHead, WriteHead
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.product_keys import ProductKeys
from memnets.parts.registry import PARTS
from memnets.parts.sparse import Sparse
from memnets.parts.start import Start
from memnets.parts.usage import Allocation, LeastRecentlyUsed
from memnets.parts.wiring import WiredStack
from memnets.parts.writing import EraseAdd
from tests.hostile import assert_refused

KINDS = {"NTM": memnets.NTM, "DNC": memnets.DNC}
HALVES = (Content, Location)
SIZES = ("input_size", "output_size", "memory_size", "word_size", "read_heads", "write_heads")
SIZES += ("hidden_size",)
NO_SIZE = (0, -3, 2.5, 4.0, True, "5", None, math.nan, math.inf, [4], 10**30, 2**62)
NO_NUMBER = (math.nan, math.inf, "0", None, 1j)
NO_SWITCH = ("yes", 2, None, 1, [])
NO_EPSILON = (-1.0, math.nan, "0", None, 1j, [])
NO_LIMIT = (math.nan, math.inf, 1, 0.5, -2.0, "2", 1j, [])
NO_SHIFT = (-1, 0.5, True, "1", None, 10**30)
NO_NAME = ("", "LSTM", None, 3, [], {}, object())
NO_PART = ("", 3, 2.5, {}, [], object())

ARGUMENTS = [
    *(
        (kind, size, value)
        for kind in KINDS
        for size in SIZES
        for value in NO_SIZE
        if (size, value) != ("output_size", None)  # which is no readout
    ),
    *((kind, "batch_first", value) for kind in KINDS for value in NO_SWITCH),
    *((kind, name, v) for kind in KINDS for name in ("controller", "backend") for v in NO_NAME),
    *((kind, "controller", nn.LSTM) for kind in KINDS),
    *((kind, "controller", nn.LSTM(3, 4)) for kind in KINDS),
    *((kind, "controller", part) for kind in KINDS for part in (Stack, Start(), Content())),
    *((kind, "backend", Backend) for kind in KINDS),
    *((kind, "dtype", v) for kind in KINDS for v in (torch.int64, torch.bool, "float32", 1)),
    *((kind, "dtype", v) for kind in KINDS for v in (torch.complex64, torch.float8_e5m2)),
    *((kind, "device", v) for kind in KINDS for v in ("abacus", "", "cuda:x", 3.5, [], object())),
    *(("NTM", "heads", v) for v in ("", 3, {}, [None], [ReadHead], ["read", "write"], object())),
    *(("NTM", "heads", v) for v in (None, Heads, Content(), ContentAndLocation)),
    *((kind, "start", v) for kind in KINDS for v in (None, *NO_PART, Start, Content())),
    *(("NTM", "writing", value) for value in (None, *NO_PART, EraseAdd, Content())),
    *(("DNC", "content", value) for value in (None, *NO_PART, Content, Location(), EraseAdd())),
    *(("DNC", "allocation", value) for value in (None, *NO_PART, Allocation, Content())),
    *(("DNC", "linkage", value) for value in (*NO_PART, Linkage, Content(), False)),
]
FIELDS = [
    *((Stack, size, value) for size in ("hidden_size", "num_layers") for value in NO_SIZE),
    *((Stack, switch, v) for switch in ("skip_connections", "residual") for v in NO_SWITCH),
    *((kind, "cell", value) for kind in (Stack, WiredStack) for value in NO_NAME),
    *((WiredStack, name, v) for name in ("schedule", "interface") for v in (*NO_PART, Content)),
    *((WiredStack, "bypass_dropout", v) for v in (math.nan, "half", None, 1.0, -0.1, 1j, True)),
    *((Backend, "name", value) for value in NO_NAME),
    *((Backend, "checkpoint_every", value) for value in NO_SIZE if value is not None),
    *((Start, "memory", value) for value in NO_NUMBER if value is not None),
    *((Start, "learned", value) for value in NO_SWITCH),
    *((Start, "spread", value) for value in NO_EPSILON),
    *((Heads, "read_first", value) for value in NO_SWITCH),
    *((Heads, "read", value) for value in (None, *NO_PART, Content, ReadHead(Content()))),
    *((Heads, "write", value) for value in (*NO_PART, Content, WriteHead(Content()))),
    *((Heads, "entries", v) for v in (None, "", 3, {}, [None], [ReadHead], ["read"], object())),
    *((EraseAdd, "add_range", value) for value in ("", "tanh", None, 3, [])),
    *((kind, "strength", v) for kind in (Content, ContentAndLocation) for v in NO_NAME),
    *((k, "similarity_epsilon", v) for k in (Content, ContentAndLocation) for v in NO_EPSILON),
    *((k, "sharpen_epsilon", v) for k in (Location, ContentAndLocation) for v in NO_EPSILON),
    *((k, "sharpening_bias", v) for k in (Location, ContentAndLocation) for v in NO_NUMBER),
    *((k, "shift_range", v) for k in (Location, ContentAndLocation) for v in NO_SHIFT),
    *((ContentAndLocation, "gate_bias", value) for value in NO_NUMBER),
    *(
        (k, "sharpness_limit", v)
        for k in (*HALVES, ContentAndLocation, ProductKeys, Sparse)
        for v in NO_LIMIT
    ),
    *((LeastRecentlyUsed, "decay", v) for v in (math.nan, "half", None, 1.0, -0.1, 1j, [], True)),
    *((Allocation, name, v) for name in ("epsilon", "resolution") for v in NO_EPSILON),
    *((Allocation, "stop_gradient", value) for value in NO_SWITCH),
    *((head, "count", v) for head in (ReadHead, WriteHead) for v in NO_SIZE),
    *((head, "addressing", v) for head in (ReadHead, WriteHead) for v in (*NO_PART, None, Content)),
]


def of_its_type(kind: type) -> list[tuple[type, str, Any]]:
    """Values that no setting of such a type takes: a new setting has these by itself."""
    found = []
    for name, hint in typing.get_type_hints(kind).items():
        wrong = NO_NAME if typing.get_origin(hint) is Literal else BY_TYPE.get(hint, ())
        found += [(kind, name, value) for value in wrong]
    return found


BY_TYPE: dict[Any, Any] = {bool: NO_SWITCH, int: ("5", None, 2.5, True), float: ("0", None, 1j)}
STOCK = [kind for kind in PARTS.values() if kind.__module__.startswith("memnets.")]
DONE = {case[:2] for case in FIELDS}
FIELDS += [case for kind in STOCK for case in of_its_type(kind) if case[:2] not in DONE]


def named(case: Any) -> str:
    parts = case if isinstance(case, tuple) else (case,)
    # Without addresses, which differ between the processes that share the tests.
    return "-".join(re.sub(r" at 0x\w+", "", f"{part!r:.60}") for part in parts)


@pytest.mark.parametrize("case", ARGUMENTS, ids=named)
def test_an_argument_of_a_layer(case: tuple[str, str, Any]) -> None:
    kind, name, value = case
    arguments = {"input_size": 3, "output_size": 2, name: value}
    assert_refused(lambda: KINDS[kind](**arguments), name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sizes",
    [
        {"memory_size": 2**30, "word_size": 2**30},
        {"hidden_size": 2**30},
        {"input_size": 2**31 - 1, "hidden_size": 2**20},
    ],
    ids=str,
)
def test_sizes_that_no_machine_holds(kind: str, sizes: dict[str, int]) -> None:
    arguments = {"input_size": 3, "output_size": 2, **sizes}
    assert_refused(lambda: KINDS[kind](**arguments), "sizes .* bytes .* smaller")


@pytest.mark.parametrize("case", FIELDS, ids=named)
def test_a_setting_of_a_part(case: tuple[Any, str, Any]) -> None:
    kind, name, value = case
    needed = {"addressing": Content()} if kind in (ReadHead, WriteHead) else {}
    wanted = {"name": "backend"}.get(name, name)  # by what a layer's argument is called
    assert_refused(lambda: kind(**{**needed, name: value}), rf"{wanted}\b")


def test_every_setting_of_every_part_is_above() -> None:
    """A new one that takes objects fails here until it has its hostile values."""
    settings = {(kind, one.name) for kind in (*STOCK, Backend) for one in dataclasses.fields(kind)}
    assert {(kind, name) for kind, name, _ in FIELDS} == settings


def ones(*shape: int, **options: Any) -> torch.Tensor:
    return torch.ones(shape, **options)


class Almost(tuple):
    """A state of one's own."""


INPUTS = {
    "a number": 1.0,
    "a list": [[[0.0] * 3]],
    "None": None,
    "an array": np.zeros((4, 2, 3), np.float32),
    "words": "x",
    "no axes": torch.tensor(1.0),
    "1 axis": ones(3),
    "4 axes": ones(1, 4, 2, 3),
    "wider": ones(4, 2, 4),
    "narrower": ones(4, 2, 2),
    "no steps": ones(0, 2, 3),
    "no rows": ones(4, 0, 3),
    "no channels": ones(4, 2, 0),
    "unbatched, no steps": ones(0, 3),
    "unbatched, wider": ones(4, 4),
    "float64": ones(4, 2, 3, dtype=torch.float64),
    "float16": ones(4, 2, 3, dtype=torch.float16),
    "bfloat16": ones(4, 2, 3, dtype=torch.bfloat16),
    "int64": ones(4, 2, 3, dtype=torch.int64),
    "uint8": ones(4, 2, 3, dtype=torch.uint8),
    "bool": ones(4, 2, 3, dtype=torch.bool),
    "complex64": ones(4, 2, 3, dtype=torch.complex64),
    "sparse": ones(4, 2, 3).to_sparse(),
    "meta": ones(4, 2, 3, device="meta"),
    "nested": torch.nested.nested_tensor([ones(4, 3), ones(2, 3)], layout=torch.jagged),
    "packed, wider": pack_sequence([ones(4, 4)]),
    "packed float64": pack_sequence([ones(4, 3, dtype=torch.float64)]),
    "packed, 1 axis": pack_sequence([ones(4)]),
    "packed, 4 axes": pack_sequence([ones(4, 3, 3)]),
}
BACKENDS = ("reference", "fused", "compiled")


def layer(kind: str, **options: Any) -> Any:
    sizes = {"memory_size": 4, "word_size": 3, "hidden_size": 5, "read_heads": 1}
    return KINDS[kind](3, 2, **{**sizes, **options})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", INPUTS)
def test_an_input_of_a_layer(kind: str, backend: str, name: str) -> None:
    made, x = layer(kind, backend=backend), INPUTS[name]
    assert_refused(lambda: made(x), r"\bx\b")
    assert_refused(lambda: memnets.record(made, x), r"\bx\b")
    if backend == "reference":
        if name != "1 axis":  # which is an unbatched step
            assert_refused(lambda: made.step(x), "x")
        assert_refused(lambda: layer(kind, batch_first=True)(x), r"\bx\b")


LENGTHS = {
    "a number": 2,
    "a float": 2.0,
    "too few": [2],
    "too many": [2, 2, 2],
    "none": [],
    "zero": [0, 2],
    "negative": [-1, 2],
    "too long": [5, 2],
    "huge": [10**30, 2],
    "floats": [1.0, 2.0],
    "nan": [math.nan, 2],
    "bools": torch.tensor([True, True]),
    "complex": torch.tensor([1j, 2j]),
    "words": ["1", "2"],
    "a word": "12",
    "None inside": [None, 2],
    "nested": [[2, 2]],
    "ragged": [[2], [2, 2]],
    "a dictionary": {0: 2, 1: 2},
    "a set": {1, 2},
    "an object": object(),
    "a matrix": torch.ones(2, 1, dtype=torch.int64),
    "sparse": torch.ones(2, dtype=torch.int64).to_sparse(),
    "meta": torch.ones(2, dtype=torch.int64, device="meta"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_of_a_call(kind: str, name: str) -> None:
    made = layer(kind)
    assert_refused(lambda: made(ones(4, 2, 3), lengths=LENGTHS[name]), "lengths")


def replaced(state: Any, **parts: Any) -> Any:
    return state._replace(**parts)


STATES = {
    "a tensor": lambda state: state.read_vectors,
    "nothing in it": lambda state: (),
    "a plain tuple": lambda state: tuple(state),
    "a list": lambda state: list(state),
    "a dictionary": lambda state: state._asdict(),
    "its class": lambda state: type(state),
    "None inside": lambda state: replaced(state, read_vectors=None),
    "a list inside": lambda state: replaced(state, memory=list(state.memory)),
    "a plain memory": lambda state: replaced(state, memory=tuple(state.memory)),
    "no controller": lambda state: replaced(state, controller=()),
    "a controller twice": lambda state: replaced(state, controller=state.controller * 2),
    "an array inside": lambda state: replaced(state, read_vectors=state.read_vectors.numpy()),
    "a number inside": lambda state: replaced(state, read_vectors=0.0),
    "float64": lambda state: memnets.map_tensors(torch.Tensor.double, state),
    "float16": lambda state: memnets.map_tensors(torch.Tensor.half, state),
    "int64": lambda state: memnets.map_tensors(torch.Tensor.long, state),
    "meta": lambda state: memnets.map_tensors(lambda t: t.to("meta"), state),
    "sparse": lambda state: memnets.map_tensors(torch.Tensor.to_sparse, state),
    "one row": lambda state: memnets.map_tensors(lambda t: t[:1], state),
    "no rows": lambda state: memnets.map_tensors(lambda t: t[:0], state),
    "more rows": lambda state: memnets.map_tensors(lambda t: torch.cat([t, t]), state),
    "unbatched": lambda state: memnets.map_tensors(lambda t: t[0], state),
    "an axis more": lambda state: memnets.map_tensors(lambda t: t[None], state),
    "one slot less": lambda state: replaced(
        state, memory=replaced(state.memory, memory=state.memory.memory[:, 1:])
    ),
    "other memory": lambda state: replaced(
        state, memory=layer("DNC", memory_size=5).initial_state(2).memory
    ),
}


@pytest.mark.parametrize("backend", BACKENDS[:2])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STATES)
def test_a_state_of_a_call(kind: str, backend: str, name: str) -> None:
    made = layer(kind, backend=backend)
    state = STATES[name](made.initial_state(2))
    assert_refused(lambda: made(ones(4, 2, 3), state), "state")
    assert_refused(lambda: made.step(ones(2, 3), state), "state")
    assert_refused(lambda: memnets.record(made, ones(4, 2, 3), state), "state")


@pytest.mark.parametrize("rows", [0, -1, 1.5, "2", True, math.nan, [2], 10**30])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_size(kind: str, rows: Any) -> None:
    assert_refused(lambda: layer(kind).initial_state(rows), "batch_size")


@pytest.mark.parametrize("what", [None, 3, "NTM", nn.LSTM(3, 2), memnets.NTM, nn.Identity()])
def test_recording_what_is_no_layer(what: Any) -> None:
    assert_refused(lambda: memnets.record(what, ones(4, 2, 3)), "layer must be")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_nan_in_an_input_goes_through_and_says_so_in_the_output(kind: str, backend: str) -> None:
    """No check reads the numbers, which would make a GPU wait: NaN in is NaN out, in its row."""
    x = ones(4, 2, 3)
    x[1, 0, 0] = math.nan
    y, _ = layer(kind, backend=backend)(x)
    assert y[0].isfinite().all()
    assert y[1:, 0].isnan().all()
    assert y[:, 1].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS[:2])
@pytest.mark.parametrize("gate", range(4))
def test_nan_in_one_weight_says_so_in_the_output(kind: str, backend: str, gate: int) -> None:
    made = layer(kind, backend=backend)
    cell = made.controller.cells[0]
    with torch.no_grad():
        cell.bias_ih[gate * len(cell.bias_ih) // 4] = math.nan
    assert made(ones(2, 1, 3))[0].isnan().all()


def saved(tmp_path: Path, **parts: Any) -> Path:
    made = layer("NTM")
    content = {"layer": made.config, "weights": made.state_dict(), **parts}
    path = tmp_path / "file.pt"
    torch.save({name: value for name, value in content.items() if value is not ...}, path)
    return path


def configured(**changes: Any) -> dict[str, Any]:
    made = layer("NTM").config
    return {"name": made["name"], "arguments": {**made["arguments"], **changes}}


def weights(**changes: Any) -> dict[str, Any]:
    found = {**layer("NTM").state_dict(), **changes}
    return {name: value for name, value in found.items() if value is not ...}


CHECKPOINTS = {
    "no layer": {"layer": ...},
    "no weights": {"weights": ...},
    "layer None": {"layer": None},
    "layer a list": {"layer": []},
    "layer a tensor": {"layer": ones(1)},
    "no name": {"layer": {"arguments": {}}},
    "no arguments": {"layer": {"name": "NTM"}},
    "name a list": {"layer": {"name": [], "arguments": {}}},
    "name of nothing": {"layer": {"name": "", "arguments": {}}},
    "name of another class": {"layer": {"name": "Linear", "arguments": {}}},
    "arguments None": {"layer": {"name": "NTM", "arguments": None}},
    "arguments a list": {"layer": {"name": "NTM", "arguments": [3, 2]}},
    "arguments empty": {"layer": {"name": "NTM", "arguments": {}}},
    "arguments of numbers": {"layer": {"name": "NTM", "arguments": {1: 2}}},
    "an unknown argument": {"layer": configured(magic=1)},
    "a negative size": {"layer": configured(memory_size=-1)},
    "a size of words": {"layer": configured(memory_size="4")},
    "a huge size": {"layer": configured(memory_size=10**30)},
    "a size that no machine holds": {"layer": configured(memory_size=2**31 - 1, word_size=2**20)},
    "another size": {"layer": configured(word_size=4)},
    "another hidden size": {"layer": configured(controller={"part": "Stack", "hidden_size": 6})},
    "a hidden size beside a controller": {"layer": configured(hidden_size=6)},
    "another controller": {"layer": configured(controller="gru")},
    "a controller that is another part": {"layer": configured(controller={"part": "Content"})},
    "an unknown part": {"layer": configured(start={"part": "Magic"})},
    "a part without a name": {"layer": configured(start={"learned": True})},
    "a part with a list as its name": {"layer": configured(start={"part": []})},
    "a part that is another": {"layer": configured(start={"part": "Content"})},
    "a part that is a list": {"layer": configured(start=[])},
    "a part that is None": {"layer": configured(writing=None)},
    "an unknown setting": {"layer": configured(start={"part": "Start", "magic": 1})},
    "a setting out of range": {"layer": configured(start={"part": "Start", "spread": -1.0})},
    "a setting that is a number": {"layer": configured(start={"part": "Start", 1: 2})},
    "heads that are none": {"layer": configured(heads=[1, 2])},
    "an addressing that is none": {"layer": configured(heads={"part": "Heads", "read": 3})},
    "a setting of before the parts": {"layer": configured(gate_bias=0.0)},
    "a dtype": {"layer": configured(dtype="float32")},
    "weights None": {"weights": None},
    "weights a list": {"weights": [ones(1)]},
    "weights empty": {"weights": {}},
    "a weight missing": {"weights": weights(**{"readout.bias": ...})},
    "no readout": {"weights": weights(**{"readout.weight": ...})},
    "a weight too many": {"weights": weights(extra=ones(1))},
    "a weight of another shape": {"weights": weights(**{"readout.bias": ones(7)})},
    "a weight that is a number": {"weights": weights(**{"readout.bias": 1.0})},
    "a weight that is a list": {"weights": weights(**{"readout.weight": [1.0]})},
    "whole numbers": {"weights": weights(**{"readout.weight": ones(2, 8, dtype=torch.int64)})},
    "a sparse weight": {"weights": weights(**{"readout.bias": ones(2).to_sparse()})},
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_to_load(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, **CHECKPOINTS[name])
    assert_refused(lambda: memnets.load(path), r"file\.pt (is no checkpoint|holds a|cannot be)")


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.path,)


def test_a_checkpoint_that_would_run_code(tmp_path: Path) -> None:
    for parts in ({"weights": Harmful(tmp_path / "harm")}, {"more": Harmful(tmp_path / "harm")}):
        path = saved(tmp_path, **parts)
        assert_refused(lambda path=path: memnets.load(path), r"file\.pt is no checkpoint")
        assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "path", [None, 3, 2.5, [], b"runs", "", "nowhere", "\0", "x" * 5000], ids=named
)
def test_a_path_to_load(path: Any) -> None:
    assert_refused(lambda: memnets.load(path), "path|checkpoint")


def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:
    path = saved(tmp_path)
    content = path.read_bytes()
    for size in range(0, len(content), len(content) // 40):
        path.write_bytes(content[:size])
        assert_refused(lambda: memnets.load(path), r"file\.pt is no checkpoint")

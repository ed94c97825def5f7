"""The whole memory step of each model, and whole layers, against the paper's loops and a published
trajectory.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import memnets
from memnets.parts.content import Content
from memnets.parts.location import ContentAndLocation
from memnets.parts.usage import Allocation
from tests import oracles, samples
from tests.layers import BY_NAME, B, I, inputs
from tests.samples import as_arrays, as_tensors, assert_equal_to, tensor

GOLDEN = Path(__file__).parents[2] / "golden" / "dnc_one_write_head.npz"


def assert_state(actual: Any, expected: SimpleNamespace, tolerance: float = 1e-10) -> None:
    for name, array in vars(expected).items():
        assert_equal_to(getattr(actual, name), array, tolerance)


@given(samples.sizes(), st.booleans(), st.sampled_from([1e-6, 1e-3]))
@settings(max_examples=40)
def test_ntm_access(s: SimpleNamespace, read_first: bool, epsilon: float) -> None:
    state = samples.ntm_memory(s)
    actual = as_tensors(memnets.ntm.NTMMemory, state)
    for _ in range(6):
        interface = samples.ntm_interface(s)
        expected_vectors, state = oracles.ntm_access(
            interface, state, oracles.cosine(epsilon), 1e-9, read_first
        )
        vectors, actual = memnets.ntm.access(
            as_tensors(memnets.ntm.NTMInterface, interface),
            actual,
            addressing=ContentAndLocation(similarity_epsilon=epsilon, sharpen_epsilon=1e-9),
            read_first=read_first,
        )
        assert_equal_to(vectors, expected_vectors)
        assert_state(actual, state)


def ordered_by_rounding(usage: np.ndarray) -> bool:
    """Two slots' usages differ by rounding only, so that which is written first means nothing."""
    gaps = np.diff(np.sort(usage, axis=-1))
    return bool(((gaps > 0) & (gaps < 1e-13)).any())


@given(samples.sizes(), st.sampled_from([(True, 0.05), (False, 1e-6), (False, 1e-3)]))
@settings(max_examples=40)
def test_dnc_access(s: SimpleNamespace, start: tuple[bool, float]) -> None:
    """From an empty memory and from one in use, several write heads included.

    An empty memory's first usages lie about a power of epsilon apart, so epsilon is large there.
    """
    (empty, epsilon), state = start, samples.dnc_memory(s)
    if empty:
        state = SimpleNamespace(**{name: 0 * array for name, array in vars(state).items()})
    actual = as_tensors(memnets.dnc.DNCMemory, state)
    for _ in range(6):
        interface = samples.dnc_interface(s)
        expected_vectors, state = oracles.dnc_access(
            interface, state, oracles.cosine(epsilon), epsilon
        )
        if ordered_by_rounding(state.usage):
            return
        vectors, actual = memnets.dnc.access(
            as_tensors(memnets.dnc.DNCInterface, interface),
            actual,
            content=Content(similarity_epsilon=epsilon),
            allocation=Allocation(epsilon=epsilon),
        )
        assert_equal_to(vectors, expected_vectors)
        assert_state(actual, state)


@given(samples.sizes(), st.sampled_from([1e-6, 1e-3]))
@settings(max_examples=40)
def test_dnc_access_by_content_alone(s: SimpleNamespace, epsilon: float) -> None:
    """Without a linkage: the loops of its own, and no link and no precedence in the state."""
    state = samples.dnc_memory(s)
    del state.link, state.precedence
    parts = {"memory", "usage", "read_weights", "write_weights"}
    actual = memnets.DNCMemory(
        **{name: tensor(getattr(state, name)) for name in parts}, link=(), precedence=()
    )
    for _ in range(6):
        interface = samples.dnc_interface(s)
        expected_vectors, state = oracles.dnc_content_access(
            interface, state, oracles.cosine(epsilon), epsilon
        )
        if ordered_by_rounding(state.usage):
            return
        vectors, actual = memnets.dnc.access(
            as_tensors(memnets.dnc.DNCInterface, interface),
            actual,
            content=Content(similarity_epsilon=epsilon),
            allocation=Allocation(epsilon=epsilon),
            linkage=None,
        )
        assert_equal_to(vectors, expected_vectors)
        assert (actual.link, actual.precedence) == ((), ())
        assert set(vars(state)) == parts
        assert_state(actual, state)


def golden_steps() -> tuple[np.ndarray, list[tuple[SimpleNamespace, SimpleNamespace]]]:
    """The golden file's initial memory, and for each step the interface and what came of it."""
    with np.load(GOLDEN) as file:
        arrays = dict(file)
    names = [name for name in arrays if name.startswith("interface/")]
    results = [name for name in arrays if name not in names and name != "initial_memory"]
    steps = []
    for t in range(len(arrays["memory"])):
        interface = {name.removeprefix("interface/"): arrays[name][t] for name in names}
        result = {name: arrays[name][t] for name in results}
        steps.append((SimpleNamespace(**interface), SimpleNamespace(**result)))
    return arrays["initial_memory"], steps


def empty_dnc(memory: np.ndarray, R: int, H: int) -> SimpleNamespace:
    rows, slots, _ = memory.shape
    return SimpleNamespace(
        memory=memory,
        usage=np.zeros((rows, slots)),
        link=np.zeros((rows, H, slots, slots)),
        precedence=np.zeros((rows, H, slots)),
        read_weights=np.zeros((rows, R, slots)),
        write_weights=np.zeros((rows, H, slots)),
    )


def test_the_oracle_reproduces_the_published_trajectory() -> None:
    """With DeepMind's three epsilons the loops give their numbers to rounding."""
    memory, steps = golden_steps()
    state = empty_dnc(memory, R=2, H=1)
    for interface, expected in steps:
        vectors, state = oracles.dnc_access(interface, state, oracles.deepmind_cosine(1e-6), 1e-6)
        np.testing.assert_allclose(vectors, expected.read_vectors, rtol=0, atol=1e-14)
        for name, array in vars(state).items():
            np.testing.assert_allclose(array, getattr(expected, name), rtol=0, atol=1e-14)


def test_dnc_access_reproduces_the_published_trajectory() -> None:
    """To 2e-6, the size of the epsilons: DeepMind's code has three of 1e-6 in its cosine, this one.

    A read weighting follows the similarities, which the two forms of the epsilons set apart by up
    to 1e-6.
    """
    memory, steps = golden_steps()
    state = as_tensors(memnets.dnc.DNCMemory, empty_dnc(memory, R=2, H=1))
    for interface, expected in steps:
        vectors, state = memnets.dnc.access(
            as_tensors(memnets.dnc.DNCInterface, interface),
            state,
            content=Content(similarity_epsilon=1e-6),
            allocation=Allocation(epsilon=1e-6),
        )
        assert_equal_to(vectors, expected.read_vectors, tolerance=2e-6)
        for name, found in state._asdict().items():
            assert_equal_to(found, getattr(expected, name), tolerance=2e-6)


def linear(module: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    weight, bias = module.weight.detach().numpy(), module.bias.detach().numpy()
    return np.stack([oracles.affine(weight, bias, row) for row in x])


def oneplus(x: np.ndarray) -> np.ndarray:
    return 1 + np.log1p(np.exp(x))


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def rows_on_the_simplex(x: np.ndarray) -> np.ndarray:
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


RANGES = {
    "keys": lambda x: x,
    "strengths": oneplus,
    "sharpenings": oneplus,
    "gates": logistic,
    "shifts": rows_on_the_simplex,
    "modes": rows_on_the_simplex,
    "erase_vectors": logistic,
    "add_vectors": lambda x: x,
    "write_vectors": lambda x: x,
}


def ranges_of(layer: Any) -> dict[str, Any]:
    """The ranges that an NTM's parts choose."""
    limit = layer.heads[0].addressing.sharpness_limit or np.inf
    limited = {
        name: lambda x: np.minimum(oneplus(x), limit) for name in ("strengths", "sharpenings")
    }
    add = np.tanh if layer.writing.add_range == "bounded" else RANGES["add_vectors"]
    return {**RANGES, **limited, "add_vectors": add}


def activated(
    kind: Any, shapes: dict[str, tuple[int, ...]], raw: np.ndarray, ranges: dict[str, Any] = RANGES
) -> SimpleNamespace:
    """Cut the linear map's output into the interface's fields in their order, each in its range."""
    assert list(shapes) == [name for name in kind._fields if name in shapes]
    assert set(kind._fields) - set(shapes) <= {"read_modes"}
    values, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        piece = raw[:, start : start + size].reshape(B, *shape)
        start += size
        range_name = name if name in ranges else name.split("_")[-1]
        values[name] = ranges[range_name](piece)
    assert start == raw.shape[1]
    return SimpleNamespace(**values)


def layer_step(layer: Any, shapes: Any, x: np.ndarray, h: Any, c: Any, state: Any) -> Any:
    """One step of a whole layer with a one-layer LSTM controller, by the oracles."""
    reads = state["read_vectors"].reshape(B, -1)
    cell = SimpleNamespace(
        **{
            name: value.detach().numpy()
            for name, value in layer.controller.cells[0].named_parameters()
        }
    )
    stepped = [
        oracles.lstm_cell(np.concatenate([x[b], reads[b]]), h[b], c[b], cell) for b in range(B)
    ]
    h, c = np.stack([row[0] for row in stepped]), np.stack([row[1] for row in stepped])
    raw = linear(layer.interface.linear, h)
    if isinstance(layer, memnets.NTM):
        interface = activated(memnets.ntm.NTMInterface, shapes, raw, ranges_of(layer))
        vectors, memory = oracles.ntm_access(
            interface, state["memory"], oracles.cosine(1e-6), 1e-12
        )
    else:
        interface = activated(memnets.dnc.DNCInterface, shapes, raw)
        access = oracles.dnc_access if "read_modes" in shapes else oracles.dnc_content_access
        vectors, memory = access(interface, state["memory"], oracles.cosine(1e-6), 1e-6)
    y = linear(layer.readout, np.concatenate([h, vectors.reshape(B, -1)], axis=1))
    return y, h, c, {"memory": memory, "read_vectors": vectors}


def ntm_shapes(R: int, H: int, W: int, S: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for kind, heads in (("read", R), ("write", H)):
        shapes |= {f"{kind}_keys": (heads, W), f"{kind}_strengths": (heads,)}
        shapes |= {f"{kind}_gates": (heads,), f"{kind}_shifts": (heads, S)}
        shapes[f"{kind}_sharpenings"] = (heads,)
    return shapes | {"erase_vectors": (H, W), "add_vectors": (H, W)}


def dnc_shapes(R: int, H: int, W: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"read_keys": (R, W), "read_strengths": (R,)}
    shapes |= {"write_keys": (H, W), "write_strengths": (H,), "erase_vectors": (H, W)}
    shapes |= {"write_vectors": (H, W), "free_gates": (R,), "allocation_gates": (H,)}
    return shapes | {"write_gates": (H,), "read_modes": (R, 2 * H + 1)}


def without_modes(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """What a DNC without a linkage emits."""
    return {name: shape for name, shape in shapes.items() if name != "read_modes"}


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("ntm_lstm", ntm_shapes(R=1, H=1, W=4, S=3)),
        ("ntm_several_heads", ntm_shapes(R=2, H=3, W=4, S=5)),
        ("ntm_bounded", ntm_shapes(R=1, H=1, W=4, S=3)),
        ("ntm_plain", ntm_shapes(R=1, H=1, W=4, S=3)),
        ("dnc_lstm", dnc_shapes(R=2, H=1, W=4)),
        ("dnc_several_heads", dnc_shapes(R=3, H=2, W=4)),
        ("dnc_content_only", without_modes(dnc_shapes(R=2, H=1, W=4))),
    ],
)
def test_a_whole_layer_is_the_papers(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """Controller, interface, memory and readout over six steps, from the initial state on."""
    layer = BY_NAME[name].build()
    x = inputs(steps=6).numpy()
    assert x.shape[2] == I
    outputs, final = layer(torch.tensor(x))
    start = layer.initial_state(B)
    state: dict[str, Any] = {
        "memory": as_arrays(start.memory),
        "read_vectors": start.read_vectors.numpy(),
    }
    h = c = np.zeros((B, layer.controller.hidden_size))
    for t in range(6):
        y, h, c, state = layer_step(layer, shapes, x[t], h, c, state)
        assert_equal_to(outputs[t], y, tolerance=1e-9)
    assert_state(final.memory, state["memory"], tolerance=1e-9)
    assert_equal_to(final.read_vectors, state["read_vectors"], tolerance=1e-9)


def test_the_initial_state_of_each_model() -> None:
    """NTM: memory 1e-6 and heads on slot 0. DNC: everything 0."""
    ntm = memnets.NTM(1, 1, memory_size=5, word_size=3, read_heads=2).initial_state(4)
    assert torch.equal(ntm.memory.memory, torch.full((4, 5, 3), 1e-6))
    assert torch.equal(ntm.memory.read_weights, torch.eye(5)[0].expand(4, 2, 5))
    assert torch.equal(ntm.memory.write_weights, torch.eye(5)[0].expand(4, 1, 5))
    assert not ntm.read_vectors.any()
    dnc = memnets.DNC(1, 1, memory_size=5, word_size=3).initial_state(4)
    assert not any(leaf.any() for leaf in dnc.memory)
    assert not dnc.read_vectors.any()
    half = memnets.Start(memory=0.5)
    filled = memnets.DNC(1, 1, memory_size=5, word_size=3, start=half).initial_state(4)
    assert torch.equal(filled.memory.memory, torch.full((4, 5, 3), 0.5))

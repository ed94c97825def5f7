"""What `memnets.record` shows, over the table: the same run as forward, and every weighting a
weighting.
"""

import pytest
import torch

import memnets
from memnets.state import recorded
from tests.layers import TABLE, B, Case, N, T, W, assert_same, inputs, leaves, rows

over_the_table = pytest.mark.parametrize("case", TABLE, ids=str)


@over_the_table
def test_record_agrees_with_forward(case: Case) -> None:
    layer, x = case.build(), inputs()
    trace = memnets.record(layer, x)
    y, final = layer(x)
    assert_same(trace.outputs, y.detach())
    assert_same(rows(trace.memory, -1), recorded(memnets.detach(final.memory)))
    assert_same(trace.read_vectors[-1], final.read_vectors.detach())
    state = layer.initial_state(B)
    for t in range(T):
        _, state = layer.step(x[t], state)
        assert_same(rows(trace.memory, t), recorded(memnets.detach(state.memory)))
        assert_same(trace.read_vectors[t], state.read_vectors.detach())
    assert not any(leaf.requires_grad for leaf in leaves(tuple(trace)))


@over_the_table
def test_record_carries_a_state_and_takes_every_layout(case: Case) -> None:
    layer, x = case.build(), inputs()
    whole = memnets.record(layer, x)
    _, state = layer(x[:2])
    rest = memnets.record(layer, x[2:], state)
    assert_same(tuple(rest), rows(tuple(whole), slice(2, None)))
    turned = memnets.record(case.build(batch_first=True), x.transpose(0, 1))
    assert_same(tuple(turned), tuple(whole))
    alone = memnets.record(layer, x[:, 0])
    assert_same(tuple(alone), rows(tuple(whole), (slice(None), 0)))


@over_the_table
def test_recorded_weightings_are_weightings(case: Case) -> None:
    layer = case.build()
    trace = memnets.record(layer, inputs(steps=20))
    memory, slots = trace.memory, layer.memory_size
    readers, writers = memory.read_weights.shape[2], memory.write_weights.shape[2]
    assert memory.memory.shape == (20, B, slots, W)
    assert memory.read_weights.shape == (20, B, readers, slots)
    assert memory.write_weights.shape == (20, B, writers, slots)
    assert trace.read_vectors.shape == (20, B, readers, W)
    for weights in (memory.read_weights, memory.write_weights):
        assert (weights >= 0).all()
        assert (weights.sum(-1) <= 1 + 1e-12).all()


def names_and_shapes(values: tuple) -> dict[str, tuple[int, ...]]:
    return {name: tuple(leaf.shape) for name, leaf in values._asdict().items()}


def test_record_has_the_whole_interface_of_an_ntm() -> None:
    heads = memnets.Heads(read=memnets.ContentAndLocation(shift_range=2))
    layer = memnets.NTM(3, 2, memory_size=N, word_size=W, read_heads=2, write_heads=3, heads=heads)
    interface = memnets.record(layer, torch.randn(T, B, 3)).interface
    assert isinstance(interface, memnets.ntm.NTMInterface)
    expected: dict[str, tuple[int, ...]] = {}
    for kind, heads in (("read", 2), ("write", 3)):
        expected[f"{kind}_keys"] = (T, B, heads, W)
        expected[f"{kind}_strengths"] = (T, B, heads)
        expected[f"{kind}_gates"] = (T, B, heads)
        expected[f"{kind}_shifts"] = (T, B, heads, 5)
        expected[f"{kind}_sharpenings"] = (T, B, heads)
    expected |= {"erase_vectors": (T, B, 3, W), "add_vectors": (T, B, 3, W)}
    assert names_and_shapes(interface) == expected


def test_record_has_the_whole_interface_and_state_of_a_dnc() -> None:
    layer = memnets.DNC(3, 2, memory_size=N, word_size=W, read_heads=3, write_heads=2)
    trace = memnets.record(layer, torch.randn(T, B, 3))
    assert isinstance(trace.interface, memnets.dnc.DNCInterface)
    assert names_and_shapes(trace.interface) == {
        "read_keys": (T, B, 3, W),
        "read_strengths": (T, B, 3),
        "write_keys": (T, B, 2, W),
        "write_strengths": (T, B, 2),
        "erase_vectors": (T, B, 2, W),
        "write_vectors": (T, B, 2, W),
        "free_gates": (T, B, 3),
        "allocation_gates": (T, B, 2),
        "write_gates": (T, B, 2),
        "read_modes": (T, B, 3, 5),
    }
    assert names_and_shapes(trace.memory) == {
        "memory": (T, B, N, W),
        "usage": (T, B, N),
        "link": (T, B, 2, N, N),
        "precedence": (T, B, 2, N),
        "read_weights": (T, B, 3, N),
        "write_weights": (T, B, 2, N),
    }


@over_the_table
def test_the_interface_is_in_its_ranges(case: Case) -> None:
    """Strengths and sharpenings at least 1 (a softplus strength above 0), gates in [0, 1], shifts
    and modes on the simplex.
    """
    interface = memnets.record(case.build(), 10 * inputs()).interface
    parts = [interface] if hasattr(interface, "_fields") else list(interface)
    for name, values in (item for part in parts for item in part._asdict().items()):
        if name.endswith("sharpenings"):
            assert (values >= 1).all(), name
        if name.endswith("strengths"):
            assert (values >= (0 if case.name.endswith("softplus") else 1)).all(), name
        if name.endswith("gates") or name == "erase_vectors":
            assert ((values >= 0) & (values <= 1)).all(), name
        if name.endswith(("shifts", "modes")):
            assert (values >= 0).all(), name
            assert_same(values.sum(-1), torch.ones_like(values.sum(-1)))

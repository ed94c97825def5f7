"""What the DNC's and the NTM's bookkeeping keeps true, whatever the heads do."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import memnets
from memnets import parts
from tests import samples
from tests.samples import as_tensors, tensor

dtypes = st.sampled_from([torch.float32, torch.float64])


def slack(dtype: torch.dtype) -> float:
    """A few roundings of numbers near 1."""
    return 16 * torch.finfo(dtype).eps


@given(samples.sizes(), dtypes)
@settings(max_examples=30)
def test_dnc_state_stays_in_its_ranges(s: SimpleNamespace, dtype: torch.dtype) -> None:
    empty = {name: 0 * array for name, array in vars(samples.dnc_memory(s)).items()}
    state = as_tensors(memnets.dnc.DNCMemory, SimpleNamespace(**empty), dtype)
    small = slack(dtype)
    for _ in range(8):
        interface = samples.dnc_interface(s)
        if s.random.random() < 0.3:  # gates fully open or closed
            for name in ("free_gates", "allocation_gates", "write_gates"):
                setattr(interface, name, getattr(interface, name).round())
        _, state = memnets.dnc.access(as_tensors(memnets.dnc.DNCInterface, interface, dtype), state)
        for values in (state.usage, state.link, state.precedence):
            assert (values >= -small).all()
            assert (values <= 1 + small).all()
        for weights in (state.read_weights, state.write_weights, state.precedence):
            assert (weights >= -small).all()
            assert (weights.sum(-1) <= 1 + small).all()
        assert (state.link.sum(-1) <= 1 + small).all()
        assert (state.link.sum(-2) <= 1 + small).all()
        assert (state.link.diagonal(dim1=-2, dim2=-1) == 0).all()


@given(samples.sizes(), dtypes)
@settings(max_examples=30)
def test_ntm_weightings_sum_to_one(s: SimpleNamespace, dtype: torch.dtype) -> None:
    state = as_tensors(memnets.ntm.NTMMemory, samples.ntm_memory(s), dtype)
    for _ in range(8):
        interface = as_tensors(memnets.ntm.NTMInterface, samples.ntm_interface(s), dtype)
        _, state = memnets.ntm.access(interface, state)
        for weights in (state.read_weights, state.write_weights):
            assert (weights >= 0).all()
            torch.testing.assert_close(
                weights.sum(-1), torch.ones_like(weights.sum(-1)), rtol=0, atol=slack(dtype)
            )


@given(samples.sizes(), dtypes)
def test_a_full_write_makes_usage_exactly_one(s: SimpleNamespace, dtype: torch.dtype) -> None:
    usage = tensor(s.random.random((s.B, s.N)), dtype)
    weights = tensor(samples.partial(s.random, s.B, s.H, s.N), dtype)
    weights[:, -1] = 0
    weights[:, -1, 0] = 1
    raised = parts.usage.update_usage(usage, weights, torch.ones_like(usage))
    assert (raised[:, 0] == 1).all()
    assert (raised <= 1).all()


@given(samples.sizes(), dtypes)
def test_no_write_and_no_free_leave_usage_exactly(s: SimpleNamespace, dtype: torch.dtype) -> None:
    usage = tensor(s.random.random((s.B, s.N)), dtype)
    nothing = torch.zeros(s.B, s.H, s.N, dtype=dtype)
    unread = tensor(samples.partial(s.random, s.B, s.R, s.N), dtype)
    kept = parts.usage.retention(unread, torch.zeros(s.B, s.R, dtype=dtype))
    assert (kept == 1).all()
    assert torch.equal(parts.usage.update_usage(usage, nothing, kept), usage)


@given(samples.sizes(), dtypes)
def test_a_full_read_with_an_open_free_gate_makes_usage_exactly_zero(
    s: SimpleNamespace, dtype: torch.dtype
) -> None:
    reads = tensor(samples.partial(s.random, s.B, s.R, s.N), dtype)
    reads[:, -1] = 0
    reads[:, -1, 0] = 1
    gates = tensor(s.random.random((s.B, s.R)), dtype)
    gates[:, -1] = 1
    psi = parts.usage.retention(reads, gates)
    usage = tensor(s.random.random((s.B, s.N)), dtype)
    written = tensor(samples.partial(s.random, s.B, s.H, s.N), dtype)
    assert (parts.usage.update_usage(usage, written, psi)[:, 0] == 0).all()
    assert (psi >= 0).all()
    assert (psi <= 1).all()


@given(samples.sizes(), dtypes)
def test_allocation_is_a_weighting_on_the_least_used(
    s: SimpleNamespace, dtype: torch.dtype
) -> None:
    usage = tensor(s.random.random((s.B, s.N)), dtype)
    weights = parts.usage.allocation(usage)
    assert (weights >= 0).all()
    assert (weights.sum(-1) <= 1 + slack(dtype)).all()
    assert torch.equal(weights.argmax(-1), usage.argmin(-1))
    product = (1e-6 + (1 - 1e-6) * usage).prod(-1)
    torch.testing.assert_close(weights.sum(-1), 1 - product, rtol=0, atol=slack(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_allocation_of_a_full_and_of_an_empty_memory(dtype: torch.dtype) -> None:
    """Nothing is free: nothing is allocated. All is free: the first slot is."""
    full = parts.usage.allocation(torch.ones(1, 6, dtype=dtype))
    assert (full >= 0).all()
    assert full.sum() <= slack(dtype)
    empty = parts.usage.allocation(torch.zeros(1, 6, dtype=dtype))
    torch.testing.assert_close(empty, torch.eye(6, dtype=dtype)[:1], rtol=0, atol=2e-6)


@given(samples.sizes(), st.data())
def test_allocation_follows_the_slots(s: SimpleNamespace, data: st.DataObject) -> None:
    """Renaming the slots renames the weighting: no slot is special when usage differs."""
    usage = tensor(s.random.random((s.B, s.N)))
    order = torch.tensor(data.draw(st.permutations(range(s.N))))
    expected = parts.usage.allocation(usage)[:, order]
    torch.testing.assert_close(parts.usage.allocation(usage[:, order]), expected)


@given(samples.sizes())
def test_a_head_that_writes_all_takes_the_precedence(s: SimpleNamespace) -> None:
    before = tensor(samples.partial(s.random, s.B, s.H, s.N))
    full = tensor(samples.simplex(s.random, s.B, s.H, s.N))
    torch.testing.assert_close(parts.linkage.update_precedence(before, full), full)
    assert torch.equal(parts.linkage.update_precedence(before, torch.zeros_like(before)), before)


@given(samples.sizes())
def test_a_head_that_writes_nothing_keeps_its_link(s: SimpleNamespace) -> None:
    state = as_tensors(memnets.dnc.DNCMemory, samples.dnc_memory(s))
    nothing = torch.zeros_like(state.write_weights)
    assert torch.equal(parts.linkage.update_link(state.link, state.precedence, nothing), state.link)


@given(samples.sizes(), st.data())
def test_forward_and_backward_walk_the_order_of_writing(
    s: SimpleNamespace, data: st.DataObject
) -> None:
    """After one-hot writes in any order, forward goes to the next written slot, backward to the
    last.
    """
    order = data.draw(st.permutations(range(s.N)))
    slots = torch.eye(s.N, dtype=torch.float64)
    link = torch.zeros(1, 1, s.N, s.N, dtype=torch.float64)
    precedence = torch.zeros(1, 1, s.N, dtype=torch.float64)
    for slot in order:
        weights = slots[slot][None, None]
        link = parts.linkage.update_link(link, precedence, weights)
        precedence = parts.linkage.update_precedence(precedence, weights)
    for a, b in pairwise(order):
        assert link[0, 0, b, a] == 1
        _, forward = parts.linkage.directional_weights(link, slots[a][None, None])
        backward, _ = parts.linkage.directional_weights(link, slots[b][None, None])
        assert torch.equal(forward[0, 0, 0], slots[b])
        assert torch.equal(backward[0, 0, 0], slots[a])
    assert link.sum() == s.N - 1
    _, after_the_last = parts.linkage.directional_weights(link, slots[order[-1]][None, None])
    assert not after_the_last.any()


def one_write_head(**changes: torch.Tensor) -> tuple[memnets.DNCInterface, memnets.DNCMemory]:
    """A step of one row, 20 slots, words of 6, two read heads and three write heads."""
    s = SimpleNamespace(B=2, N=20, W=6, R=2, H=3, S=3, random=samples.np.random.default_rng(0))
    state = samples.dnc_memory(s)
    state.usage[:, 3] = 0
    state.write_weights *= 0
    state.read_weights *= 0
    interface = as_tensors(memnets.dnc.DNCInterface, samples.dnc_interface(s))
    return interface._replace(**changes), as_tensors(memnets.dnc.DNCMemory, state)


def test_write_weights_follow_the_gates() -> None:
    """An open allocation gate writes to the free slot; the sum of a weighting is its write gate."""
    gates = tensor([[1, 0.3, 0.7], [1, 0.0, 0.5]])
    interface, state = one_write_head(allocation_gates=gates, write_gates=gates)
    _, after = memnets.dnc.access(interface, state)
    expected = torch.eye(20, dtype=torch.float64)[3].expand(2, 20)
    torch.testing.assert_close(after.write_weights[:, 0], expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(after.write_weights.sum(-1), gates, rtol=0, atol=1e-3)


def test_a_closed_write_gate_leaves_the_memory_alone() -> None:
    interface, state = one_write_head(write_gates=torch.zeros(2, 3).double())
    _, after = memnets.dnc.access(interface, state)
    assert torch.equal(after.memory, state.memory)
    assert torch.equal(after.link, state.link)
    assert torch.equal(after.precedence, state.precedence)


def test_reading_by_content_finds_the_row() -> None:
    modes = torch.zeros(2, 2, 7, dtype=torch.float64)
    modes[..., -1] = 1
    interface, state = one_write_head(
        read_modes=modes,
        read_strengths=torch.full((2, 2), 100.0).double(),
        write_gates=torch.zeros(2, 3).double(),
    )
    interface = interface._replace(read_keys=state.memory[:, [3, 5]])
    vectors, after = memnets.dnc.access(interface, state)
    slots = torch.eye(20, dtype=torch.float64)[[3, 5]].expand(2, 2, 20)
    torch.testing.assert_close(after.read_weights, slots, rtol=0, atol=1e-3)
    torch.testing.assert_close(vectors, state.memory[:, [3, 5]], rtol=0, atol=1e-2)


@pytest.mark.parametrize("head", [0, 1, 2])
@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_each_read_mode_takes_its_own_direction(head: int, direction: str) -> None:
    """Modes are backward of every write head, forward of every write head, content."""
    modes = torch.zeros(2, 2, 7, dtype=torch.float64)
    modes[..., head + (3 if direction == "forward" else 0)] = 1
    interface, state = one_write_head(read_modes=modes)
    reads = torch.eye(20, dtype=torch.float64)[[2, 9]].expand(2, 2, 20)
    state = state._replace(read_weights=reads)
    _, after = memnets.dnc.access(interface, state)
    link = after.link[:, head]
    expected = reads @ (link if direction == "backward" else link.transpose(-1, -2))
    torch.testing.assert_close(after.read_weights, expected)

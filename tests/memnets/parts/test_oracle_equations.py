"""Every equation of memnets against the paper's loops, at random sizes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memnets import parts
from tests import oracles, samples
from tests.samples import assert_equal_to, tensor

epsilons = st.sampled_from([1e-6, 1e-3, 1e-12])


@given(samples.sizes(), epsilons)
def test_cosine_similarity(s: SimpleNamespace, epsilon: float) -> None:
    slots, keys = s.random.normal(size=(s.B, s.N, s.W)), s.random.normal(size=(s.B, s.R, s.W))
    keys[0, 0] = 0.0
    slots[-1, -1] = 0.0
    similarity = oracles.cosine(epsilon)
    expected = np.array(
        [[[similarity(k, m) for m in slots[b]] for k in keys[b]] for b in range(s.B)]
    )
    assert_equal_to(parts.content.cosine_similarity(tensor(slots), tensor(keys), epsilon), expected)


@given(samples.sizes(), epsilons)
def test_content_weights(s: SimpleNamespace, epsilon: float) -> None:
    slots, keys = s.random.normal(size=(s.B, s.N, s.W)), s.random.normal(size=(s.B, s.R, s.W))
    strengths = s.random.exponential(20, size=(s.B, s.R))
    actual = parts.content.content_weights(tensor(slots), tensor(keys), tensor(strengths), epsilon)
    expected = oracles.content_weights(slots, keys, strengths, oracles.cosine(epsilon))
    assert_equal_to(actual, expected)
    assert_equal_to(actual.sum(-1), np.ones((s.B, s.R)))


@given(samples.sizes())
def test_interpolate(s: SimpleNamespace) -> None:
    content = samples.simplex(s.random, s.B, s.R, s.N)
    previous = samples.simplex(s.random, s.B, s.R, s.N)
    gates = s.random.random((s.B, s.R))
    actual = parts.location.interpolate(tensor(content), tensor(previous), tensor(gates))
    assert_equal_to(actual, oracles.interpolate(content, previous, gates))


@given(samples.sizes())
def test_shift(s: SimpleNamespace) -> None:
    """S may exceed N: a shift then goes around more than once."""
    weights = samples.simplex(s.random, s.B, s.R, s.N)
    shifts = samples.simplex(s.random, s.B, s.R, s.S)
    actual = parts.location.shift(tensor(weights), tensor(shifts))
    assert_equal_to(actual, oracles.shift(weights, shifts))
    assert_equal_to(actual.sum(-1), np.ones((s.B, s.R)))


@given(samples.sizes(), st.sampled_from([1e-12, 1e-6]))
def test_sharpen(s: SimpleNamespace, epsilon: float) -> None:
    weights = samples.simplex(s.random, s.B, s.R, s.N)
    sharpenings = 1 + s.random.exponential(5, size=(s.B, s.R))
    actual = parts.location.sharpen(tensor(weights), tensor(sharpenings), epsilon)
    assert_equal_to(actual, oracles.sharpen(weights, sharpenings, epsilon))


@given(samples.sizes())
def test_sharpen_is_within_its_epsilon_of_the_paper(s: SimpleNamespace) -> None:
    weights = samples.simplex(s.random, s.B, s.R, s.N)
    sharpenings = 1 + s.random.exponential(5, size=(s.B, s.R))
    actual = parts.location.sharpen(tensor(weights), tensor(sharpenings))
    assert_equal_to(actual, oracles.sharpen(weights, sharpenings), tolerance=1e-9)


@given(samples.sizes())
def test_focus(s: SimpleNamespace) -> None:
    state = samples.ntm_memory(s)
    head, _ = oracles.ntm_heads(samples.ntm_interface(s))
    actual = parts.location.focus(
        memory=tensor(state.memory),
        previous_weights=tensor(state.read_weights),
        **{name: tensor(value) for name, value in vars(head).items()},
        similarity_epsilon=1e-4,
        sharpen_epsilon=1e-8,
    )
    expected = oracles.focus(state.memory, state.read_weights, head, oracles.cosine(1e-4), 1e-8)
    assert_equal_to(actual, expected)


@given(samples.sizes())
def test_read(s: SimpleNamespace) -> None:
    slots, weights = (
        s.random.normal(size=(s.B, s.N, s.W)),
        samples.partial(s.random, s.B, s.R, s.N),
    )
    assert_equal_to(
        parts.writing.read(tensor(slots), tensor(weights)), oracles.read(slots, weights)
    )


@given(samples.sizes())
def test_write(s: SimpleNamespace) -> None:
    slots = s.random.normal(size=(s.B, s.N, s.W))
    weights = samples.partial(s.random, s.B, s.H, s.N)
    erase, add = s.random.random((s.B, s.H, s.W)), s.random.normal(size=(s.B, s.H, s.W))
    actual = parts.writing.write(tensor(slots), tensor(weights), tensor(erase), tensor(add))
    assert_equal_to(actual, oracles.write(slots, weights, erase, add))


@given(samples.sizes())
def test_retention(s: SimpleNamespace) -> None:
    weights, gates = samples.partial(s.random, s.B, s.R, s.N), s.random.random((s.B, s.R))
    actual = parts.usage.retention(tensor(weights), tensor(gates))
    assert_equal_to(actual, oracles.retention(weights, gates))


@given(samples.sizes())
def test_update_usage(s: SimpleNamespace) -> None:
    usage, retained = s.random.random((s.B, s.N)), s.random.random((s.B, s.N))
    weights = samples.partial(s.random, s.B, s.H, s.N)
    actual = parts.usage.update_usage(tensor(usage), tensor(weights), tensor(retained))
    assert_equal_to(actual, oracles.update_usage(usage, weights, retained))


@given(samples.sizes(), epsilons)
def test_allocation(s: SimpleNamespace, epsilon: float) -> None:
    usage = s.random.random((s.B, s.N))
    actual = parts.usage.allocation(tensor(usage), epsilon)
    assert_equal_to(actual, oracles.allocation(usage, epsilon))


@given(samples.sizes())
def test_allocation_of_used_and_unused_slots(s: SimpleNamespace) -> None:
    """Usage of exactly 0 and 1, and equal usage: the lowest slot comes first."""
    usage = s.random.integers(0, 3, size=(s.B, s.N)) / 2
    assert_equal_to(parts.usage.allocation(tensor(usage), 1e-6), oracles.allocation(usage, 1e-6))


@given(samples.sizes(), epsilons)
def test_allocate(s: SimpleNamespace, epsilon: float) -> None:
    usage, gates = s.random.random((s.B, s.N)), s.random.random((s.B, s.H))
    actual = parts.usage.allocate(tensor(usage), tensor(gates), epsilon)
    assert_equal_to(actual, oracles.allocate(usage, gates, epsilon))


@given(samples.sizes())
def test_least_used(s: SimpleNamespace) -> None:
    usage = s.random.integers(0, 4, size=(s.B, s.N)) / 4  # many equal
    count = min(s.R, s.N)
    actual = parts.usage.least_used(tensor(usage), count)
    assert_equal_to(actual, oracles.least_used(usage, count), tolerance=0)


@given(samples.sizes())
def test_update_precedence(s: SimpleNamespace) -> None:
    precedence = samples.partial(s.random, s.B, s.H, s.N)
    weights = samples.partial(s.random, s.B, s.H, s.N)
    actual = parts.linkage.update_precedence(tensor(precedence), tensor(weights))
    assert_equal_to(actual, oracles.update_precedence(precedence, weights))


@given(samples.sizes())
def test_update_link(s: SimpleNamespace) -> None:
    state = samples.dnc_memory(s)
    actual = parts.linkage.update_link(
        tensor(state.link), tensor(state.precedence), tensor(state.write_weights)
    )
    assert_equal_to(actual, oracles.update_link(state.link, state.precedence, state.write_weights))


@given(samples.sizes())
def test_directional_weights(s: SimpleNamespace) -> None:
    state = samples.dnc_memory(s)
    backward, forward = parts.linkage.directional_weights(
        tensor(state.link), tensor(state.read_weights)
    )
    expected_backward, expected_forward = oracles.directional_weights(
        state.link, state.read_weights
    )
    assert_equal_to(backward, expected_backward)
    assert_equal_to(forward, expected_forward)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equations_keep_the_dtype(dtype: torch.dtype) -> None:
    s = SimpleNamespace(B=2, N=5, W=3, R=2, H=2, S=3, random=np.random.default_rng(0))
    state = samples.dnc_memory(s)
    usage, weights = tensor(state.usage, dtype), tensor(state.write_weights, dtype)
    assert parts.usage.allocation(usage).dtype == dtype
    assert parts.usage.least_used(usage, 2).dtype == dtype
    assert parts.linkage.update_link(tensor(state.link, dtype), weights, weights).dtype == dtype
    assert parts.location.shift(weights, weights[..., :3]).dtype == dtype

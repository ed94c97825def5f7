"""Hopfield's network and Kosko's BAM: against loops over single units, and their energy."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from memnets import associative
from tests import samples
from tests.samples import assert_equal_to, tensor

Array = np.ndarray
sizes = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 5), samples.seeds)


def bits(random: np.random.Generator, *shape: int) -> Array:
    return random.choice([-1.0, 1.0], size=shape)


def drawn(drawn_sizes: tuple) -> tuple[Array, Array, np.random.Generator]:
    patterns, units, others, seed = drawn_sizes
    random = np.random.default_rng(seed)
    return bits(random, patterns, units), bits(random, patterns, others), random


def hebb(keys: Array, values: Array, diagonal: bool) -> Array:
    weights = np.zeros((keys.shape[1], values.shape[1]))
    for i, j in np.ndindex(*weights.shape):
        if diagonal or i != j:
            weights[i, j] = sum(x[i] * y[j] for x, y in zip(keys, values, strict=True))
    return weights


def energy(weights: Array, one: Array, other: Array) -> float:
    return -sum(weights[i, j] * one[i] * other[j] for i, j in np.ndindex(*weights.shape))


def sign(field: float, before: float) -> float:
    return before if field == 0 else 1.0 if field > 0 else -1.0


@given(sizes)
def test_a_hopfield_network_beside_a_loop(drawn_sizes):
    patterns, _, random = drawn(drawn_sizes)
    units = patterns.shape[1]
    weights = hebb(patterns, patterns, diagonal=False)
    assert_equal_to(associative.hopfield_weights(tensor(patterns)), weights)
    state = bits(random, units)
    expected = np.array(energy(weights, state, state) / 2)
    assert_equal_to(associative.hopfield_energy(tensor(weights), tensor(state)), expected)
    found = associative.hopfield_recall(tensor(weights), tensor(state), sweeps=3)
    for _ in range(3):
        for i in range(units):
            field = sum(weights[i, j] * state[j] for j in range(units))
            state[i] = sign(field, state[i])
    assert_equal_to(found, state)


@given(sizes)
def test_no_update_of_a_unit_raises_the_energy(drawn_sizes):
    patterns, _, random = drawn(drawn_sizes)
    units = patterns.shape[1]
    weights = associative.hopfield_weights(tensor(patterns))
    states = tensor(bits(random, 7, units))
    for unit in [*range(units), *random.integers(0, units, size=2 * units)]:
        before = associative.hopfield_energy(weights, states)
        after = associative.hopfield_update(weights, states, int(unit))
        changed = (after != states).any(-1)
        states, now = after, associative.hopfield_energy(weights, after)
        assert (now <= before).all()
        assert (now[changed] < before[changed]).all()
    settled = associative.hopfield_recall(weights, states)
    for unit in range(units):
        assert torch.equal(associative.hopfield_update(weights, settled, unit), settled)


@given(sizes)
def test_a_bam_beside_a_loop(drawn_sizes):
    keys, values, random = drawn(drawn_sizes)
    weights = hebb(keys, values, diagonal=True)
    assert_equal_to(associative.bam_weights(tensor(keys), tensor(values)), weights)
    x, y = bits(random, keys.shape[1]), np.zeros(values.shape[1])
    found = associative.bam_recall(tensor(weights), tensor(x), passes=3)
    for _ in range(3):
        fields = [sum(weights[i, j] * x[i] for i in range(len(x))) for j in range(len(y))]
        y = np.array([sign(field, y[j]) for j, field in enumerate(fields)])
        fields = [sum(weights[i, j] * y[j] for j in range(len(y))) for i in range(len(x))]
        x = np.array([sign(field, x[i]) for i, field in enumerate(fields)])
    for one, expected in zip(found, (x, y), strict=True):
        assert_equal_to(one, expected)
    expected = np.array(energy(weights, x, y))
    assert_equal_to(associative.bam_energy(tensor(weights), *found), expected)


@given(sizes)
def test_no_pass_raises_the_energy_of_a_bam(drawn_sizes):
    keys, values, random = drawn(drawn_sizes)
    weights = associative.bam_weights(tensor(keys), tensor(values))
    x, y = tensor(bits(random, 7, keys.shape[1])), tensor(bits(random, 7, values.shape[1]))
    for _ in range(4):
        steps = [(x, y)]
        y = associative.signs(x @ weights, y)
        steps.append((x, y))
        x = associative.signs(y @ weights.T, x)
        steps.append((x, y))
        energies = [associative.bam_energy(weights, *step) for step in steps]
        for n in (0, 1):
            changed = (steps[n][0] != steps[n + 1][0]).any(-1)
            changed |= (steps[n][1] != steps[n + 1][1]).any(-1)
            assert (energies[n + 1] <= energies[n]).all()
            assert (energies[n + 1] < energies[n])[changed].all()


@pytest.mark.parametrize("flipped", [0, 3])
def test_few_patterns_are_recalled_from_a_part_and_from_a_faulty_one(flipped):
    random = np.random.default_rng(0)
    patterns = tensor(bits(random, 4, 64))
    faulty = patterns.clone()
    faulty[:, random.permutation(64)[:flipped]] *= -1
    weights = associative.hopfield_weights(patterns)
    assert torch.equal(associative.hopfield_recall(weights, faulty), patterns)
    unknown = torch.cat([faulty[:, :48], torch.zeros(4, 16).double()], dim=1)
    assert torch.equal(associative.hopfield_recall(weights, unknown), patterns)
    values = tensor(bits(random, 4, 32))
    found = associative.bam_recall(associative.bam_weights(patterns, values), faulty)
    assert torch.equal(found[0], patterns)
    assert torch.equal(found[1], values)

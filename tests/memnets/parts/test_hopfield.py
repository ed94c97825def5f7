"""Hopfield retrieval against a loop over single numbers, and the energy that it lowers."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.parts.hopfield import Hopfield, hopfield_weights
from tests import oracles, samples
from tests.samples import assert_equal_to, tensor

Array = np.ndarray


def update(patterns: Array, state: Array, beta: float) -> tuple[Array, Array]:
    """Ramsauer et al. 2020, eq. 3: p = softmax(beta X^T xi), and the new xi = X p."""
    scores = [
        beta * sum(float(x) * float(y) for x, y in zip(p, state, strict=True)) for p in patterns
    ]
    weights = oracles.softmax(scores)
    return weights, np.array([sum(weights * patterns[:, i]) for i in range(len(state))])


@given(samples.sizes(), st.integers(1, 4))
def test_beside_a_loop(s: SimpleNamespace, iterations: int) -> None:
    memory, keys = s.random.normal(size=(s.B, s.N, s.W)), s.random.normal(size=(s.B, s.R, s.W))
    strengths = s.random.exponential(3, size=(s.B, s.R))
    expected, read = np.zeros((s.B, s.R, s.N)), keys.copy()
    for b, r in np.ndindex(s.B, s.R):
        for _ in range(iterations):
            expected[b, r], read[b, r] = update(memory[b], read[b, r], strengths[b, r])
    found = hopfield_weights(*map(tensor, (memory, keys, strengths)), iterations)
    assert_equal_to(found, expected)
    assert_equal_to(memnets.parts.writing.read(tensor(memory), found), read)


def test_iterations_lower_the_energy() -> None:
    """E = xi^T xi / 2 - lse(beta, X^T xi) + constants (eq. 2) falls; the key ends at a slot."""
    random = np.random.default_rng(0)
    memory, key = tensor(random.normal(size=(1, 6, 16))), tensor(random.normal(size=(1, 1, 16)))
    key, beta = memory[:, 2:3] + 0.5 * key, 2.0
    energies = []
    for n in range(1, 6):
        weights = hopfield_weights(memory, key, torch.full((1, 1), beta).double(), n)
        state = weights @ memory
        scores = beta * state @ memory.transpose(1, 2)
        energies.append(float(state.square().sum() / 2 - torch.logsumexp(scores, -1).sum() / beta))
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(energies))
    assert energies[-1] < energies[0]
    assert weights[0, 0, 2] > 0.999


def test_the_gradient() -> None:
    random = np.random.default_rng(1)
    arrays = random.normal(size=(2, 4, 3)), random.normal(size=(2, 2, 3)), random.random((2, 2))
    given_ = [tensor(one).requires_grad_() for one in arrays]
    assert torch.autograd.gradcheck(lambda *one: hopfield_weights(*one, 3), given_)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"iterations": 0}, "iterations must be a whole number of at least 1; got 0"),
        ({"strength": "any"}, "strength must be one of oneplus, softplus; got 'any'"),
    ],
)
def test_settings(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Hopfield(**settings)

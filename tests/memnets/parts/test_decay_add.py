"""Decay and addition against a loop over single numbers, and as retention over a sequence."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given

from memnets.parts.decay_add import DecayAdd, decay_add
from memnets.parts.writing import read
from tests import samples
from tests.samples import assert_equal_to, simplex, tensor


@given(samples.sizes())
def test_beside_a_loop(s: SimpleNamespace) -> None:
    """Sun et al. 2023, eq. 6."""
    memory, values = s.random.normal(size=(s.B, s.N, s.W)), s.random.normal(size=(s.B, s.H, s.W))
    weights, decay = simplex(s.random, s.B, s.H, s.N), float(s.random.random())
    expected = np.zeros_like(memory)
    for b, n, i in np.ndindex(memory.shape):
        added = sum(weights[b, h, n] * values[b, h, i] for h in range(s.H))
        expected[b, n, i] = decay * memory[b, n, i] + added
    found = decay_add(tensor(memory), tensor(weights), tensor(values), decay)
    assert_equal_to(found, expected, tolerance=1e-12)


def test_a_read_is_retention() -> None:
    """o(t) = sum over s up to t of gamma^(t-s) (q(t) . k(s)) v(s), from an empty memory (eq. 5)."""
    random = np.random.default_rng(0)
    keys, queries = simplex(random, 7, 5), simplex(random, 7, 5)
    values, memory = random.normal(size=(7, 3)), torch.zeros(1, 5, 3, dtype=torch.float64)
    for t in range(7):
        memory = decay_add(memory, tensor(keys[t])[None, None], tensor(values[t])[None, None], 0.9)
        expected = sum(0.9 ** (t - s) * (queries[t] @ keys[s]) * values[s] for s in range(t + 1))
        assert_equal_to(read(memory, tensor(queries[t])[None, None])[0, 0], np.asarray(expected))


def test_the_gradient() -> None:
    random = np.random.default_rng(1)
    arrays = random.normal(size=(2, 4, 3)), simplex(random, 2, 2, 4), random.normal(size=(2, 2, 3))
    given_ = [tensor(one).requires_grad_() for one in arrays]
    assert torch.autograd.gradcheck(lambda *one: decay_add(*one, 0.7), given_)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"add_range": "any"}, "add_range must be one of real, bounded; got 'any'"),
        ({"decay": 0.0}, r"decay must be in \(0, 1\]; got 0.0"),
        ({"decay": "1"}, r"decay must be in \(0, 1\]; got '1'"),
    ],
)
def test_settings(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DecayAdd(**settings)

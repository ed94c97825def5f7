"""Titans' rule against a loop over single numbers, and its gradient against autograd's."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given

from memnets.parts.delta_rule import delta_rule
from memnets.parts.titans import Titans, TitansVectors, titans
from tests import samples
from tests.samples import assert_equal_to, simplex, tensor

Array = np.ndarray


def loop(memory: Array, weights: Array, values: Array, gates: Array, momentum: Array) -> tuple:
    """Behrouz et al. 2025, section 3.1, the gradient a number at a time."""
    memory, momentum = memory.copy(), momentum.copy()
    B, N, W = memory.shape
    for b in range(B):
        for h in range(weights.shape[1]):
            theta, eta, alpha = gates[:, b, h]
            w, v = weights[b, h], values[b, h]
            missing = [sum(w[n] * memory[b, n, i] for n in range(N)) - v[i] for i in range(W)]
            for n in range(N):
                for i in range(W):
                    slope = 2 * missing[i] * w[n]
                    momentum[b, n, i] = eta * momentum[b, n, i] - theta * slope
                    memory[b, n, i] = (1 - alpha) * memory[b, n, i] + momentum[b, n, i]
    return memory, momentum


def drawn(s: SimpleNamespace) -> tuple[Array, ...]:
    memory, momentum = s.random.normal(size=(2, s.B, s.N, s.W))
    values, gates = s.random.normal(size=(s.B, s.H, s.W)), s.random.random((3, s.B, s.H))
    return memory, simplex(s.random, s.B, s.H, s.N), values, gates, momentum


@given(samples.sizes())
def test_beside_a_loop(s: SimpleNamespace) -> None:
    memory, weights, values, gates, momentum = drawn(s)
    vectors = TitansVectors(tensor(values), *map(tensor, gates))
    found = titans(tensor(memory), tensor(weights), vectors, tensor(momentum))
    for one, expected in zip(found, loop(memory, weights, values, gates, momentum), strict=True):
        assert_equal_to(one, expected, tolerance=1e-12)


def test_the_surprise_is_autograds() -> None:
    s = SimpleNamespace(random=np.random.default_rng(0), B=1, N=5, W=3, H=1)
    memory, w, v, (theta, eta, alpha), momentum = map(tensor, drawn(s))
    leaf = memory.clone().requires_grad_()
    (slope,) = torch.autograd.grad((w @ leaf - v).square().sum(), leaf)
    expected = eta * momentum - theta * slope
    found = titans(memory, w, TitansVectors(v, theta, eta, alpha), momentum)
    torch.testing.assert_close(found[1], expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(found[0], (1 - alpha) * memory + expected, rtol=0, atol=1e-14)


@given(samples.sizes())
def test_without_momentum_and_forgetting_it_is_the_delta_rule(s: SimpleNamespace) -> None:
    memory, weights, values, gates, momentum = map(tensor, drawn(s))
    zero = torch.zeros_like(gates[0])
    found, _ = titans(memory, weights, TitansVectors(values, gates[0] / 2, zero, zero), momentum)
    expected = delta_rule(memory, weights, values, gates[0])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_the_gradient() -> None:
    s = SimpleNamespace(random=np.random.default_rng(1), B=2, N=4, W=3, H=2)
    memory, weights, values, gates, momentum = drawn(s)
    given_ = [tensor(x).requires_grad_() for x in (memory, weights, values, *gates, momentum)]
    assert torch.autograd.gradcheck(
        lambda m, w, v, theta, eta, alpha, p: titans(m, w, TitansVectors(v, theta, eta, alpha), p),
        given_,
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"add_range": "any"}, "add_range must be one of real, bounded; got 'any'"),
        ({"forget_bias": float("inf")}, "forget_bias must be a finite number; got inf"),
    ],
)
def test_settings(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Titans(**settings)

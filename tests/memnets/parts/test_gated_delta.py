"""The gated delta rule against a loop over single numbers, and where it is the delta rule."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given

from memnets.parts.delta_rule import delta_rule
from memnets.parts.gated_delta import GatedDelta, gated_delta
from tests import samples
from tests.samples import assert_equal_to, simplex, tensor

Array = np.ndarray


def loop(memory: Array, weights: Array, values: Array, rates: Array, decays: Array) -> Array:
    """Yang et al. 2024, eq. 10, transposed: M (t) = alpha (I - beta w w^T) M (t-1) + beta w v^T."""
    B, N, W = memory.shape
    memory = memory.copy()
    for b in range(B):
        for h in range(weights.shape[1]):
            w, beta, alpha, before = weights[b, h], rates[b, h], decays[b, h], memory[b].copy()
            for n in range(N):
                for i in range(W):
                    total = beta * w[n] * values[b, h, i]
                    for j in range(N):
                        total += alpha * (float(n == j) - beta * w[n] * w[j]) * before[j, i]
                    memory[b, n, i] = total
    return memory


def drawn(s: SimpleNamespace) -> tuple[Array, ...]:
    memory, values = s.random.normal(size=(s.B, s.N, s.W)), s.random.normal(size=(s.B, s.H, s.W))
    rates, decays = s.random.random((2, s.B, s.H))
    return memory, simplex(s.random, s.B, s.H, s.N), values, rates, decays


@given(samples.sizes())
def test_beside_a_loop(s: SimpleNamespace) -> None:
    arrays = drawn(s)
    assert_equal_to(gated_delta(*map(tensor, arrays)), loop(*arrays), tolerance=1e-12)


@given(samples.sizes())
def test_without_a_decay_it_is_the_delta_rule(s: SimpleNamespace) -> None:
    *arrays, decays = map(tensor, drawn(s))
    found = gated_delta(*arrays, torch.ones_like(decays))
    assert torch.equal(found, delta_rule(*arrays))


def test_the_gradient() -> None:
    s = SimpleNamespace(random=np.random.default_rng(0), B=2, N=4, W=3, H=2)
    arrays = [tensor(one).requires_grad_() for one in drawn(s)]
    assert torch.autograd.gradcheck(gated_delta, arrays)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"add_range": "any"}, "add_range must be one of real, bounded; got 'any'"),
        ({"decay_bias": float("nan")}, "decay_bias must be a finite number; got nan"),
    ],
)
def test_settings(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GatedDelta(**settings)

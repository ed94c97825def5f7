"""The delta rule against a loop over single numbers, and as a step of gradient descent."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given

from memnets.parts.delta_rule import DeltaRule, delta_rule
from tests import samples
from tests.samples import assert_equal_to, simplex, tensor

Array = np.ndarray


def loop(memory: Array, weights: Array, values: Array, rates: Array) -> Array:
    """Schlag et al. 2021, section 4.2: what the key retrieves is replaced by a share beta."""
    B, N, W = memory.shape
    memory = memory.copy()
    for b in range(B):
        for h in range(weights.shape[1]):
            w, v = weights[b, h], values[b, h]
            retrieved = [sum(w[n] * memory[b, n, i] for n in range(N)) for i in range(W)]
            for n in range(N):
                for i in range(W):
                    memory[b, n, i] += rates[b, h] * w[n] * (v[i] - retrieved[i])
    return memory


@given(samples.sizes())
def test_beside_a_loop(s: SimpleNamespace) -> None:
    memory, values = s.random.normal(size=(s.B, s.N, s.W)), s.random.normal(size=(s.B, s.H, s.W))
    arrays = memory, simplex(s.random, s.B, s.H, s.N), values, s.random.random((s.B, s.H))
    assert_equal_to(delta_rule(*map(tensor, arrays)), loop(*arrays), tolerance=1e-12)


def test_a_step_against_the_gradient() -> None:
    """M - beta grad |w^T M - v|^2 / 2, by autograd."""
    random = np.random.default_rng(0)
    memory, v = tensor(random.normal(size=(1, 5, 3))), tensor(random.normal(size=(1, 1, 3)))
    w, leaf = tensor(simplex(random, 1, 1, 5)), memory.clone().requires_grad_()
    (slope,) = torch.autograd.grad((w @ leaf - v).square().sum() / 2, leaf)
    found = delta_rule(memory, w, v, torch.tensor([[0.3]], dtype=torch.float64))
    torch.testing.assert_close(found, memory - 0.3 * slope, rtol=0, atol=1e-14)


def test_the_gradient() -> None:
    s = SimpleNamespace(random=np.random.default_rng(1))
    arrays = s.random.normal(size=(2, 4, 3)), simplex(s.random, 2, 2, 4)
    arrays += s.random.normal(size=(2, 2, 3)), s.random.random((2, 2))
    assert torch.autograd.gradcheck(delta_rule, [tensor(one).requires_grad_() for one in arrays])


def test_an_error_does_not_grow() -> None:
    """However often it writes, a memory stays within the values that are written."""
    random = np.random.default_rng(2)
    memory, v = torch.zeros(1, 4, 3).double(), tensor(random.uniform(-1, 1, size=(1, 3, 3)))
    for _ in range(500):
        w = tensor(simplex(random, 1, 3, 4))
        memory = delta_rule(memory, w, v, torch.ones(1, 3).double())
    assert torch.linalg.matrix_norm(memory, 2).max() < 20


def test_a_range() -> None:
    with pytest.raises(ValueError, match="add_range must be one of real, bounded; got 'any'"):
        DeltaRule(add_range="any")  # pyright: ignore[reportArgumentType]

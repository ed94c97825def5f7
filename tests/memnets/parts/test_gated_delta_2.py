"""GDN-2's rule against a loop over single numbers, and where it is the gated delta rule."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given

from memnets.parts.gated_delta import gated_delta
from memnets.parts.gated_delta_2 import GatedDelta2, GatedDelta2Vectors, gated_delta_2
from tests import samples
from tests.samples import assert_equal_to, simplex, tensor

Array = np.ndarray


def loop(
    memory: Array, weights: Array, values: Array, writes: Array, erases: Array, decays: Array
) -> Array:
    """Each number of the word alone: a row of slots that decays, is erased and is written."""
    memory = memory.copy()
    for b, h, i in np.ndindex(values.shape):
        w, row = weights[b, h], [decays[b, h, i] * x for x in memory[b, :, i]]
        erased = erases[b, h, i] * sum(x * y for x, y in zip(w, row, strict=True))
        for n, x in enumerate(row):
            memory[b, n, i] = x - w[n] * erased + w[n] * writes[b, h, i] * values[b, h, i]
    return memory


def drawn(s: SimpleNamespace) -> tuple[Array, ...]:
    memory, values = s.random.normal(size=(s.B, s.N, s.W)), s.random.normal(size=(s.B, s.H, s.W))
    return memory, simplex(s.random, s.B, s.H, s.N), values, *s.random.random((3, *values.shape))


@given(samples.sizes())
def test_beside_a_loop(s: SimpleNamespace) -> None:
    memory, weights, *vectors = drawn(s)
    given_ = GatedDelta2Vectors(*map(tensor, vectors))
    found = gated_delta_2(tensor(memory), tensor(weights), given_)
    assert_equal_to(found, loop(memory, weights, *vectors), tolerance=1e-12)


@given(samples.sizes())
def test_with_one_gate_it_is_the_gated_delta_rule(s: SimpleNamespace) -> None:
    memory, weights, values, *_ = map(tensor, drawn(s))
    rates, decays = map(tensor, s.random.random((2, s.B, s.H, 1)))
    one = torch.ones_like(values)
    vectors = GatedDelta2Vectors(values, rates * one, rates * one, decays * one)
    found = gated_delta_2(memory, weights, vectors)
    expected = gated_delta(memory, weights, values, rates[..., 0], decays[..., 0])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_the_gradient() -> None:
    s = SimpleNamespace(random=np.random.default_rng(0), B=2, N=4, W=3, H=2)
    arrays = [tensor(one).requires_grad_() for one in drawn(s)]

    def write(memory: torch.Tensor, weights: torch.Tensor, *vectors: torch.Tensor) -> torch.Tensor:
        return gated_delta_2(memory, weights, GatedDelta2Vectors(*vectors))

    assert torch.autograd.gradcheck(write, arrays)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"add_range": "any"}, "add_range must be one of real, bounded; got 'any'"),
        ({"decay_bias": None}, "decay_bias must be a finite number; got None"),
    ],
)
def test_settings(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GatedDelta2(**settings)

"""The mLSTM's rule against a loop over single numbers without a stabiliser, and its reads."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.parts.mlstm import MLSTM, MLSTMState, MLSTMVectors, mlstm
from tests import samples
from tests.samples import assert_equal_to, simplex, tensor

Array = np.ndarray


def loop(cell: Array, normaliser: Array, w: Array, v: Array, i: float, f: float) -> None:
    """Beck et al. 2024, eq. 19 and 20, of one row and one head, in place: nothing is stabilised."""
    for n in range(len(w)):
        normaliser[n] = f * normaliser[n] + i * w[n]
        for x in range(len(v)):
            cell[n, x] = f * cell[n, x] + i * w[n] * v[x]


def retrieved(cell: Array, normaliser: Array, w: Array) -> Array:
    """Eq. 21, without the output gate."""
    size = max(abs(sum(w[n] * normaliser[n] for n in range(len(w)))), 1.0)
    totals = [sum(w[n] * cell[n, x] for n in range(len(w))) for x in range(cell.shape[1])]
    return np.array(totals) / size


@given(samples.sizes(), st.integers(1, 6))
def test_beside_a_loop(s: SimpleNamespace, steps: int) -> None:
    """Several steps from a memory that is not empty; reads are the paper's, whatever m is."""
    cell, normaliser = s.random.normal(size=(s.B, s.N, s.W)), np.zeros((s.B, s.N))
    memory, rule = tensor(cell), MLSTM()
    state = rule.initial_state(memory)
    for _ in range(steps):
        w, r = simplex(s.random, s.B, s.H, s.N), simplex(s.random, s.B, s.R, s.N)
        v, (i, f) = s.random.normal(size=(s.B, s.H, s.W)), 2 * s.random.normal(size=(2, s.B, s.H))
        f = -np.logaddexp(0, -f)
        for b, h in np.ndindex(s.B, s.H):
            loop(cell[b], normaliser[b], w[b, h], v[b, h], math.exp(i[b, h]), math.exp(f[b, h]))
        vectors = MLSTMVectors(tensor(v), tensor(i), tensor(f))
        memory, state = rule.write(memory, tensor(w), vectors, state)
        scale = torch.exp(state.stabiliser)[:, None]
        assert_equal_to(scale * state.normaliser, normaliser)
        assert_equal_to(scale[..., None] * memory, cell)
        expected = [[retrieved(cell[b], normaliser[b], x) for x in r[b]] for b in range(s.B)]
        assert_equal_to(rule.read(memory, tensor(r), state), np.array(expected))


def test_the_gradient() -> None:
    random = np.random.default_rng(0)
    arrays = random.normal(size=(2, 4, 3)), simplex(random, 2, 2, 4), random.normal(size=(2, 2, 3))
    arrays += random.normal(size=(2, 2)), -random.random((2, 2)), random.random((2, 4))
    given_ = [tensor(one).requires_grad_() for one in (*arrays, random.normal(size=2))]

    def written_and_read(*one: torch.Tensor) -> tuple[torch.Tensor, ...]:
        memory, state = mlstm(one[0], one[1], MLSTMVectors(*one[2:5]), MLSTMState(*one[5:]))
        return memory, *state, MLSTM().read(memory, one[1], state)

    assert torch.autograd.gradcheck(written_and_read, given_)


@pytest.mark.parametrize("seed", range(5))
def test_gates_at_their_ends_are_finite(seed: int) -> None:
    """A controller that emits large numbers: values and gradients.

    With weights of 1e5, gradients overflow float32 at times whatever the rule of writing is.
    """
    torch.manual_seed(seed)
    layer = memnets.NTM(3, 2, memory_size=5, word_size=4, writing=MLSTM())
    for size in (1e1, 1e2):
        x = (size * torch.randn(20, 2, 3)).requires_grad_()
        with torch.no_grad():
            layer.interface.linear.weight.mul_(size)
        y, _ = layer(x)
        y.square().mean().backward()
        assert torch.isfinite(y).all()
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()


def test_the_state_is_the_layers() -> None:
    layer = memnets.NTM(3, 2, memory_size=5, word_size=4, writing=MLSTM())
    _, state = layer(torch.randn(2, 7, 3))
    assert {
        name: tuple(one.shape) for name, one in memnets.flatten(state.memory.writing).items()
    } == {
        "normaliser": (7, 5),
        "stabiliser": (7,),
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"add_range": "any"}, "add_range must be one of real, bounded; got 'any'"),
        ({"forget_bias": "high"}, "forget_bias must be a finite number; got 'high'"),
    ],
)
def test_settings(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MLSTM(**settings)

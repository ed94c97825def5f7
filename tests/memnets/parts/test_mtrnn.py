"""The network of two time scales against a loop over single numbers, and its time constants."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import memnets
from memnets.parts.controllers import MTRNNCell, Stack
from tests import samples
from tests.controllers import gradient_is_right
from tests.samples import assert_equal_to, tensor

Array = np.ndarray


def mtrnn(x: Array, u: Array, weights: dict[str, Array]) -> Array:
    """One row, its context units in one list: the first half is fast (5), the rest slow (70)."""
    hidden = len(u) // 2
    y = [1 / (1 + math.exp(-float(own))) for own in u]
    after = []
    for n, own in enumerate(u):
        total = float(weights["from_context.bias"][n])
        for m, other in enumerate(y):
            total += float(weights["from_context.weight"][n, m]) * other
        if n < hidden:
            for i, value in enumerate(x):
                total += float(weights["from_input.weight"][n, i]) * float(value)
        time_constant = 5 if n < hidden else 70
        after.append((1 - 1 / time_constant) * float(own) + total / time_constant)
    return np.array(after)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), samples.seeds)
def test_the_sequence_is_the_loops(inputs: int, hidden: int, steps: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    cell = MTRNNCell(inputs, hidden, dtype=torch.float64)
    weights = {key: random.normal(size=tuple(v.shape)) for key, v in cell.state_dict().items()}
    cell.load_state_dict({name: tensor(value) for name, value in weights.items()})
    x, u = random.normal(size=(steps, inputs)), random.normal(size=2 * hidden)
    state = (tensor(u[:hidden])[None], tensor(u[hidden:])[None])
    for x_t in x:
        u = mtrnn(x_t, u, weights)
        h, state = cell(tensor(x_t)[None], state)
        assert_equal_to(h[0], 1 / (1 + np.exp(-u[:hidden])))
        assert_equal_to(torch.cat(state, dim=-1)[0], u)


@pytest.mark.parametrize("layers", [1, 3])
def test_the_gradient_over_a_sequence(layers: int) -> None:
    assert gradient_is_right(Stack(cell="mtrnn", hidden_size=3, num_layers=layers))


def test_slow_units_see_x_and_are_seen_through_the_fast_ones_alone() -> None:
    """A step of x moves h at once and the slow units one step later."""
    torch.manual_seed(0)
    cell = MTRNNCell(2, 3, dtype=torch.float64)
    state = (torch.randn(1, 3).double(), torch.randn(1, 3).double())
    x, other = torch.randn(2, 1, 2, dtype=torch.float64)
    (h, one), (moved, two) = cell(x, state), cell(other, state)
    assert not torch.equal(h, moved)
    assert torch.equal(one[1], two[1])
    assert not torch.equal(cell(x, one)[1][1], cell(x, two)[1][1])
    h, _ = cell(x, (state[0], state[1] + 1))
    assert torch.equal(h, cell(x, (state[0], state[1] + 1))[1][0].sigmoid())


def test_units_without_connections_decay_by_their_time_constants() -> None:
    cell = MTRNNCell(1, 2, dtype=torch.float64)
    for parameter in cell.parameters():
        nn.init.zeros_(parameter)
    state = (torch.ones(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64))
    for _ in range(20):
        _, state = cell(torch.ones(1, 1, dtype=torch.float64), state)
    torch.testing.assert_close(state[0], torch.full((1, 2), 0.8**20).double())
    torch.testing.assert_close(state[1], torch.full((1, 2), (69 / 70) ** 20).double())


def test_other_time_constants_are_a_subclass() -> None:
    """With a time constant of 1, a unit keeps nothing of its own u."""

    class Quick(MTRNNCell):
        fast = 1.0
        slow = 2.0

    cell = Quick(3, 4, dtype=torch.float64)
    state = (torch.randn(2, 4).double(), torch.randn(2, 4).double())
    x = torch.randn(2, 3, dtype=torch.float64)
    sums = cell.from_context(torch.cat(state, dim=-1).sigmoid())
    _, (fast, slow) = cell(x, state)
    torch.testing.assert_close(fast, sums[:, :4] + cell.from_input(x))
    torch.testing.assert_close(slow, (state[1] + sums[:, 4:]) / 2)


def test_the_kernel_refuses_it_by_its_name() -> None:
    layer = memnets.NTM(3, 2, memory_size=4, word_size=3, controller="mtrnn", hidden_size=5)
    choice = layer.backend_for(torch.zeros(2, 1, 3))
    assert choice.backend == "reference"
    assert "mtrnn.MTRNNCell" in str(choice.reason)

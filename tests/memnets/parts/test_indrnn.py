"""IndRNN against a loop over single numbers, with the bound and the initial range of the paper."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import memnets
from memnets.parts.controllers import IndRNNCell, Stack
from tests import samples
from tests.controllers import gradient_is_right
from tests.samples import assert_equal_to, tensor

BOUND = 2 ** (1 / 1000)
Array = np.ndarray


def indrnn(x: Array, h: Array, weight_ih: Array, weight_hh: Array, bias: Array) -> Array:
    """One row through the cell, a number at a time (Li et al. 2018, section 3)."""
    after = []
    for n, u in enumerate(weight_hh):
        total = float(bias[n]) + max(-BOUND, min(BOUND, float(u))) * float(h[n])
        for i, value in enumerate(x):
            total += float(weight_ih[n, i]) * float(value)
        after.append(max(0.0, total))
    return np.array(after)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), samples.seeds)
def test_the_sequence_is_the_loops(inputs: int, hidden: int, steps: int, seed: int) -> None:
    """Weights of any size, so that some are past the bound."""
    random = np.random.default_rng(seed)
    cell = IndRNNCell(inputs, hidden, dtype=torch.float64)
    shapes = {"weight_ih": (hidden, inputs), "weight_hh": (hidden,), "bias": (hidden,)}
    weights = {name: random.normal(size=shape) for name, shape in shapes.items()}
    cell.load_state_dict({name: tensor(value) for name, value in weights.items()})
    x, h = random.normal(size=(steps, inputs)), random.normal(size=hidden)
    state = (tensor(h)[None],)
    for x_t in x:
        h = indrnn(x_t, h, **weights)
        actual, state = cell(tensor(x_t)[None], state)
        assert_equal_to(actual[0], h)
        assert_equal_to(state[0][0], h)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_the_gradient_over_a_sequence(layers: int, residual: bool) -> None:
    stack = Stack(cell="indrnn", hidden_size=4, num_layers=layers, residual=residual)
    assert gradient_is_right(stack, learned=False)


def test_the_residual_form_adds_each_layer_to_the_one_below() -> None:
    """Layer for layer as loops: what comes out is not what is carried."""
    random = np.random.default_rng(0)
    stack = Stack(cell="indrnn", hidden_size=4, num_layers=3, residual=True)
    controller = stack.build(3, dtype=torch.float64)
    with torch.no_grad():
        for parameter in controller.parameters():
            parameter.copy_(tensor(random.normal(size=tuple(parameter.shape))))
    state, hidden = controller.initial_state(1), [np.zeros(4)] * 3
    for x_t in random.normal(size=(5, 3)):
        seen, h = x_t, np.zeros(4)
        for depth, cell in enumerate(controller.cells):
            weights = {name: p.detach().numpy() for name, p in cell.named_parameters()}
            hidden[depth] = indrnn(seen, hidden[depth], **weights)
            h = h + hidden[depth]
            seen = h
        actual, state = controller(tensor(x_t)[None], state)
        assert_equal_to(actual[0], h)
        for depth in range(3):
            assert_equal_to(state[depth][0][0], hidden[depth])


def test_a_weight_past_the_bound_counts_as_the_bound() -> None:
    """A unit alone, without input: over the 1000 steps it grows to twice what it was."""
    cell = IndRNNCell(1, 3, dtype=torch.float64)
    nn.init.zeros_(cell.bias)
    with torch.no_grad():
        cell.weight_hh.copy_(tensor(np.array([5.0, BOUND, 0.5])))
    state = (torch.ones(1, 3, dtype=torch.float64),)
    for _ in range(1000):
        h, state = cell(torch.zeros(1, 1, dtype=torch.float64), state)
    torch.testing.assert_close(h[0], tensor(np.array([2.0, 2.0, 0.5**1000])))
    h, _ = cell(torch.zeros(1, 1, dtype=torch.float64), (torch.ones(1, 3).double(),))
    h.sum().backward()
    assert cell.weight_hh.grad is not None
    assert cell.weight_hh.grad.tolist() == [0.0, 1.0, 1.0]


def test_recurrent_weights_start_uniform_from_0_to_the_bound() -> None:
    torch.manual_seed(0)
    cell = IndRNNCell(3, 4000).requires_grad_(False)
    assert 0 <= cell.weight_hh.min() < 0.01
    assert 0.99 < cell.weight_hh.max() <= BOUND
    assert abs(float(cell.weight_hh.mean()) - 0.5) < 0.02
    for parameter in (cell.weight_ih, cell.bias):
        assert 0.9 < float(parameter.abs().max()) * 4000**0.5 <= 1


def test_the_kernel_refuses_it_by_its_name() -> None:
    layer = memnets.NTM(3, 2, memory_size=4, word_size=3, controller="indrnn", hidden_size=5)
    choice = layer.backend_for(torch.zeros(2, 1, 3))
    assert choice.backend == "reference"
    assert "indrnn.IndRNNCell" in str(choice.reason)

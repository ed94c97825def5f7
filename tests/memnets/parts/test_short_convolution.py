"""The short convolution against a loop over single numbers, and what it starts with."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.parts.controllers import ShortConvolutionCell, Stack
from tests import samples
from tests.controllers import gradient_is_right
from tests.samples import assert_equal_to, tensor

Array = np.ndarray


def convolved(now: Array, before: Array, weight: Array, v: Array, bias: Array) -> Array:
    """h of two inputs of one row, a number at a time."""
    h = []
    for n, b in enumerate(bias):
        total = float(b)
        for i, value in enumerate(now):
            total += float(weight[n, i]) * float(value)
            total += float(v[n]) * float(weight[n, i]) * float(before[i])
        h.append(math.tanh(total))
    return np.array(h)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), samples.seeds)
def test_the_sequence_is_the_loops(inputs: int, hidden: int, steps: int, seed: int) -> None:
    """Before the first step the input was 0."""
    random = np.random.default_rng(seed)
    cell = ShortConvolutionCell(inputs, hidden, dtype=torch.float64)
    weight, v, bias = (random.normal(size=s) for s in ((hidden, inputs), hidden, hidden))
    values = zip(("weight_ih", "weight_before", "bias"), (weight, v, bias), strict=True)
    cell.load_state_dict({name: tensor(value) for name, value in values})
    before, state = np.zeros(inputs), (torch.zeros(1, hidden, dtype=torch.float64),)
    for x in random.normal(size=(steps, inputs)):
        actual, state = cell(tensor(x)[None], state)
        assert_equal_to(actual[0], convolved(x, before, weight, v, bias))
        before = x


@pytest.mark.parametrize("layers", [1, 2])
def test_the_gradient_over_a_sequence(layers: int) -> None:
    stack = Stack(cell="short_convolution", hidden_size=4, num_layers=layers)
    assert gradient_is_right(stack, learned=False)


def test_a_key_alone_is_at_first_like_a_value_after_it() -> None:
    """And not like another key, which is what a head finds by before anything is learned."""
    torch.manual_seed(0)
    cell = ShortConvolutionCell(40, 100).requires_grad_(False)
    key, other, value = torch.eye(40)[:3, None]
    nothing = (torch.zeros(1, 100),)
    (alone, after_key), (another, _) = cell(key, nothing), cell(other, nothing)
    beside, _ = cell(value, after_key)
    assert torch.cosine_similarity(alone, beside).item() > 0.6
    assert torch.cosine_similarity(alone, another).item() < 0.3


def test_weights_start_as_the_docstring_says() -> None:
    torch.manual_seed(0)
    cell = ShortConvolutionCell(50, 400).requires_grad_(False)
    assert 0.99 < float(cell.weight_ih.abs().max()) * 20 <= 1
    assert bool((cell.weight_before == 1).all())
    assert bool((cell.bias == 0).all())
    with torch.no_grad():
        cell.weight_before.zero_()
    cell.reset_parameters()
    assert bool((cell.weight_before == 1).all())


def test_the_kernel_refuses_it_by_its_name() -> None:
    options = {"memory_size": 4, "word_size": 3, "hidden_size": 5}
    layer = memnets.NTM(3, 2, controller="short_convolution", **options)
    choice = layer.backend_for(torch.zeros(2, 1, 3))
    assert choice.backend == "reference"
    assert "short_convolution.ShortConvolutionCell" in str(choice.reason)

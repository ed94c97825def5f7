"""Jordan's network against a loop over single numbers, and what its state is."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import memnets
from memnets.parts.controllers import JordanCell, Stack
from tests import samples
from tests.controllers import gradient_is_right
from tests.samples import assert_equal_to, tensor

Array = np.ndarray


def units(inputs: list[tuple[Array, Array]], bias: Array | None = None) -> Array:
    """The tanh of weighted sums, a number at a time."""
    (first, _), *_ = inputs
    totals = [0.0 if bias is None else float(bias[n]) for n in range(len(first))]
    for weight, seen in inputs:
        for n, row in enumerate(weight):
            for w, value in zip(row, seen, strict=True):
                totals[n] += float(w) * float(value)
    return np.array([math.tanh(total) for total in totals])


def jordan(x: Array, s: Array, weights: dict[str, Array]) -> tuple[Array, Array]:
    """One row: hidden units see the plan and the state, output units them; mu is 1/2."""
    seen = [(weights["from_input.weight"], x), (weights["from_state.weight"], s)]
    hidden = units(seen, weights["from_input.bias"])
    h = units([(weights["to_output.weight"], hidden)], weights["to_output.bias"])
    return h, np.array([float(old) / 2 + float(new) for old, new in zip(s, h, strict=True)])


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), samples.seeds)
def test_the_sequence_is_the_loops(inputs: int, hidden: int, steps: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    cell = JordanCell(inputs, hidden, dtype=torch.float64)
    shapes = {
        "from_input.weight": (hidden, inputs),
        "from_input.bias": (hidden,),
        "from_state.weight": (hidden, hidden),
        "to_output.weight": (hidden, hidden),
        "to_output.bias": (hidden,),
    }
    weights = {name: random.normal(size=shape) for name, shape in shapes.items()}
    cell.load_state_dict({name: tensor(value) for name, value in weights.items()})
    x, s = random.normal(size=(steps, inputs)), random.normal(size=hidden)
    state = (tensor(s)[None],)
    for x_t in x:
        h, s = jordan(x_t, s, weights)
        actual, state = cell(tensor(x_t)[None], state)
        assert_equal_to(actual[0], h)
        assert_equal_to(state[0][0], s)


@pytest.mark.parametrize("layers", [1, 3])
def test_the_gradient_over_a_sequence(layers: int) -> None:
    assert gradient_is_right(Stack(cell="jordan", hidden_size=4, num_layers=layers))


def test_the_state_is_a_decaying_sum_of_the_outputs() -> None:
    """s(t) = sum over k of mu^k h(t-k), which is at most 2."""
    torch.manual_seed(0)
    cell = JordanCell(3, 4, dtype=torch.float64)
    with torch.no_grad():
        cell.to_output.bias.fill_(20.0)  # the output units are at 1, to rounding
    state, outputs = (torch.zeros(1, 4, dtype=torch.float64),), []
    for x_t in torch.randn(60, 1, 3, dtype=torch.float64):
        h, state = cell(x_t, state)
        outputs.append(h)
    expected = sum(0.5**age * h for age, h in enumerate(reversed(outputs)))
    torch.testing.assert_close(state[0], expected)
    torch.testing.assert_close(state[0], torch.full((1, 4), 2.0, dtype=torch.float64))


def test_another_decay_is_a_subclass() -> None:
    """With 0, the state is the output of the step before."""

    class Copied(JordanCell):
        decay = 0.0

    cell = Copied(3, 4)
    h, (s,) = cell(torch.randn(2, 3), (torch.randn(2, 4),))
    assert torch.equal(s, h)


def test_the_hidden_units_are_not_carried() -> None:
    """Two cells of other inner weights and the same outputs have the same state."""
    cells = [JordanCell(2, 3), JordanCell(2, 3)]
    for cell in cells:
        nn.init.zeros_(cell.to_output.weight)
        nn.init.constant_(cell.to_output.bias, 0.3)
    x, state = torch.randn(5, 2), (torch.randn(5, 3),)
    assert torch.equal(cells[0](x, state)[1][0], cells[1](x, state)[1][0])


def test_the_kernel_refuses_it_by_its_name() -> None:
    layer = memnets.NTM(3, 2, memory_size=4, word_size=3, controller="jordan", hidden_size=5)
    choice = layer.backend_for(torch.zeros(2, 1, 3))
    assert choice.backend == "reference"
    assert "jordan.JordanCell" in str(choice.reason)

"""The LSTM with peepholes against a loop over single numbers, and what its peepholes see."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import memnets
from memnets.parts.controllers import LSTMCell, PeepholeLSTMCell, Stack
from tests import samples
from tests.controllers import gradient_is_right
from tests.samples import assert_equal_to, tensor

Array = np.ndarray


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def peephole(x: Array, h: Array, c: Array, weights: dict[str, Array]) -> tuple[Array, Array]:
    """One row through the cell, a unit at a time."""
    hidden = len(h)

    def total(gate: int, unit: int) -> float:
        row = gate * hidden + unit
        found = float(weights["bias"][row])
        for i, value in enumerate(x):
            found += float(weights["weight_ih"][row, i]) * float(value)
        for m, value in enumerate(h):
            found += float(weights["weight_hh"][row, m]) * float(value)
        return found

    outputs, cells = [], []
    for n in range(hidden):
        to_i, to_f, to_o = (float(row[n]) for row in weights["peepholes"])
        before = float(c[n])
        written = sigmoid(total(0, n) + to_i * before) * math.tanh(total(2, n))
        after = sigmoid(total(1, n) + to_f * before) * before + written
        cells.append(after)
        outputs.append(sigmoid(total(3, n) + to_o * after) * math.tanh(after))
    return np.array(outputs), np.array(cells)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), samples.seeds)
def test_the_sequence_is_the_loops(inputs: int, hidden: int, steps: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    cell = PeepholeLSTMCell(inputs, hidden, dtype=torch.float64)
    weights = {key: random.normal(size=tuple(v.shape)) for key, v in cell.state_dict().items()}
    cell.load_state_dict({name: tensor(value) for name, value in weights.items()})
    x = random.normal(size=(steps, inputs))
    h, c = random.normal(size=(2, hidden))
    state = (tensor(h)[None], tensor(c)[None])
    for x_t in x:
        h, c = peephole(x_t, h, c, weights)
        actual, state = cell(tensor(x_t)[None], state)
        assert_equal_to(actual[0], h)
        assert_equal_to(state[0][0], h)
        assert_equal_to(state[1][0], c)


@pytest.mark.parametrize("layers", [1, 3])
def test_the_gradient_over_a_sequence(layers: int) -> None:
    assert gradient_is_right(Stack(cell="lstm_peephole", hidden_size=3, num_layers=layers))


def test_without_peepholes_it_is_an_lstm() -> None:
    torch.manual_seed(0)
    cell = PeepholeLSTMCell(3, 4, dtype=torch.float64)
    nn.init.zeros_(cell.peepholes)
    lstm = LSTMCell(3, 4, dtype=torch.float64)
    weights = {"weight_ih": cell.weight_ih, "weight_hh": cell.weight_hh, "bias_ih": cell.bias}
    lstm.load_state_dict({**weights, "bias_hh": torch.zeros_like(cell.bias)})
    state = other = (torch.randn(2, 4).double(), torch.randn(2, 4).double())
    for x_t in torch.randn(5, 2, 3, dtype=torch.float64):
        h, state = cell(x_t, state)
        expected, other = lstm(x_t, other)
        torch.testing.assert_close(h, expected)
        torch.testing.assert_close(state, other)


def test_a_closed_output_gate_hides_c_from_h_but_not_from_the_gates() -> None:
    """What the peepholes are for: h stays 0, and the share of c that is kept depends on c."""
    cell = PeepholeLSTMCell(2, 3, dtype=torch.float64)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias[9:].fill_(-1000.0)
        cell.peepholes[1].fill_(1.0)
    x, h = torch.randn(1, 2, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    for value in (-1.0, 0.5, 2.0):
        out, (_, c) = cell(x, (h, torch.full((1, 3), value, dtype=torch.float64)))
        assert not out.any()
        torch.testing.assert_close(c, torch.full_like(c, sigmoid(value) * value))


def test_the_kernel_refuses_it_by_its_name() -> None:
    layer = memnets.NTM(3, 2, memory_size=4, word_size=3, controller="lstm_peephole")
    choice = layer.backend_for(torch.zeros(2, 1, 3))
    assert choice.backend == "reference"
    assert "lstm_peephole.PeepholeLSTMCell" in str(choice.reason)

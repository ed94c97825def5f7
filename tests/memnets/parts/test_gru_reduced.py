"""The three reduced GRUs against a loop over single numbers, and what their gates see."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.parts.controllers import CELLS, GRUCell, Stack
from tests import samples
from tests.controllers import gradient_is_right
from tests.samples import assert_equal_to, tensor

Array = np.ndarray
NAMES = ("gru1", "gru2", "gru3")


def weighted(weight: Array, seen: list[float]) -> list[float]:
    """The weighted sums, a number at a time."""
    return [sum(float(w) * value for w, value in zip(row, seen, strict=True)) for row in weight]


def reduced(name: str, x: Array, before: Array, weights: dict[str, Array]) -> Array:
    """One row through the cell, a unit at a time (Dey and Salem 2017, section 3)."""
    h = [float(value) for value in before]
    totals = [0.0] * (2 * len(h))
    if name in ("gru1", "gru2"):
        totals = weighted(weights["gate_weight"], h)
    if name in ("gru1", "gru3"):
        totals = [t + float(b) for t, b in zip(totals, weights["gate_bias"], strict=True)]
    gates = [1 / (1 + math.exp(-total)) for total in totals]
    r, z = gates[: len(h)], gates[len(h) :]
    from_x = weighted(weights["weight_ih"], [float(value) for value in x])
    from_h = weighted(weights["weight_hh"], [one * old for one, old in zip(r, h, strict=True)])
    new = [math.tanh(from_x[n] + from_h[n] + float(weights["bias"][n])) for n in range(len(h))]
    return np.array([(1 - z[n]) * h[n] + z[n] * new[n] for n in range(len(h))])


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), samples.seeds)
def test_the_sequence_is_the_loops(
    name: str, inputs: int, hidden: int, steps: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    cell = Stack(cell=name, hidden_size=hidden).build(inputs, dtype=torch.float64).cells[0]
    weights = {key: random.normal(size=tuple(v.shape)) for key, v in cell.state_dict().items()}
    cell.load_state_dict({key: tensor(value) for key, value in weights.items()})
    x, h = random.normal(size=(steps, inputs)), random.normal(size=hidden)
    state = (tensor(h)[None],)
    for x_t in x:
        h = reduced(name, x_t, h, weights)
        actual, state = cell(tensor(x_t)[None], state)
        assert_equal_to(actual[0], h)
        assert_equal_to(state[0][0], h)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layers", [1, 3])
def test_the_gradient_over_a_sequence(name: str, layers: int) -> None:
    assert gradient_is_right(Stack(cell=name, hidden_size=4, num_layers=layers))


def test_the_numbers_of_parameters_are_the_papers() -> None:
    """n units and m inputs: a GRU has 3 (n^2 + nm + n); less 2nm, 2 (nm + n), 2 (nm + n^2)."""
    n, m = 7, 5
    full = 3 * (n * n + n * m + n)
    removed = {"gru1": 2 * n * m, "gru2": 2 * (n * m + n), "gru3": 2 * (n * m + n * n)}
    for name, less in removed.items():
        cell: Any = CELLS[name](m, n)
        assert sum(parameter.numel() for parameter in cell.parameters()) == full - less


def test_with_equal_gates_gru1_is_a_gru_whose_gates_do_not_see_x() -> None:
    """Where r is 1, it does not matter whether it is multiplied before U or after."""
    torch.manual_seed(0)
    cell: Any = CELLS["gru1"](3, 4, dtype=torch.float64)
    gru = GRUCell(3, 4, dtype=torch.float64)
    with torch.no_grad():
        cell.gate_weight[:4].zero_()
        cell.gate_bias[:4].fill_(1000.0)
        for parameter in gru.parameters():
            parameter.zero_()
        gru.bias_hh[:4].fill_(1000.0)
        gru.weight_hh[4:8].copy_(-cell.gate_weight[4:])  # 1 - sigmoid(a) is sigmoid(-a)
        gru.bias_hh[4:8].copy_(-cell.gate_bias[4:])
        gru.weight_ih[8:].copy_(cell.weight_ih)
        gru.weight_hh[8:].copy_(cell.weight_hh)
        gru.bias_ih[8:].copy_(cell.bias)
    state = other = (torch.randn(2, 4, dtype=torch.float64),)
    for x_t in torch.randn(5, 2, 3, dtype=torch.float64):
        h, state = cell(x_t, state)
        expected, other = gru(x_t, other)
        torch.testing.assert_close(h, expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_refuses_it_by_its_name(name: str) -> None:
    layer = memnets.NTM(3, 2, memory_size=4, word_size=3, controller=name, hidden_size=5)
    choice = layer.backend_for(torch.zeros(2, 1, 3))
    assert choice.backend == "reference"
    assert f"gru_reduced.{name.upper()}Cell" in str(choice.reason)

"""The continuous-time network against a loop over single numbers, and against its equation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import memnets
from memnets.parts.controllers import CTRNNCell, ElmanCell, Stack
from tests import samples
from tests.controllers import gradient_is_right
from tests.samples import assert_equal_to, tensor

Array = np.ndarray


class Finer(CTRNNCell):
    """Three Euler steps a step."""

    euler_steps = 3


def ctrnn(x: Array, u: Array, weights: dict[str, Array], euler_steps: int) -> tuple[Array, Array]:
    """One row through the cell, a number at a time, by Euler steps of all units at once."""
    for _ in range(euler_steps):
        moved = []
        for n, own in enumerate(u):
            slope = float(weights["bias"][n]) - float(own)
            for i, value in enumerate(x):
                slope += float(weights["weight_ih"][n, i]) * float(value)
            for m, other in enumerate(u):
                slope += float(weights["weight_hh"][n, m]) * math.tanh(float(other))
            time_constant = 1 + math.exp(float(weights["log_time"][n]))
            moved.append(float(own) + slope / time_constant / euler_steps)
        u = np.array(moved)
    return np.array([math.tanh(float(own)) for own in u]), u


@pytest.mark.parametrize("kind", [CTRNNCell, Finer])
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), samples.seeds)
def test_the_sequence_is_the_loops(
    kind: type[CTRNNCell], inputs: int, hidden: int, steps: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    cell = kind(inputs, hidden, dtype=torch.float64)
    weights = {key: random.normal(size=tuple(v.shape)) for key, v in cell.state_dict().items()}
    cell.load_state_dict({name: tensor(value) for name, value in weights.items()})
    x, u = random.normal(size=(steps, inputs)), random.normal(size=hidden)
    state = (tensor(u)[None],)
    for x_t in x:
        h, u = ctrnn(x_t, u, weights, cell.euler_steps)
        actual, state = cell(tensor(x_t)[None], state)
        assert_equal_to(actual[0], h)
        assert_equal_to(state[0][0], u)


@pytest.mark.parametrize("layers", [1, 3])
def test_the_gradient_over_a_sequence(layers: int) -> None:
    assert gradient_is_right(Stack(cell="ctrnn", hidden_size=4, num_layers=layers))


def test_with_a_time_constant_of_1_it_is_an_elman_cell() -> None:
    torch.manual_seed(0)
    cell, elman = CTRNNCell(3, 4, dtype=torch.float64), ElmanCell(3, 4, dtype=torch.float64)
    with torch.no_grad():
        cell.log_time.fill_(-1000.0)
        elman.weight_ih.copy_(cell.weight_ih)
        elman.weight_hh.copy_(cell.weight_hh)
        elman.bias_ih.copy_(cell.bias)
        elman.bias_hh.zero_()
    u = torch.randn(2, 4, dtype=torch.float64)
    state, expected = (u,), (u.tanh(),)
    for x_t in torch.randn(6, 2, 3, dtype=torch.float64):
        h, state = cell(x_t, state)
        wanted, expected = elman(x_t, expected)
        torch.testing.assert_close(h, wanted)


def test_finer_steps_come_closer_to_the_differential_equation() -> None:
    """A unit that sees its input alone: u = W x (1 - exp(-t / tau)); the error falls as 1 / K."""
    errors = []
    for count in (8, 16, 32):
        cell = CTRNNCell(1, 1, dtype=torch.float64)
        cell.euler_steps = count
        with torch.no_grad():
            nn.init.ones_(cell.weight_ih)
            for parameter in (cell.weight_hh, cell.bias, cell.log_time):  # tau is 2
                parameter.zero_()
        state = (torch.zeros(1, 1, dtype=torch.float64),)
        for _ in range(3):
            _, state = cell(torch.full((1, 1), 5.0, dtype=torch.float64), state)
        errors.append(abs(state[0].item() - 5 * (1 - math.exp(-3 / 2))))
    assert errors[0] < 0.1
    assert 1.9 < errors[0] / errors[1] < 2.2
    assert 1.9 < errors[1] / errors[2] < 2.2


def test_time_constants_start_from_1_to_11_steps_and_are_learned() -> None:
    torch.manual_seed(0)
    cell = CTRNNCell(3, 4000)
    found = cell.time_constants.detach()
    assert 1.1 < float(found.min()) < 1.11
    assert 10.9 < float(found.max()) < 11
    assert abs(float((found - 1).log().mean())) < 0.1
    h, _ = cell(torch.randn(2, 3), (torch.randn(2, 4000),))
    h.sum().backward()
    assert cell.log_time.grad is not None
    assert cell.log_time.grad.all()


def test_the_kernel_refuses_it_by_its_name() -> None:
    layer = memnets.NTM(3, 2, memory_size=4, word_size=3, controller="ctrnn", hidden_size=5)
    choice = layer.backend_for(torch.zeros(2, 1, 3))
    assert choice.backend == "reference"
    assert "ctrnn.CTRNNCell" in str(choice.reason)

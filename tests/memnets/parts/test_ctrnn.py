"""The continuous-time network against a loop over single numbers, and against its equation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import memnets
from memnets.parts.controllers import CTRNNCell, CTRNNRungeKuttaCell, ElmanCell, Stack
from tests import samples
from tests.controllers import gradient_is_right
from tests.samples import assert_equal_to, tensor

Array = np.ndarray


class Finer(CTRNNCell):
    """Three Euler steps a step."""

    euler_steps = 3


def slopes(x: Array, u: Array, weights: dict[str, Array]) -> Array:
    """du/dt of all units of one row, a number at a time."""
    found = []
    for n, own in enumerate(u):
        slope = float(weights["bias"][n]) - float(own)
        for i, value in enumerate(x):
            slope += float(weights["weight_ih"][n, i]) * float(value)
        for m, other in enumerate(u):
            slope += float(weights["weight_hh"][n, m]) * math.tanh(float(other))
        found.append(slope / (1 + math.exp(float(weights["log_time"][n]))))
    return np.array(found)


def ctrnn(x: Array, u: Array, weights: dict[str, Array], cell: CTRNNCell) -> tuple[Array, Array]:
    """One row through the cell, by the steps of its method."""
    if isinstance(cell, CTRNNRungeKuttaCell):
        step = 1 / cell.substeps
        for _ in range(cell.substeps):
            total = one = slopes(x, u, weights)
            for share, weight in ((0.5, 2), (0.5, 2), (1, 1)):
                one = slopes(x, u + share * step * one, weights)
                total = total + weight * one
            u = u + step * total / 6
    else:
        for _ in range(cell.euler_steps):
            u = u + slopes(x, u, weights) / cell.euler_steps
    return np.array([math.tanh(float(own)) for own in u]), u


@pytest.mark.parametrize("kind", [CTRNNCell, Finer, CTRNNRungeKuttaCell])
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
        h, u = ctrnn(x_t, u, weights, cell)
        actual, state = cell(tensor(x_t)[None], state)
        assert_equal_to(actual[0], h)
        assert_equal_to(state[0][0], u)


@pytest.mark.parametrize("cell", ["ctrnn", "ctrnn_rk4"])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_gradient_over_a_sequence(layers: int, cell: str) -> None:
    assert gradient_is_right(Stack(cell=cell, hidden_size=4, num_layers=layers))


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


def errors_of_a_unit(cell: CTRNNCell, setting: str, counts: tuple[int, ...]) -> list[float]:
    """After three steps of a unit that sees its input alone: u = W x (1 - exp(-t / tau))."""
    with torch.no_grad():
        nn.init.ones_(cell.weight_ih)
        for parameter in (cell.weight_hh, cell.bias, cell.log_time):  # tau is 2
            parameter.zero_()
    errors = []
    for count in counts:
        setattr(cell, setting, count)
        state = (torch.zeros(1, 1, dtype=torch.float64),)
        for _ in range(3):
            _, state = cell(torch.full((1, 1), 5.0, dtype=torch.float64), state)
        errors.append(abs(state[0].item() - 5 * (1 - math.exp(-3 / 2))))
    return errors


def test_the_error_of_eulers_method_falls_as_1_over_its_steps() -> None:
    cell = CTRNNCell(1, 1, dtype=torch.float64)
    errors = errors_of_a_unit(cell, "euler_steps", (8, 16, 32))
    assert errors[0] < 0.1
    assert 1.9 < errors[0] / errors[1] < 2.2
    assert 1.9 < errors[1] / errors[2] < 2.2


def test_the_error_of_runge_and_kuttas_falls_as_the_fourth_power() -> None:
    cell = CTRNNRungeKuttaCell(1, 1, dtype=torch.float64)
    errors = errors_of_a_unit(cell, "substeps", (2, 4, 8))
    assert errors[0] < 1e-3
    assert 15 < errors[0] / errors[1] < 18
    assert 15 < errors[1] / errors[2] < 18


def test_both_methods_come_to_the_same_solution() -> None:
    """Of units that see each other: what is between them is Euler's error, which halves."""
    torch.manual_seed(0)
    euler, other = CTRNNCell(3, 6).double(), CTRNNRungeKuttaCell(3, 6).double()
    nn.init.normal_(euler.weight_hh)
    other.load_state_dict(euler.state_dict())
    x, u = torch.randn(2, 3).double(), torch.randn(2, 6).double()
    differences = []
    for count in (100, 200, 400):
        euler.euler_steps = count
        between = euler(x, (u,))[0] - other(x, (u,))[0]
        differences.append(between.detach().abs().max().item())
    assert 1.95 < differences[0] / differences[1] < 2.05
    assert 1.95 < differences[1] / differences[2] < 2.05


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


@pytest.mark.parametrize(
    ("cell", "named"),
    [("ctrnn", "ctrnn.CTRNNCell"), ("ctrnn_rk4", "ctrnn.CTRNNRungeKuttaCell")],
)
def test_the_kernel_refuses_it_by_its_name(cell: str, named: str) -> None:
    layer = memnets.NTM(3, 2, memory_size=4, word_size=3, controller=cell, hidden_size=5)
    choice = layer.backend_for(torch.zeros(2, 1, 3))
    assert choice.backend == "reference"
    assert named in str(choice.reason)

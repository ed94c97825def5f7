"""Controllers: the same numbers as torch's own cells with the same state_dict, and the contract."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import memnets
from memnets.parts.controllers import CELLS, Controller
from tests import oracles, samples
from tests.layers import assert_same, leaves
from tests.samples import assert_equal_to, tensor

TORCHS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "elman": nn.RNNCell}


def build(name: str, **options: Any) -> Controller:
    torch.manual_seed(0)
    return Controller(name, 4, 6, dtype=torch.float64, **options)


@pytest.mark.parametrize("name", list(TORCHS))
def test_the_cell_is_torchs(name: str) -> None:
    """Outputs, states and gradients over five steps, with torch's state_dict loaded as it is."""
    controller = build(name)
    cell = TORCHS[name](4, 6, dtype=torch.float64)
    controller.cells[0].load_state_dict(cell.state_dict(), strict=True)
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    state = controller.initial_state(3)
    expected: Any = (torch.zeros(3, 6).double(), torch.zeros(3, 6).double())
    expected = expected if name == "lstm" else expected[0]
    for x_t in x:
        h, state = controller(x_t, state)
        expected = cell(x_t, expected)
        hidden = expected[0] if name == "lstm" else expected
        assert_same(h, hidden)
        assert_same(leaves(state), list(expected) if name == "lstm" else [expected])
    h.square().sum().backward()
    hidden.square().sum().backward()
    for parameter_name, parameter in controller.cells[0].named_parameters():
        assert_same(parameter.grad, dict(cell.named_parameters())[parameter_name].grad)


@pytest.mark.parametrize("name", list(TORCHS))
def test_parameters_start_as_torchs(name: str) -> None:
    torch.manual_seed(3)
    controller = Controller(name, 4, 6)
    torch.manual_seed(3)
    cell = TORCHS[name](4, 6)
    for parameter_name, parameter in cell.named_parameters():
        assert torch.equal(dict(controller.cells[0].named_parameters())[parameter_name], parameter)


@pytest.mark.parametrize("name", list(TORCHS))
@given(st.integers(1, 4), st.integers(1, 4), samples.seeds)
def test_the_cell_is_the_loops(name: str, inputs: int, hidden: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    cell = Controller(name, inputs, hidden, dtype=torch.float64).cells[0]
    weights = {key: random.normal(size=tuple(v.shape)) for key, v in cell.state_dict().items()}
    cell.load_state_dict({key: tensor(value) for key, value in weights.items()})
    x, h, c = random.normal(size=inputs), random.normal(size=hidden), random.normal(size=hidden)
    state = (tensor(h)[None], tensor(c)[None])[: 2 if name == "lstm" else 1]
    actual, after = cell(tensor(x)[None], state)
    loops = SimpleNamespace(**weights)
    if name == "lstm":
        expected, new_c = oracles.lstm_cell(x, h, c, loops)
        assert_equal_to(after[1][0], new_c)
    else:
        cell_oracle = oracles.gru_cell if name == "gru" else oracles.elman_cell
        expected = cell_oracle(x, h, loops)
    assert_equal_to(actual[0], expected)
    assert_equal_to(after[0][0], expected)


@pytest.mark.parametrize("name", list(CELLS))
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("skip_connections", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_the_stack_is_its_cells(
    name: str, num_layers: int, skip_connections: bool, residual: bool
) -> None:
    """Plain: each cell sees the one below, the output is the top one's. Deep form: all see x, all
    are seen. Residual: each adds to the one below.
    """
    settings = {"skip_connections": skip_connections, "residual": residual}
    controller = build(name, num_layers=num_layers, **settings)
    x = torch.randn(3, 4, dtype=torch.float64)
    _, state = controller(x, controller.initial_state(3))  # a state that is not zero
    h, after = controller(x, state)
    outputs: list[torch.Tensor] = []
    for depth, cell in enumerate(controller.cells):
        below = outputs[-1:] if depth else []
        seen = [x, *below] if skip_connections or not depth else below
        output, cell_after = cell(torch.cat(seen, dim=-1), state[depth])
        outputs.append(sum([output, *below]) if residual else output)
        assert_same(after[depth], cell_after)
    assert_same(h, torch.cat(outputs, dim=-1) if skip_connections else outputs[-1])
    assert h.shape == (3, controller.output_size)
    assert controller.input_size == 4


@pytest.mark.parametrize(
    ("name", "activation"), [("feedforward", torch.relu), ("feedforward_tanh", torch.tanh)]
)
def test_a_feedforward_cell_is_one_layer_and_no_state(
    name: str, activation: Callable[[Tensor], Tensor]
) -> None:
    controller = build(name)
    x = torch.randn(3, 4, dtype=torch.float64)
    h, state = controller(x, controller.initial_state(3))
    linear = controller.cells[0].linear
    assert_same(h, activation(x @ linear.weight.T + linear.bias))
    assert leaves(state) == []


@pytest.mark.parametrize("name", ["lstm", "gru", "elman", "feedforward_tanh"])
def test_no_bounded_cell_lets_the_memory_grow_without_end(name: str) -> None:
    torch.manual_seed(0)
    ntm = memnets.NTM(4, 2, memory_size=8, word_size=6, controller=name, backend="reference")
    with torch.no_grad():
        for parameter in ntm.parameters():
            parameter.mul_(5)  # as large as some training makes them
    _, state = ntm(torch.randn(200, 3, 4))
    # At most what one step adds, in every step.
    largest = ntm.interface.linear.weight.abs().sum(1) + ntm.interface.linear.bias.abs()
    assert state.memory.memory.abs().max() <= 200 * largest.max()


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.state_tensors])
def test_a_learned_initial_state_is_a_parameter(name: str) -> None:
    plain, learned = build(name), build(name, learned_initial_state=True)
    assert not any(leaf.requires_grad for leaf in leaves(plain.initial_state(2)))
    extra = set(learned.state_dict()) - set(plain.state_dict())
    assert len(extra) == 1
    with torch.no_grad():
        learned.get_parameter(extra.pop()).normal_()
    for leaf in leaves(learned.initial_state(2)):
        assert leaf.shape == (2, 6)
        assert leaf.requires_grad
        assert torch.equal(leaf[0], leaf[1])
        assert leaf.any()

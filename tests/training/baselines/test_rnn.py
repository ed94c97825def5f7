"""The RNN baseline: its controllers and equations, the call contract, and runs of it."""

from pathlib import Path

import pytest
import torch

import train
from memnets.parts.controllers import CELLS, Stack
from memnets.parts.registry import from_data
from tests.training.tiny import arguments, assert_same_run
from training.baselines.lstm import LSTM
from training.baselines.rnn import RNN
from training.command_line.parser import parse
from training.options.config import make_layer

EVERY = pytest.mark.parametrize("cell", CELLS)


def small(cell="elman", *, batch_first=False, **settings):
    torch.manual_seed(0)
    stack = Stack(cell=cell, hidden_size=4, **settings)
    layer = RNN(3, 2, controller=stack, batch_first=batch_first, dtype=torch.float64)
    if layer.controller.start is not None:
        torch.nn.init.normal_(layer.controller.start)
    return layer


def inputs(time=5, batch=3):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(time, batch, 3, generator=generator, dtype=torch.float64)


@torch.no_grad()
def by_hand(layer, x, row, length):
    """One row alone, step after step."""
    state, steps = layer.initial_state(1), []
    for x_t in x[:length, row]:
        h, state = layer.controller(x_t[None], state)
        steps.append((layer.readout.weight @ h[0]) + layer.readout.bias)
    steps += [torch.zeros(2, dtype=torch.float64)] * (len(x) - length)
    return torch.stack(steps), state


@EVERY
@pytest.mark.parametrize("lengths", [None, [5, 1, 3]])
def test_equations(cell, lengths):
    layer, x = small(cell, num_layers=2), inputs()
    y, state = layer(x, lengths=lengths)
    for row, length in enumerate(lengths or [5] * 3):
        wanted, wanted_state = by_hand(layer, x, row, length)
        torch.testing.assert_close(y[:, row], wanted)
        for after, expected in zip(state, wanted_state, strict=True):
            torch.testing.assert_close([one[row] for one in after], [one[0] for one in expected])


def test_with_the_papers_stack_of_lstms_it_is_the_lstm_baseline():
    layer = small("lstm", num_layers=3, skip_connections=True)
    lstm = LSTM(3, 2, hidden_size=4, num_layers=3, dtype=torch.float64)
    with torch.no_grad():
        for cell, other in zip(layer.controller.cells, lstm.layers, strict=True):
            other.weight_ih_l0.copy_(cell.weight_ih)
            other.weight_hh_l0.copy_(cell.weight_hh)
            other.bias_ih_l0.copy_(cell.bias_ih)
            other.bias_hh_l0.copy_(cell.bias_hh)
        lstm.initial.copy_(layer.controller.start)
        lstm.readout.load_state_dict(layer.readout.state_dict())
    x = inputs()
    for lengths in (None, [5, 1, 3]):
        (y, state), (wanted, after) = layer(x, lengths=lengths), lstm(x, lengths=lengths)
        torch.testing.assert_close(y, wanted)
        torch.testing.assert_close(state, after)


@EVERY
def test_a_state_carries_on_and_the_forms_of_input(cell):
    layer, x = small(cell), inputs(6)
    y, state = layer(x)
    first, middle = layer(x[:2])
    second, last = layer(x[2:], middle)
    torch.testing.assert_close(torch.cat([first, second]), y)
    torch.testing.assert_close(last, state)
    alone, after = layer(x[:, 1])
    torch.testing.assert_close(alone, y[:, 1])
    assert all(one.shape == (4,) for one in after[0])
    batch_first = small(cell, batch_first=True)
    torch.testing.assert_close(batch_first(x.transpose(0, 1))[0].transpose(0, 1), y)


def test_what_follows_the_end_of_a_row_changes_nothing():
    layer, x = small("gru"), inputs()
    y, _ = layer(x, lengths=[5, 1, 4])
    changed = x.clone()
    changed[1:, 1], changed[4:, 2] = torch.nan, 1e9
    other, _ = layer(changed, lengths=[5, 1, 4])
    assert torch.equal(other, y)
    other.sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@EVERY
def test_gradients_reach_every_parameter(cell):
    layer = small(cell, num_layers=2)
    layer(inputs())[0].square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.any(), name


def test_gradients_by_finite_differences():
    layer, x = small("ctrnn"), inputs(4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x, lengths=[4, 2])[0], x)


@EVERY
def test_a_flag_chooses_the_controller(cell):
    words = f"--model rnn --model.controller {cell} --model.controller.num-layers 2"
    layer = make_layer(parse(words.split()))
    assert [type(one) for one in layer.controller.cells] == [CELLS[cell]] * 2
    assert layer.controller.hidden_size == 128


def test_config_rebuilds_the_layer():
    layer, x = small("mtrnn", num_layers=2, residual=True), inputs()
    assert layer.config["name"] == "RNN"
    arguments = {name: from_data(value) for name, value in layer.config["arguments"].items()}
    rebuilt = RNN(**arguments, dtype=torch.float64)
    rebuilt.load_state_dict(layer.state_dict())
    assert torch.equal(rebuilt(x)[0], layer(x)[0])


@pytest.mark.parametrize("cell", ["ctrnn", "lstm_peephole"])
def test_a_run_resumes_to_the_same_numbers(cell):
    more = ["--model.controller", cell, "--optimizer.cooldown", "0", "--name"]
    assert train.main(arguments("copy", "rnn", steps=9, more=[*more, "whole"])) == 0
    assert train.main(arguments("copy", "rnn", steps=6, more=[*more, "parts"])) == 0
    resume = ["--resume", "runs/parts", "--run.sequences", "36", "--wandb", "disabled"]
    assert train.main(resume) == 0
    assert_same_run(Path("runs/whole"), Path("runs/parts"))


def test_errors():
    with pytest.raises(TypeError, match=r"controller must be a Stack, such as Stack.*; got 'lstm'"):
        RNN(3, 2, controller="lstm")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="input_size must be a whole number of at least 1; got 0"):
        RNN(0, 2)
    with pytest.raises(ValueError, match=r"x must have input_size=3 .* got the shape \(4, 2, 5\)"):
        small()(torch.zeros(4, 2, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"not of this layer and batch: state\[0\]\[0\] must be"):
        small()(inputs(), small().initial_state(2))

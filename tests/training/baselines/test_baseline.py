"""The LSTM baseline: the paper's parameter counts, its equations, and the layers' call contract."""

import pytest
import torch

from training.baselines.lstm import LSTM
from training.command_line.parser import parse
from training.options.config import make_layer


@pytest.mark.parametrize(
    ("input_size", "output_size", "hidden_size", "count"),
    [
        (10, 9, 256, 1_352_969),  # copy
        (8, 7, 512, 5_312_007),  # repeat copy
        (8, 6, 256, 1_344_518),  # associative recall
        (1, 1, 128, 331_905),  # dynamic N-grams
    ],
)
def test_parameter_counts_are_the_papers(input_size, output_size, hidden_size, count):
    layer = LSTM(input_size, output_size, hidden_size=hidden_size)
    assert sum(p.numel() for p in layer.parameters() if p.requires_grad) == count


@pytest.mark.parametrize(
    ("words", "count"),
    [
        # The count implies one input and one output more than 8 bits and a delimiter need.
        ("--task copy --task.bits 9", 1_352_969),
        ("--task repeat_copy --task.bits 6", 5_312_007),
        ("--task associative_recall", 1_344_518),
        ("--task dynamic_ngram", 331_905),
    ],
)
def test_the_commands_of_the_baseline_have_the_papers_counts(words, count):
    layer = make_layer(parse([*words.split(), "--model", "lstm"]))
    assert sum(p.numel() for p in layer.parameters() if p.requires_grad) == count


def small(**options):
    torch.manual_seed(0)
    layer = LSTM(3, 2, hidden_size=4, dtype=torch.float64, **options)
    torch.nn.init.normal_(layer.initial)
    return layer


def by_hand(layer, x, lengths=None):
    """Every layer and gate written out, one row of the batch at a time."""
    rows = []
    for row in range(x.shape[1]):
        state = [(pair[0], pair[1]) for pair in layer.initial]
        steps = []
        for step in range(x.shape[0] if lengths is None else lengths[row]):
            seen, hidden = x[step, row], []
            for index, cell in enumerate(layer.layers):
                h, c = state[index]
                joined = torch.cat([seen, hidden[-1]]) if hidden else seen
                gates = cell.weight_ih_l0 @ joined + cell.weight_hh_l0 @ h + cell.bias_ih_l0
                i, f, g, o = gates.chunk(4)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                state[index] = (h, c)
                hidden.append(h)
            steps.append(layer.readout(torch.cat(hidden)))
        steps += [torch.zeros_like(steps[0])] * (x.shape[0] - len(steps))
        rows.append((torch.stack(steps), state))
    return torch.stack([y for y, _ in rows], dim=1), [state for _, state in rows]


@pytest.mark.parametrize("lengths", [None, [5, 1, 3]])
def test_equations(lengths):
    layer = small()
    x = torch.randn(5, 3, 3, dtype=torch.float64)
    y, state = layer(x, lengths=lengths)
    wanted, wanted_state = by_hand(layer, x, lengths)
    torch.testing.assert_close(y, wanted)
    for row in range(3):
        for index in range(3):
            for leaf in range(2):
                torch.testing.assert_close(state[index][leaf][row], wanted_state[row][index][leaf])


def test_state_carries_on_and_shapes():
    layer = small()
    x = torch.randn(6, 3, 3, dtype=torch.float64)
    y, state = layer(x)
    first, middle = layer(x[:2])
    second, last = layer(x[2:], middle)
    torch.testing.assert_close(torch.cat([first, second]), y)
    torch.testing.assert_close(last, state)
    alone, alone_state = layer(x[:, 1])
    torch.testing.assert_close(alone, y[:, 1])
    assert alone_state[0][0].shape == (4,)
    batch_first = small(batch_first=True)
    torch.testing.assert_close(batch_first(x.transpose(0, 1))[0], y.transpose(0, 1))


def test_gradients_reach_every_parameter_but_the_second_bias():
    layer = small()
    layer(torch.randn(4, 2, 3, dtype=torch.float64))[0].sum().backward()
    for name, parameter in layer.named_parameters():
        if "bias_hh" in name:
            assert not parameter.requires_grad
            assert not parameter.any()
        else:
            assert parameter.grad.any(), name


def test_config_rebuilds_the_layer():
    layer = small(num_layers=2)
    assert layer.config["name"] == "LSTM"
    rebuilt = LSTM(**layer.config["arguments"], dtype=torch.float64)
    rebuilt.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    assert torch.equal(rebuilt(x)[0], layer(x)[0])


def test_errors():
    with pytest.raises(ValueError, match="num_layers must be a whole number of at least 1; got 0"):
        LSTM(3, 2, num_layers=0)
    with pytest.raises(ValueError, match=r"x must have input_size=3 .* got the shape \(4, 2, 5\)"):
        small()(torch.zeros(4, 2, 5, dtype=torch.float64))

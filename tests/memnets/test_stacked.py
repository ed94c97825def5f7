"""Layers one above the other: the numbers of nn.LSTM(num_layers=2), and the contract."""

import io
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import memnets
from memnets.bidirectional import Bidirectional
from memnets.stacked import Stacked, StackedState
from tests.layers import assert_same, leaves
from tests.memnets.test_bidirectional import LENGTHS, OneWay, inputs, packed_or_not

I, O, HIDDEN, T, B = 3, 2, 4, 6, 3  # noqa: E741


class Above(OneWay):
    """torch's LSTM over the h of another."""

    def __init__(self, *, batch_first: bool = False) -> None:
        super().__init__(batch_first=batch_first)
        self.input_size = HIDDEN
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, batch_first=batch_first, dtype=torch.float64)


def pair(*, batch_first: bool = False, dropout: float = 0.0) -> tuple[Stacked, nn.LSTM]:
    """A stack of two LSTMs, and torch's own with the same numbers."""
    torch.manual_seed(0)
    both = Stacked(
        [OneWay(batch_first=batch_first), Above(batch_first=batch_first)], dropout=dropout
    )
    torchs = nn.LSTM(
        I, HIDDEN, num_layers=2, batch_first=batch_first, dropout=dropout, dtype=torch.float64
    )
    with torch.no_grad():
        for depth, layer in enumerate(both.layers):
            for name, parameter in layer.lstm.named_parameters():
                torchs.get_parameter(name.replace("l0", f"l{depth}")).copy_(parameter)
    return both, torchs


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_two_lstms_are_torchs_of_two_layers(lengths: Any, batch_first: bool) -> None:
    """Outputs, both states, and the gradients of the input, of the states and of all weights."""
    both, torchs = pair(batch_first=batch_first)
    x = inputs(*((B, T, I) if batch_first else (T, B, I))).requires_grad_()
    h, c = (inputs(2, B, HIDDEN, seed=seed).requires_grad_() for seed in (2, 3))
    state = StackedState(((h[0], c[0]), (h[1], c[1])))
    y, after = both(x, state, lengths)
    expected, (last_h, last_c) = torchs(packed_or_not(x, lengths, batch_first=batch_first), (h, c))
    if lengths is not None:
        expected, _ = nn.utils.rnn.pad_packed_sequence(
            expected, batch_first=batch_first, total_length=T
        )
    assert_same(y, expected)
    assert_same(after, StackedState(((last_h[0], last_c[0]), (last_h[1], last_c[1]))))
    ours, theirs = (
        torch.autograd.grad(total, [x, h, c, *module.parameters()])
        for total, module in (
            (y.square().sum() + sum(one.sum() for one in leaves(after)), both),
            (expected.square().sum() + last_h.sum() + last_c.sum(), torchs),
        )
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("packed", [False, True])
def test_dropout_is_torchs(packed: bool) -> None:
    """The same numbers are dropped from the same seed, in training alone."""
    both, torchs = pair(dropout=0.4)
    x = inputs(T, B, I)
    x = pack_sequence([x[:5, 0], x[:2, 1]]) if packed else x
    found = []
    for module in (both, torchs):
        torch.manual_seed(3)
        y, _ = module(x)
        found.append(y.data if packed else y)
    if not packed:  # torch drops a packed sequence's numbers in an order of its own
        assert_same(*found)
    assert not torch.equal(found[0], both.eval()(x)[0].data)
    assert_same(both(x)[0].data, torchs.eval()(x)[0].data)


def memories(**options: Any) -> Stacked:
    """An NTM without a readout below a DNC, of other sizes."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"memory_size": 5, "word_size": 3, "hidden_size": HIDDEN}
    shared: dict[str, Any] = {"dtype": torch.float64, "batch_first": options.pop("first", False)}
    shared["backend"] = options.pop("backend", "auto")
    below = memnets.NTM(I, None, **sizes, **shared)
    return Stacked([below, memnets.DNC(below.output_size, O, **sizes, **shared)], **options)


@pytest.mark.parametrize("backend", ["reference", "fused"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_each_layer_sees_what_the_one_below_makes(lengths: Any, backend: str) -> None:
    both, x = memories(backend=backend), inputs(T, B, I)
    start = both(inputs(2, B, I, seed=2))[1]
    y, after = both(x, start, lengths)
    below, above = both.layers
    h, first = below(x, start.layers[0], lengths)
    expected, second = above(h, start.layers[1], lengths)
    assert y.shape == (T, B, both.output_size) == (T, B, O)
    assert_same((y, after), (expected, StackedState((first, second))))


def test_steps_batches_and_rows_alone() -> None:
    both, x = memories(), inputs(T, B, I)
    y, after = both(x)
    state = both.initial_state(B)
    for t in range(T):
        y_t, state = both.step(x[t], state)
        assert_same(y_t, y[t])
    assert_same(state, after)
    other, other_after = memories(first=True)(x.transpose(0, 1))
    assert_same((other.transpose(0, 1), other_after), (y, after))
    alone, _ = both(x[:, 0], both.initial_state())
    assert_same(alone, y[:, 0])


def test_rows_begin_anew_in_all_layers() -> None:
    both, x = memories(), inputs(T, B, I)
    starts = torch.zeros(T, B, dtype=torch.bool)
    starts[3] = True
    y, after = both(x, starts=starts)
    expected, end = both(x[3:])
    assert_same((y[3:], after), (expected, end))
    restart = both(inputs(2, B, I, seed=5))[1]
    y, after = both(x, starts=starts, restart=restart)
    assert_same((y[3:], after), both(x[3:], restart))
    with pytest.raises(ValueError, match="restart is what rows begin anew from; pass starts"):
        both(x, restart=restart)


def test_a_bidirectional_layer_below_and_a_stack_in_two_directions() -> None:
    sizes: dict[str, Any] = {"memory_size": 4, "word_size": 2, "dtype": torch.float64}
    ways = Bidirectional(memnets.NTM(I, None, **sizes), memnets.NTM(I, None, **sizes))
    both = Stacked([ways, memnets.NTM(ways.output_size, O, **sizes)])
    x = inputs(T, B, I)
    y, state = both(x, lengths=[6, 2, 3])
    assert y.shape == (T, B, O)
    assert both(x, state, lengths=[6, 2, 3])[0].shape == y.shape
    around = Bidirectional(memories(), memories())
    y, _ = around(x, lengths=[6, 2, 3])
    assert y.shape == (T, B, 2 * O)
    assert not y[3:, 2].any()


def test_the_gradient() -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"memory_size": 3, "word_size": 2, "controller": "gru"}
    sizes |= {"hidden_size": 2, "dtype": torch.float64}
    below = memnets.NTM(2, None, **sizes)
    both = Stacked([below, memnets.NTM(below.output_size, 2, **sizes)])
    names = [name for name, _ in both.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(both, given, (x, None, [3, 2]))[0]

    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *both.parameters()))


def test_states_and_weights_are_saved_and_drawn_anew() -> None:
    both, x = memories(), inputs(T, B, I)
    y, state = both(x)
    names = list(memnets.flatten(state))
    assert names[0] == "layers.0.controller.0.0"
    assert names[-1] == "layers.1.read_vectors"
    file = io.BytesIO()
    torch.save(memnets.detach(state), file)
    file.seek(0)
    assert_same(torch.load(file, weights_only=True), memnets.detach(state))
    other = memories()
    torch.manual_seed(5)
    other.reset_parameters()
    assert not torch.equal(other(x)[0], y)
    other.load_state_dict(both.state_dict())
    assert torch.equal(other(x)[0], y)
    assert "dropout=0.0" in repr(both)


NTM = memnets.NTM(I, O, memory_size=4, word_size=2)


@pytest.mark.parametrize(
    ("layers", "options", "kind", "message"),
    [
        ([NTM], {}, ValueError, "layers must be two or more, each another one; got 1, of which 1"),
        (NTM, {}, ValueError, "layers must be two or more, each another one; got 1, of which 1"),
        ([NTM, NTM], {}, ValueError, "got 2, of which 1 differ: a memory is that of one layer."),
        ([NTM, None], {}, TypeError, "layers[1] must be a layer, such as memnets.NTM(9, 8); None"),
        ([nn.LSTM(I, O), NTM], {}, TypeError, "layers[0] must be a layer, .* lacks output_size"),
        ([NTM, memnets.NTM(4, O)], {}, ValueError, "layers[0].output_size is 2, and layers[1].inp"),
        ([NTM, memnets.NTM(O, O, batch_first=True)], {}, ValueError, "got False and True: make"),
        (
            [NTM, memnets.NTM(O, O)],
            {"dropout": 1},
            ValueError,
            "dropout must be at least 0 and below 1; got 1.",
        ),
    ],
)
def test_layers_that_do_not_fit(layers: Any, options: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=re.escape(message).replace(r"\.\*", ".*")):
        Stacked(layers, **options)


def test_states_that_do_not_fit() -> None:
    both = memories()
    with pytest.raises(TypeError, match=r"state must be a StackedState of 2 layers, .*; got State"):
        both(inputs(T, B, I), both.initial_state(B).layers[0])
    with pytest.raises(ValueError, match="The state is not of this layer and batch"):
        both(inputs(T, B, I), both.initial_state(2))

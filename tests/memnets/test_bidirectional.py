"""Two layers over one sequence: the numbers of nn.LSTM(bidirectional=True), and the contract."""

import io
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)

import memnets
from memnets.bidirectional import Bidirectional, BidirectionalState
from tests.layers import assert_same, leaves

I, O, HIDDEN, T, B = 3, 2, 4, 6, 3  # noqa: E741
LENGTHS = [pytest.param(None, id="whole"), pytest.param([6, 1, 4], id="lengths")]


class OneWay(nn.Module):
    """torch's LSTM, whose output is h, with the contract of a layer."""

    def __init__(self, *, batch_first: bool = False) -> None:
        super().__init__()
        self.input_size, self.output_size, self.batch_first = I, HIDDEN, batch_first
        self.lstm = nn.LSTM(I, HIDDEN, batch_first=batch_first, dtype=torch.float64)

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        return (torch.zeros(batch_size, HIDDEN).double(), torch.zeros(batch_size, HIDDEN).double())

    def forward(self, x: Tensor, state: Any = None, lengths: Any = None) -> Any:
        start = None if state is None else tuple(one[None] for one in state)
        if lengths is None:
            y, after = self.lstm(x, start)
        else:
            first = self.batch_first
            ends = torch.as_tensor(lengths)
            packed = pack_padded_sequence(x, ends, batch_first=first, enforce_sorted=False)
            y, after = self.lstm(packed, start)
            y, _ = pad_packed_sequence(
                y, batch_first=first, total_length=x.shape[1 if first else 0]
            )
        return y, tuple(one[0] for one in after)


def pair(*, batch_first: bool = False) -> tuple[Bidirectional, nn.LSTM]:
    """A wrapper of two LSTMs, and torch's own with the same numbers."""
    torch.manual_seed(0)
    both = Bidirectional(OneWay(batch_first=batch_first), OneWay(batch_first=batch_first))
    torchs = nn.LSTM(I, HIDDEN, bidirectional=True, batch_first=batch_first, dtype=torch.float64)
    with torch.no_grad():
        for layer, end in ((both.forward_layer, ""), (both.backward_layer, "_reverse")):
            for name, parameter in layer.lstm.named_parameters():
                torchs.get_parameter(name + end).copy_(parameter)
    return both, torchs


def inputs(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def packed_or_not(x: Tensor, lengths: Any, *, batch_first: bool) -> Any:
    if lengths is None:
        return x
    return pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_two_lstms_are_torchs_bidirectional_one(lengths: Any, batch_first: bool) -> None:
    """Outputs, both states, and the gradients of the input, of the states and of all weights."""
    both, torchs = pair(batch_first=batch_first)
    x = inputs(*((B, T, I) if batch_first else (T, B, I))).requires_grad_()
    h, c = (inputs(2, B, HIDDEN, seed=seed).requires_grad_() for seed in (2, 3))
    state = BidirectionalState((h[0], c[0]), (h[1], c[1]))
    y, after = both(x, state, lengths)
    expected, (last_h, last_c) = torchs(packed_or_not(x, lengths, batch_first=batch_first), (h, c))
    if lengths is not None:
        expected, _ = pad_packed_sequence(expected, batch_first=batch_first, total_length=T)
    assert_same(y, expected)
    assert_same(after, BidirectionalState((last_h[0], last_c[0]), (last_h[1], last_c[1])))
    ours, theirs = (
        torch.autograd.grad(total, [x, h, c, *module.parameters()])
        for total, module in (
            (y.square().sum() + sum(one.sum() for one in leaves(after)), both),
            (expected.square().sum() + last_h.sum() + last_c.sum(), torchs),
        )
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_a_packed_sequence_comes_back_packed(batch_first: bool, enforce_sorted: bool) -> None:
    both, torchs = pair(batch_first=batch_first)
    lengths = [6, 4, 1] if enforce_sorted else [4, 6, 1]
    rows = [inputs(length, I, seed=length) for length in lengths]
    x = pack_sequence(rows, enforce_sorted=enforce_sorted)
    (y, after), (expected, (h, c)) = both(x), torchs(x)
    assert isinstance(y, PackedSequence)
    for actual, wanted in zip(y, expected, strict=True):
        if wanted is not None:
            assert_same(actual, wanted)
    assert_same(after, BidirectionalState((h[0], c[0]), (h[1], c[1])))
    with pytest.raises(ValueError, match="A PackedSequence has its lengths; leave out"):
        both(x, lengths=lengths)


def memories(**options: Any) -> Bidirectional:
    """An NTM forward and a DNC backward, of other sizes."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"memory_size": 5, "word_size": 3, "hidden_size": HIDDEN}
    factory: dict[str, Any] = {"dtype": torch.float64, "batch_first": options.pop("first", False)}
    return Bidirectional(
        memnets.NTM(I, O, **sizes, **factory), memnets.DNC(I, O, **sizes, **factory), **options
    )


@pytest.mark.parametrize("merge", ["concatenate", "sum"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_each_row_is_what_both_layers_make_of_it_alone(merge: str, lengths: Any) -> None:
    """Row by row, unbatched, the second layer over the steps in reverse."""
    both, x = memories(merge=merge), inputs(T, B, I)
    start = both(inputs(2, B, I, seed=2))[1]
    y, after = both(x, start, lengths)
    assert y.shape == (T, B, both.output_size)
    for row, length in enumerate(lengths or [T] * B):
        own = memnets.map_tensors(lambda one, row=row: one[row], start)
        a, ahead = both.forward_layer(x[:length, row], own.forward)
        b, behind = both.backward_layer(x[:length, row].flip(0), own.backward)
        b = b.flip(0)
        expected = a + b if merge == "sum" else torch.cat([a, b], dim=-1)
        assert_same(y[:length, row], expected)
        assert not y[length:, row].any()
        actual = memnets.map_tensors(lambda one, row=row: one[row], after)
        assert_same(actual, BidirectionalState(ahead, behind))


def test_batch_first_and_unbatched_input() -> None:
    both, x = memories(), inputs(T, B, I)
    y, after = both(x, lengths=[6, 2, 3])
    first = memories(first=True)
    other, other_after = first(x.transpose(0, 1), lengths=[6, 2, 3])
    assert_same(other.transpose(0, 1), y)
    assert_same(other_after, after)
    for layer in (both, first):
        alone, state = layer(x[:, 0])
        assert_same(alone, both(x[:, :1])[0][:, 0])
        again, _ = layer(x[:, 0], layer.initial_state())
        assert_same(again, alone)
        assert layer(x[:, 0], state)[0].shape == (T, 2 * O)


def test_what_follows_the_end_of_a_row_changes_nothing() -> None:
    both, x = memories(), inputs(T, B, I)
    y, _ = both(x, lengths=[6, 1, 4])
    changed = x.clone()
    changed[1:, 1], changed[4:, 2] = torch.nan, 1e9
    other, _ = both(changed, lengths=[6, 1, 4])
    assert torch.equal(other, y)
    other.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in both.parameters())


@pytest.mark.parametrize("merge", ["concatenate", "sum"])
def test_the_gradient(merge: str) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"memory_size": 3, "word_size": 2, "controller": "gru"}
    layers = [memnets.NTM(2, 2, **sizes, hidden_size=2, dtype=torch.float64) for _ in range(2)]
    both = Bidirectional(*layers, merge=merge)
    names = [name for name, _ in both.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(both, given, (x, None, [3, 2]))[0]

    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *both.parameters()))


def test_a_step_sees_what_comes_after_it() -> None:
    both, x = memories(), inputs(T, B, I).requires_grad_()
    y, _ = both(x)
    (seen,) = torch.autograd.grad(y[2].sum(), x)
    assert all(step.any() for step in seen)


def test_the_state_is_saved_detached_and_named() -> None:
    both = memories()
    _, state = both(inputs(T, B, I))
    assert not any(one.requires_grad for one in leaves(memnets.detach(state)))
    names = list(memnets.flatten(state))
    assert names[0] == "forward.controller.0.0"
    assert names[-1] == "backward.read_vectors"
    file = io.BytesIO()
    torch.save(memnets.detach(state), file)
    file.seek(0)
    assert_same(torch.load(file, weights_only=True), memnets.detach(state))


def test_weights_come_back_from_a_state_dict_and_are_drawn_anew() -> None:
    both, x = memories(), inputs(T, B, I)
    other = memories()
    torch.manual_seed(5)
    other.reset_parameters()
    assert not torch.equal(other(x)[0], both(x)[0])
    other.load_state_dict(both.state_dict())
    assert torch.equal(other(x)[0], both(x)[0])
    torch.manual_seed(0)
    new = memories()
    torch.manual_seed(0)
    other.reset_parameters()
    assert_same(tuple(other.parameters()), tuple(new.parameters()), tolerance=0)
    assert "merge='concatenate'" in repr(both)


NTM = memnets.NTM(I, O, memory_size=4, word_size=2)


@pytest.mark.parametrize(
    ("layers", "options", "kind", "message"),
    [
        ((NTM, None), {}, TypeError, "backward must be a layer, such as memnets.NTM(9, 8); None"),
        ((nn.LSTM(I, O), NTM), {}, TypeError, "LSTM lacks output_size, initial_state."),
        ((NTM, memnets.NTM(4, O)), {}, ValueError, "must have one input_size, as they see one x"),
        (
            (NTM, memnets.NTM(I, O, batch_first=True)),
            {},
            ValueError,
            "must have one batch_first, as they see one x; got False and True: make them with",
        ),
        ((NTM, memnets.NTM(I, 3)), {"merge": "sum"}, ValueError, "to be added; got 2 and 3: make"),
        ((NTM, NTM), {"merge": "mean"}, ValueError, "merge must be one of concatenate, sum; got"),
    ],
)
def test_layers_that_do_not_fit(layers: Any, options: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        Bidirectional(*layers, **options)


def test_calls_that_do_not_fit() -> None:
    both = memories()
    with pytest.raises(TypeError, match=r"state must be a BidirectionalState, .*; got State\."):
        both(inputs(T, B, I), both.initial_state(B).forward)
    with pytest.raises(ValueError, match=r"lengths must be 3 whole numbers from 1 to T=6"):
        both(inputs(T, B, I), lengths=[7, 1, 1])
    with pytest.raises(ValueError, match="lengths needs a batch"):
        both(inputs(T, I), lengths=[1])
    with pytest.raises(ValueError, match="The state is not of this layer and batch"):
        both(inputs(T, B, I), both.initial_state(2))

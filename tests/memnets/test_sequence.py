"""What every layer of the table promises about a sequence: one step at a time, in pieces, in
batches, in any layout.
"""

from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import memnets
from tests.layers import TABLE, WITH_STACKS, B, Case, T, assert_same, inputs, leaves, rows

over_the_table = pytest.mark.parametrize("case", WITH_STACKS, ids=str)
LENGTHS = [2, 5, 1]


@over_the_table
def test_steps_equal_the_sequence(case: Case) -> None:
    layer, x = case.build(), inputs()
    y, final = layer(x)
    assert y.shape == (T, B, layer.output_size)
    state = layer.initial_state(B)
    for t in range(T):
        y_t, state = layer.step(x[t], state)
        assert_same(y_t, y[t])
    assert_same(state, final)


@over_the_table
def test_the_initial_state_is_what_none_means(case: Case) -> None:
    layer, x = case.build(), inputs()
    assert_same(layer(x), layer(x, layer.initial_state(B)), tolerance=0)
    for leaf in leaves(layer.initial_state(B)):
        assert leaf.shape[0] == B


@over_the_table
def test_a_carried_state_equals_the_whole(case: Case) -> None:
    layer, x = case.build(), inputs()
    whole, final = layer(x)
    first, state = layer(x[:2])
    second, state = layer(x[2:], state)
    assert_same(torch.cat([first, second]), whole)
    assert_same(state, final)


@over_the_table
def test_rows_do_not_see_each_other(case: Case) -> None:
    layer, x = case.build(), inputs().requires_grad_()
    y, state = layer(x)
    for b in range(B):
        alone, alone_state = layer(x[:, b : b + 1])
        assert_same(alone, y[:, b : b + 1])
        assert_same(alone_state, rows(state, slice(b, b + 1)))
    of_row_one = y[:, 1].sum() + sum(leaf[1].sum() for leaf in leaves(state))
    (gradient,) = torch.autograd.grad(of_row_one, x)
    assert (gradient[:, [0, 2]] == 0).all()
    assert (gradient[:, 1] != 0).any()


@over_the_table
def test_outputs_do_not_see_the_future(case: Case) -> None:
    layer, x = case.build(), inputs().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[0][2].sum(), x)
    assert (gradient[3:] == 0).all()
    assert (gradient[2] != 0).any()


@over_the_table
def test_memory_carries_the_past(case: Case) -> None:
    layer, x = case.build(), inputs().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[0][-1].sum(), x)
    assert (gradient[0] != 0).any()


@over_the_table
def test_batch_first(case: Case) -> None:
    x = inputs()
    y, state = case.build()(x)
    layer = case.build(batch_first=True)
    turned, turned_state = layer(x.transpose(0, 1))
    assert_same(turned, y.transpose(0, 1))
    assert_same(turned_state, state)
    padded, padded_state = layer(x.transpose(0, 1), lengths=LENGTHS)
    expected, expected_state = case.build()(x, lengths=LENGTHS)
    assert_same(padded, expected.transpose(0, 1))
    assert_same(padded_state, expected_state)


@over_the_table
def test_unbatched_equals_a_batch_of_one(case: Case) -> None:
    layer, x = case.build(), inputs()
    y, state = layer(x[:, :1])
    alone, alone_state = layer(x[:, 0])
    assert_same(alone, y[:, 0])
    assert_same(alone_state, rows(state, 0))
    assert_same(layer.initial_state(), rows(layer.initial_state(1), 0))
    more, _ = layer(x[:, 0], alone_state)
    assert_same(more, layer(x[:, :1], state)[0][:, 0])
    assert_same(case.build(batch_first=True)(x[:, 0]), (alone, alone_state))


@over_the_table
def test_nothing_is_changed_or_remembered(case: Case) -> None:
    """The arguments stay as they were, so does the module, and a second call gives the same."""
    layer, x = case.build(), inputs()
    _, state = layer(x)
    x_before, state_before = x.clone(), [leaf.clone() for leaf in leaves(state)]
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in layer.named_modules()}
    first = layer(x, state)
    second = layer(x, state)
    assert_same(first, second, tolerance=0)
    assert torch.equal(x, x_before)
    for leaf, leaf_before in zip(leaves(state), state_before, strict=True):
        assert torch.equal(leaf, leaf_before)
    assert list(layer.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())
    assert {name: set(vars(module)) for name, module in layer.named_modules()} == attributes


@over_the_table
def test_evaluation_mode_changes_nothing(case: Case) -> None:
    layer, x = case.build(), inputs()
    trained = layer.train()(x)
    with torch.no_grad():
        assert_same(layer.eval()(x), trained, tolerance=0)


@over_the_table
def test_detach_cuts_the_gradient(case: Case) -> None:
    layer, x = case.build(), inputs().requires_grad_()
    _, state = layer(x)
    cut = memnets.detach(state)
    assert type(cut) is type(state)
    assert_same(cut, state, tolerance=0)
    assert not any(leaf.requires_grad for leaf in leaves(cut))
    assert any(leaf.requires_grad for leaf in leaves(state))
    y, _ = layer(inputs(seed=2), cut)
    (gradient,) = torch.autograd.grad(y.sum(), x, allow_unused=True)
    assert gradient is None


@over_the_table
def test_lengths_equal_each_row_alone(case: Case) -> None:
    layer, x = case.build(), inputs()
    y, state = layer(x, lengths=torch.tensor(LENGTHS))
    for b, length in enumerate(LENGTHS):
        alone, alone_state = layer(x[:length, b : b + 1])
        assert_same(y[:length, b : b + 1], alone)
        assert (y[length:, b] == 0).all()
        assert_same(rows(state, slice(b, b + 1)), alone_state)
    assert_same(layer(x, lengths=LENGTHS), (y, state), tolerance=0)
    assert_same(layer(x, lengths=[T] * B), layer(x))


@over_the_table
def test_lengths_with_a_carried_state(case: Case) -> None:
    layer, x = case.build(), inputs()
    _, start = layer(inputs(seed=3))
    y, state = layer(x, start, lengths=LENGTHS)
    for b, length in enumerate(LENGTHS):
        row = slice(b, b + 1)
        alone, alone_state = layer(x[:length, row], rows(start, row))
        assert_same(y[:length, row], alone)
        assert_same(rows(state, row), alone_state)


def gradients(layer: Any, x: torch.Tensor, lengths: Any) -> list[torch.Tensor]:
    """Gradients of a sum over outputs and final state with respect to x and every parameter."""
    x = x.clone().requires_grad_()
    y, state = layer(x, lengths=lengths)
    total = y.square().sum() + sum(leaf.square().sum() for leaf in leaves(state))
    wanted = [x, *layer.parameters()]
    return list(torch.autograd.grad(total, wanted, materialize_grads=True))


@over_the_table
@pytest.mark.parametrize("padding", [1e6, float("nan")])
def test_padding_reaches_nothing(case: Case, padding: float) -> None:
    """Not the outputs, not the state, not a gradient: not even where the padding is NaN."""
    layer, x = case.build(), inputs()
    padded = x.clone()
    for b, length in enumerate(LENGTHS):
        padded[length:, b] = padding
    assert_same(layer(padded, lengths=LENGTHS), layer(x, lengths=LENGTHS))
    found = gradients(layer, padded, LENGTHS)
    for actual, expected in zip(found, gradients(layer, x, LENGTHS), strict=True):
        assert_same(actual, expected, tolerance=1e-10)
    for b, length in enumerate(LENGTHS):
        assert (found[0][length:, b] == 0).all()


@over_the_table
def test_gradients_with_lengths_are_the_sum_of_the_rows(case: Case) -> None:
    layer, x = case.build(), inputs()
    together = gradients(layer, x, LENGTHS)[1:]
    alone = [gradients(layer, x[:length, b : b + 1], None)[1:] for b, length in enumerate(LENGTHS)]
    for actual, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert_same(actual, sum(parts), tolerance=1e-9)


@over_the_table
@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_packed_sequences_agree_with_lengths(case: Case, enforce_sorted: bool) -> None:
    layer, x = case.build(), inputs()
    lengths = sorted(LENGTHS, reverse=True) if enforce_sorted else LENGTHS
    y, state = layer(x, lengths=lengths)
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=enforce_sorted)
    packed_y, packed_state = layer(packed)
    unpacked, unpacked_lengths = pad_packed_sequence(packed_y, total_length=T)
    assert unpacked_lengths.tolist() == lengths
    assert torch.equal(packed_y.batch_sizes, packed.batch_sizes)
    assert_same(unpacked, y)
    assert_same(packed_state, state)
    again, _ = layer(packed, state)
    assert_same(pad_packed_sequence(again, total_length=T)[0], layer(x, state, lengths=lengths)[0])


def test_a_packed_sequence_is_packed_the_same_in_batch_first_layers() -> None:
    layer, x = TABLE[0].build(batch_first=True), inputs()
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
    y, state = TABLE[0].build()(packed)
    turned, turned_state = layer(packed)
    assert_same(turned.data, y.data)
    assert_same(turned_state, state)


@over_the_table
def test_one_step_and_a_batch_of_one(case: Case) -> None:
    layer, x = case.build(), inputs(steps=1, batch=1)
    y, state = layer(x)
    y_t, stepped = layer.step(x[0], layer.initial_state(1))
    assert_same(y[0], y_t)
    assert_same(state, stepped)

"""A shared memory: changed in place from call to call, put back by the backward."""

from typing import Any

import pytest
import torch

import memnets
from memnets.sharing import share, value
from memnets.state import State
from tests.layers import assert_same, leaves, numbers

B, T = 2, 7


def layer_of(**options: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"memory_size": 30, "word_size": 4, "read_heads": 3, "write_heads": 2}
    return memnets.SAM(3, 2, **sizes, hidden_size=6, dtype=torch.float64, **options)


def lived(layer: Any) -> State:
    with torch.no_grad():
        return layer(inputs(4))[1]


def inputs(steps: int = T) -> torch.Tensor:
    return torch.randn(
        steps, B, 3, generator=torch.Generator().manual_seed(steps), dtype=torch.float64
    )


def gradients(layer: Any, y: torch.Tensor, **options: Any) -> list[torch.Tensor]:
    return list(torch.autograd.grad(y.square().sum(), list(layer.parameters()), **options))


@pytest.mark.parametrize("lengths", [None, [7, 3]])
def test_a_shared_memory_computes_what_a_value_does(lengths: Any) -> None:
    layer = layer_of()
    state, x = lived(layer), inputs()
    y, end = layer(x, state, lengths=lengths)
    shared_y, shared_end = layer(x, share(state), lengths=lengths)
    assert_same(shared_y, y)
    assert_same(value(shared_end), memnets.detach(end))
    for one, other in zip(gradients(layer, shared_y), gradients(layer, y), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_row_that_ended_goes_on_in_the_next_call() -> None:
    layer = layer_of()
    state, x = lived(layer), inputs()
    _, between = layer(x, state, lengths=[7, 3])
    y, end = layer(x, between)
    _, shared_between = layer(x, share(state), lengths=[7, 3])
    shared_y, shared_end = layer(x, shared_between)
    assert_same(shared_y, y)
    assert_same(value(shared_end), memnets.detach(end))


@pytest.mark.parametrize("lengths", [None, [7, 3]])
def test_the_backward_puts_the_memory_back_bit_for_bit(lengths: Any) -> None:
    layer = layer_of()
    state = lived(layer)
    shared = share(state, restore=True)
    first = None
    for _ in range(3):
        before = leaves(value(shared))
        value_before = value(shared).memory.memory
        y, end = layer(inputs(), shared, lengths=lengths)
        assert not torch.equal(end.memory.memory.values, value_before)
        found = gradients(layer, y)
        assert all(map(torch.equal, before, leaves(value(shared))))
        first = found if first is None else first
        assert all(map(torch.equal, first, found))
        with pytest.raises(ValueError, match="The memory of this state has moved on"):
            layer(inputs(), end)
    assert_same(value(shared), memnets.detach(state), tolerance=0)


def test_the_loss_of_some_steps_puts_all_of_them_back() -> None:
    layer = layer_of()
    shared = share(lived(layer), restore=True)
    before = value(shared)
    y, _ = layer(inputs(), shared)
    y[:3].sum().backward()
    assert_same(value(shared), before, tolerance=0)


def test_truncated_back_propagation_goes_on() -> None:
    layer = layer_of()
    carried, values = share(lived(layer)), lived(layer)
    for steps in (3, 5, 2):
        y, carried = layer(inputs(steps), memnets.detach(carried))
        expected, values = layer(inputs(steps), memnets.detach(values))
        assert_same(y, expected)
        for one, other in zip(gradients(layer, y), gradients(layer, expected), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert_same(value(carried), memnets.detach(values))


def test_two_calls_and_one_backward() -> None:
    """The graph goes through both, as it does with values, and the first state is whole again."""
    layer = layer_of()
    state = lived(layer)
    shared = share(state, restore=True)
    y, middle = layer(inputs(3), shared)
    more, _ = layer(inputs(5), middle)
    expected, between = layer(inputs(3), state)
    further, _ = layer(inputs(5), between)
    found = gradients(layer, torch.cat([y, more]))
    for one, other in zip(found, gradients(layer, torch.cat([expected, further])), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert_same(value(shared), memnets.detach(state), tolerance=0)


def test_a_state_that_is_used_twice_is_an_error() -> None:
    layer = layer_of()
    shared = share(lived(layer))
    layer(inputs(), shared)
    message = "the state is of write 0, the memory is at write 7"
    with pytest.raises(ValueError, match=message):
        layer(inputs(), shared)
    with pytest.raises(ValueError, match=message):
        value(shared)


def test_after_an_exception_in_the_middle_the_state_is_spent() -> None:
    layer = layer_of()
    shared = share(lived(layer), restore=True)
    calls = []

    def fails(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("stop here")

    handle = layer.controller.register_forward_hook(fails)
    with pytest.raises(RuntimeError, match="stop here"):
        layer(inputs(), shared)
    handle.remove()
    with pytest.raises(ValueError, match="moved on"):
        layer(inputs(), shared)


def test_without_gradients_nothing_is_kept() -> None:
    layer = layer_of()
    shared = share(lived(layer), restore=True)
    with torch.no_grad():
        _, end = layer(inputs(), shared)
    assert not end.memory.memory.buffer._tape
    assert not [one for one in leaves(value(end)) if one.requires_grad]


def test_a_value_is_outside_of_the_graph() -> None:
    layer = layer_of()
    _, end = layer(inputs(), share(lived(layer)))
    assert end.read_vectors.requires_grad
    assert not [one for one in leaves(value(end)) if one.requires_grad]


def test_what_needs_a_value() -> None:
    layer = layer_of()
    shared = share(lived(layer))
    starts = torch.zeros(T, B, dtype=torch.bool)
    starts[2, 1] = True
    with pytest.raises(ValueError, match="cannot begin anew inside of a sequence"):
        layer(inputs(), shared, starts=starts)
    for use in (memnets.flatten, numbers, lambda one: layer(inputs()[:, 0], one)):
        with pytest.raises(TypeError, match="A shared memory is no tensor"):
            use(share(lived(layer)))
    with pytest.raises(TypeError, match="a NTMMemory is not"):
        share(memnets.NTM(3, 2).initial_state(1))
    with pytest.raises(ValueError, match="must be a tensor of the shape"):
        layer(inputs()[:, :1], share(lived(layer)))


def test_the_state_of_several_layers_is_not_shared() -> None:
    layers = memnets.Stacked([layer_of(), memnets.SAM(2, 2, memory_size=5, dtype=torch.float64)])
    with pytest.raises(TypeError, match="a StackedState is not: pass the state as it is"):
        share(layers.initial_state(B))  # pyright: ignore[reportArgumentType]

"""The kernel inside of transforms of torch.func; forward mode and half precision beside it.

Each test says that the kernel ran, else the reference could pass in its place.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from memnets.backends.cpu import node
from tests.graphs import Graphs
from tests.layers import BY_NAME, assert_same, inputs

SERVED = ["ntm_lstm", "dnc_lstm"]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each run of the kernel."""
    found, forward = [], node.forward

    def counted(call: Any, tensors: Any, least: int = 0) -> Any:
        found.append(tensors.x.shape[1])
        return forward(call, tensors, least)

    monkeypatch.setattr(node, "forward", counted)
    return found


@pytest.mark.parametrize("name", SERVED)
def test_an_ensemble_is_a_loop_over_its_members(name: str, runs: list[int]) -> None:
    members = [BY_NAME[name].build(seed=seed, backend="fused") for seed in range(3)]
    parameters, buffers = stack_module_state(members)
    skeleton, x = copy.deepcopy(members[0]).to("meta"), inputs()

    def loss(parameters: dict, buffers: dict) -> Tensor:
        y, state = functional_call(skeleton, (parameters, buffers), (x,))
        return y.square().sum() + state.memory.memory.sum()

    found, losses = torch.func.vmap(torch.func.grad_and_value(loss))(parameters, buffers)
    assert runs == [3] * 6  # forward, and once more for the backward, of each
    outside = {name: one.detach().clone().requires_grad_() for name, one in parameters.items()}
    torch.func.vmap(loss)(outside, buffers).sum().backward()
    for index, alone in enumerate(members):
        y, state = alone(x)
        expected = y.square().sum() + state.memory.memory.sum()
        expected.backward()
        assert_same(losses[index], expected.detach(), tolerance=1e-12)
        for key, parameter in alone.named_parameters():
            assert_same(found[key][index], parameter.grad, tolerance=1e-12)
            assert_same(outside[key].grad[index], parameter.grad, tolerance=1e-12)


def on_both(function: Callable[[Any], Any]) -> tuple[Any, Any]:
    """What a function gives of a layer on the kernel, and on the reference."""
    return tuple(function(BY_NAME["ntm_lstm"].build(backend=one)) for one in ("fused", "reference"))


def loss_of(layer: Any) -> Callable[[Tensor], Tensor]:
    """A loss of the interface's bias."""
    weights = dict(layer.named_parameters())

    def loss(bias: Tensor) -> Tensor:
        given = {**weights, "interface.linear.bias": bias}
        return functional_call(layer, given, (inputs(steps=3),))[0].square().sum()

    return loss


def test_gradients_of_each_row(runs: list[int]) -> None:
    def each(layer: Any) -> Any:
        weights = dict(layer.named_parameters())

        def loss(weights: dict, x: Tensor) -> Tensor:
            return functional_call(layer, weights, (x,))[0].square().sum()

        found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1))(weights, inputs())
        return tuple(found.values())

    found, expected = on_both(each)
    assert runs
    assert set(runs) == {1}
    assert_same(found, expected, tolerance=1e-9)


@pytest.mark.parametrize("order", ["grad of grad", "jacrev of jacrev", "backward of grad"])
def test_second_order(order: str, runs: list[int]) -> None:
    """The forward runs on the kernel; the derivative of its backward is the reference's."""

    def second(layer: Any) -> Tensor:
        loss, bias = loss_of(layer), layer.interface.linear.bias
        if order == "jacrev of jacrev":
            return torch.func.jacrev(torch.func.jacrev(loss))(bias)

        def penalty(bias: Tensor) -> Tensor:
            return torch.func.grad(loss)(bias).square().sum()

        if order == "grad of grad":
            return torch.func.grad(penalty)(bias)
        return torch.autograd.grad(penalty(bias), bias)[0]

    found, expected = on_both(second)
    assert runs
    assert expected.abs().max() > 1e-3
    assert_same(found, expected, tolerance=1e-9)


def test_jacobian(runs: list[int]) -> None:
    found, expected = on_both(
        lambda layer: torch.func.jacrev(lambda x: layer(x)[0])(inputs(steps=2, batch=1))
    )
    assert len(runs) == 1
    assert_same(found, expected, tolerance=1e-9)


def test_forward_mode_is_the_reference_s() -> None:
    x = inputs(steps=3)
    layer = BY_NAME["ntm_lstm"].build(backend="fused")
    with pytest.raises(ValueError, match=r"no forward-mode derivative.*backend=\"auto\""):
        torch.func.jvp(lambda x: layer(x)[0], (x,), (x,))
    layer.backend = "auto"
    found = torch.func.jvp(lambda x: layer(x)[0], (x,), (torch.ones_like(x),))[1]
    step = 1e-6
    with torch.no_grad():
        numerical = (layer(x + step)[0] - layer(x - step)[0]) / (2 * step)
    assert_same(found, numerical, tolerance=1e-6)


def test_a_transform_inside_of_a_compiled_function() -> None:
    """`auto` takes the reference; what names the kernel is an error."""
    seen, layer, x = Graphs(), BY_NAME["ntm_lstm"].build(), inputs(steps=2)
    compiled = torch.compile(
        lambda x: torch.func.grad(lambda x: layer(x)[0].sum())(x), backend=seen
    )
    assert_same(compiled(x), torch.func.grad(lambda x: layer(x)[0].sum())(x), tolerance=1e-9)
    assert seen.served == [False]
    layer.backend = "fused"
    with pytest.raises(Exception, match=r"torch\.func is at work inside of torch\.compile"):
        torch.compile(compiled, backend="eager", fullgraph=True)(x)


# ----------------------------------------------------------------------- half precision


def test_half_precision_is_the_reference_s() -> None:
    x, seen = inputs(dtype=torch.bfloat16, steps=2), Graphs()
    layer = BY_NAME["ntm_lstm"].build(dtype=torch.bfloat16)
    compiled = torch.compile(layer, backend=seen, fullgraph=True)
    assert_same(compiled(x), layer(x), tolerance=1e-2)
    assert seen.served == [False]
    layer.backend = "fused"
    with pytest.raises(Exception, match=r"float32 and float64; the layer is torch\.bfloat16"):
        torch.compile(layer, backend="eager", fullgraph=True)(x)

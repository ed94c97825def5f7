"""torch.compile of a step and of a layer gives what eager gives: captured whole by aot_eager, and
by the inductor once.
"""

from collections.abc import Iterator

import pytest
import torch

from tests.layers import BY_NAME, B, assert_same, inputs


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


# A step takes seconds to compile: every controller, head and model once, not every pair.
NAMES = [
    "ntm_mixed_heads",
    "ntm_own_addressing_module",
    "dnc_gru",
    "dnc_several_heads",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_one_graph(name: str) -> None:
    """Also in training: the gradients of the compiled step are eager's."""
    layer, x = BY_NAME[name].build(), inputs()
    compiled = torch.compile(layer.step, backend="aot_eager", fullgraph=True)
    _, state = layer(x[:2])
    expected_y, expected_state = layer.step(x[2], state)
    y, after = compiled(x[2], state)
    assert_same(y, expected_y)
    assert_same(after, expected_state)
    wanted = list(layer.parameters())
    for actual, expected in zip(
        torch.autograd.grad(y.sum(), wanted, retain_graph=True, materialize_grads=True),
        torch.autograd.grad(expected_y.sum(), wanted, materialize_grads=True),
        strict=True,
    ):
        assert_same(actual, expected, tolerance=1e-10)


def test_the_inductor() -> None:
    layer, x = BY_NAME["dnc_lstm"].build(dtype=torch.float32), inputs(dtype=torch.float32)
    compiled = torch.compile(layer.step, fullgraph=True)
    with torch.no_grad():
        state = layer.initial_state(B)
        for x_t in x[:2]:
            expected = layer.step(x_t, state)
            assert_same(compiled(x_t, state), expected, tolerance=1e-5)
            state = expected[1]


@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_a_whole_layer(name: str) -> None:
    """Over a sequence it is one graph too, whose outputs, state and gradients are eager's."""
    layer, x = BY_NAME[name].build(backend="reference"), inputs()[:3]
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    wanted = list(layer.parameters())
    y, state = compiled(x)
    expected_y, expected_state = layer(x)
    assert_same(y, expected_y)
    assert_same(state, expected_state)
    for actual, expected in zip(
        torch.autograd.grad(y.square().sum(), wanted),
        torch.autograd.grad(expected_y.square().sum(), wanted),
        strict=True,
    ):
        assert_same(actual, expected, tolerance=1e-10)


def test_a_layer_with_the_batch_first() -> None:
    """What turns its axes can be captured too, and exported for any number of rows."""
    layer = BY_NAME["ntm_lstm"].build(backend="reference", batch_first=True)
    x, more = (inputs(steps=3, batch=rows).transpose(0, 1) for rows in (B, B + 2))
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert_same(compiled(x), layer(x))
    rows = torch.export.Dim("rows", min=2, max=64)
    exported = torch.export.export(layer, (x,), dynamic_shapes=({0: rows},)).module()
    assert_same(exported(more)[0], layer(more)[0])

"""No NaN and no Inf, in outputs or gradients, where these networks are known to break."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import memnets
from memnets import parts
from tests import samples
from tests.layers import TABLE, Case, inputs, leaves, numbers
from tests.samples import as_tensors, tensor

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def assert_finite(*tensors: torch.Tensor) -> None:
    for part in tensors:
        assert torch.isfinite(part).all()


def assert_finite_with_gradients(outputs: list[torch.Tensor], wanted: list[torch.Tensor]) -> None:
    assert_finite(*outputs)
    total = sum(part.square().sum() + part.sum() for part in outputs)
    assert_finite(*torch.autograd.grad(total, wanted, materialize_grads=True))


def wanting(values: Any) -> Any:
    return memnets.map_tensors(lambda part: part.clone().requires_grad_(), values)


def extreme(interface: Any, strength: float, sharpening: float, gates: float | None) -> Any:
    """The interface with its strengths, sharpenings and, if asked for, gates replaced."""
    changes = {}
    for name, values in interface._asdict().items():
        if name.endswith("strengths"):
            changes[name] = torch.full_like(values, strength)
        if name.endswith("sharpenings"):
            changes[name] = torch.full_like(values, sharpening)
        if gates is not None and (name.endswith("gates") or name == "erase_vectors"):
            changes[name] = torch.full_like(values, gates)
    return interface._replace(**changes)


@dtypes
@pytest.mark.parametrize("strength", [1.0, 1e3])
@pytest.mark.parametrize("gates", [None, 0.0, 1.0])
@pytest.mark.parametrize("contents", [0.0, 1e-6, 1e-20, 1e6])
def test_dnc_access(dtype: torch.dtype, strength: float, gates: float | None, contents: float):
    """Constant memory, nothing or all used, one-hot and equal weightings, gates fully open or
    closed.
    """
    s = SimpleNamespace(B=2, N=6, W=3, R=2, H=2, S=3, random=np.random.default_rng(0))
    interface = as_tensors(memnets.dnc.DNCInterface, samples.dnc_interface(s), dtype)
    interface = extreme(interface, strength, 1.0, gates)
    blank = as_tensors(memnets.dnc.DNCMemory, samples.dnc_memory(s), dtype)
    blank = memnets.map_tensors(torch.zeros_like, blank)._replace(
        memory=torch.full((s.B, s.N, s.W), contents, dtype=dtype)
    )
    one_hot = torch.zeros(s.B, 2, s.N, dtype=dtype)
    one_hot[..., 1] = 1
    used = blank._replace(
        usage=torch.ones(s.B, s.N, dtype=dtype), read_weights=one_hot, write_weights=one_hot
    )
    for start in (blank, used):
        given, state = wanting(interface), wanting(start)
        carried, outputs = state, []
        for _ in range(3):
            vectors, carried = memnets.dnc.access(given, carried)
            outputs.append(vectors)
        scale = 1 / max(contents, 1.0)
        outputs = [part * scale for part in (*outputs, *leaves(carried))]
        assert_finite_with_gradients(outputs, [*leaves(given), *leaves(state)])


@dtypes
@pytest.mark.parametrize("strength", [1.0, 1e3])
@pytest.mark.parametrize("sharpening", [1.0, 100.0])
@pytest.mark.parametrize("gates", [None, 0.0, 1.0])
@pytest.mark.parametrize("contents", [0.0, 1e-6, 1e-20, 1e6])
def test_ntm_access(dtype, strength: float, sharpening: float, gates: float | None, contents):
    """Constant memory, one-hot and equal weightings, the strongest focus and sharpening."""
    s = SimpleNamespace(B=2, N=6, W=3, R=2, H=2, S=3, random=np.random.default_rng(0))
    interface = as_tensors(memnets.ntm.NTMInterface, samples.ntm_interface(s), dtype)
    interface = extreme(interface, strength, sharpening, gates)
    memory = torch.full((s.B, s.N, s.W), contents, dtype=dtype)
    one_hot = torch.zeros(s.B, 2, s.N, dtype=dtype)
    one_hot[..., 1] = 1
    for weights in (one_hot, torch.full_like(one_hot, 1 / s.N)):
        given = wanting(interface)
        state = wanting(memnets.ntm.NTMMemory(memory, weights, weights))
        carried, outputs = state, []
        for _ in range(3):
            vectors, carried = memnets.ntm.access(given, carried)
            outputs.append(vectors)
        scale = 1 / max(contents, 1.0)
        outputs = [part * scale for part in (*outputs, *leaves(carried))]
        assert_finite_with_gradients(outputs, [*leaves(given), *leaves(state)])


@dtypes
@pytest.mark.parametrize("usage", [0.0, 1e-30, 0.5, 1 - 1e-7, 1.0])
def test_allocation_of_equal_usage(dtype: torch.dtype, usage: float) -> None:
    u = torch.full((2, 64), usage, dtype=dtype, requires_grad=True)
    gates = torch.ones(2, 3, dtype=dtype, requires_grad=True)
    outputs = [parts.usage.allocation(u), parts.usage.allocate(u, gates)]
    assert_finite_with_gradients(outputs, [u, gates])
    assert (outputs[0] >= 0).all()


@dtypes
def test_keys_and_rows_of_zeros(dtype: torch.dtype) -> None:
    """The first row ones, the others zero, and one key zero."""
    random = np.random.default_rng(0)
    memory = torch.zeros(5, 10, 2, dtype=dtype)
    memory[:, 0] = 1
    keys = tensor(random.normal(size=(5, 4, 2)), dtype)
    keys[:, 0] = 0
    wanted = [memory.requires_grad_(), keys.requires_grad_(), torch.ones(5, 4, dtype=dtype)]
    wanted[2].requires_grad_()
    weights = parts.content.content_weights(*wanted)
    assert_finite_with_gradients([weights], wanted)
    torch.testing.assert_close(weights[:, 0], torch.full((5, 10), 0.1, dtype=dtype))


@pytest.mark.parametrize("masked", [False, True])
def test_an_epsilon_whose_power_of_minus_three_halves_is_no_float32(masked: bool) -> None:
    """The derivative of `epsilon**-0.5`, which a slot of zeros would multiply by 0."""
    content = memnets.Content(similarity_epsilon=1e-26, masked=masked)
    kind = parts.content.MaskedContentParameters if masked else parts.content.ContentParameters
    generator = torch.Generator().manual_seed(0)
    memory, keys = torch.zeros(2, 4, 3), torch.rand(2, 1, 3, generator=generator)
    memory[:, 1] = 0.5
    given = [memory, keys, torch.ones(2, 1), torch.rand(2, 1, 3, generator=generator)]
    found = []
    for dtype in (torch.float32, torch.float64):
        wanted = [one.to(dtype).requires_grad_() for one in given[: 4 if masked else 3]]
        total = content.weigh(wanted[0], kind(*wanted[1:])).square().sum()
        found.append(torch.autograd.grad(total, wanted))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-6)


def test_similarity_needs_no_larger_epsilon_for_long_or_short_words() -> None:
    """In float32 the cosine of very long words, and of words a thousandth long, is still the
    cosine.
    """
    keys = torch.tensor([[[3.0, 4.0]]])
    for scale in (0.1, 1.0, 1e6):
        rows = scale * torch.tensor([[[3.0, 4.0], [4.0, -3.0], [-3.0, -4.0]]])
        similarity = parts.content.cosine_similarity(rows, keys)
        expected = torch.tensor([[[1.0, 0.0, -1.0]]])
        torch.testing.assert_close(similarity, expected, rtol=0, atol=1e-5)


@dtypes
@pytest.mark.parametrize("model", [memnets.NTM, memnets.DNC])
def test_a_thousand_steps(model: Any, dtype: torch.dtype) -> None:
    """Parameters three times their initial size, so that heads saturate; outputs and gradients stay
    finite.
    """
    torch.manual_seed(0)
    layer = model(2, 2, memory_size=6, word_size=3, read_heads=1, hidden_size=5, dtype=dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(3)
    x = torch.randn(1000, 1, 2, dtype=dtype, requires_grad=True)
    y, state = layer(x)
    assert_finite(*leaves(state))
    y.square().mean().backward()
    assert_finite(y, x.grad, *(parameter.grad for parameter in layer.parameters()))


@pytest.mark.parametrize("case", TABLE, ids=str)
@pytest.mark.parametrize("scale", [0.0, 100.0])
def test_silent_and_loud_inputs(case: Case, scale: float) -> None:
    layer = case.build(dtype=torch.float32)
    x = (scale * inputs(steps=12, dtype=torch.float32)).requires_grad_()
    y, state = layer(x)
    wanted = [x, *layer.parameters()]
    assert_finite_with_gradients([y, *leaves(state)], wanted)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_bfloat16_autocast(case: Case) -> None:
    """Weightings and memory stay in float32, are finite, and are near the float32 run's."""
    layer, x = case.build(dtype=torch.float32), inputs(dtype=torch.float32)
    expected, _ = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = layer(x)
        y_more, _ = layer(x, state, lengths=[2, 5, 1])
        trace = memnets.record(layer, x)
    assert {leaf.dtype for leaf in numbers(state.memory)} == {torch.float32}
    assert {leaf.dtype for leaf in numbers(trace.memory)} == {torch.float32}
    assert {leaf.dtype for leaf in leaves(trace.interface)} == {torch.float32}
    for weights in (state.memory.read_weights, state.memory.write_weights):
        assert (weights.sum(-1) <= 1 + 1e-5).all()
    assert_finite(y, y_more, *leaves(state))
    # bfloat16 keeps 8 bits: 2^-8 of the outputs' size, over five steps that feed on each other
    difference = (y.float() - expected).abs().mean() / expected.abs().mean()
    assert difference < 0.05
    (y.float().square().sum() + y_more.float().square().sum()).backward()
    assert_finite(*(parameter.grad for parameter in layer.parameters()))


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_bfloat16_parameters(case: Case) -> None:
    """bfloat16 parameters: the weightings and the memory are still float32."""
    layer, x = case.build(dtype=torch.bfloat16), inputs(dtype=torch.bfloat16)
    y, state = layer(x)
    assert y.dtype == torch.bfloat16
    assert {leaf.dtype for leaf in numbers(state.memory)} == {torch.float32}
    again, _ = layer(x, state)
    assert_finite(y, again, *leaves(state))
    again.float().square().sum().backward()
    assert_finite(*(parameter.grad for parameter in layer.parameters()))

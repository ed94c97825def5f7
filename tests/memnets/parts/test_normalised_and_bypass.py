"""What Franke, Niehues and Waibel 2018 change about a DNC, linkage apart: the interface normalised,
beside a loop, and dropout of what reaches the output past the memory.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.interface import Field, Table, real, simplex, unit
from memnets.parts.normalised_interface import NormalisedInterface
from memnets.parts.uniform_writing import UniformWriting
from memnets.parts.wiring import WiredStack
from tests.layers import BY_NAME, B, O, inputs, leaves, wired
from tests.samples import assert_equal_to, seeds, tensor

Array = np.ndarray
P = 0.4


class Emitted(tuple):
    """Keys, gates and modes, side by side."""

    _fields = ("keys", "gates", "modes")

    def __new__(cls, *parts: Any) -> "Emitted":
        return super().__new__(cls, parts)


TABLE = Table(
    Emitted,
    {
        "keys": Field((2, 3), real, bias=0.5),
        "gates": Field((2,), unit, bias=-2.0),
        "modes": Field((3,), simplex),
    },
)


def normalised(x: Array, weight: Array, bias: Array, scale: Array, shift: Array, epsilon: float):
    """Of each row: z = W x + b, then scale (z - mean) / sqrt(variance + epsilon) + shift."""
    found = np.zeros((len(x), len(weight)))
    for b in range(len(x)):
        z = [sum(w * one for w, one in zip(row, x[b], strict=True)) for row in weight]
        z = [one + float(more) for one, more in zip(z, bias, strict=True)]
        mean = sum(z) / len(z)
        root = math.sqrt(sum((one - mean) ** 2 for one in z) / len(z) + epsilon)
        found[b] = [s * (one - mean) / root + t for s, one, t in zip(scale, z, shift, strict=True)]
    return found


@given(seeds, st.sampled_from([0.0, 1e-6, 0.3]))
def test_the_interface_beside_a_loop(seed: int, epsilon: float) -> None:
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    made = NormalisedInterface(epsilon=epsilon).build(4, [TABLE], dtype=torch.float64)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter))
    x = random.normal(size=(3, 4))
    (found,) = made(tensor(x))
    arrays = [one.detach().numpy() for one in (*made.linear.parameters(), *made.norm.parameters())]
    z = normalised(x, *arrays, epsilon)
    assert_equal_to(found[0], z[:, :6].reshape(3, 2, 3))
    assert_equal_to(found[1], 1 / (1 + np.exp(-z[:, 6:8])))
    raised = np.exp(z[:, 8:])
    assert_equal_to(found[2], raised / raised.sum(-1, keepdims=True))


def test_the_gradient() -> None:
    torch.manual_seed(0)
    made = NormalisedInterface().build(4, [TABLE], dtype=torch.float64)
    names = [name for name, _ in made.named_parameters()]

    def function(x: Any, *tensors: Any) -> Any:
        parameters = dict(zip(names, tensors, strict=True))
        return tuple(torch.func.functional_call(made, parameters, (x,))[0])

    given_ = [torch.randn(2, 4).double().requires_grad_(), *made.parameters()]
    assert torch.autograd.gradcheck(function, given_)


def test_a_field_starts_at_its_bias() -> None:
    """In the shift, as the normalisation takes it out of the linear map."""
    made = NormalisedInterface().build(4, [TABLE])
    assert made.norm.bias.tolist() == [0.5] * 6 + [-2.0] * 2 + [0.0] * 3
    with torch.no_grad():
        made.norm.bias.zero_()
    made.reset_parameters()
    assert made.norm.bias.tolist() == [0.5] * 6 + [-2.0] * 2 + [0.0] * 3


def test_the_scale_of_the_controller_is_gone() -> None:
    made = NormalisedInterface(epsilon=0.0).build(4, [TABLE], dtype=torch.float64)
    torch.nn.init.zeros_(made.linear.bias)
    x = torch.randn(2, 4).double()
    for one, other in zip(made(x)[0], made(100 * x)[0], strict=True):
        torch.testing.assert_close(one, other)


def test_the_kernel_refuses_a_normalised_interface_by_name() -> None:
    layer = BY_NAME["dnc_normalised_interface"].build()
    assert layer.backend_for(inputs()).reason == (
        "It knows memnets.interface.Interface; this one is "
        "memnets.parts.normalised_interface.Normalised."
    )


# ------------------------------------------------------------------------- bypass dropout


def dropping(name: str = "dnc_lstm", **options: Any) -> Any:
    return BY_NAME[name].build(controller=wired(bypass_dropout=P), **options)


@pytest.mark.parametrize("name", ["dnc_lstm", "ntm_lstm"])
def test_in_evaluation_there_is_no_dropout(name: str) -> None:
    layer, plain = dropping(name).eval(), BY_NAME[name].build()
    assert list(layer.state_dict()) == list(plain.state_dict())
    assert layer.backend_for(inputs()) == plain.backend_for(inputs())
    found, expected = layer(inputs()), plain(inputs())
    assert torch.equal(found[0], expected[0])
    state = layer.initial_state(B)
    for t, x_t in enumerate(inputs()):
        y_t, state = layer.step(x_t, state)
        torch.testing.assert_close(y_t, found[0][t], rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", "fused"])
def test_in_training_h_is_dropped_on_its_way_to_the_output_alone(backend: str) -> None:
    """State and interface are those without dropout; the output is that of h times a mask."""
    layer = dropping(backend=backend).train()
    hidden = layer.hidden_size
    _, expected = BY_NAME["dnc_lstm"].build(backend="reference")(inputs())
    with torch.no_grad():  # the output shows h itself
        layer.readout.weight.zero_()
        layer.readout.bias.zero_()
        layer.readout.weight[:, :O] = torch.eye(O)
    torch.manual_seed(3)
    y, state = layer(inputs())
    for one, other in zip(leaves(state), leaves(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
    h, _ = layer.eval()(inputs())
    ratio = y / h
    kept = ratio.abs() > 1e-12
    torch.testing.assert_close(ratio[kept], torch.full_like(ratio[kept], 1 / (1 - P)))
    assert 0 < kept.sum() < kept.numel()
    assert hidden >= O


def test_it_is_in_a_compiled_graph() -> None:
    layer = dropping(dtype=torch.float32).train()
    whole = torch.compile(layer, backend="eager", fullgraph=True)
    x = inputs(dtype=torch.float32)
    torch.manual_seed(3)
    found, _ = whole(x)
    torch.manual_seed(3)
    torch.testing.assert_close(found, layer(x)[0])
    assert not torch.equal(found, layer.eval()(x)[0])


def test_it_is_drawn_by_torchs_generator() -> None:
    layer = dropping().train()
    torch.manual_seed(5)
    first = layer(inputs())[0]
    second = layer(inputs())[0]
    torch.manual_seed(5)
    assert torch.equal(layer(inputs())[0], first)
    assert not torch.equal(first, second)


def test_the_gradient_of_what_is_dropped_is_zero() -> None:
    layer = dropping(backend="reference").train()
    with torch.no_grad():
        layer.readout.weight[:, layer.hidden_size :] = 0
    h, reads = torch.randn(50, layer.hidden_size).double(), torch.zeros(50, 2, 4).double()
    h.requires_grad_()
    (gradient,) = torch.autograd.grad(layer.output(h, reads).sum(), h)
    share = (gradient == 0).double().mean().item()
    assert abs(share - P) < 0.15


def test_a_stream_drops_too() -> None:
    layer = dropping().train()
    stream = memnets.Stream(layer, B)
    assert stream._stepper is None  # the kernel's own has no dropout
    torch.manual_seed(1)
    first = stream.step(inputs()[0])
    torch.manual_seed(1)
    expected, _ = layer.step(inputs()[0], layer.initial_state(B))
    torch.testing.assert_close(first, expected, rtol=0, atol=1e-12)
    assert memnets.Stream(layer.eval(), B)._stepper is not None


def test_all_of_it_together_in_a_config() -> None:
    controller = WiredStack(
        cell="gru",
        hidden_size=7,
        bypass_dropout=0.1,
        interface=NormalisedInterface(),
        schedule=UniformWriting(interval=2),
    )
    layer = memnets.DNC(3, 2, controller=controller, linkage=None)
    again = memnets.from_config(layer.config)
    assert again.arguments == layer.arguments
    assert again.arguments["controller"] == controller
    assert "bypass_dropout=0.1" in repr(layer)


def test_what_is_not_wired_in_another_way_is_a_stack() -> None:
    one = memnets.DNC(3, 2, controller=WiredStack(cell="gru"))
    other = memnets.DNC(3, 2, controller="gru")
    assert one.spec == other.spec
    assert one.config == other.config


@pytest.mark.parametrize("share", [-0.1, 1.0, True, "much", float("nan")])
def test_a_share_that_is_none(share: Any) -> None:
    with pytest.raises(ValueError, match="bypass_dropout must be at least 0 and below 1; got"):
        WiredStack(bypass_dropout=share)
    with pytest.raises(TypeError, match="interface must be None or a part with a method build"):
        WiredStack(interface=share)
    with pytest.raises(ValueError, match="epsilon must be at least 0 and finite"):
        NormalisedInterface(epsilon=-1.0)

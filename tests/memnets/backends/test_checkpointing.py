"""`checkpoint_every`: the exact results and gradients, with less kept for the backward."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import memnets
from memnets.backends.registry import Backend
from tests.layers import BY_NAME, TABLE, B, Case, I, T, W, assert_same, inputs, results

LENGTHS = [2, 5, 1]


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_nothing_changes(case: Case) -> None:
    """T = 5 is two segments of 2 and one of 1, with rows that end inside of them."""
    expected = results(case.build(), lengths=LENGTHS)
    found = results(case.build(backend=Backend(checkpoint_every=2)), lengths=LENGTHS)
    for actual, wanted in zip(found, expected, strict=True):
        assert_same(actual, wanted)


@pytest.mark.parametrize("name", ["ntm_learned_initial_state", "dnc_learned_initial_state"])
@pytest.mark.parametrize("every", [1, 3, 4, T, T + 1])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_segments_of_any_length(name: str, every: int, lengths: Any) -> None:
    """Also from the initial state, whose parameters get their gradient through every segment."""
    gradients = []
    for options in ({}, {"backend": Backend(checkpoint_every=every)}):
        layer = BY_NAME[name].build(**options)
        y, state = layer(inputs(), lengths=lengths)
        (y.square().sum() + state.memory.memory.sum()).backward()
        gradients.append({key: part.grad for key, part in layer.named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    for key, expected in gradients[0].items():
        assert_same(gradients[1][key], expected)


def kept(layer: Any, steps: int) -> int:
    """How many numbers autograd keeps for the backward of a sequence."""
    sizes = {}

    def pack(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y, _ = layer(inputs(steps=steps))
    assert y.requires_grad
    return sum(sizes.values())


@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_less_is_kept(name: str) -> None:
    """Between segments only states, which are kept by the graph itself and not by hooks."""
    everything = kept(BY_NAME[name].build(backend="reference"), 40)
    segments = kept(BY_NAME[name].build(backend=Backend("reference", checkpoint_every=8)), 40)
    assert segments < everything / 10


def test_the_steps_are_run_again_in_the_backward_only() -> None:
    layer, count = BY_NAME["ntm_lstm"].build(backend=Backend(checkpoint_every=2)), 0

    def counting(*_: Any) -> None:
        nonlocal count
        count += 1

    layer.interface.register_forward_hook(counting)
    y, _ = layer(inputs())
    assert count == T
    y.sum().backward()
    assert T < count <= 2 * T
    count = 0
    with torch.no_grad():
        layer(inputs())
    assert count == T


def test_dropout_in_a_controller_is_the_same_when_run_again() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input_size, self.output_size = I + W, 6
            self.linear = nn.Linear(self.input_size, 6, dtype=torch.float64)

        def initial_state(self, batch_size: int) -> tuple[()]:
            return ()

        def forward(self, x: Tensor, state: tuple[()]) -> tuple[Tensor, tuple[()]]:
            return nn.functional.dropout(self.linear(x), 0.5), state

    layers = [BY_NAME["ntm_lstm"].build(controller=Dropping(), **options) for options in ({}, {})]
    layers[1].checkpoint_every = 2
    layers[1].load_state_dict(layers[0].state_dict())
    expected, found = (results(layer, seed=3) for layer in layers)
    for actual, wanted in zip(found, expected, strict=True):
        assert_same(actual, wanted)


def test_a_gradient_of_a_gradient() -> None:
    found = []
    for options in ({}, {"backend": Backend(checkpoint_every=2)}):
        layer = BY_NAME["dnc_lstm"].build(**options)
        wanted = list(layer.parameters())
        y, _ = layer(inputs())
        first = torch.autograd.grad(y.square().sum(), wanted, create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), wanted)
        found.append(tuple(second))
    assert_same(found[1], found[0])


def test_under_autocast() -> None:
    gradients = []
    for options in ({}, {"backend": Backend(checkpoint_every=2)}):
        layer = BY_NAME["ntm_lstm"].build(dtype=torch.float32, **options)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y, _ = layer(inputs(dtype=torch.float32))
        y.float().square().sum().backward()
        gradients.append(tuple(parameter.grad for parameter in layer.parameters()))
    assert_same(gradients[1], gradients[0], tolerance=1e-6)


def test_inside_a_compiled_model() -> None:
    layer, x = BY_NAME["ntm_lstm"].build(backend=Backend(checkpoint_every=2)), inputs(steps=3)
    expected = BY_NAME["ntm_lstm"].build()(x)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    assert_same(compiled(x), expected)


def test_the_reference_inside_a_transform_of_torch_func() -> None:
    backend = Backend("reference", checkpoint_every=2)
    layer, x = BY_NAME["ntm_lstm"].build(backend=backend), inputs()

    def loss(parameters: dict) -> Tensor:
        return torch.func.functional_call(layer, parameters, (x,))[0].sum()

    with pytest.raises(
        ValueError, match=r"checkpoint_every=2 .* torch\.func.*checkpoint_every=None"
    ):
        torch.func.grad(loss)(dict(layer.named_parameters()))


@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_the_option_is_checked_and_is_no_part_of_the_layer(kind: Any) -> None:
    """It changes what a call costs, not what the layer is: no configuration holds it."""
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=f"checkpoint_every must be .*at least 1; got {wrong}"):
            kind(3, 2, backend=Backend(checkpoint_every=wrong))
    layer = kind(3, 2, memory_size=5, backend=Backend("reference", checkpoint_every=7))
    assert (layer.backend, layer.checkpoint_every) == ("reference", 7)
    plain = kind(3, 2, memory_size=5)
    assert (plain.backend, plain.checkpoint_every) == ("auto", None)
    assert layer.config == plain.config
    backend = Backend("reference", checkpoint_every=7)
    again = memnets.from_config(layer.config, backend=backend)
    assert (again.backend, again.checkpoint_every) == ("reference", 7)
    assert layer.state_dict().keys() == plain.state_dict().keys()
    assert layer.initial_state(B).memory.memory.shape[0] == B

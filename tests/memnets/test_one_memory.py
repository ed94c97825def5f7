"""Layers on one memory: the papers' loops in turn, the gradient, and what does not fit."""

import io
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import memnets
from memnets import OneMemory
from memnets.parts.start import Start
from tests.layers import HIDDEN, WITH_STACKS, B, Case, I, N, O, W, assert_same, inputs, leaves
from tests.memnets.parts.test_oracle_access import assert_state, dnc_shapes, layer_step, ntm_shapes
from tests.samples import as_arrays, assert_equal_to

SIZES: dict[str, Any] = {"memory_size": N, "word_size": W, "hidden_size": HIDDEN}
SIZES |= {"read_heads": 2, "dtype": torch.float64}
KINDS = [(memnets.NTM, ntm_shapes(R=2, H=1, W=W, S=3)), (memnets.DNC, dnc_shapes(R=2, H=1, W=W))]


def three(kind: Any, **options: Any) -> OneMemory:
    """Three layers with other weights each, whose outputs have other sizes."""
    torch.manual_seed(0)
    sizes = [I, 4, 6, O]
    both = OneMemory([kind(*sizes[i : i + 2], **SIZES) for i in range(3)], **options)
    with torch.no_grad():
        for parameter in both.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return both


@pytest.mark.parametrize(("kind", "shapes"), KINDS)
def test_the_papers_steps_in_turn(kind: Any, shapes: Any) -> None:
    """Each layer finds the memory as the one below left it in this step."""
    layers, x = three(kind), inputs(steps=6).numpy()
    outputs, final = layers(torch.tensor(x))
    start = layers.initial_state(B)
    memory = as_arrays(start.memory)
    reads = [np.zeros((B, 2, W)) for _ in range(3)]
    h, c = ([np.zeros((B, HIDDEN)) for _ in range(3)] for _ in range(2))
    for t, y in enumerate(x):
        for depth, layer in enumerate(layers.layers):
            state = {"memory": memory, "read_vectors": reads[depth]}
            y, h[depth], c[depth], after = layer_step(layer, shapes, y, h[depth], c[depth], state)
            memory, reads[depth] = after["memory"], after["read_vectors"]
        assert_equal_to(outputs[t], y, tolerance=1e-9)
    assert_state(final.memory, memory, tolerance=1e-9)
    for found, expected in zip(
        (*final.controller.read_vectors, final.read_vectors), reads, strict=True
    ):
        assert_equal_to(found, expected, tolerance=1e-9)
    for found, expected in zip(final.controller.controllers, h, strict=True):
        assert_equal_to(found[0][0], expected, tolerance=1e-9)


def test_what_one_layer_writes_another_reads() -> None:
    """The memory is not two: the layer above, that writes nothing, reads what is below it."""
    layers, x = three(memnets.DNC), inputs()
    with torch.no_grad():
        for above in layers.layers[1:]:
            write_gate = -1 - 2 * 3  # before the modes of the read heads
            above.interface.linear.weight[write_gate] = 0
            above.interface.linear.bias[write_gate] = -1e3
    _, state = layers(x)
    _, own = memnets.Stacked(list(layers.layers))(x)
    assert not own.layers[1].memory.memory.any()
    assert not own.layers[1].read_vectors.any()
    assert state.memory.memory.abs().amax() > 0.1
    assert state.controller.read_vectors[1].abs().amax() > 1e-3


def test_the_gradient() -> None:
    sizes: dict[str, Any] = {"memory_size": 3, "word_size": 2, "read_heads": 1, "hidden_size": 2}
    sizes |= {"controller": "gru", "dtype": torch.float64}
    torch.manual_seed(0)
    layers = OneMemory([memnets.NTM(2, 2, **sizes), memnets.NTM(2, 2, **sizes)])
    names = [name for name, _ in layers.named_parameters()]
    start = memnets.detach(layers(torch.randn(2, 2, 2, dtype=torch.float64))[1])
    tensors = [leaf.clone().requires_grad_() for leaf in leaves(start)]

    def run(x: Tensor, *given: Tensor) -> Any:
        named = dict(zip(memnets.flatten(start), given, strict=False))
        weights = dict(zip(names, given[len(named) :], strict=True))
        state = memnets.unflatten(named, like=start)
        y, after = torch.func.functional_call(layers, weights, (x, state, [3, 2]))
        return y, *leaves(after)

    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *tensors, *layers.parameters()))


def test_every_weight_learns() -> None:
    layers = three(memnets.DNC)
    y, _ = layers(inputs())
    y.square().sum().backward()
    assert not [n for n, p in layers.named_parameters() if p.grad is None or not p.grad.any()]


def test_dropout_is_between_the_layers() -> None:
    layers, x = three(memnets.NTM, dropout=0.5), inputs()
    assert not torch.equal(layers(x)[0], layers(x)[0])
    kept = three(memnets.NTM)
    assert torch.equal(layers.eval()(x)[0], kept(x)[0])
    assert "dropout=0.5" in repr(layers)


def test_states_and_weights_are_saved_and_drawn_anew() -> None:
    layers, x = three(memnets.DNC), inputs()
    y, state = layers(x)
    file = io.BytesIO()
    torch.save(memnets.detach(state), file)
    file.seek(0)
    assert_same(torch.load(file, weights_only=True), memnets.detach(state))
    other = three(memnets.DNC)
    torch.manual_seed(5)
    other.reset_parameters()
    assert not torch.equal(other(x)[0], y)
    other.load_state_dict(layers.state_dict())
    assert torch.equal(other(x)[0], y)


def test_it_is_a_layer_of_others() -> None:
    layers = three(memnets.DNC)
    above = memnets.Stacked([memnets.Bidirectional(layers, three(memnets.NTM)), nn_of(2 * O)])
    y, _ = above(inputs(), lengths=[5, 2, 3])
    assert y.shape == (5, B, O)


def nn_of(input_size: int) -> memnets.NTM:
    """A layer that sees so many numbers."""
    return memnets.NTM(input_size, O, **SIZES)


@pytest.mark.parametrize("case", WITH_STACKS[-3:], ids=str)
def test_the_first_layer_says_how_often_it_keeps_a_state(case: Case) -> None:
    layers = case.build(backend=memnets.Backend("reference", checkpoint_every=2))
    assert layers.checkpoint_every == 2
    y, state = layers(inputs())
    assert_same((y, state), case.build()(inputs()))


def test_the_memory_begins_as_the_first_layer_says() -> None:
    learned = memnets.NTM(I, 3, start=Start(learned=True), **SIZES)
    layers = OneMemory([learned, memnets.NTM(3, O, start=Start(memory=0.5), **SIZES)])
    with torch.no_grad():
        learned.start_memory.fill_(0.25)
    assert torch.equal(layers.initial_state(2).memory.memory, torch.full((2, N, W), 0.25).double())


NTM = memnets.NTM(I, O, **SIZES)


@pytest.mark.parametrize(
    ("above", "kind", "message"),
    [
        (memnets.NTM(O, O, **{**SIZES, "memory_size": 6}), ValueError, "(1, 5, 4), and is one of"),
        (
            memnets.NTM(O, O, **{**SIZES, "read_heads": 1}),
            ValueError,
            "layers[1].read_weights must",
        ),
        (memnets.DNC(O, O, **SIZES), ValueError, "layers[1] must be a NTMMemory, and is a DNCMem"),
        (
            memnets.NTM(O, O, **{**SIZES, "dtype": torch.float32}),
            ValueError,
            "use memnets.Stacked, a memory each.",
        ),
        (
            memnets.NTM(O, O, start=Start(learned=True), **SIZES),
            ValueError,
            "layers[1] learns another beginning: make it without start=Start(learned=True).",
        ),
        (
            memnets.NTM(O, O, backend="fused", **SIZES),
            ValueError,
            "layers[1].backend is 'fused': make it with backend=\"reference\".",
        ),
        (
            memnets.Bidirectional(memnets.NTM(O, O), memnets.NTM(O, O)),
            TypeError,
            "layers[1] must have a memory, such as memnets.NTM(9, 8); got Bidirectional.",
        ),
        (memnets.NTM(3, O, **SIZES), ValueError, "layers[1].input_size is 3"),
        (nn.LSTM(O, O), TypeError, "layers[1] must be a layer"),
    ],
)
def test_layers_that_do_not_fit(above: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        OneMemory([NTM, above])


def test_states_that_do_not_fit() -> None:
    layers = three(memnets.NTM)
    with pytest.raises(ValueError, match="The state is not of this layer and batch"):
        layers(inputs(), layers.initial_state(2))
    with pytest.raises(TypeError, match=r"state must be a memnets\.State"):
        layers(inputs(), (layers.initial_state(2),))

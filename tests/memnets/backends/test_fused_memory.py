"""What the kernel reads by address is what it was told: shapes, settings, lengths and rooms."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

import memnets
from memnets.backends import cpu as fused
from memnets.parts.content import Content
from memnets.parts.heads import Heads
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation
from tests.layers import BY_NAME, B, I, inputs, leaves
from tests.memnets.backends.test_guard import follows_or_refuses


def resized_memory(layer):
    layer.start_memory = nn.Parameter(torch.randn(3, 4, dtype=torch.float64))


def narrow_state(layer):
    whole = layer.initial_state
    layer.initial_state = lambda rows=None: memnets.map_tensors(torch.Tensor.float, whole(rows))


def small_controller_state(layer):
    layer.controller.state_shape = (*layer.controller.state_shape[:2], 2)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("ntm_learned_initial_state", resized_memory, "states with the shapes"),
        ("dnc_learned_initial_state", resized_memory, "states with the shapes"),
        ("ntm_lstm", small_controller_state, "states with the shapes"),
        ("ntm_lstm", narrow_state, "of one dtype"),
    ],
)
def test_a_state_that_the_layer_makes_of_another_form(name, change, reason):
    layer = BY_NAME[name].build()
    change(layer)
    assert reason in fused.supports(layer, inputs(), layer.initial_state(B))


@pytest.mark.parametrize("backend", ["auto", "fused", "reference"])
@pytest.mark.parametrize("change", [resized_memory, small_controller_state])
def test_a_state_is_checked_against_the_layer_as_it_is_now(change, backend):
    layer = BY_NAME["ntm_learned_initial_state"].build()
    if change is small_controller_state:
        layer = BY_NAME["ntm_lstm"].build()
    layer.backend = backend
    _, state = layer(inputs())
    change(layer)
    with pytest.raises(ValueError, match=r"state is not of this layer.*initial_state\(3\)"):
        layer(inputs(), state)


@pytest.mark.parametrize("backend", ["auto", "fused", "reference"])
def test_a_state_is_checked_against_an_initial_state_of_the_layers_own(backend):
    layer = BY_NAME["ntm_lstm"].build()
    layer.backend = backend
    _, state = layer(inputs())
    layer(inputs(), state)
    narrow_state(layer)
    with pytest.raises(ValueError, match=r"must be a tensor of torch\.float32, and is one of"):
        layer(inputs(), state)


@pytest.mark.parametrize("backend", ["auto", "fused", "reference"])
@pytest.mark.parametrize(
    ("name", "change", "difference"),
    [
        ("ntm_lstm", lambda s: s._replace(controller=list(s.controller)), "tuple, and is a list"),
        ("ntm_lstm", lambda s: s._replace(controller=1.0), "tuple, and is a float"),
        ("ntm_lstm", lambda s: s._replace(memory=tuple(s.memory)), "NTMMemory, and is a tuple"),
        (
            "ntm_lstm",
            lambda s: s._replace(memory=s.memory._replace(addressing=((), ()))),
            "have 0 parts, and has 2",
        ),
        (
            "ntm_lstm",
            lambda s: s._replace(memory=s.memory._replace(read_weights=None)),
            "must be a tensor, and is a NoneType",
        ),
        (
            "ntm_feedforward",
            lambda s: s._replace(controller=s.read_vectors),
            "must be a tuple, and is a Tensor",
        ),
    ],
)
def test_a_state_nested_in_another_way(name, change, difference, backend):
    layer = BY_NAME[name].build()
    layer.backend = backend
    _, state = layer(inputs())
    with pytest.raises(ValueError, match=f"state is not of this layer.*{difference}"):
        layer(inputs(), change(state))


def test_a_number_of_heads_that_the_heads_do_not_have():
    layer = BY_NAME["ntm_lstm"].build()
    layer.write_heads = 2
    assert "Its heads must be" in fused.supports(layer, inputs(), layer.initial_state(B))


@pytest.mark.parametrize("kind", [torch.tensor, lambda value: nn.Parameter(torch.tensor(value))])
def test_tensors_as_settings_are_refused(kind):
    layer = BY_NAME["dnc_lstm"].build(content=Content())  # of its own: it is changed in place
    layer(inputs())
    object.__setattr__(layer.content, "similarity_epsilon", kind(1e-3))
    assert "plain numbers; similarity_epsilon" in follows_or_refuses(layer)
    layer = BY_NAME["ntm_lstm"].build()
    table = layer.interface.tables[0]
    table.fields["strengths"] = table.fields["strengths"]._replace(limit=kind(1.7).double())
    reason = fused.supports(layer, inputs(), layer.initial_state(B))
    assert "the limit of strengths" in reason


NO_EPSILON = [
    ("ntm_lstm", {"heads": Heads(read=ContentAndLocation(similarity_epsilon=0.0))}),
    ("dnc_lstm", {"content": Content(similarity_epsilon=0.0)}),
    ("dnc_lstm", {"content": Content(masked=True, similarity_epsilon=1e-39)}),
    ("dnc_lstm", {"linkage": Linkage(sharpened=True, sharpen_epsilon=1e-39)}),
]


@pytest.mark.parametrize(("name", "parts"), NO_EPSILON)
def test_no_epsilon_is_refused(name, parts):
    """The padded slots would divide 0 by it; numbers that are not normal are taken as 0."""
    layer = BY_NAME[name].build(**parts)
    reason = fused.supports(layer, inputs(), layer.initial_state(B))
    assert re.search(r"divides by (similarity|sharpen)_epsilon=(0\.0|1e-39)", reason)


def test_a_parameter_hidden_by_an_attribute():
    layer = BY_NAME["ntm_lstm"].build()
    layer.controller.cells[0].__dict__["weight_hh"] = torch.zeros(2, 2, dtype=torch.float64)
    assert "weight_hh of its own" in fused.supports(layer, inputs(), layer.initial_state(B))


def test_a_parameter_whose_storage_is_freed():
    layer = BY_NAME["ntm_lstm"].build()
    layer.interface.linear.weight.untyped_storage().resize_(0)
    assert "is freed" in fused.supports(layer, inputs(), layer.initial_state(B))


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_feedforward"])
def test_lengths_may_be_filled_anew_before_the_backward(name, kind):
    layer = BY_NAME[name].build()
    layer.backend = "fused"
    lengths = kind([3, 5, 1])
    y, _ = layer(inputs(), lengths=lengths)
    expected = torch.autograd.grad(y.sum(), layer.interface.linear.weight, retain_graph=True)
    lengths[:] = 4
    assert torch.equal(torch.autograd.grad(y.sum(), layer.interface.linear.weight)[0], expected[0])


@pytest.mark.parametrize("offset", [1, 2, 8, 16])
@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_saved_tensors_that_come_back_at_an_offset(name, offset):
    """As from a pool of memory, or from a file."""

    def unpack(tensor):
        pool = tensor.new_empty(tensor.numel() + offset)
        return pool[offset:].view(tensor.shape).copy_(tensor)

    layer = BY_NAME[name].build(dtype=torch.float32)
    layer.backend = "fused"
    gradients = []
    for hooks in (lambda tensor: tensor, unpack):
        with torch.autograd.graph.saved_tensors_hooks(torch.Tensor.clone, hooks):
            y, _ = layer(inputs(dtype=torch.float32))
            gradients.append(torch.autograd.grad(y.sum(), layer.controller.parameters()))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def penalty(layer):
    x = inputs().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    return torch.autograd.grad(gradient.square().sum(), x)[0]


@pytest.mark.parametrize("change", ["pruned", "tied"])
def test_second_derivatives_of_parameters_in_another_order_or_tied(change):
    found = []
    for backend in ("auto", "reference"):
        layer = BY_NAME["ntm_gru"].build()
        layer.backend = backend
        cell = layer.controller.cells[0]
        if change == "pruned":  # which leaves the parameter behind the others
            prune.remove(prune.identity(cell, "bias_ih"), "bias_ih")
        else:
            cell.bias_hh = cell.bias_ih
        found.append(penalty(layer))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


def test_two_threads_run_backward_on_one_graph_in_segments():
    layer = BY_NAME["dnc_lstm"].build()
    layer.backend, layer.checkpoint_every = "fused", 7
    x = torch.randn(40, 8, I, dtype=torch.float64)
    loss = layer(x)[0].square().sum()
    wanted = list(layer.controller.parameters())

    def backward(_):
        return torch.autograd.grad(loss, wanted, retain_graph=True)

    expected = backward(0)
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(backward, range(12)):
            assert all(map(torch.equal, found, expected))


def test_a_mode_around_the_backward_sees_it():
    layer = BY_NAME["ntm_lstm"].build()
    y, state = layer(inputs())
    with FlopCounterMode(display=False) as counter:
        (y.sum() + sum(leaf.sum() for leaf in leaves(state))).backward()
    assert counter.get_total_flops() > 0

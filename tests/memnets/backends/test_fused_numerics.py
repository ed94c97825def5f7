"""The kernel where numbers are at their largest: it gives what the reference gives, and no NaN."""

import copy
import math

import pytest
import torch

import memnets
from memnets.parts.content import Content
from memnets.parts.heads import Heads, ReadHead, WriteHead
from memnets.parts.location import ContentAndLocation, Location
from tests.layers import leaves

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
LAYERS = {
    "ntm": (memnets.NTM, {}),
    "ntm_softplus_read_first": (
        memnets.NTM,
        {"heads": Heads(read=ContentAndLocation(strength="softplus"), read_first=True)},
    ),
    "ntm_content": (memnets.NTM, {"heads": [ReadHead(Content(), 2), WriteHead(Content())]}),
    "ntm_location": (memnets.NTM, {"heads": [ReadHead(Location()), WriteHead(Location())]}),
    "dnc": (memnets.DNC, {"read_heads": 2, "write_heads": 2}),
}


def build(name, dtype, size):
    """A layer whose strengths (of the NTM: and sharpenings) are about `size`, and a state."""
    kind, options = LAYERS[name]
    torch.manual_seed(0)
    layer = kind(3, 2, memory_size=21, word_size=5, hidden_size=6, **options).double()
    start = 0
    with torch.no_grad():
        for table in layer.interface.tables:
            for field, made in table.fields.items():
                end = start + math.prod(made.shape)
                if field.endswith(("strengths", "sharpenings")):
                    layer.interface.linear.bias[start:end] += size
                start = end
    return layer.to(dtype)


def results(layer, backend, x, carried):
    """Outputs, final state, and the gradients of x, of the carried state and of every parameter."""
    layer.backend = backend
    x = x.clone().requires_grad_()
    carried = memnets.map_tensors(lambda leaf: leaf.clone().requires_grad_(), carried)
    y, state = layer(x, carried)
    made = [y, *leaves(state)]
    wanted = [x, *leaves(carried), *layer.parameters()]
    weights = [torch.linspace(-1, 1, one.numel(), dtype=one.dtype).view_as(one) for one in made]
    gradients = torch.autograd.grad(made, wanted, weights, materialize_grads=True)
    return [one.detach() for one in (*made, *gradients)]


def call(name, dtype, size):
    """A layer, an input, and a state whose slots all differ."""
    layer = build(name, dtype, size)
    x = torch.randn(3, 4, 3, dtype=torch.float64).to(dtype)
    with torch.no_grad():
        carried = copy.deepcopy(layer).initial_state(4)
    memory = torch.randn(4, 21, 5, dtype=torch.float64).to(dtype)
    return layer, x, carried._replace(memory=carried.memory._replace(memory=memory))


@DTYPES
@pytest.mark.parametrize("size", [1e3, 1e6, 1e9, 1e12, 1e20, 1e30])
@pytest.mark.parametrize("name", LAYERS)
def test_strengths_and_sharpenings_of_any_size(name, size, dtype):
    layer, x, carried = call(name, dtype, size)
    expected = results(layer, "reference", x, carried)
    actual = results(layer, "fused", x, carried)
    # A head stands on one slot, and no strength has a gradient left that rounding could change.
    tolerance = 1e-9 if dtype == torch.float64 else 2e-4
    for one, other in zip(actual, expected, strict=True):
        assert other.isfinite().all()
        assert one.isfinite().all()
        assert ((one - other).abs() <= tolerance * (1 + other.abs().max())).all()


@DTYPES
@pytest.mark.parametrize("name", LAYERS)
def test_an_infinite_strength_or_sharpening_is_nan_in_both(name, dtype):
    layer, x, carried = call(name, dtype, math.inf)
    expected = results(layer, "reference", x, carried)
    actual = results(layer, "fused", x, carried)
    assert expected[0].isnan().all()
    # The kernel has more: the link's diagonal is NaN * 0 there, where the reference sets it to 0.
    for one, other in zip(actual, expected, strict=True):
        assert one[other.isnan()].isnan().all()

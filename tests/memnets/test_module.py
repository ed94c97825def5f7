"""What every layer of the table promises as an nn.Module: copies, checkpoints, devices, dtypes,
transforms.
"""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn

import memnets
from memnets.parts.controllers import CELLS
from tests.layers import BY_NAME, TABLE, B, Case, I, O, OwnGRU, assert_same, inputs, leaves

over_the_table = pytest.mark.parametrize("case", TABLE, ids=str)


@over_the_table
def test_deepcopy(case: Case) -> None:
    layer, x = case.build(), inputs()
    twin = copy.deepcopy(layer)
    assert_same(twin(x), layer(x), tolerance=0)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert any((parameter != 0).any() for parameter in layer.parameters())


@over_the_table
def test_pickle(case: Case) -> None:
    layer, x = case.build(), inputs()
    assert_same(pickle.loads(pickle.dumps(layer))(x), layer(x), tolerance=0)
    _, state = layer(x)
    assert_same(pickle.loads(pickle.dumps(memnets.detach(state))), state, tolerance=0)


@over_the_table
def test_state_dict_round_trip(case: Case) -> None:
    layer, other, x = case.build(), case.build(seed=1), inputs()
    assert not torch.equal(layer(x)[0], other(x)[0])
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert_same(other(x), layer(x), tolerance=0)


@over_the_table
def test_functional_call(case: Case) -> None:
    layer, other, x = case.build(), case.build(seed=1), inputs()
    parameters = dict(other.named_parameters())
    assert_same(torch.func.functional_call(layer, parameters, (x,)), other(x), tolerance=0)


@over_the_table
def test_vmap_over_stacked_parameters(case: Case) -> None:
    """Several seeds at once: outputs and gradients of each equal those of the layer alone."""
    if case.own_controller:
        pytest.skip("torch has no vmap rule for the nn.GRUCell inside this user's controller")
    seeds, x = [case.build(seed=seed) for seed in range(2)], inputs()
    parameters, buffers = torch.func.stack_module_state(seeds)
    layer = copy.deepcopy(seeds[0]).to("meta")

    def loss(parameters: dict, buffers: dict) -> torch.Tensor:
        y, _ = torch.func.functional_call(layer, (parameters, buffers), (x,))
        return y.square().sum()

    found, losses = torch.func.vmap(torch.func.grad_and_value(loss))(parameters, buffers)
    for index, alone in enumerate(seeds):
        expected = alone(x)[0].square().sum()
        assert_same(losses[index], expected.detach())
        expected.backward()
        for name, parameter in alone.named_parameters():
            assert_same(found[name][index], parameter.grad, tolerance=1e-9)


@over_the_table
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_to_another_dtype(case: Case, dtype: torch.dtype) -> None:
    """Moved by .to() or made so: every parameter, output and state tensor has the dtype."""
    x = inputs(dtype=dtype)
    for layer in (case.build().to(dtype), case.build(dtype=dtype)):
        y, state = layer(x)
        tensors = [*layer.parameters(), *layer.buffers(), y, *leaves(state)]
        tensors += leaves(layer.initial_state(B))
        assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {dtype}


@over_the_table
def test_float32_is_near_float64(case: Case) -> None:
    """The largest differences come from sharpening and strengths, which amplify rounding a few
    times.
    """
    layer, x = case.build(), inputs()
    y, _ = layer(x)
    narrow, _ = layer.float()(x.float())
    torch.testing.assert_close(narrow.double(), y, rtol=1e-4, atol=1e-4)


@over_the_table
def test_the_meta_device(case: Case) -> None:
    """No tensor is left behind on another device, and none is made on the default one.

    Few steps: torch runs this device's operations in Python.
    """
    x = inputs(steps=2).to("meta")
    for layer, lengths in ((case.build().to("meta"), None), (case.build(device="meta"), [2, 1, 1])):
        y, state = layer(x, lengths=lengths)
        assert y.shape == (2, B, layer.output_size)
        tensors = [y, *leaves(state), *leaves(layer.initial_state(B))]
        tensors += [*layer.parameters(), *layer.buffers()]
        assert {tensor.device.type for tensor in tensors} == {"meta"}


@over_the_table
def test_to_empty_and_load(case: Case) -> None:
    """A layer made on the meta device and then filled works: nothing it needs is outside its
    checkpoint.
    """
    layer, x = case.build(), inputs()
    empty = poisoned(case)
    empty.load_state_dict(layer.state_dict(), strict=True)
    assert_same(empty(x), layer(x), tolerance=0)


def poisoned(case: Case) -> Any:
    """A layer out of `to_empty`, and NaN where that leaves whatever was in the memory."""
    empty = case.build(device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*empty.parameters(), *empty.buffers()):
            tensor.fill_(torch.nan)
    return empty


@over_the_table
def test_reset_parameters_after_to_empty_makes_a_new_layer(case: Case) -> None:
    torch.manual_seed(3)
    new = case.make(dtype=torch.float64)
    layer = poisoned(case)
    torch.manual_seed(3)
    layer.reset_parameters()
    assert_same(tuple(layer.parameters()), tuple(new.parameters()), tolerance=0)
    assert_same(layer(inputs()), new(inputs()), tolerance=0)


@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
@pytest.mark.parametrize("controller", CELLS)
def test_the_start_is_reset_too(kind: Any, controller: str) -> None:
    """A learned start, its spread and all biases are drawn and set again, in the same order."""
    stack = memnets.Stack(cell=controller, num_layers=2)
    start = memnets.Start(learned=True, spread=0.5, memory=0.2)
    torch.manual_seed(3)
    layer = kind(I, O, memory_size=6, controller=stack, start=start)
    new = copy.deepcopy(layer)
    for parameter in layer.parameters():
        nn.init.constant_(parameter, torch.nan)
    torch.manual_seed(3)
    layer.reset_parameters()
    assert_same(tuple(layer.parameters()), tuple(new.parameters()), tolerance=0)


def test_reset_parameters_of_a_part_that_has_none() -> None:
    class Own(OwnGRU):
        def __init__(self) -> None:
            super().__init__(I + 4, 5)
            self.scale = nn.Parameter(torch.ones(5))

    layer = memnets.NTM(I, O, memory_size=3, word_size=4, controller=Own())
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(
        TypeError, match=r"must have reset_parameters\(\); Own has none: define Own\."
    ):
        layer.reset_parameters()
    assert_same(tuple(layer.state_dict().values()), tuple(before.values()), tolerance=0)


def test_the_seeds_of_torch_still_give_the_layers_of_version_0_1() -> None:
    """The order in which a new layer draws is part of what a seed means."""
    torch.manual_seed(0)
    layer = memnets.NTM(I, O, memory_size=4, word_size=2, hidden_size=2)
    torch.manual_seed(0)
    drawn = [torch.empty(8, size).uniform_(-(2**-0.5), 2**-0.5) for size in (I + 2, 2)]
    cell = layer.controller.cells[0]
    assert_same((cell.weight_ih.data, cell.weight_hh.data), tuple(drawn), tolerance=0)
    torch.empty(2, 8).uniform_()  # the two biases
    linear = nn.Linear(2, layer.interface.linear.out_features)
    assert torch.equal(layer.interface.linear.weight, linear.weight)
    assert torch.equal(layer.readout.weight, nn.Linear(4, O).weight)


@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_sizes_of_the_controller(kind: Any) -> None:
    assert (kind(I, O, hidden_size=7).hidden_size, kind(I, O).num_layers) == (7, 1)
    layer = kind(I, O, controller=memnets.Stack(hidden_size=7, num_layers=2))
    assert (layer.hidden_size, layer.num_layers) == (7, 2)
    own = kind(I, O, read_heads=1, word_size=4, controller=OwnGRU(I + 4, 5))
    assert (own.hidden_size, own.num_layers) == (None, None)


@pytest.mark.parametrize("backend", ["reference", "fused"])
@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_without_a_readout_the_output_is_what_a_readout_sees(kind: Any, backend: str) -> None:
    """h of the controller and then the read vectors: as through a readout that is the identity."""
    sizes: dict[str, Any] = {"memory_size": 5, "word_size": 3, "read_heads": 2, "hidden_size": 4}
    torch.manual_seed(0)
    bare = kind(I, None, backend=backend, dtype=torch.float64, **sizes)
    assert bare.output_size == 4 + 2 * 3
    read = kind(I, bare.output_size, backend=backend, dtype=torch.float64, **sizes)
    assert set(read.state_dict()) - set(bare.state_dict()) == {"readout.weight", "readout.bias"}
    read.load_state_dict({**read.state_dict(), **bare.state_dict()})
    with torch.no_grad():
        read.readout.weight.copy_(torch.eye(bare.output_size))
        read.readout.bias.zero_()
    x = inputs()
    y, state = bare(x, lengths=[5, 2, 3])
    assert_same((y, state), read(x, lengths=[5, 2, 3]))
    assert_same(y[-1, 0], torch.cat([state.controller[0][0][0], state.read_vectors[0].flatten()]))
    assert repr(bare).startswith(f"{kind.__name__}(\n  3, None,")


@over_the_table
def test_a_saved_state_loads_as_weights_only(case: Case) -> None:
    layer, x = case.build(), inputs()
    saved = (memnets.detach(layer(x)[1]), memnets.record(layer, x))
    # The trace of some holds a class of the user's own.
    if "own_addressing" in case.name or "own_writing" in case.name:
        saved = saved[:1]
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    assert_same(torch.load(file, weights_only=True), saved, tolerance=0)


@over_the_table
def test_gradients_reach_every_parameter(case: Case) -> None:
    layer = case.build()
    y, _ = layer(inputs())
    y.square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


@over_the_table
def test_parameters_are_named_once(case: Case) -> None:
    layer = case.build()
    parameters = [id(parameter) for parameter in layer.parameters()]
    assert len(parameters) == len(set(parameters)) > 0
    assert set(layer.state_dict()) == {name for name, _ in layer.named_parameters()}


@over_the_table
def test_seeds_decide_the_parameters(case: Case) -> None:
    first, again, other = case.build(), case.build(), case.build(seed=1)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
        assert not torch.equal(tensor, other.state_dict()[name])


@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_repr_shows_sizes_and_what_is_not_default(kind: type) -> None:
    plain = repr(kind(I, O))
    assert plain.startswith(f"{kind.__name__}(")
    assert f"{I}, {O}" in plain
    assert "batch_first" not in plain
    assert "start" not in plain
    start = memnets.Start(memory=0.25)
    layer = kind(I, O, memory_size=17, word_size=7, read_heads=3, batch_first=True, start=start)
    for text in ("memory_size=17", "word_size=7", "read_heads=3", "batch_first=True"):
        assert text in repr(layer)
    assert "start=Start(memory=0.25, learned=False, spread=0.0)" in repr(layer)
    learned = kind(I, O, start=memnets.Start(learned=True))
    assert "start=Start(memory=None, learned=True" in repr(learned)


def test_sequential_sizes_and_public_names() -> None:
    """Plain nn.Modules, and every name the package offers is there."""
    layer = BY_NAME["ntm_lstm"].build()
    assert isinstance(layer, nn.Module)
    assert (layer.input_size, layer.output_size) == (I, O)
    assert all(hasattr(memnets, name) for name in memnets.__all__)
    assert {"NTM", "DNC", "record", "detach", "load"} <= set(memnets.__all__)


@pytest.mark.parametrize("controller", CELLS)
def test_a_state_from_autocast_goes_on_without_it(controller):
    layer = memnets.NTM(3, 2, memory_size=5, word_size=4, hidden_size=6, controller=controller)
    x = torch.randn(4, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, state = layer(x)
        layer(x, state)
    y, _ = layer(x, state)
    assert y.dtype == torch.float32
    assert y.isfinite().all()


def test_lengths_beside_another_default_device():
    layer = memnets.NTM(3, 2, memory_size=5, word_size=4, hidden_size=6)
    x = torch.randn(4, 2, 3)
    expected, _ = layer(x, lengths=[2, 4])
    with torch.device("meta"):
        y, _ = layer(x, lengths=[2, 4])
    assert torch.equal(y, expected)


def test_a_model_of_ones_own_shows_itself():
    class Small(memnets.DNC):
        def __init__(self, size):
            super().__init__(size, size, memory_size=4, word_size=3)

    assert "memory_size=4" in repr(Small(2))

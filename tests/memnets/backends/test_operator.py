"""The kernel as an operator of torch: exported, saved and loaded, and called by anyone."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from memnets.backends.cpu import graphs
from memnets.backends.cpu.described import DescriptionError, described
from memnets.backends.cpu.problems import tensors_of
from memnets.state import leaves, map_tensors
from tests.graphs import OPERATOR, Model, assert_trains_as, called, exported
from tests.layers import BY_NAME, assert_same, inputs

SERVED = ["ntm_lstm", "dnc_lstm"]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", SERVED)
def test_export(name: str, strict: bool) -> None:
    """For any number of rows and steps; what is exported can be saved, and trained."""
    model = Model(BY_NAME[name].build(backend="fused"))
    assert_trains_as(exported(model, inputs(), strict), model, tolerance=1e-12)


def test_an_exported_program_in_another_process(tmp_path: Any) -> None:
    """It has all that the kernel must know in it; `import memnets` makes its operator known."""
    layer, x = BY_NAME["dnc_several_heads"].build(backend="fused"), inputs()
    program = torch.export.export(Model(layer), (x,))
    torch.export.save(program, tmp_path / "program.pt2")
    expected = program.module()(x)[0].detach()
    torch.save([x, expected], tmp_path / "pair.pt")
    code = "import sys, torch, memnets; x, y = torch.load(sys.argv[1] + '/pair.pt'); "
    code += "run = torch.export.load(sys.argv[1] + '/program.pt2').module(); "
    code += "print(float((run(x)[0] - y).detach().abs().max()))"
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(printed.stdout) == 0


def test_a_layer_that_its_config_does_not_describe() -> None:
    layer, x = BY_NAME["ntm_lstm"].build(), inputs()
    fields = layer.interface.tables[0].fields
    fields["strengths"] = fields["strengths"]._replace(limit=1.5)
    assert layer.backend_for(x).backend == "fused"
    program = torch.export.export(Model(layer), (x,))
    assert OPERATOR not in called(program.graph_module)
    layer.backend = "fused"
    with pytest.raises(ValueError, match="changed after it was made"):
        torch.export.export(Model(layer), (x,))


@pytest.mark.parametrize("text", ["", "{}", '{"name": "LSTM", "arguments": {}}'])
def test_a_text_that_describes_no_layer(text: str) -> None:
    with pytest.raises(DescriptionError, match="takes the config of a memnets"):
        described(text)


def _flat(layer: Any, x: Tensor) -> list[Tensor]:
    state = map_tensors(lambda tensor: tensor.to(x.dtype), layer.initial_state(x.shape[1]))
    return tensors_of(layer, x, state, None).flat()


def _operator(layer: Any, x: Tensor, change: dict[int, Tensor], **named: Any) -> Any:
    flat = _flat(layer, x)
    for index, tensor in change.items():
        flat[index] = tensor
    given = {"lengths": None, "starts": None, "readout": False, **named}
    text = graphs.text_of(layer, "cpu")
    call = given["lengths"], given["starts"], text, 1, False, given["readout"]
    return torch.ops.memnets.sequence(flat, *call)


def test_the_operator_looks_at_what_it_is_given() -> None:
    """It takes tensors by their address, and who calls it may pass anything."""
    layer, x = BY_NAME["ntm_lstm"].build(), inputs()
    assert len(_operator(layer, x, {})) == 9
    with pytest.raises(ValueError, match="takes tensors of the shapes"):
        _operator(layer, x, {1: torch.zeros(2, 2, dtype=torch.float64)})
    with pytest.raises(ValueError, match=r"of one dtype.*; got torch\.float32"):
        _operator(layer, x, {1: layer.interface.linear.weight.detach().float()})
    half = BY_NAME["ntm_lstm"].build(dtype=torch.float16)
    with pytest.raises(ValueError, match=r"float32 or float64.*; got torch\.float16"):
        _operator(layer, x, dict(enumerate(_flat(half, x.half()))))
    with pytest.raises(ValueError, match=r"lengths must be 3 whole numbers from 1 to T=5"):
        _operator(layer, x, {}, lengths=torch.tensor([1, 6, 2]))
    with pytest.raises(ValueError, match="takes tensors of the shapes"):  # no weights of a readout
        _operator(layer, x, {}, readout=True)
    with pytest.raises(ValueError, match="takes tensors of the shapes"):  # none to begin anew from
        _operator(layer, x, {}, starts=torch.zeros(5, 3, dtype=torch.bool))


@pytest.mark.parametrize("readout", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_the_operator_keeps_the_rules_of_torch(kept: bool, readout: bool) -> None:
    layer, x = BY_NAME["ntm_lstm"].build(), inputs()
    given = _flat(layer, x) + list(layer.readout.parameters()) * readout
    flat = [tensor.detach().requires_grad_() for tensor in given]
    checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
    if not kept:  # what is kept has numbers that are not set, which differ from call to call
        checks.append("test_aot_dispatch_dynamic")
    call = (flat, None, None, graphs.text_of(layer, "cpu"), 5, kept, readout)
    torch.library.opcheck(torch.ops.memnets.sequence.default, call, test_utils=checks)


@pytest.mark.parametrize("kept", [True, False])
def test_a_readout_whose_logits_nobody_uses_has_no_gradient(kept: bool) -> None:
    """The kernel finds none then; the operator says 0 where one is asked for."""
    layer, x = BY_NAME["ntm_lstm"].build(), inputs()
    readout = list(layer.readout.parameters())
    flat = [tensor.detach().requires_grad_() for tensor in (*_flat(layer, x), *readout)]
    h, *_ = torch.ops.memnets.sequence(
        flat, None, None, graphs.text_of(layer, "cpu"), 5, kept, True
    )
    found = torch.autograd.grad(h.square().sum(), flat)
    h, *_ = torch.ops.memnets.sequence(
        flat[:-2], None, None, graphs.text_of(layer, "cpu"), 5, kept, False
    )
    assert_same(found[:-2], torch.autograd.grad(h.square().sum(), flat[:-2]), tolerance=1e-14)
    assert not any(one.any() for one in found[-2:])


def test_fake_tensors() -> None:
    layer = BY_NAME["dnc_lstm"].build(backend="fused")
    y, state = layer(inputs())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        found, after = layer(mode.from_tensor(inputs()))
    shapes = [(one.shape, one.dtype) for one in (found, *leaves(after))]
    assert shapes == [(one.shape, one.dtype) for one in (y, *leaves(state))]

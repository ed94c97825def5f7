"""What the backward has written again: memories of a long sequence, kept for a few steps at once.

And what the kernel makes besides the steps: the logits, and the gradients of all weights.
"""

import copy
import ctypes
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._functorch import config as functorch
from torch.nn import functional

import memnets
from memnets.backends.cpu import division, node
from memnets.backends.cpu.buffers import ALIGNMENT
from memnets.backends.cpu.described import described, text_of
from memnets.backends.cpu.division import LINKS_EVERY, SPAN, links_every, span, written_a_step
from memnets.backends.cpu.host import Host
from memnets.backends.cpu.library import load
from memnets.backends.cpu.plan import Problem
from memnets.backends.cpu.problems import READOUT
from memnets.backends.registry import Backend
from tests.layers import BY_NAME, TABLE, B, Case, I, assert_same, inputs

STEPS = 3 * SPAN + 2
LENGTHS = [SPAN, STEPS, SPAN + 1]
ROWS = pytest.mark.parametrize(("lengths", "begins"), [(None, False), (LENGTHS, True)])
WRITERS = [case for case in TABLE if case.kernel and case.name.startswith(("ntm", "dnc"))]


@pytest.fixture(params=["kept", "written again"])
def near(request: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes of memories are kept: all of them, or as few as possible."""
    bytes_kept = 2**40 if request.param == "kept" else 0
    monkeypatch.setattr(division, "NEAR", bytes_kept)
    return bytes_kept


def gradients(layer: Any, lengths: Any, begins: bool) -> list[Tensor]:
    """Of a loss on outputs and the final state, after one backward and after a second."""
    x = inputs(steps=STEPS).requires_grad_()
    starts = None
    if begins:
        starts = torch.rand(STEPS, B, generator=torch.Generator().manual_seed(1)) < 0.2
    y, state = layer(x, lengths=lengths, starts=starts)
    loss = y.square().sum() + state.memory.memory.sum()
    wanted = [x, *layer.parameters()]
    both = [torch.autograd.grad(loss, wanted, retain_graph=again) for again in (True, False)]
    return [y, state.memory.memory, *both[0], *both[1]]


@ROWS
@pytest.mark.parametrize("case", WRITERS, ids=str)
def test_memories_that_are_written_again(case: Case, lengths: Any, begins: bool, near: int) -> None:
    expected = gradients(case.build(backend="reference"), lengths, begins)
    for found, wanted in zip(
        gradients(case.build(backend="fused"), lengths, begins), expected, strict=True
    ):
        assert_same(found, wanted, 1e-10)


@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm", "dnc_wiped"])
def test_they_are_the_same_bits(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = []
    for bytes_kept in (2**40, 0):
        monkeypatch.setattr(division, "NEAR", bytes_kept)
        found.append(gradients(BY_NAME[name].build(backend="fused"), LENGTHS, True))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def largest_saved(layer: Any, x: Tensor) -> int:
    """How many numbers the largest tensor has that a backward is left."""
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        layer(x)
    return max(sizes)


def numbers_kept(monkeypatch: pytest.MonkeyPatch, bytes_kept: int) -> int:
    monkeypatch.setattr(division, "NEAR", bytes_kept)
    layer = memnets.NTM(I, 2, memory_size=64, word_size=16, hidden_size=8, backend="fused")
    return largest_saved(layer, torch.rand(64, B, I))


def test_fewer_numbers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """For every fourth step alone a memory, of 64 slots of 16 numbers."""
    saved = numbers_kept(monkeypatch, 2**40) - numbers_kept(monkeypatch, 0)
    assert saved > 0.6 * B * 64 * 64 * 16


LINKED = [case for case in TABLE if case.kernel and case.name.startswith("dnc")]


@pytest.mark.parametrize("every", [1, LINKS_EVERY])
@ROWS
@pytest.mark.parametrize("case", LINKED, ids=str)
def test_links_that_are_made_again(
    case: Case, lengths: Any, begins: bool, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(division, "LINKS_EVERY", every)
    expected = gradients(case.build(backend="reference"), lengths, begins)
    found = gradients(case.build(backend="fused"), lengths, begins)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, 1e-10)


@pytest.mark.parametrize("checkpoint_every", [None, LINKS_EVERY, LINKS_EVERY + 1])
def test_the_links_are_the_same_bits(
    checkpoint_every: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for every in (1, LINKS_EVERY):
        monkeypatch.setattr(division, "LINKS_EVERY", every)
        layer = BY_NAME["dnc_lstm"].build(backend=Backend("fused", checkpoint_every))
        found.append(gradients(layer, LENGTHS, True))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("time", range(1, 10))
def test_no_segment_is_longer_than_the_sequence(time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(division, "RECORD_BUDGET", 0)
    assert division.segment(time, 1, None) == min(time, LINKS_EVERY)


def test_fewer_links_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for every fourth step, of 64 by 64 numbers."""
    sizes = []
    for every in (1, LINKS_EVERY):
        monkeypatch.setattr(division, "LINKS_EVERY", every)
        layer = memnets.DNC(I, 2, memory_size=64, word_size=16, hidden_size=8, backend="fused")
        sizes.append(largest_saved(layer, torch.rand(64, B, I)))
    assert sizes[0] - sizes[1] == B * (64 - 64 // LINKS_EVERY) * 64 * 64


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_memories_that_a_graph_has_written_again(name: str, lengths: Any, near: int) -> None:
    layer, plain = (BY_NAME[name].build(backend=backend) for backend in ("fused", "reference"))
    compiled: Any = torch.compile(layer, backend="aot_eager", fullgraph=True)
    compiled.parameters = layer.parameters
    expected = gradients(plain, lengths, True)
    with functorch.patch(donated_buffer=False):  # for a second backward
        found = gradients(compiled, lengths, True)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, 1e-10)


@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_a_graph_keeps_enough(name: str, near: int) -> None:
    """A graph knows the size of the buffer before the kernel divides it; a line more says whether a
    backward has used it."""
    known = described(text_of(BY_NAME[name].build(backend="fused"), "cpu"))
    for time, rows, segment, begins in product([1, 4, 5, 65], [1, 9], [1, 3, 65], [False, True]):
        problem = Problem.from_buffer_copy(known.plan.problem)
        layers = type(known.plan.layers).from_buffer_copy(known.plan.layers)
        problem.layers, problem.times_kept = layers, 1
        problem.time, problem.batch, problem.segment = time, rows, min(segment, time)
        step = rows * written_a_step(known.plan) * torch.float64.itemsize
        problem.span = span(time, problem.segment, step)
        problem.links_every = links_every(time, problem.segment)
        problem.starts = ALIGNMENT if begins else None
        used = load(torch.float64).memnets_divide(ctypes.byref(problem), None)
        sizes = known.plan, torch.float64, time, rows, problem.segment, begins
        assert Host().kept_numbers(*sizes) >= used + ALIGNMENT


def test_a_graph_from_the_disk_keeps_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile finds it by its text, which differs where another size is kept."""
    texts = set()
    for bytes_kept in (2**40, 0):
        monkeypatch.setattr(division, "NEAR", bytes_kept)
        texts.add(text_of(BY_NAME["ntm_lstm"].build(backend="fused"), "cpu"))
    assert len(texts) == 2


@pytest.mark.parametrize("kind", ["lstm", "gru", "elman", "feedforward"])
@pytest.mark.parametrize("hidden", [1, 7, 40, 67])
def test_gradients_of_weights_of_any_size(kind: str, hidden: int) -> None:
    """Sizes below, at and above those of the tiles, over more steps than are taken at once."""
    torch.manual_seed(hidden)
    layer = memnets.NTM(
        5, 3, controller=kind, hidden_size=hidden, memory_size=6, word_size=4, dtype=torch.float64
    )
    x = torch.randn(130, B, 5, dtype=torch.float64)
    found = []
    for name in ("reference", "fused"):
        layer.backend = name
        loss = layer(x)[0].square().mean()
        found.append(torch.autograd.grad(loss, [*layer.parameters()]))
    for expected, actual in zip(*found, strict=True):
        assert_same(actual, expected, 1e-10)


def test_a_gradient_of_a_bias_that_cancels() -> None:
    """Of 640 numbers from -1 to 1 little is left: sums in float32 had lost two digits of it."""
    layer = memnets.NTM(9, 8, memory_size=6, word_size=4, hidden_size=5, backend="fused")
    y, _ = layer(torch.rand(40, 16, 9))
    weights = torch.linspace(-1, 1, y.numel()).view_as(y)
    (found,) = torch.autograd.grad(y, layer.readout.bias, weights)
    expected = weights.double().sum((0, 1))
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-6


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("width", [3, 100])
def test_inputs_before_and_inside_the_steps(rows: int, width: int) -> None:
    """Wide ones of few rows are multiplied for all steps at once."""
    torch.manual_seed(0)
    layer = memnets.NTM(width, 2, memory_size=6, word_size=4, hidden_size=5, dtype=torch.float64)
    x = torch.randn(30, rows, width, dtype=torch.float64)
    found = []
    for name in ("reference", "fused"):
        layer.backend = name
        found.append(layer(x)[0])
    assert_same(*found)


# ---------------------------------------------------------------------------- the readout


def spied(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each call of the kernel was asked for the logits."""
    found, forward = [], node.forward

    def spy(call: Any, tensors: Any, least: int = 0) -> Any:
        found.append(call.readout)
        return forward(call, tensors, least)

    monkeypatch.setattr(node, "forward", spy)
    monkeypatch.setattr("memnets.backends.cpu.forward", spy)
    return found


def hooked(layer: Any) -> None:
    layer.readout.register_forward_hook(lambda module, given, y: 2 * y)


def replaced(layer: Any) -> None:
    layer.readout = nn.Sequential(layer.readout, nn.Tanh())
    layer.readout.weight = layer.readout[0].weight  # whose dtype and device a call asks for


def own_output(layer: Any) -> None:
    layer.output = lambda h, read_vectors: torch.tanh(type(layer).output(layer, h, read_vectors))


def without_bias(layer: Any) -> None:
    layer.readout.bias = None


def put_back(layer: Any) -> None:
    """As a weight norm that is removed: the weight comes after the bias now."""
    weight = layer.readout.weight
    del layer.readout.weight
    layer.readout.weight = weight


@pytest.mark.parametrize("change", [None, put_back, hooked, replaced, own_output, without_bias])
@pytest.mark.parametrize("lengths", [None, [2, 5, 1]])
@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_the_logits(name: str, lengths: Any, change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel makes them unless something else than the layer's own readout does."""
    asked, found = spied(monkeypatch), []
    for backend in ("reference", "fused"):
        layer = BY_NAME[name].build(backend=backend)
        if change is not None:
            change(layer)
        x = inputs().requires_grad_()
        y, _ = layer(x, lengths=lengths)
        wanted = [x, *layer.parameters()]
        found.append([y, *torch.autograd.grad(y.square().sum(), wanted)])
        with torch.no_grad():
            assert_same(layer(x, lengths=lengths)[0], y)
    assert asked == 2 * [change in (None, put_back)]
    for expected, actual in zip(*found, strict=True):
        assert_same(actual, expected)


def test_a_readout_that_is_trained_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs no backward of the kernel, and nothing kept for one."""
    asked = spied(monkeypatch)
    layer = BY_NAME["ntm_lstm"].build(backend="fused").requires_grad_(False)
    layer.readout.requires_grad_(True)
    y, _ = layer(inputs())
    y.sum().backward()
    assert asked == [False]
    gradient: Any = layer.readout.bias.grad
    assert_same(gradient, torch.full((2,), float(y.numel() / 2), dtype=y.dtype))


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("more", [0, 1])
def test_a_large_readout(more: int, grad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is torch's: the kernel would read it at every step."""
    asked = spied(monkeypatch)
    outputs = READOUT // 8 + more
    layer = memnets.NTM(I, outputs, memory_size=6, word_size=4, hidden_size=4, backend="fused")
    with torch.set_grad_enabled(grad):
        layer(torch.rand(2, B, I))
    assert asked == [not more]


def test_a_second_derivative_of_the_logits() -> None:
    layer = BY_NAME["ntm_lstm"].build(backend="fused")
    plain = copy.deepcopy(layer)
    plain.backend = "reference"
    found = []
    for one in (plain, layer):
        x = inputs().requires_grad_()
        y, _ = one(x)
        (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        slope.square().sum().backward()
        found.append([x.grad, *(parameter.grad for parameter in one.parameters())])
    for expected, actual in zip(*found, strict=True):
        assert_same(actual, expected)


def test_only_the_final_state_has_a_gradient() -> None:
    """No gradient of the logits, and none of the readout."""
    found = []
    for backend in (Backend("reference"), Backend("fused")):
        layer = BY_NAME["ntm_lstm"].build(backend=backend)
        _, state = layer(inputs())
        state.memory.memory.square().sum().backward()
        found.append([parameter.grad for parameter in layer.parameters()])
    for expected, actual in zip(*found, strict=True):
        assert (expected is None) == (actual is None)
        if expected is not None:
            assert_same(actual, expected)


def test_a_readout_by_hand_is_the_layers() -> None:
    """The layer's own method has the logits from what a part of the state is."""
    layer = BY_NAME["ntm_lstm"].build(backend="fused")
    x = inputs(steps=1)
    y, state = layer(x)
    h = state.controller[0][0]
    seen = torch.cat([h, state.read_vectors.flatten(1)], dim=-1)
    assert_same(y[0], functional.linear(seen, layer.readout.weight, layer.readout.bias))

"""A stream's steps are those of the layer, with what it carries kept inside."""

import copy
import pickle
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import memnets
from memnets import Stream
from memnets.backends.cpu.problems import FEW
from tests.layers import BY_NAME, TABLE, B, Case, I, O, T, assert_same, inputs, leaves

over_the_table = pytest.mark.parametrize("case", TABLE, ids=str)
KERNEL = [case for case in TABLE if case.kernel]
over_the_kernels = pytest.mark.parametrize("case", KERNEL, ids=str)
STARTS = torch.tensor([[1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]]).bool()


def stepped(layer: Any, x: Tensor, state: Any, starts: Any = None) -> tuple[Tensor, Any]:
    """The outputs and the last state of `layer`, run by one call."""
    with torch.no_grad():
        return layer(x, state, starts=starts)


def streamed(stream: Stream, x: Tensor, starts: Any = None) -> Tensor:
    """All outputs, kept while later steps run: none may be written to again."""
    masks = [None] * len(x) if starts is None else starts
    return torch.stack([stream.step(x_t, mask) for x_t, mask in zip(x, masks, strict=True)])


@over_the_table
@pytest.mark.parametrize("starts", [None, STARTS], ids=["on", "starts"])
def test_the_steps_are_the_layers(case: Case, starts: Any) -> None:
    layer, x = case.build(), inputs()
    _, begin = stepped(layer, inputs(seed=1), None)
    stream = Stream(layer, B, begin)
    y, end = stepped(layer, x, begin, starts)
    assert_same((streamed(stream, x, starts), stream.state), (y, end))


@over_the_kernels
def test_the_kernel_serves(case: Case) -> None:
    layer = case.build(backend="fused")
    stream = Stream(layer, B)
    streamed(stream, inputs())
    assert stream._stepper is not None


@pytest.mark.parametrize("rows", [1, 2, FEW, FEW + 5])
@pytest.mark.parametrize("name", ["ntm_lstm", "ntm_gru", "dnc_lstm"])
def test_any_number_of_rows(name: str, rows: int) -> None:
    layer, x = BY_NAME[name].build(), inputs(batch=rows)
    assert_same(streamed(Stream(layer, rows), x), stepped(layer, x, None)[0])


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_without_a_batch(backend: str) -> None:
    layer, x = BY_NAME["dnc_lstm"].build(backend=backend), inputs()[:, 0]
    stream = Stream(layer)
    starts = STARTS[:, 0]
    y, end = stepped(layer, x, None, starts)
    assert_same((streamed(stream, x, starts), stream.state), (y, end))


def test_batch_first() -> None:
    layer, x = BY_NAME["ntm_lstm"].build(batch_first=True), inputs()
    y, _ = stepped(layer, x.transpose(0, 1), None)
    assert_same(streamed(Stream(layer, B), x), y.transpose(0, 1))


def test_float32() -> None:
    layer, x = BY_NAME["ntm_lstm"].build(dtype=torch.float32), inputs().float()
    y, _ = stepped(layer, x, None)
    torch.testing.assert_close(streamed(Stream(layer, B), x), y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "case", [BY_NAME["ntm_lstm"], BY_NAME["ntm_gru"], BY_NAME["dnc_lstm"]], ids=str
)
@pytest.mark.parametrize("change", ["in place", "storage", "layout", "another parameter"])
def test_a_step_has_the_weights_of_now(case: Case, change: str) -> None:
    layer, x = case.build(), inputs()
    stream = Stream(layer, B)
    _, between = stepped(layer, x, None)
    streamed(stream, x)
    modules = [m for m in layer.modules() if m._parameters]
    for module in modules:
        for name, old in list(module.named_parameters(recurse=False)):
            new = old.detach() * 1.5
            if change == "in place":
                old.data.copy_(new)
            elif change == "storage":
                old.data = new
            elif change == "layout":
                old.data = new.T.contiguous().T if new.dim() == 2 else new
            else:
                setattr(module, name, nn.Parameter(new))
    y, end = stepped(layer, x, between)
    assert_same((streamed(stream, x), stream.state), (y, end))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(0.5)
    y, end = stepped(layer, x, end)
    assert_same((streamed(stream, x), stream.state), (y, end))


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_a_state_is_a_copy(backend: str) -> None:
    layer, x = BY_NAME["ntm_lstm"].build(backend=backend), inputs()
    stream = Stream(layer, B)
    stream.step(x[0])
    state = stream.state
    before = memnets.map_tensors(Tensor.clone, state)
    y = stream.step(x[1])
    assert_same(state, before)
    for leaf in leaves(state):
        leaf.zero_()
    stream.state = before
    assert_same(stream.step(x[1]), y)
    assert_same(before, memnets.map_tensors(Tensor.clone, before))


def test_a_given_state_is_not_written_to() -> None:
    layer, x = BY_NAME["dnc_lstm"].build(), inputs()
    _, begin = stepped(layer, x, None)
    before = memnets.map_tensors(Tensor.clone, begin)
    streamed(Stream(layer, B, begin), x)
    assert_same(begin, before)


def test_inference_mode_inside_and_out() -> None:
    layer, x = BY_NAME["ntm_lstm"].build(), inputs()
    y, _ = stepped(layer, x, None)
    with torch.inference_mode():
        stream = Stream(layer, B)
        first = streamed(stream, x[:2])
    assert_same(torch.cat([first, streamed(stream, x[2:])]), y)
    assert not streamed(stream, x).requires_grad


def test_learned_first_states_are_those_of_now() -> None:
    layer, x = BY_NAME["ntm_learned_initial_state"].build(), inputs()
    stream = Stream(layer, B)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1)
    everywhere = torch.ones(B, dtype=torch.bool)
    y, _ = stepped(layer, x[:1], None)
    assert_same(stream.step(x[0], everywhere), y[0])


def test_a_backend_that_cannot_serve() -> None:
    layer = BY_NAME["ntm_indrnn"].build(backend="fused")
    with pytest.raises(ValueError, match="cannot serve"):
        Stream(layer, B)


def test_the_layer_keeps_its_dtype() -> None:
    layer = BY_NAME["ntm_lstm"].build()
    stream = Stream(layer, B)
    layer.float()
    with pytest.raises(ValueError, match=r"dtype, device and sizes .* make a new stream"):
        stream.step(inputs()[0])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(B, I + 1).double(), ValueError, r"\[B, I\] = \(3, 3\); got \(3, 4\)"),
        (torch.zeros(B + 1, I).double(), ValueError, r"got \(4, 3\)"),
        (torch.zeros(T, B, I).double(), ValueError, r"got \(5, 3, 3\)"),
        ([1.0], ValueError, "got list"),
        (torch.zeros(B, I), TypeError, "x_t must be torch.float64.*got torch.float32"),
        (torch.zeros(B, I, device="meta").double(), ValueError, "x_t is on meta"),
        (torch.zeros(B, I).double().requires_grad_(), ValueError, "no gradients"),
    ],
    ids=["input_size", "rows", "time", "list", "dtype", "device", "gradient"],
)
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_inputs_that_are_refused(x: Any, error: Any, message: str, backend: str) -> None:
    stream = Stream(BY_NAME["ntm_lstm"].build(backend=backend), B)
    with pytest.raises(error, match=message):
        stream.step(x)


@pytest.mark.parametrize(
    ("starts", "error", "message"),
    [
        ([True, False, False], TypeError, "starts must be a tensor of bool.*got list"),
        (torch.ones(B), TypeError, "got torch.float32"),
        (torch.ones(B, 1).bool(), ValueError, r"of the shape \(3,\) .* got the shape \(3, 1\)"),
        (torch.ones(B, device="meta").bool(), ValueError, "on meta"),
    ],
    ids=["list", "dtype", "shape", "device"],
)
def test_starts_that_are_refused(starts: Any, error: Any, message: str) -> None:
    stream = Stream(BY_NAME["ntm_lstm"].build(), B)
    with pytest.raises(error, match=message):
        stream.step(inputs()[0], starts)


def test_what_a_stream_cannot_be_made_of() -> None:
    layer = BY_NAME["ntm_lstm"].build()
    with pytest.raises(TypeError, match="layer must be a layer of memnets; got LSTM"):
        Stream(nn.LSTM(3, 2), B)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1; got 0"):
        Stream(layer, 0)
    with pytest.raises(ValueError, match=r"The state is not of this layer and batch"):
        Stream(layer, B, layer.initial_state(B + 1))
    with pytest.raises(TypeError, match=r"state must be a memnets\.State"):
        Stream(layer, B, ())  # pyright: ignore[reportArgumentType]


def test_a_mode_that_must_see_every_operation() -> None:
    stream = Stream(BY_NAME["ntm_lstm"].build(), B)
    x = inputs()[0]
    with pytest.raises(ValueError, match=r"A stream cannot take this step. .* Use layer.step"):
        torch.func.vmap(lambda one: stream.step(x + 0 * one))(torch.zeros(2, 1, 1).double())


class Doubled(nn.Linear):
    """A readout of the user's."""

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return 2 * super().forward(x)


def hooked_readout(layer: Any) -> None:
    layer.readout.register_forward_hook(lambda module, seen, found: 3 * found)


def hooked_layer(layer: Any) -> None:
    layer.register_forward_hook(lambda module, seen, found: (3 * found[0], found[1]))


def own_readout(layer: Any) -> None:
    layer.readout = Doubled(layer.readout.in_features, O, dtype=torch.float64)


def readout_without_bias(layer: Any) -> None:
    layer.readout = nn.Linear(layer.readout.in_features, O, bias=False, dtype=torch.float64)


def normed_readout(layer: Any) -> None:
    nn.utils.parametrizations.weight_norm(layer.readout)


def own_output(layer: Any) -> None:
    output = layer.output
    layer.output = lambda h, reads: 2 * output(h, reads)


def own_forward(layer: Any) -> None:
    forward = layer.forward

    def tripled(*given_: Any, **named: Any) -> Any:
        y, state = forward(*given_, **named)
        return 3 * y, state

    layer.forward = tripled


CHANGES = (
    hooked_readout,
    hooked_layer,
    own_readout,
    readout_without_bias,
    normed_readout,
    own_output,
    own_forward,
)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_what_is_around_the_steps_is_the_layers(change: Any, name: str) -> None:
    """A readout, a hook or a method that the kernel does not know is called."""
    layer, x = BY_NAME[name].build(), inputs()
    change(layer)
    stream, state = Stream(layer, B), layer.initial_state(B)
    for step in range(3):
        with torch.no_grad():
            if step == 2:
                for parameter in layer.readout.parameters():
                    parameter.mul_(1.5)
            y, state = layer.step(x[step], state)
        assert_same(stream.step(x[step]), y)


def test_a_readout_of_another_size() -> None:
    layer = BY_NAME["ntm_lstm"].build()
    layer.readout = nn.Linear(3, O, dtype=torch.float64)
    stream = Stream(layer, B)
    with pytest.raises(RuntimeError, match="shapes"):
        stream.step(inputs()[0])


def negated(layer: Any) -> None:
    weight = layer.readout.weight.detach()
    layer.readout.weight = nn.Parameter(torch.complex(0 * weight, weight).conj().imag)


def shortened(layer: Any) -> None:
    layer.readout.weight.data = layer.readout.weight.data[:1]


def freed(layer: Any) -> None:
    layer.readout.weight.untyped_storage().resize_(0)


@pytest.mark.parametrize("change", [negated, shortened, freed])
def test_weights_that_the_kernel_cannot_read(change: Any) -> None:
    layer = BY_NAME["ntm_lstm"].build()
    stream = Stream(layer, B)
    stream.step(inputs()[0])
    change(layer)
    with pytest.raises(ValueError, match=r"the layer has changed: make a new stream\."):
        stream.step(inputs()[0])


def test_a_weight_at_the_same_place_in_another_order() -> None:
    layer, x = BY_NAME["ntm_elman"].build(), inputs()
    stream = Stream(layer, B)
    y, state = stepped(layer, x[:1], None)
    assert_same(stream.step(x[0]), y[0])
    weight = layer.controller.cells[0].weight_hh
    weight.data = weight.data.t()
    assert_same(stream.step(x[1]), stepped(layer, x[1:2], state)[0][0])


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_a_stream_has_a_state_of_its_own(backend: str) -> None:
    layer, x = BY_NAME["ntm_learned_initial_state"].build(backend=backend), inputs()
    begin = memnets.map_tensors(lambda leaf: leaf.detach().clone(), layer.initial_state(B))
    y, _ = stepped(layer, x[:1], begin)
    streams = Stream(layer, B), Stream(layer, B, begin)
    with torch.no_grad():
        layer.start_memory.add_(1.0)
        for leaf in leaves(begin):
            leaf.add_(1.0)
    for stream in streams:
        assert_same(stream.step(x[0]), y[0])


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_autocast_changes_nothing(backend: str) -> None:
    layer = BY_NAME["ntm_lstm"].build(backend=backend, dtype=torch.float32)
    x = inputs().float()
    expected = streamed(Stream(layer, B), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = streamed(Stream(layer, B), x)
    assert found.dtype is torch.float32
    assert torch.equal(found, expected)


def test_threads_take_turns() -> None:
    """Of one stream, 400 steps by four threads are 400 steps, each once."""
    layer, x = BY_NAME["dnc_lstm"].build(memory_size=64), inputs()[0]
    stream, alone = Stream(layer, B), Stream(layer, B)
    found: list[Tensor] = []

    def run() -> None:
        found.extend([stream.step(x) for _ in range(100)])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {tuple(alone.step(x).flatten().tolist()) for _ in range(400)}
    assert {tuple(y.flatten().tolist()) for y in found} == expected


def test_a_stream_is_not_copied() -> None:
    stream = Stream(BY_NAME["ntm_lstm"].build(), B)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"Stream\(layer, batch_size, stream\.state\)"):
            copied(stream)

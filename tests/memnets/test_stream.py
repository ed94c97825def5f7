"""A stream's steps are those of the layer, with what it carries kept inside."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import memnets
from memnets import Stream
from memnets.backends.cpu.problems import FEW
from tests.layers import BY_NAME, TABLE, B, Case, I, T, assert_same, inputs, leaves

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

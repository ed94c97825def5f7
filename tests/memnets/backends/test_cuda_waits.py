"""A call of the kernel for a GPU waits for it nowhere: on tensors of a GPU that is not there.

Such tensors (FakeTensorMode) have a device, a shape and a dtype and no values. The kernel itself
does not run, and everything around it does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import memnets
from memnets.backends import cuda
from memnets.backends.cpu import graphs
from memnets.backends.cpu.again import Again
from memnets.backends.cpu.described import described, text_of
from memnets.backends.cpu.engines import ENGINES
from memnets.backends.cpu.operator import sequence, sequence_backward
from memnets.backends.cpu.problems import Call, Tensors, tensors_of
from memnets.backends.cuda import driver, kernels
from memnets.backends.reference import Starts, reference
from memnets.state import leaves
from tests.emulator import emulated, guard

GPU = torch.device("cuda", 0)
KINDS = [memnets.NTM, memnets.DNC]
SYNCHRONISE = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique", "unique_dim")
"""What makes a host wait, beside copies between devices."""


class Waits(TorchDispatchMode):
    """Raises where an operation makes the host wait for a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func.name().removeprefix("aten::").split(".")[0]
        assert not name.startswith(SYNCHRONISE), f"{name} waits"
        tensors = [one for one in args if isinstance(one, Tensor)]
        places = {one.device.type for one in tensors} | {
            torch.device(kwargs.get("device") or one.device).type for one in tensors[:1]
        }
        if name in ("_to_copy", "copy_", "device_put") and len(places) > 1:
            # To the GPU a copy need not be waited for.
            later = kwargs.get("non_blocking") or (name == "copy_" and args[2:] == (True,))
            assert later, f"{name} waits"
            assert tensors[-1].is_cpu, f"{name} waits"
        return func(*args, **kwargs)


@contextmanager
def absent_gpu() -> Iterator[list[Any]]:
    """Tensors of a GPU that is not there, at one made-up address; gives what was launched."""
    guard()
    launched: list[Any] = []
    seen = f"{Waits.__module__}.{Waits.__qualname__}"
    with (
        emulated(),
        mock.patch.object(graphs, "MODES", graphs.MODES | {seen}),
        mock.patch.object(kernels, "launch", launched.append),
        mock.patch.object(Tensor, "data_ptr", return_value=2**20),
        torch.no_grad(),
        FakeTensorMode(),
        Waits(),
    ):
        yield launched


SIZES: dict[str, Any] = {"memory_size": 5, "word_size": 4, "read_heads": 2, "hidden_size": 6}


def made(kind: Any, dtype: torch.dtype = torch.float32) -> Any:
    """A layer there; on the meta device first, as nothing can be drawn there."""
    layer = kind(3, 2, **SIZES, backend="cuda", device="meta", dtype=dtype)
    for module in layer.modules():
        for name, one in module._parameters.items():
            if one is not None:
                there = torch.empty(one.shape, dtype=dtype, device=GPU)
                module._parameters[name] = nn.Parameter(there)
    return layer


def described_as(tensors: Any) -> list[Any]:
    return [(tuple(one.shape), one.dtype, one.device) for one in tensors]


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x.nonzero(),
        lambda x: x.cpu(),
        lambda x: torch.empty(3).copy_(x),
        lambda x: torch.ones(3).to(GPU),
        lambda x: torch.tensor([1.0, 2.0], device=GPU),
    ],
)
def test_what_waits_is_seen(wait: Callable[[Tensor], Any]) -> None:
    with absent_gpu():
        x = torch.ones(3, device=GPU)
        torch.ones(3).to(GPU, non_blocking=True)
        with pytest.raises(AssertionError, match="waits"):
            wait(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_in_a_graph(kind: Any, dtype: torch.dtype) -> None:
    """What the operator says of its results: their shapes, dtypes and device."""
    with absent_gpu():
        layer = made(kind, dtype)
        x = torch.ones(7, 3, 3, device=GPU, dtype=dtype)
        starts = torch.zeros(7, 3, dtype=torch.bool, device=GPU)
        y, state = layer(x)
        again, after = layer(x, state, starts=starts)
    expected = kind(
        3, 2, memory_size=5, word_size=4, read_heads=2, hidden_size=6, backend="reference"
    )(torch.ones(7, 3, 3))
    for found in ([y, *leaves(state)], [again, *leaves(after)]):
        wanted = [
            (shape, dtype, GPU) for shape, *_ in described_as([expected[0], *leaves(expected[1])])
        ]
        assert described_as(found) == wanted


def call_of(layer: Any, x: Tensor, segment: int) -> tuple[Call, Tensors]:
    """A call of training with lengths and starts."""
    state = layer.initial_state(x.shape[1])
    known = described(text_of(layer, "cuda"))
    lengths = torch.ones(x.shape[1], dtype=torch.int64, device="cpu")
    starts = torch.zeros(x.shape[:2], dtype=torch.bool, device=GPU)
    again = Again(known.layer, known.memory)
    call = Call(known.plan, lengths, starts, segment, 1, True, False, again)
    return call, tensors_of(layer, x, state, state)


@pytest.mark.parametrize("segment", [7, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_training(kind: Any, segment: int) -> None:
    """Forward and backward around the kernel; the operator says of each result what it is."""
    with absent_gpu() as launched:
        layer, x = made(kind), torch.ones(7, 3, 3, device=GPU)
        call, tensors = call_of(layer, x, segment)
        engine, flat = ENGINES["cuda"], tensors.flat()
        least = engine.kept_numbers(call.plan, x.dtype, 7, 3, segment, True)
        outputs, kept = engine.forward(call, tensors, least)
        d_outputs = [torch.ones_like(one) for one in outputs]
        wanted = Tensors.of([True] * len(flat), call.plan)
        gradients = engine.backward(call, tensors, wanted, d_outputs, outputs[:1], kept)
        given = call.lengths, call.starts, text_of(layer, "cuda"), segment
        said = sequence(flat, *given, True, False)
        back = sequence_backward(flat, d_outputs, said[:1], said[-1], *given, [True] * len(flat))
    assert [one.forward for one in launched] == [True, False]
    assert described_as([*outputs, kept]) == described_as(said)
    assert described_as(gradients) == described_as(back) == described_as(flat)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_outside_of_a_graph(kind: Any) -> None:
    with absent_gpu() as launched:
        layer, x = made(kind), torch.ones(7, 3, 3, device=GPU)
        state = layer.initial_state(3)
        starts = Starts(torch.zeros(7, 3, dtype=torch.bool, device=GPU), state)
        assert graphs.supports(layer, x, state, starts, "cuda") is None  # makes the plan
        unrolled = cuda.run(layer, x, state, torch.tensor([7, 1, 2]), None, starts)
    assert len(launched) == 1
    assert unrolled.h.device == GPU


@pytest.mark.parametrize("kind", KINDS)
def test_starts_on_the_reference(kind: Any) -> None:
    with absent_gpu():
        layer, x = made(kind), torch.ones(7, 3, 3, device=GPU)
        state = layer.initial_state(3)
        starts = Starts(torch.zeros(7, 3, dtype=torch.bool, device=GPU), state)
        unrolled = reference(layer, x, state, None, None, starts)
    assert unrolled.h.device == GPU


# ----------------------------------------------------------------------- CUDA graphs


def test_a_kernel_that_is_not_loaded_cannot_be_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, launch = memnets.NTM(3, 2, **SIZES, backend="cuda"), kernels.launch
    with emulated() as launched:
        layer(torch.ones(2, 1, 3))
    monkeypatch.setattr(driver, "capturing", lambda: True)
    with pytest.raises(RuntimeError, match="call the layer once before the capture"):
        launch(launched[0])


def test_lengths_cannot_be_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = memnets.NTM(3, 2, **SIZES, backend="cuda")
    monkeypatch.setattr(driver, "capturing", lambda: True)
    with emulated():
        layer(torch.ones(2, 1, 3))
        with pytest.raises(ValueError, match="capture calls without lengths"):
            layer(torch.ones(2, 1, 3), lengths=[2])

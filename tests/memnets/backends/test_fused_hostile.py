"""The kernel beside torch's own machinery: second derivatives, modes, odd tensors, autocast."""

import gc
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import functional, gradgradcheck
from torch.utils.flop_counter import FlopCounterMode

import memnets
from memnets.backends import cpu as fused
from memnets.backends.cpu import buffers
from memnets.backends.reference import Starts
from memnets.backends.registry import Backend
from tests.layers import BY_NAME, B, I, T, assert_same, inputs, leaves

SERVED = ["ntm_lstm", "ntm_several_heads", "ntm_feedforward", "dnc_lstm", "dnc_several_heads"]
SECOND = ["ntm_lstm", "ntm_gru", "ntm_lstm_skip_connections", "dnc_lstm", "dnc_feedforward"]


def on_both(name, function, **options):
    """What a function makes of a layer on the kernel, and on the reference."""
    found = []
    for backend in ("auto", "reference"):
        layer = BY_NAME[name].build(**options)
        layer.backend = backend
        assert (
            fused.supports(layer, inputs(dtype=layer.readout.weight.dtype), layer.initial_state(B))
            is None
        )
        found.append(function(layer))
    return found


# ---------------------------------------------------------------- second derivatives


def penalty(layer, *, of="state", lengths=None, starts=None):
    """The gradients of a gradient penalty, for a loss that is linear in what the kernel returns."""
    x, restart = inputs().requires_grad_(), None
    if starts is not None:
        shifted = memnets.map_tensors(lambda leaf: leaf + 0.1, layer.initial_state(B))
        restart = memnets.map_tensors(lambda leaf: leaf.detach().requires_grad_(), shifted)
    y, state = layer(x, lengths=lengths, starts=starts, restart=restart)
    losses = {
        "output": y.square().sum(),
        "linear": y.sum(),
        "state": sum(leaf.sum() for leaf in leaves(state)),
        "memory": state.memory.memory.sum(),
    }
    (gradient,) = torch.autograd.grad(losses[of], x, create_graph=True)
    wanted = [x, *layer.parameters(), *([] if restart is None else leaves(restart))]
    return torch.autograd.grad(gradient.square().sum(), wanted, materialize_grads=True)


@pytest.mark.parametrize("of", ["output", "linear", "state", "memory"])
@pytest.mark.parametrize("name", SECOND)
def test_gradient_penalty(name, of):
    found, expected = on_both(name, lambda layer: penalty(layer, of=of))
    assert max(float(one.abs().max()) for one in expected) > 1e-6
    assert_same(tuple(found), tuple(expected), 1e-9)


def test_gradient_penalty_with_lengths_in_segments():
    lengths = torch.tensor([3, 5, 1])
    found, expected = on_both("dnc_lstm", lambda layer: penalty(layer, lengths=lengths))
    assert_same(tuple(found), tuple(expected), 1e-9)
    backend = Backend("auto", checkpoint_every=2)
    found, _ = on_both("dnc_lstm", lambda layer: penalty(layer), backend=backend)
    assert_same(tuple(found), tuple(on_both("dnc_lstm", penalty)[1]), 1e-9)


@pytest.mark.parametrize("name", SECOND)
def test_gradient_penalty_with_starts(name):
    starts = torch.arange(T * B).view(T, B) % 4 == 1
    found, expected = on_both(name, lambda layer: penalty(layer, starts=starts))
    assert max(float(one.abs().max()) for one in expected[-4:]) > 1e-6
    assert_same(tuple(found), tuple(expected), 1e-9)


def test_gradient_penalty_with_a_frozen_readout():
    def frozen(layer):
        layer.readout.requires_grad_(requires_grad=False)
        x = inputs().requires_grad_()
        (gradient,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
        gradient.square().sum().backward()
        return [layer.controller.cells[0].weight_ih.grad, layer.interface.linear.weight.grad]

    found, expected = on_both("ntm_lstm", frozen)
    assert_same(tuple(found), tuple(expected), 1e-9)


def test_hessian():
    def hessian(layer):
        return functional.hessian(
            lambda x: layer(x)[1].memory.memory.sum(), inputs(steps=2, batch=1)
        )

    found, expected = on_both("ntm_lstm", hessian)
    assert expected.abs().max() > 1e-6
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SECOND)
def test_gradgradcheck(name):
    layer = BY_NAME[name].build()
    layer.backend = "fused"
    x = inputs(steps=2, batch=1).requires_grad_()
    assert gradgradcheck(lambda one: layer(one)[1].memory.memory, x)


def test_jacobian_by_vmap_of_the_backward():
    def jacobian(layer):
        return functional.jacobian(lambda x: layer(x)[0], inputs(steps=2, batch=1), vectorize=True)

    found, expected = on_both("ntm_lstm", jacobian)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_one_tensor_in_two_places_of_the_state():
    def twice(layer):
        state = layer.initial_state(B)
        h = torch.full((B, 6), 0.3, dtype=torch.float64, requires_grad=True)
        y, _ = layer(inputs(), state._replace(controller=((h, h),)))
        (first,) = torch.autograd.grad(y.sum(), h, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), h)
        return first, second

    found, expected = on_both("ntm_lstm", twice)
    assert_same(found, expected, 1e-9)


def test_a_layer_changed_before_a_second_backward_is_an_error():
    layer = BY_NAME["ntm_lstm"].build()
    x = inputs().requires_grad_()
    y, _ = layer(x)
    layer.read_first = True
    with pytest.raises(RuntimeError, match=r"changed between.*create_graph=True.*\"reference\""):
        torch.autograd.grad(y.sum(), x, create_graph=True)


# ------------------------------------------------------------------------ odd tensors


class Own(torch.Tensor):
    """A subclass that computes what a tensor computes."""


@pytest.mark.parametrize("real", [True, False], ids=["real", "fake"])
@pytest.mark.parametrize("name", SERVED)
def test_fake_tensors(name, real):
    """As compilers, profilers and memory estimators call a layer."""
    layer = BY_NAME[name].build()
    x = inputs()
    y, state = layer(x)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        made, after = layer(x if real else mode.from_tensor(x))
        made.sum().backward()
    assert made.shape == y.shape
    assert [leaf.shape for leaf in leaves(after)] == [leaf.shape for leaf in leaves(state)]


def test_fake_tensors_in_a_real_state():
    layer = BY_NAME["dnc_lstm"].build()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        state = memnets.map_tensors(mode.from_tensor, layer.initial_state(B))
    assert "FakeTensor" in fused.supports(layer, inputs(), state)


def test_fake_gradients():
    layer = BY_NAME["ntm_lstm"].build()
    y, _ = layer(inputs())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        gradient = mode.from_tensor(torch.ones_like(y))
        weights = list(layer.controller.parameters())
        found = torch.autograd.grad(y, weights, gradient)
    assert [one.shape for one in found] == [one.shape for one in weights]


@pytest.mark.parametrize("name", SERVED)
def test_subclasses_of_tensors(name):
    layer = BY_NAME[name].build()
    x, state = inputs(), layer.initial_state(B)
    expected = layer(x)
    assert "a Own" in fused.supports(layer, x.as_subclass(Own), state)
    torch.testing.assert_close(layer(x.as_subclass(Own))[0].as_subclass(torch.Tensor), expected[0])
    own = memnets.map_tensors(lambda leaf: leaf.as_subclass(Own), state)
    assert "a Own" in fused.supports(layer, x, own)


def test_starts_that_are_no_plain_tensors():
    """The mask and every part of the state that rows begin from."""
    layer, x = BY_NAME["dnc_lstm"].build(), inputs()
    state, mask = layer.initial_state(B), torch.ones(T, B, dtype=torch.bool)
    assert fused.supports(layer, x, state, Starts(mask, state)) is None
    parts = memnets.flatten(state)
    for name, part in parts.items():
        for wrong, reason in (
            (part.as_subclass(Own), "a Own"),
            (part.float(), "one is torch.float32, another torch.float64"),
            (part.to("meta"), "meta"),
            (part[..., :1], "It knows states with the shapes"),
        ):
            other = memnets.unflatten({**parts, name: wrong}, state)
            assert reason in fused.supports(layer, x, state, Starts(mask, other))
    for wrong, reason in (
        (mask.as_subclass(Own), "a Own"),
        (mask.to(torch.uint8), "one is torch.uint8"),
        (mask.to("meta"), "meta"),
        (mask[:1], "It knows starts"),
    ):
        assert reason in fused.supports(layer, x, state, Starts(wrong, state))
    layer.backend = "fused"
    own = memnets.map_tensors(lambda leaf: leaf.as_subclass(Own), state)
    with pytest.raises(ValueError, match=r'backend="fused" cannot serve this call.*a Own'):
        layer(x, starts=mask, restart=own)
    layer.backend = "auto"
    torch.testing.assert_close(
        layer(x, starts=mask, restart=own)[0].as_subclass(torch.Tensor), layer(x, starts=mask)[0]
    )


def test_gradients_of_a_subclass():
    def backward(layer):
        y, _ = layer(inputs())
        return torch.autograd.grad(
            y, layer.controller.parameters(), torch.ones_like(y).as_subclass(Own)
        )

    found, expected = on_both("dnc_lstm", backward)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.as_subclass(torch.Tensor), other.as_subclass(torch.Tensor))


def test_lazily_negated_tensors():
    layer = BY_NAME["ntm_lstm"].build()
    x = inputs()
    negative = torch._neg_view(x)
    assert "lazy view" in fused.supports(layer, negative, layer.initial_state(B))
    torch.testing.assert_close(layer(negative)[0], layer(-x)[0])
    y, _ = layer(x.requires_grad_())
    found = torch.autograd.grad(y, x, torch._neg_view(torch.ones_like(y)), retain_graph=True)
    torch.testing.assert_close(found, torch.autograd.grad(y, x, -torch.ones_like(y)))


def test_meta_tensors():
    layer = BY_NAME["dnc_lstm"].build(device="meta")
    x = torch.empty(T, B, I, dtype=torch.float64, device="meta")
    assert "meta" in fused.supports(layer, x, layer.initial_state(B))
    assert layer(x)[0].is_meta


def test_what_counts_operations_sees_them():
    layer = BY_NAME["ntm_lstm"].build()
    with FlopCounterMode(display=False) as counter:
        layer(inputs())
    interface = layer.interface.linear.weight
    assert counter.get_total_flops() > 2 * T * B * interface.numel()


def test_a_default_device_is_no_mode_that_matters():
    layer = BY_NAME["ntm_lstm"].build()
    with torch.device("cpu"):
        assert fused.supports(layer, inputs(), layer.initial_state(B)) is None


# ---------------------------------------------------------------------------- autocast


@pytest.mark.parametrize("name", SERVED)
def test_autocast_runs_the_kernel_in_full_precision(name):
    layer = BY_NAME[name].build(dtype=torch.float32)
    x = inputs(dtype=torch.float32).requires_grad_()
    expected = layer(x)
    gradients = torch.autograd.grad(expected[0].sum(), [x, *layer.controller.parameters()])
    layer.backend = "fused"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = layer(x)
        assert y.dtype == torch.bfloat16  # the readout is a product like any other
        again, _ = layer(x.bfloat16(), state)
        found = torch.autograd.grad(y.sum(), [x, *layer.controller.parameters()])
    assert again.dtype == torch.bfloat16
    assert_same(state, expected[1], 0)
    torch.testing.assert_close(y.float(), expected[0], rtol=0.02, atol=0.02)
    for one, other in zip(found, gradients, strict=True):
        assert (one - other).abs().max() <= 0.02 * other.abs().max()


def test_autocast_takes_a_state_in_half_precision():
    layer = BY_NAME["ntm_lstm"].build(dtype=torch.float32)
    layer.backend = "fused"
    x = inputs(dtype=torch.float32)
    state = layer.initial_state(B)
    half = memnets.map_tensors(torch.Tensor.bfloat16, state.controller)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        after = layer(x, state._replace(controller=half))[1]
    assert {leaf.dtype for leaf in leaves(after)} == {torch.float32}


# ------------------------------------------------------------------- garbage collection

COLLECTING = """
    import gc, threading
    import torch
    from memnets.backends.cpu.buffers import borrow

    class Cycle:
        def __init__(self):
            self.buffer, self.itself = borrow(64, torch.float32), self

    def make():
        for _ in range(2000):
            Cycle()

    gc.set_threshold(1)
    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("done")
"""


def test_a_collection_while_a_buffer_is_lent_ends():
    """Graphs in cycles are freed wherever a collection begins, also while buffer is being lent."""
    command = [sys.executable, "-c", textwrap.dedent(COLLECTING)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "done\n"


def test_threads_never_share_a_buffer():
    def write(number):
        for _ in range(300):
            buffer = buffers.borrow(256, torch.float32).fill_(number)
            gc.collect(0)
            if not bool((buffer == number).all()):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(write, range(4)))

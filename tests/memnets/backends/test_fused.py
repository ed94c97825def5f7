"""The fused backend against the reference: outputs, final states and every gradient."""

import copy
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

import memnets
from memnets.backends import cpu as fused
from memnets.backends import registry
from memnets.backends.cpu import buffers, library
from memnets.backends.cpu.plan import CELL_NAMES
from memnets.parts.controllers import Stack
from memnets.parts.heads import Heads
from memnets.parts.location import ContentAndLocation
from memnets.parts.sparse_memory import SparseMemory
from memnets.parts.start import Start
from memnets.parts.usage import Allocation
from memnets.parts.writing import EraseAdd
from tests.layers import BY_NAME, TABLE, B, I, T, inputs, leaves

SERVED = [case.name for case in TABLE if case.kernel]
OTHERS = [case.name for case in TABLE if not case.kernel]
TOLERANCES = {torch.float64: 1e-10, torch.float32: 2e-5}


def results(layer, backend, x, lengths=None, checkpoint_every=None, starts=None):
    """Output, final state, and the gradients of x, of the states it begins from and of every
    parameter.
    """
    layer.backend, layer.checkpoint_every = backend, checkpoint_every
    x = x.clone().requires_grad_()
    with torch.no_grad():
        layer.backend = "reference"
        states = [layer(torch.full_like(x[:2], number))[1] for number in (1.0, -0.5)]
        layer.backend = backend
    carried, restart = (
        memnets.map_tensors(lambda leaf: leaf.clone().requires_grad_(), one) for one in states
    )
    begins = {} if starts is None else {"starts": starts, "restart": restart}
    y, state = layer(x, carried, lengths=lengths, **begins)
    made = [y, *leaves(state)]
    weights = [torch.linspace(-1, 1, one.numel(), dtype=one.dtype).view_as(one) for one in made]
    wanted = [x, *leaves(carried), *(leaves(restart) if begins else ()), *layer.parameters()]
    gradients = torch.autograd.grad(made, wanted, weights, materialize_grads=True)
    return [one.detach() for one in (*made, *gradients)]


def assert_agree(layer, x, lengths=None, checkpoint_every=None, starts=None, backend="fused"):
    """In float32 also as far as the reference is from itself in float64: some cases round badly."""
    expected = results(layer, "reference", x, lengths, None, starts)
    actual = results(layer, backend, x, lengths, checkpoint_every, starts)
    exact = results(copy.deepcopy(layer).double(), "reference", x.double(), lengths, None, starts)
    sizes = [float(one.abs().max()) if one.numel() else 0.0 for one in expected]
    for one, other, best, size in zip(actual, expected, exact, sizes, strict=True):
        assert one.shape == other.shape
        # What is small because large parts cancel is as exact as they are, not as it is.
        scale = max(size, 1e-2 * max(sizes))
        rounding = float((other - best).abs().max()) if one.numel() else 0.0
        assert ((one - other).abs() <= TOLERANCES[x.dtype] * scale + 2 * rounding).all()


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
@pytest.mark.parametrize("name", SERVED)
def test_agrees_with_the_reference(name, dtype):
    layer = BY_NAME[name].build(dtype=dtype)
    assert_agree(layer, inputs(dtype=dtype))


@pytest.mark.parametrize("name", OTHERS)
def test_what_it_does_not_know_runs_on_the_reference(name):
    layer, x = BY_NAME[name].build(), inputs()
    assert layer.backend_for(x).backend == "reference"
    y, expected = layer(x)[0], BY_NAME[name].build(backend="reference")(x)[0]
    if isinstance(layer.initial_state(1).memory, SparseMemory):
        # Its reads are the kernel's under "auto" (`memnets.backends.cpu.linking`), which rounds.
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    else:
        assert torch.equal(y, expected)
    layer.backend = "fused"
    with pytest.raises(ValueError, match=r'backend="fused" cannot serve this call\. It knows'):
        layer(x)


@pytest.mark.parametrize("name", ["ntm_lstm", "ntm_gru", "dnc_lstm", "dnc_several_heads"])
@pytest.mark.parametrize("every", [1, 2, 3, 100])
def test_segments_and_lengths(name, every):
    x = inputs(steps=7, batch=5)
    assert_agree(BY_NAME[name].build(), x, torch.tensor([3, 7, 1, 4, 6]), every)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
@pytest.mark.parametrize("name", SERVED)
def test_starts(name, dtype):
    """Rows that begin anew at once, twice in turn, at the last step, at their end, and never."""
    starts = torch.tensor([[1, 0, 0, 0, 1], [0, 0, 1, 0, 1], [0, 0, 1, 0, 0], [0, 1, 0, 0, 1]])
    x = inputs(steps=4, batch=5, dtype=dtype)
    for every in (None, 1, 2):
        assert_agree(BY_NAME[name].build(dtype=dtype), x, None, every, starts.bool())
    lengths = torch.tensor([4, 4, 2, 3, 1])
    assert_agree(BY_NAME[name].build(dtype=dtype), x, lengths, 3, starts.bool())


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 2), (16, 4), (33, 17)])
@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_odd_sizes(kind, sizes, steps):
    torch.manual_seed(0)
    layer = kind(3, 2, memory_size=sizes[0], word_size=sizes[1], hidden_size=9, dtype=torch.float64)
    assert_agree(layer, torch.randn(steps, 9, 3, dtype=torch.float64))


@st.composite
def calls(draw):
    """A layer of any size and kind, a sequence for it, its lengths and where it is cut."""
    whole = st.integers
    options = {
        "memory_size": draw(whole(1, 40)),
        "word_size": draw(whole(1, 20)),
        "read_heads": draw(whole(1, 6)),
        "write_heads": draw(whole(1, 3)),
        "controller": Stack(
            cell=draw(st.sampled_from(CELL_NAMES)),
            hidden_size=draw(whole(1, 20)),
            num_layers=draw(whole(1, 3)),
            skip_connections=draw(st.booleans()),
        ),
        "start": Start(learned=draw(st.booleans())),
        "dtype": draw(st.sampled_from(list(TOLERANCES))),
    }
    kind = draw(st.sampled_from([memnets.NTM, memnets.DNC]))
    if kind is memnets.DNC and options["dtype"] == torch.float32:
        # The free list is a step function of usage: coarser, rounding errors hardly ever decide it.
        options["allocation"] = Allocation(resolution=2**-4)
    if kind is memnets.NTM:
        options["writing"] = EraseAdd(add_range=draw(st.sampled_from(["real", "bounded"])))
        limit = draw(st.none() | st.just(1.7))
        options["heads"] = Heads(read=ContentAndLocation(sharpness_limit=limit))
    torch.manual_seed(draw(whole(0, 2**31)))
    layer = kind(draw(whole(1, 9)), 2, **options)
    steps, batch = draw(whole(1, 6)), draw(whole(1, 9))
    x = torch.randn(steps, batch, layer.input_size, dtype=options["dtype"])
    some = st.lists(whole(1, steps), min_size=batch, max_size=batch).map(torch.tensor)
    starts = torch.rand(steps, batch) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    lengths, every = draw(st.none() | some), draw(st.none() | whole(1, 6))
    return layer, x, lengths, every, draw(st.none() | st.just(starts))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(calls())
def test_agrees_whatever_the_sizes(call):
    assert_agree(*call)


@pytest.fixture
def set_threads():
    """torch.set_num_threads, undone after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [2, 3])
def test_threads_do_not_matter(count, set_threads):
    layer, x = BY_NAME["dnc_lstm"].build(), inputs(batch=13)
    layer.backend = "fused"
    starts = torch.arange(x[..., 0].numel()).view(x.shape[:2]) % 3 == 0
    set_threads(1)
    expected = layer(x)[0], layer(x, starts=starts)[0]
    set_threads(count)
    torch.testing.assert_close(layer(x)[0], expected[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(x, starts=starts)[0], expected[1], rtol=1e-12, atol=1e-12)


def test_uses_no_more_threads_than_torch(set_threads):
    set_threads(3)
    assert [fused.threads(batch) for batch in (1, 7, 8, 16, 64)] == [1, 1, 2, 3, 3]
    set_threads(1)
    assert fused.threads(64) == 1


@pytest.mark.parametrize("name", ["ntm_lstm", "ntm_bounded", "dnc_several_heads"])
def test_gradcheck(name):
    layer = BY_NAME[name].build()
    layer.backend = "fused"
    x = inputs(steps=3, batch=2).requires_grad_()
    assert gradcheck(lambda one: layer(one)[0], x)


@pytest.mark.parametrize("every", [None, 2])
def test_backward_twice(every):
    layer = BY_NAME["dnc_lstm"].build()
    layer.backend, layer.checkpoint_every = "fused", every
    loss = layer(inputs(steps=5))[0].square().sum()
    parameters = list(layer.parameters())
    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    assert all(map(torch.equal, first, torch.autograd.grad(loss, parameters)))


def test_a_buffer_is_used_again_only_when_it_is_free(monkeypatch):
    monkeypatch.setattr(buffers, "_spare", {})
    first = buffers.borrow(2**18, torch.float32)
    second = buffers.borrow(2**18, torch.float32)
    assert first.data_ptr() != second.data_ptr()
    place = first.data_ptr()
    del first
    third = buffers.borrow(2**18, torch.float32)
    assert third.data_ptr() == place


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ntm_least_recently_used", "content and location addressing"),
        ("ntm_own_addressing", "content and location addressing"),
        ("dnc_own_controller", "controllers of memnets"),
    ],
)
def test_what_it_does_not_know_is_said(name, reason):
    layer = BY_NAME[name].build()
    layer.backend = "fused"
    with pytest.raises(ValueError, match=f'backend="fused" cannot serve.*{reason}.*"auto"'):
        layer(inputs())
    layer.backend = "auto"
    assert layer(inputs())[0].shape[:2] == (T, B)


def test_hooks_and_subclasses_are_served_by_the_reference():
    layer = BY_NAME["ntm_lstm"].build()
    called = []
    layer.controller.register_forward_hook(lambda *_: called.append(1))
    layer(inputs())
    assert len(called) == T

    class Own(memnets.NTM):
        pass

    x = inputs()
    own = Own(I, 2, memory_size=4, word_size=2, hidden_size=3, dtype=torch.float64)
    assert "another class" in fused.supports(own, x, own.initial_state(B))


def test_without_a_compiler_the_reference_serves(monkeypatch, caplog):
    monkeypatch.setenv("MEMNETS_KERNEL", "native")
    functions = (library.load, library.reason_against, registry._say_once, registry._warn_once)
    for cached in functions:
        cached.cache_clear()
    monkeypatch.setattr(library, "compiler", lambda: None)
    layer, x = BY_NAME["ntm_lstm"].build(), inputs()
    named = copy.deepcopy(layer)
    named.backend = "fused"
    try:
        with caplog.at_level(logging.INFO, logger="memnets"):
            with pytest.warns(memnets.PerformanceWarning, match=r"no C\+\+ compiler"):
                layer(x)
            layer(x)
        assert caplog.text.count("no C++ compiler") == 1
        with pytest.raises(ValueError, match=r"no C\+\+ compiler here; install g\+\+"):
            named(x)
    finally:
        for cached in functions:
            cached.cache_clear()


def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch):
    script = tmp_path / "broken"
    script.write_text("#!/bin/sh\necho out of order >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("MEMNETS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(fused.UnavailableError, match="out of order"):
        library.build(str(script), "float", tmp_path / "cache" / "float.so")
    assert not list((tmp_path / "cache").iterdir())


def test_of_those_who_need_the_kernel_at_once_one_builds_it(tmp_path, monkeypatch):
    started = []

    def build(program, number, target):
        started.append(target)
        time.sleep(0.1)
        target.write_text("built")

    monkeypatch.setenv("MEMNETS_CACHE", str(tmp_path / "new"))
    monkeypatch.setattr(library, "library_path", lambda *_: library.cache_folder() / "kernel.so")
    monkeypatch.setattr(library, "build", build)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: library.built("g++", "float").read_text(), range(4)))
    assert found == ["built"] * 4
    assert started == [tmp_path / "new" / "kernel.so"]


def test_training_runs_along_with_the_reference():
    """200 steps of Adam: the losses of both backends lie on each other."""
    losses = {}
    for backend in ("reference", "fused"):
        torch.manual_seed(0)
        layer = memnets.NTM(4, 3, memory_size=12, word_size=6, hidden_size=16, backend=backend)
        optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
        generator = torch.Generator().manual_seed(1)
        losses[backend] = []
        for _ in range(200):
            x = torch.rand(5, 4, 4, generator=generator)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(layer(x)[0], x[..., :3])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[backend].append(loss.item())
    torch.testing.assert_close(losses["fused"], losses["reference"], rtol=1e-4, atol=0)

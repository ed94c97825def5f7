"""Writing at every L-th step: beside loops, its gradient, its states, and what it refuses."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.parts.uniform_writing import UniformWriting, attend
from memnets.parts.wiring import WiredStack
from tests import oracles, samples
from tests.layers import BY_NAME, B, inputs, leaves, wired
from tests.samples import assert_equal_to, tensor

Array = np.ndarray


def best_of(cache: Array, queries: Array, keys: Array, scores: Array) -> Array:
    """Eq. 9 and 10, one number at a time: [B,L,D], [B,D], [B,L,D], [D] -> [B,D]."""
    rows, length, size = cache.shape
    found = np.zeros((rows, size))
    for b in range(rows):
        energies = [
            sum(scores[d] * math.tanh(queries[b, d] + keys[b, j, d]) for d in range(size))
            for j in range(length)
        ]
        alpha = oracles.softmax(energies)
        for d in range(size):
            found[b, d] = sum(alpha[j] * cache[b, j, d] for j in range(length))
    return found


@given(samples.sizes(), st.integers(1, 4))
def test_the_attention_beside_a_loop(s: SimpleNamespace, interval: int) -> None:
    cache, keys = s.random.normal(size=(2, s.B, interval, s.W))
    queries, scores = s.random.normal(size=(s.B, s.W)), 3 * s.random.normal(size=s.W)
    found = attend(*map(tensor, (cache, queries, keys, scores)))
    assert_equal_to(found, best_of(cache, queries, keys, scores))


def test_the_gradient() -> None:
    random = np.random.default_rng(0)
    arrays = [random.normal(size=size) for size in ((2, 3, 2), (2, 2), (2, 3, 2), (2,))]
    assert torch.autograd.gradcheck(attend, [tensor(one).requires_grad_() for one in arrays])


def linear(module: Any, x: Array) -> Array:
    return x @ module.weight.detach().numpy().T


@pytest.mark.parametrize("interval", [1, 2, 3])
@pytest.mark.parametrize("read_between", [False, True])
def test_a_sequence_beside_algorithm_1(interval: int, read_between: bool) -> None:
    """Lines 1 to 14 as a loop over steps with lists for the cache, around the layer's own cell,
    interface and memory.
    """
    schedule = UniformWriting(interval=interval, read_between=read_between)
    layer = BY_NAME["dnc_lstm"].build(controller=wired(schedule=schedule))
    x, parts = inputs(steps=7), layer.schedule
    y, _ = layer(x)
    cell = layer.controller.cells[0]
    start = layer.initial_state(B)
    (h, c), memory, reads = start.controller.controller[0], start.memory, start.read_vectors
    cache: list[Array] = []
    for t in range(7):
        cache.append(h.detach().numpy())
        seen = reads.flatten(1).detach().numpy()
        writes = (t + 1) % interval == 0
        if writes:
            stored = np.stack(cache, axis=1)
            assert stored.shape[1] == interval
            queries = linear(parts.from_hidden, cache[-1]) + linear(parts.from_reads, seen)
            keys, scores = linear(parts.from_cache, stored), parts.scores.weight[0]
            h = tensor(best_of(stored, queries, keys, scores.detach().numpy()))
            cache.clear()
        h, (h, c) = cell(torch.cat([x[t], reads.flatten(1)], dim=-1), (h, c))
        emitted = layer.interface(h)
        if writes:
            reads, memory = layer.access(emitted, memory)
        elif read_between:
            given_ = memnets.DNCParameters(*emitted)
            weights = layer.content.weigh(memory.memory, given_.read)
            link = memory.link, memory.read_weights
            weights = layer.linkage.mix(given_.linkage, *link, weights)
            reads, memory = weights @ memory.memory, memory._replace(read_weights=weights)
        torch.testing.assert_close(y[t], layer.output(h, reads), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_several_heads", "dnc_content_only"])
def test_an_interval_of_one_without_a_cache_changes_nothing(name: str) -> None:
    plain = BY_NAME[name].build(backend="reference")
    schedule = UniformWriting(interval=1, cached=False)
    every = BY_NAME[name].build(controller=wired(schedule=schedule))
    y, state = plain(inputs())
    found, after = every(inputs())
    assert torch.equal(y, found)
    for one, other in zip(leaves(state.memory), leaves(after.memory), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "name", ["ntm_uniform", "dnc_cached_uniform", "sam_cached_uniform", "sdnc_uniform"]
)
def test_the_memory_changes_at_every_interval_alone(name: str) -> None:
    layer = BY_NAME[name].build()
    interval, state, before = layer.schedule.interval, layer.initial_state(B), None
    for t, x_t in enumerate(inputs(steps=7)):
        _, state = layer.step(x_t, state)
        memory = state.memory.memory
        if before is not None:
            changed = not torch.equal(memory, before)
            assert changed == ((t + 1) % interval == 0)
        assert (state.controller.steps == (t + 1) % interval).all()
        before = memory


def test_reads_between_writes_move_the_read_heads_alone() -> None:
    layer = BY_NAME["ntm_uniform"].build()
    _, first = layer(inputs(steps=3))
    _, second = layer(inputs(steps=1, seed=5), first)
    for name in ("memory", "write_weights"):
        assert torch.equal(getattr(first.memory, name), getattr(second.memory, name))
    assert not torch.equal(first.memory.read_weights, second.memory.read_weights)
    assert not torch.equal(first.read_vectors, second.read_vectors)


def test_rows_that_begin_anew_count_anew() -> None:
    layer = BY_NAME["dnc_cached_uniform"].build()
    starts = torch.zeros(5, B, dtype=torch.bool)
    starts[3, 1] = True
    y, state = layer(inputs(), starts=starts)
    assert state.controller.steps.tolist() == [1, 0, 1]
    alone, _ = layer(inputs()[3:, 1:2])
    torch.testing.assert_close(y[3:, 1:2], alone, rtol=0, atol=1e-12)


def test_the_kernel_refuses_it_by_name() -> None:
    layer = BY_NAME["dnc_cached_uniform"].build()
    assert layer.backend_for(inputs()).reason == (
        "It knows layers that write at every step; this one has "
        "UniformWriting(interval=2, cached=True, read_between=False)."
    )
    stream = memnets.Stream(layer, B)
    expected, _ = layer(inputs())
    for t, x_t in enumerate(inputs()):
        torch.testing.assert_close(stream.step(x_t), expected[t], rtol=0, atol=1e-12)


def test_a_config_rebuilds_it() -> None:
    layer = BY_NAME["dnc_cached_uniform"].build()
    again = memnets.from_config(layer.config, dtype=torch.float64)
    again.load_state_dict(layer.state_dict())
    assert again.wiring == layer.wiring
    assert torch.equal(layer(inputs())[0], again(inputs())[0])


def test_a_cache_needs_a_hidden_state() -> None:
    said = "got the cell feedforward: take one such as lstm, or UniformWriting"
    controller = WiredStack(cell="feedforward", schedule=UniformWriting())
    with pytest.raises(ValueError, match=said):
        memnets.NTM(3, 2, controller=controller)
    controller = WiredStack(cell="feedforward", schedule=UniformWriting(cached=False))
    memnets.NTM(3, 2, controller=controller)(torch.zeros(6, 3))


def test_a_model_that_cannot_read_alone_says_so() -> None:
    class Blind(memnets.DNC):
        look = memnets.MemoryLayer.look

    controller = WiredStack(schedule=UniformWriting(read_between=True))
    for kind, name in ((Blind, "Blind"), (memnets.SAM, "SAM"), (memnets.SDNC, "SDNC")):
        with pytest.raises(NotImplementedError, match=f"{name} does not read without a write"):
            kind(3, 2, controller=controller)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: UniformWriting(interval=0), "interval must be a whole number of at least 1"),
        (lambda: UniformWriting(cached=1), "cached must be True or False; got 1"),
        (lambda: WiredStack(schedule=4), "schedule must be None or a part with a method build"),
        (lambda: WiredStack(schedule=UniformWriting), "schedule must be None or a part with a"),
        (lambda: WiredStack(cell="any"), "cell must be one of ctrnn, ctrnn_rk4, elman"),
    ],
)
def test_what_is_refused(make: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        make()

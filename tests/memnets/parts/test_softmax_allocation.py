"""Allocation by a softmax, without a sort: beside loops, its gradients, and a step of a DNC."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import memnets
from memnets.dnc import DNCParameters
from memnets.parts.content import Content, ContentParameters
from memnets.parts.linkage import LinkageParameters
from memnets.parts.softmax_allocation import (
    SoftmaxAllocation,
    SoftmaxAllocationParameters,
    allocate_by_softmax,
    softmax_allocation,
)
from memnets.parts.writing import WriteVectors
from tests import oracles, samples
from tests.layers import BY_NAME, B, inputs
from tests.samples import as_tensors, assert_equal_to, tensor

EPSILON = 1e-3


def allocate(usage: np.ndarray, strengths: np.ndarray, gates: np.ndarray) -> np.ndarray:
    """[B,N], [B,H], [B,H] -> [B,H,N]: exp(s (1 - u_i)) over their sum, head after head."""
    (rows, slots), heads = usage.shape, gates.shape[1]
    weights = np.zeros((rows, heads, slots))
    for b in range(rows):
        used = [float(u) for u in usage[b]]
        for h in range(heads):
            scores = [math.exp(strengths[b, h] * (1 - u)) for u in used]
            for n in range(slots):
                weights[b, h, n] = scores[n] / sum(scores)
                used[n] += (1 - used[n]) * gates[b, h] * weights[b, h, n]
    return weights


@given(samples.sizes())
def test_beside_a_loop(s: SimpleNamespace) -> None:
    usage, gates = s.random.random((s.B, s.N)), s.random.random((s.B, s.H))
    strengths = s.random.exponential(5, size=(s.B, s.H))
    found = allocate_by_softmax(*map(tensor, (usage, strengths, gates)))
    assert_equal_to(found, allocate(usage, strengths, gates))


def step(i: Any, strengths: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    """A step of a DNC with it."""
    similarity = oracles.cosine(EPSILON)
    retained = oracles.retention(state.read_weights, i.free_gates)
    usage = oracles.update_usage(state.usage, state.write_weights, retained)
    allocated = allocate(usage, strengths, i.allocation_gates * i.write_gates)
    found = oracles.content_weights(state.memory, i.write_keys, i.write_strengths, similarity)
    writes = oracles.dnc_write_weights(i, found, allocated)
    memory = oracles.write(state.memory, writes, i.erase_vectors, i.write_vectors)
    link = oracles.update_link(state.link, state.precedence, writes)
    backward, forward = oracles.directional_weights(link, state.read_weights)
    found = oracles.content_weights(memory, i.read_keys, i.read_strengths, similarity)
    reads = oracles.dnc_read_weights(i.read_modes, backward, forward, found)
    precedence = oracles.update_precedence(state.precedence, writes)
    after = SimpleNamespace(
        memory=memory,
        usage=usage,
        link=link,
        precedence=precedence,
        read_weights=reads,
        write_weights=writes,
    )
    return oracles.read(memory, reads), after


@given(samples.sizes())
@settings(max_examples=30)
def test_steps_of_a_dnc_beside_a_loop(s: SimpleNamespace) -> None:
    state = samples.dnc_memory(s)
    actual = as_tensors(memnets.DNCMemory, state)
    for _ in range(3):
        interface = samples.dnc_interface(s)
        strengths = s.random.exponential(5, size=(s.B, s.H))
        expected, state = step(interface, strengths, state)
        i = SimpleNamespace(**{name: tensor(array) for name, array in vars(interface).items()})
        gates = i.free_gates, i.allocation_gates, i.write_gates
        given_ = DNCParameters(
            ContentParameters(i.read_keys, i.read_strengths),
            ContentParameters(i.write_keys, i.write_strengths),
            WriteVectors(i.erase_vectors, i.write_vectors),
            SoftmaxAllocationParameters(*gates, tensor(strengths)),
            LinkageParameters(i.read_modes),
        )
        vectors, actual = memnets.dnc.step(
            given_,
            actual,
            content=Content(similarity_epsilon=EPSILON),
            allocation=SoftmaxAllocation(),
            linkage=memnets.Linkage(),
        )
        assert_equal_to(vectors, expected)
        for name, array in vars(state).items():
            assert_equal_to(getattr(actual, name), array)


def test_the_gradient_reaches_the_usage_of_every_slot() -> None:
    """What the free list does not let through: the order of the slots."""
    random = np.random.default_rng(0)
    usage, gates = random.random((2, 4)), random.random((2, 2))
    given_ = [tensor(one).requires_grad_() for one in (usage, 1 + random.random((2, 2)), gates)]
    assert torch.autograd.gradcheck(allocate_by_softmax, given_)
    first = softmax_allocation(given_[0], given_[1][:, 0])[0, 0]
    assert (torch.autograd.grad(first, given_[0])[0][0] != 0).all()


def test_a_strong_head_writes_to_the_freest_slot() -> None:
    usage = torch.tensor([[0.9, 0.1, 0.5]])
    weights = [softmax_allocation(usage, torch.tensor([s])).amax().item() for s in (0.1, 5, 100)]
    assert weights == sorted(weights)
    assert weights[0] < 0.36
    assert weights[-1] > 0.999


def test_the_kernel_refuses_it_by_name() -> None:
    layer = BY_NAME["dnc_softmax_allocation"].build()
    reason = layer.backend_for(inputs()).reason
    assert reason == (
        "It knows Allocation as allocation; this layer has SoftmaxAllocation("
        "strength='softplus', strength_bias=0.0, wipe=True)."
    )


def test_wiping() -> None:
    read = torch.tensor([[[1.0, 0.0]]])
    gates = SoftmaxAllocationParameters(torch.ones(1, 1), *(torch.ones(1, 1),) * 3)
    memory = torch.ones(1, 2, 3)
    assert SoftmaxAllocation().free(gates, memory, read) is memory
    after: Tensor = SoftmaxAllocation(wipe=True).free(gates, memory, read)
    assert after[0].tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strength": "any"}, "strength must be one of oneplus, softplus; got 'any'"),
        ({"strength_bias": "much"}, "strength_bias must be a finite number; got 'much'"),
        ({"wipe": 1}, "wipe must be True or False; got 1"),
    ],
)
def test_settings(changes: dict, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        SoftmaxAllocation(**changes)


def test_its_strengths_start_where_the_bias_says() -> None:
    layer = memnets.DNC(3, 2, allocation=SoftmaxAllocation(strength_bias=20.0))
    trace = memnets.record(layer, torch.zeros(1, B, 3))
    assert (trace.interface.allocation.strengths > 15).all()

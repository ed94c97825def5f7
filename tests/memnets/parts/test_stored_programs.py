"""Stored programs: beside a loop that mixes the weights themselves, gradients, and what holds."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.interface import Field, Interface, Table, real, unit
from memnets.parts.content import ContentParameters
from memnets.parts.stored_programs import StoredPrograms, likeness, run_programs
from memnets.parts.wiring import WiredStack
from tests import oracles
from tests.layers import BY_NAME, inputs
from tests.samples import assert_equal_to, seeds, tensor

Array = np.ndarray
TABLE = Table(
    ContentParameters,
    {"keys": Field((2, 3), real, bias=0.5), "strengths": Field((2,), unit, bias=-2.0)},
)
HIDDEN = 4


def working_program(key: Array, strength: float, keys: Array, programs: Array) -> Array:
    """Eq. 3 to 5, for one row: [K], a number, [P, K], [P, ...] -> [...]."""
    similarity = oracles.cosine(1e-6)
    weights = oracles.softmax([strength * similarity(key, one) for one in keys])
    return sum(w * program for w, program in zip(weights, programs, strict=True))


def build(programs: int = 3, key_size: int = 2, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    part = StoredPrograms(programs=programs, key_size=key_size)
    made = part.build(HIDDEN, [TABLE], dtype=torch.float64)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter))
    return made


@given(seeds, st.integers(1, 4), st.integers(1, 3))
def test_beside_a_loop_over_working_programs(seed: int, programs: int, key_size: int) -> None:
    made = build(programs, key_size, seed)
    memory = made.keys, made.programs, made.biases
    keys, values, biases = (one.detach().numpy() for one in memory)
    weight, bias = (one.detach().numpy() for one in made.query.parameters())
    x = np.random.default_rng(seed).normal(size=(3, HIDDEN))
    expected = np.zeros((3, 8))
    for b in range(3):
        query = [sum(w * h for w, h in zip(row, x[b], strict=True)) for row in weight]
        query = np.array([one + more for one, more in zip(query, bias, strict=True)])
        strength = math.log1p(math.exp(query[-1]))
        program = working_program(query[:-1], strength, keys, values)
        offset = working_program(query[:-1], strength, keys, biases)
        for n in range(8):
            expected[b, n] = sum(program[n, i] * x[b, i] for i in range(HIDDEN)) + offset[n]
    (found,) = made(tensor(x))
    assert_equal_to(found.keys, expected[:, :6].reshape(3, 2, 3))
    assert_equal_to(found.strengths, 1 / (1 + np.exp(-expected[:, 6:])))


def test_the_gradient() -> None:
    made = build()
    names = [name for name, _ in made.named_parameters()]

    def function(h: Any, *tensors: Any) -> Any:
        parameters = dict(zip(names, tensors, strict=True))
        return tuple(torch.func.functional_call(made, parameters, (h,))[0])

    given_ = [torch.randn(2, HIDDEN).double().requires_grad_(), *made.parameters()]
    assert torch.autograd.gradcheck(function, given_)


def test_one_program_is_a_linear_map() -> None:
    made, plain = build(programs=1), Interface(HIDDEN, [TABLE], dtype=torch.float64)
    with torch.no_grad():
        plain.linear.weight.copy_(made.programs[0])
        plain.linear.bias.copy_(made.biases[0])
    h = torch.randn(3, HIDDEN).double()
    for one, other in zip(made(h)[0], plain(h)[0], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_strong_query_runs_the_program_of_its_key() -> None:
    made = build()
    with torch.no_grad():
        made.query.weight.zero_()
        made.query.bias.copy_(torch.cat([5 * made.keys[1], torch.tensor([1e3])]))
    weights = made.weigh(torch.randn(2, HIDDEN).double())
    assert (weights.argmax(-1) == 1).all()
    assert weights.amax(-1).min() > 0.99


def test_the_likeness_of_keys_beside_a_loop() -> None:
    keys = np.random.default_rng(0).normal(size=(4, 3))
    cosine = oracles.cosine()
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    expected = sum(cosine(keys[i], keys[j]) for i, j in pairs)
    assert abs(likeness(tensor(keys)).item() - expected) < 1e-12
    assert torch.autograd.gradcheck(likeness, tensor(keys).requires_grad_())


def test_programs_are_drawn_apart_and_start_at_the_biases_of_the_fields() -> None:
    torch.manual_seed(0)
    made = StoredPrograms().build(400, [TABLE])
    assert not torch.equal(made.programs[0], made.programs[1])
    torch.testing.assert_close(
        made.biases, torch.tensor([0.5] * 6 + [-2.0] * 2).expand(2, -1), rtol=0, atol=0.05
    )
    before = [one.clone() for one in made.parameters()]
    torch.manual_seed(0)
    made.reset_parameters()
    assert all(torch.equal(*pair) for pair in zip(before, made.parameters(), strict=True))


def test_half_precision_is_widened() -> None:
    h = torch.ones(1, 2, dtype=torch.bfloat16)
    weights = torch.full((1, 2), 0.5)
    programs, biases = torch.ones(2, 3, 2).bfloat16(), torch.zeros(2, 3).bfloat16()
    assert run_programs(h, weights, programs, biases).tolist() == [[2, 2, 2]]
    layer = memnets.NTM(3, 2, controller=WiredStack(interface=StoredPrograms()))
    y, state = layer.bfloat16()(torch.zeros(2, 3, dtype=torch.bfloat16))
    assert (y.dtype, state.memory.memory.dtype) == (torch.bfloat16, torch.float32)


def test_the_kernel_refuses_them_by_name() -> None:
    layer = BY_NAME["dnc_stored_programs"].build()
    assert layer.backend_for(inputs()).reason == (
        "It knows memnets.interface.Interface; this one is "
        "memnets.parts.stored_programs.ProgramInterface."
    )


@pytest.mark.parametrize("name", ["programs", "key_size"])
def test_settings(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1; got 0"):
        StoredPrograms(**{name: 0})

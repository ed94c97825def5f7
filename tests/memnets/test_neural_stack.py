"""The neural stack and queue against the paper's equations, whose lists grow by a slot a step."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

import memnets
from memnets.neural_stack import NeuralStackInterface, NeuralStackMemory, access
from tests import samples
from tests.samples import assert_equal_to, tensor

Array = np.ndarray
ORDERS = ("stack", "queue")


def step(
    values: list[Array], strengths: list[float], v: Array, d: float, u: float, order: str
) -> Array:
    """One step of one row, oldest first, as eq. 1 to 3 and section 3.4 state it; returns r."""
    count = len(strengths)

    def before(i: int, now: list[float]) -> float:
        others = range(i + 1, len(now)) if order == "stack" else range(i)
        return sum(now[j] for j in others)

    old = list(strengths)
    for i in range(count):
        strengths[i] = max(0.0, old[i] - max(0.0, u - before(i, old)))
    strengths.append(d)
    values.append(v)
    read = np.zeros_like(v)
    for i in range(count + 1):
        read += min(strengths[i], max(0.0, 1.0 - before(i, strengths))) * values[i]
    return read


@pytest.mark.parametrize("order", ORDERS)
@given(st.integers(1, 7), st.integers(1, 3), samples.seeds)
def test_a_sequence_is_the_papers(order: str, steps: int, word: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    slots = steps + int(random.integers(0, 3))
    layer = memnets.NeuralStack(1, 1, memory_size=slots, word_size=word, order=order)
    memory = memnets.map_tensors(torch.Tensor.double, layer.initial_state(1).memory)
    values: list[Array] = []
    strengths: list[float] = []
    for _ in range(steps):
        v, (d, u) = random.normal(size=word), random.random(2).round(int(random.integers(0, 9)))
        expected = step(values, strengths, v, float(d), float(u), order)
        interface = NeuralStackInterface(*(tensor(one)[None] for one in (v, [d], [u])))
        read, memory = access(interface, memory, order=order)
        assert_equal_to(read[0, 0], expected)
        assert_equal_to(memory.strengths[0, : len(values)], np.array(strengths[::-1]))
        assert_equal_to(memory.memory[0, : len(values)], np.array(values[::-1]))
        assert memory.read_weights.sum() <= 1 + 1e-12


@pytest.mark.parametrize("order", ORDERS)
def test_the_gradient(order: str) -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    def run(*given_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        memory, strengths, *rest = given_
        weights = torch.zeros(2, 1, 4, dtype=torch.float64)
        state = NeuralStackMemory(memory, strengths, weights, weights)
        read, after = access(NeuralStackInterface(*rest), state, order=order)
        return read, after.memory, after.strengths, after.read_weights, after.write_weights

    assert gradcheck(run, [drawn(2, 4, 3), drawn(2, 4), drawn(2, 3), drawn(2, 1), drawn(2, 1)])


@pytest.mark.parametrize(("order", "first"), [("stack", 3.0), ("queue", 1.0)])
def test_what_comes_out_first(order: str, first: float) -> None:
    layer = memnets.NeuralStack(1, 1, memory_size=6, word_size=1, order=order)
    state, one, zero = layer.initial_state(1).memory, torch.ones(1, 1), torch.zeros(1, 1)
    for value in (1.0, 2.0, 3.0):
        push = NeuralStackInterface(torch.full((1, 1), value), one, zero)
        read, state = access(push, state, order=order)
    found = [read.item()]
    for _ in range(3):
        read, state = access(NeuralStackInterface(zero, zero, one), state, order=order)
        found.append(read.item())
    assert found == [first, 2.0, 4.0 - first, 0.0]


def test_the_oldest_is_lost_when_there_is_no_slot_left() -> None:
    layer = memnets.NeuralStack(1, 1, memory_size=2, word_size=1, order="queue")
    state, one, zero = layer.initial_state(1).memory, torch.ones(1, 1), torch.zeros(1, 1)
    for value in (1.0, 2.0, 3.0):
        push = NeuralStackInterface(torch.full((1, 1), value), one, zero)
        read, state = access(push, state, order="queue")
    assert read.item() == 2.0
    assert state.memory.flatten().tolist() == [3.0, 2.0]


def test_the_kernel_does_not_know_it() -> None:
    layer, x = memnets.NeuralStack(3, 2), torch.zeros(1, 1, 3)
    found = layer.backend_for(x)
    assert (found.backend, "NeuralStack is another class" in (found.reason or "")) == (
        "reference",
        True,
    )
    with pytest.raises(ValueError, match=r"cannot serve this call\. .* NeuralStack"):
        memnets.NeuralStack(3, 2, backend="fused")(x)


@pytest.mark.parametrize("order", ["heap", None])
def test_an_order_that_there_is_not(order: object) -> None:
    with pytest.raises(ValueError, match="order must be one of stack, queue; got"):
        memnets.NeuralStack(3, 2, order=order)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("order", ORDERS)
def test_its_picture_shows_what_is_pushed_and_popped(order: str) -> None:
    plots = pytest.importorskip("memnets.inspect.plots")
    trace = memnets.record(memnets.NeuralStack(3, 2, memory_size=5, order=order), torch.rand(6, 3))
    labels = {axis.get_ylabel() for axis in plots.heads_figure(trace).axes}
    assert {"push signal", "pop signal", "strength of slot"} <= labels

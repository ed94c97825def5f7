"""The sparse access memory against a loop that looks at every word, and what its store promises."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.parts.buffer import own_copy
from memnets.parts.content import content_weights
from memnets.parts.last_access import least_recent, total_weights
from memnets.parts.normalised_interface import NormalisedInterface
from memnets.parts.search import largest
from memnets.parts.sparse import (
    Sparse,
    SparseParameters,
    _Adds,
    _Reads,
    added_words,
    read_words,
)
from memnets.parts.store import InPlace, Words
from memnets.sam import SAMMemory, step
from tests import samples
from tests.layers import leaves, numbers, wanting, wired
from tests.samples import assert_equal_to, tensor

Array = np.ndarray
DELTA, EPSILON = 0.005, 1e-6


class Dense:
    """One row's memory of N words, each looked at in each step (Rae et al. 2016, section 3)."""

    def __init__(
        self, slots: int, word: int, count: int, readers: int, read_first: bool = False
    ) -> None:
        self.memory = np.zeros((slots, word))
        self.accessed = np.zeros(slots)
        self.read_weights = np.zeros((readers, slots))
        self.written: set[int] = set()
        self.count, self.time, self.read_first = count, 0, read_first

    def step(self, p: dict[str, Array]) -> Array:
        """Write (eq. 3 and 5), then read (eq. 4), or the reverse: the read vectors [R, W]."""
        self.time += 1
        if self.read_first:
            now = np.array([self.weigh(*one) for one in self.queries(p)])
            now[:, [i for i in range(len(self.memory)) if i not in self.written]] = 0.0
            vectors = now @ self.memory
        slots, _ = self.memory.shape
        heads = len(p["write_gates"])
        oldest = sorted(range(slots), key=lambda i: (self.accessed[i], i))[:heads]
        weights = np.zeros((heads, slots))
        for h in range(heads):
            alpha, gamma = p["write_gates"][h], p["reuse_gates"][h]
            for i in self.written:
                weights[h, i] = alpha * gamma * self.read_weights[h, i]
            weights[h, oldest[h]] += alpha * (1 - gamma)
        self.written |= set(oldest)
        for i in oldest:
            self.memory[i] = 0.0
        for h in range(heads):
            self.memory += np.outer(weights[h], p["write_vectors"][h])
        if not self.read_first:
            now = np.array([self.weigh(*one) for one in self.queries(p)])
            vectors = now @ self.memory
        self.read_weights = now
        total = weights.sum(0) + self.read_weights.sum(0)
        for i in self.written:
            if total[i] > DELTA:
                self.accessed[i] = self.time
        return vectors

    def queries(self, p: dict[str, Array]) -> Any:
        return zip(p["read_keys"], p["read_strengths"], strict=True)

    def weigh(self, key: Array, strength: float) -> Array:
        alike = [
            key @ word / np.sqrt((key @ key) * (word @ word) + EPSILON) for word in self.memory
        ]
        best = sorted(range(len(alike)), key=lambda i: (-alike[i], i))[: self.count]
        found = np.zeros(len(alike))
        for i in best:
            found[i] = np.exp(strength * alike[i])
        return found / found.sum()


def drawn(
    random: np.random.Generator, rows: int, readers: int, writers: int, word: int
) -> dict[str, Array]:
    return {
        "read_keys": random.normal(size=(rows, readers, word)),
        "read_strengths": 1 + random.random((rows, readers)) * 5,
        "write_gates": random.random((rows, writers)),
        "reuse_gates": random.random((rows, writers)),
        "write_vectors": random.normal(size=(rows, writers, word)),
    }


def initial(rows: int, slots: int, word: int, readers: int, writers: int, count: int) -> SAMMemory:
    layer = memnets.SAM(
        1,
        1,
        memory_size=slots,
        word_size=word,
        read_heads=readers,
        write_heads=writers,
        addressing=Sparse(top_k=count),
        dtype=torch.float64,
    )
    return layer.initial_state(rows).memory


def spread(state: SAMMemory, slots: int) -> torch.Tensor:
    """The read weights as weightings [B, R, N]."""
    whole = torch.zeros(*state.read_weights.shape[:2], slots, dtype=torch.float64)
    return whole.scatter_add(-1, state.read_slots, state.read_weights)


@pytest.mark.parametrize("read_first", [False, True])
@given(st.integers(1, 12), st.integers(1, 3), st.integers(2, 9), samples.seeds, st.booleans())
def test_a_sequence_is_that_of_the_dense_loop(
    read_first: bool, steps: int, readers: int, slots: int, seed: int, in_place: bool
) -> None:
    random = np.random.default_rng(seed)
    writers = int(random.integers(1, min(readers, slots) + 1))
    count, rows, word = int(random.integers(1, slots + 1)), 2, 3
    state = initial(rows, slots, word, readers, writers, count)
    dense = [Dense(slots, word, count, readers, read_first) for _ in range(rows)]
    addressing = Sparse(top_k=count, read_first=read_first)
    state = state.opened() if in_place else state
    for _ in range(steps):
        p = drawn(random, rows, readers, writers, word)
        given_ = SparseParameters(**{name: tensor(one) for name, one in p.items()})
        read, state = step(given_, state, addressing=addressing)
        for b, one in enumerate(dense):
            assert_equal_to(read[b], one.step({name: array[b] for name, array in p.items()}))
            assert_equal_to(spread(state, slots)[b], one.read_weights)
    state = state.closed() if in_place else state
    for b, one in enumerate(dense):
        assert_equal_to(state.memory[b], one.memory)
        assert_equal_to(state.accessed[b].double(), one.accessed)


@given(st.integers(1, 6), samples.seeds)
def test_with_all_words_a_read_is_that_of_dense_content(slots: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    state = initial(2, slots, 3, 2, 1, slots)
    state = state._replace(
        memory=tensor(random.normal(size=(2, slots, 3))), written=torch.tensor([slots, slots])
    )
    p = drawn(random, 2, 2, 1, 3)
    given_ = SparseParameters(**{name: tensor(one) for name, one in p.items()})
    read, after = step(given_, state, addressing=Sparse(top_k=slots))
    weights = content_weights(after.memory, given_.read_keys, given_.read_strengths)
    torch.testing.assert_close(after.read_weights, weights, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(read, weights @ after.memory, rtol=1e-10, atol=1e-10)


def layer_and_state(**options: Any) -> tuple[memnets.SAM, Any, torch.Tensor]:
    """A layer of 40 slots, a state that it has left, and inputs."""
    torch.manual_seed(0)
    sizes = {"memory_size": 40, "word_size": 4, "read_heads": 3, "write_heads": 2}
    layer = memnets.SAM(3, 2, **sizes, hidden_size=6, dtype=torch.float64, **options)
    with torch.no_grad():
        _, state = layer(torch.randn(4, 2, 3, dtype=torch.float64))
    return layer, wanting(state), torch.randn(7, 2, 3, dtype=torch.float64)


def gradients_of(layer: Any, y: torch.Tensor, end: Any, state: Any, **options: Any) -> list[Any]:
    total = y.square().sum() + sum(one.square().sum() for one in numbers(end))
    wanted = [*numbers(state), *layer.parameters()]
    return list(torch.autograd.grad(total, wanted, materialize_grads=True, **options))


def test_a_sequence_in_place_has_the_gradients_of_its_steps() -> None:
    """Of steps that copy all words, through which autograd finds the gradient by itself."""
    layer, state, x = layer_and_state()
    y, end = layer(x, state)
    outputs, carried = [], state
    for x_t in x:
        _, _, carried = layer.advance(x_t, carried)
        outputs.append(carried)
    assert isinstance(carried.memory.memory, torch.Tensor)
    found = gradients_of(layer, y, end, state)
    expected = layer_by_steps(layer, x, state)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def layer_by_steps(layer: Any, x: torch.Tensor, state: Any) -> list[Any]:
    outputs, carried = [], state
    for x_t in x:
        h, _, carried = layer.advance(x_t, carried)
        outputs.append(layer.output(h, carried.read_vectors))
    return gradients_of(layer, torch.stack(outputs), carried, state)


def test_two_graphs_over_one_state() -> None:
    """Their backwards in either order, and one of them twice, give what each gives alone."""
    layer, state, x = layer_and_state()
    alone = [layer_by_steps(layer, one, state) for one in (x, -x)]
    one, other = layer(x, state), layer(-x, state)
    for order in ((0, 1, 0), (1, 0, 1)):
        for which in order:
            y, end = (one, other)[which]
            found = gradients_of(layer, y, end, state, retain_graph=True)
            for left, right in zip(found, alone[which], strict=True):
                torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)


def test_a_backward_after_one_that_failed() -> None:
    layer, state, x = layer_and_state()
    expected = layer_by_steps(layer, x, state)
    y, end = layer(x, state)
    kept = y.sum()

    def fails(gradient: torch.Tensor) -> None:
        raise RuntimeError("stop here")

    hook = state.read_vectors.register_hook(fails)
    with pytest.raises(RuntimeError, match="stop here"):
        kept.backward(retain_graph=True)
    hook.remove()
    for parameter in layer.parameters():
        parameter.grad = None
    for one, two in zip(gradients_of(layer, y, end, state), expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


def test_the_state_that_is_given_stays_as_it_was() -> None:
    layer, state, x = layer_and_state()
    before = [leaf.detach().clone() for leaf in leaves(state)]
    y, _ = layer(x, state)
    y.sum().backward()
    assert all(map(torch.equal, before, leaves(state)))


def test_a_second_derivative_is_an_error() -> None:
    layer, state, x = layer_and_state()
    y, _ = layer(x.requires_grad_(), state)
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_words_in_place_are_those_of_the_values() -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 6, 3, dtype=torch.float64)
    value, place = Words(values), InPlace.of(values)
    for _ in range(5):
        erased, positions = torch.randint(6, (2, 2)), torch.randint(6, (2, 4))
        added = torch.randn(2, 4, 3, dtype=torch.float64)
        value = value.write(erased, positions, added)
        place = place.write(erased, positions, added)
        (found, place), (expected, value) = place.read(positions), value.read(positions)
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(place.end(), value.values)


def test_a_copy_of_nothing_takes_no_memory_until_it_is_written() -> None:
    for dtype in (torch.float32, torch.float64, torch.int64, torch.bfloat16):
        copy = own_copy(torch.zeros((), dtype=dtype).expand(2, 3, 4))
        assert copy.dtype == dtype
        assert copy.is_contiguous()
        assert (copy == 0).all()
    ones = torch.ones(()).expand(3)
    assert torch.equal(own_copy(ones), ones)


def test_a_memory_that_does_not_fit() -> None:
    """A terabyte and more, which is said before anything is computed."""
    layer = memnets.SAM(3, 2, memory_size=2**28, word_size=200, hidden_size=4)
    message = r"20 x 268435456 x 200 numbers .* needs 4,294,967,296,000 bytes, and this machine"
    with pytest.raises(ValueError, match=message):
        layer(torch.zeros(1, 20, 3))


@given(st.integers(1, 9), samples.seeds)
def test_the_least_recent_are_those_of_a_sort(slots: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    times = random.integers(0, 4, size=(2, slots))
    count = int(random.integers(1, slots + 1))
    found = least_recent(torch.tensor(times), slots, count)
    for row, one in zip(times, found.tolist(), strict=True):
        assert one == sorted(range(slots), key=lambda i: (row[i], i))[:count]


@given(st.integers(1, 40_000), st.integers(1, 9), samples.seeds)
def test_the_largest_are_those_of_topk(size: int, count: int, seed: int) -> None:
    count = min(count, size)
    values = torch.rand(2, size, generator=torch.Generator().manual_seed(seed))
    for one, expected in zip(largest(values, count), values.topk(count), strict=True):
        assert torch.equal(one, expected)


def test_the_weights_of_equal_slots_count_together() -> None:
    found = total_weights(torch.tensor([[1, 0, 1]]), torch.tensor([[0.25, 0.5, 0.5]]))
    assert torch.equal(found, torch.tensor([[0.75, 0.5, 0.75]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"addressing": Sparse(top_k=9)}, "top_k is 9 and memory_size 8"),
        ({"write_heads": 2}, "write_heads must be at most read_heads; got 2 and 1"),
        (
            {"memory_size": 2, "read_heads": 3, "write_heads": 3, "addressing": Sparse(top_k=1)},
            "Each write head needs a slot of its own; got 3 heads and 2 slots",
        ),
    ],
)
def test_heads_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        memnets.SAM(3, 2, **{"memory_size": 8, **options})


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), samples.seeds)
def test_the_nodes_have_the_gradients_of_their_equations(
    heads: int, count: int, word: int, seed: int
) -> None:
    """Also where a word or a key is 0, and for each result alone."""
    random = np.random.default_rng(seed)

    def drawn(*shape: int) -> torch.Tensor:
        numbers = random.normal(size=(2, heads, *shape))
        return tensor(numbers * (random.random(numbers.shape) < 0.8)).requires_grad_()

    cases = [
        (_Reads, read_words, (drawn(count, word), drawn(word), drawn(), 1e-6)),
        (_Adds, added_words, (drawn(count), drawn(), drawn(), drawn(word))),
    ]
    for node, equations, arguments in cases:
        wanted = [one for one in arguments if isinstance(one, torch.Tensor)]
        found, expected = node.apply(*arguments), equations(*arguments)
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, other)
            given_ = torch.randn_like(one)
            options = {"materialize_grads": True, "retain_graph": True}
            pair = [torch.autograd.grad(y, wanted, given_, **options) for y in (one, other)]
            for left, right in zip(*pair, strict=True):
                scale = max(1.0, float(right.abs().max()))
                assert float((left - right).abs().max()) <= 1e-10 * scale


def test_the_bias_of_the_reuse_gates() -> None:
    """It is added to the bias of these gates alone."""
    biases = []
    for bias in (0.0, -3.0):
        torch.manual_seed(0)
        layer = memnets.SAM(3, 2, memory_size=9, word_size=4, addressing=Sparse(reuse_bias=bias))
        biases.append(layer.interface.linear.bias.detach())
    keys_strength_and_write_gate = 4 + 1 + 1
    expected = torch.zeros(len(biases[0]))
    expected[keys_strength_and_write_gate] = -3.0
    torch.testing.assert_close(biases[1] - biases[0], expected)


def test_keys_start_as_the_vectors_that_are_written() -> None:
    """Those of the first heads; a new draw keeps it, and other numbers are drawn as without it."""
    addressing = Sparse(keys_like_vectors=True)
    options: dict[str, Any] = {"memory_size": 9, "word_size": 4, "read_heads": 3, "write_heads": 2}
    for controller in ("lstm", wired(interface=NormalisedInterface())):
        layers = []
        for one in (Sparse(), addressing):
            torch.manual_seed(0)
            layers.append(memnets.SAM(3, 2, **options, controller=controller, addressing=one))
        plain, layer = (one.interface.linear for one in layers)
        torch.testing.assert_close(plain.weight[8:], layer.weight[8:])
        for _ in range(2):
            for one in (layer.weight, layer.bias):
                torch.testing.assert_close(one[:8], one[12 + 3 + 2 + 2 :])
                assert not torch.allclose(one[8:12], one[-4:])
            layers[1].interface.reset_parameters()

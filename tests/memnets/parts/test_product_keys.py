"""Product keys against a loop over all pairs of keys."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.parts.product_keys import ProductKeys, ProductParameters, product_top
from memnets.parts.sparse import Sparse
from memnets.sam import product_step
from tests import samples
from tests.samples import assert_equal_to, tensor

Array = np.ndarray
EPSILON = 1e-6


def cosine(key: Array, word: Array) -> float:
    return float(key @ word / np.sqrt((key @ key) * (word @ word) + EPSILON))


def weigh(query: Array, strength: float, keys: Array, count: int) -> Array:
    """The weighting [N] of one head, by the key of each slot."""
    _, size, half = keys.shape
    alike = np.array(
        [
            (cosine(query[:half], keys[0, i]) + cosine(query[half:], keys[1, j])) / 2
            for i, j in itertools.product(range(size), repeat=2)
        ]
    )
    best = np.argsort(-alike)[:count]
    found = np.zeros(size * size)
    found[best] = np.exp(strength * alike[best])
    return found / found.sum()


def drawn(random: np.random.Generator, rows: int, readers: int, writers: int) -> dict[str, Array]:
    return {
        "read_keys": random.normal(size=(rows, readers, 6)),
        "read_strengths": 1 + random.random((rows, readers)) * 5,
        "write_keys": random.normal(size=(rows, writers, 6)),
        "write_strengths": 1 + random.random((rows, writers)) * 5,
        "write_gates": random.random((rows, writers)),
        "write_vectors": random.normal(size=(rows, writers, 6)),
    }


@given(st.integers(1, 4), st.integers(1, 8), st.booleans(), samples.seeds)
def test_a_sequence_is_that_of_the_loop(size: int, steps: int, in_place: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, readers, writers = 2, 3, 2
    addressing = ProductKeys(top_k=int(random.integers(1, size * size + 1)))
    layer = memnets.SAM(
        1, 1, memory_size=size**2, word_size=6, read_heads=3, write_heads=1,
        addressing=addressing, dtype=torch.float64,
    )  # fmt: skip
    keys = random.normal(size=(2, size, 3))
    state = layer.initial_state(rows).memory
    state = state.opened() if in_place else state
    memory = np.zeros((rows, size**2, 6))
    for _ in range(steps):
        p = drawn(random, rows, readers, writers)
        given_ = ProductParameters(**{name: tensor(one) for name, one in p.items()})
        read, state = product_step(given_, state, tensor(keys), addressing=addressing)
        for b in range(rows):
            before = memory[b].copy()
            for h in range(writers):
                w = weigh(p["write_keys"][b, h], p["write_strengths"][b, h], keys, addressing.top_k)
                for i in range(size**2):
                    moved = p["write_vectors"][b, h] - before[i]
                    memory[b, i] += p["write_gates"][b, h] * w[i] * moved
            for r in range(readers):
                w = weigh(p["read_keys"][b, r], p["read_strengths"][b, r], keys, addressing.top_k)
                assert_equal_to(read[b, r], w @ memory[b])
    state = state.closed() if in_place else state
    assert_equal_to(state.memory, memory)


@given(st.integers(1, 30), samples.seeds)
def test_the_best_sums_are_those_of_all(size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, size * size + 1))
    rows, columns = tensor(random.normal(size=(2, size))), tensor(random.normal(size=(2, size)))
    sums, slots = product_top(rows, columns, count)
    every = (rows[:, :, None] + columns[:, None, :]).flatten(1)
    assert torch.equal(sums, every.topk(count).values)
    assert torch.equal(every.gather(1, slots), sums)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"memory_size": 10}, "two sets of n keys .* memory_size is 10: choose 9 or 16"),
        ({"word_size": 5}, "has two halves; word_size is 5: choose 6"),
        ({"addressing": ProductKeys(top_k=17)}, "top_k is 17 and memory_size 16"),
    ],
)
def test_sizes_that_product_keys_cannot_have(sizes: dict[str, Any], message: str) -> None:
    options = {"memory_size": 16, "word_size": 4, "addressing": ProductKeys(), **sizes}
    with pytest.raises(ValueError, match=message):
        memnets.SAM(3, 2, **options)


def test_a_part_that_is_neither() -> None:
    with pytest.raises(TypeError, match="addressing"):
        memnets.SAM(3, 2, addressing=3)


def test_the_keys_learn() -> None:
    torch.manual_seed(0)
    layer = memnets.SAM(3, 2, memory_size=16, word_size=4, addressing=ProductKeys())
    y, _ = layer(torch.randn(5, 2, 3))
    y.square().sum().backward()
    assert layer.product_keys is not None
    gradient = layer.product_keys.keys.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert memnets.SAM(3, 2, addressing=Sparse()).product_keys is None

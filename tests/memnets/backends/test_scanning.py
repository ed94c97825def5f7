"""The scans in C++ against those that are read, and the scan by bytes against that of all words."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.backends.cpu import scanning
from memnets.backends.cpu.scanning import Sketch, scan
from memnets.parts.search import exact
from memnets.parts.sparse import Sparse
from memnets.parts.store import InPlace, Words
from memnets.sharing import share, value
from tests import samples
from tests.layers import leaves
from tests.samples import tensor

EPSILON = 1e-6
WIDTHS = (1, 3, 16, 32, 33)
Array = np.ndarray


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sketch is made of any number of words."""
    monkeypatch.setattr(scanning, "SKETCHED", 1)


@given(st.integers(1, 60), st.sampled_from(WIDTHS), st.integers(1, 6), samples.seeds)
def test_a_scan_finds_what_torch_finds(slots: int, word: int, heads: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, count = 2, int(random.integers(1, slots + 1))
    written = torch.tensor(random.integers(0, slots + 1, size=rows))
    values = random.normal(size=(rows, slots, word))
    for row, end in zip(values, written.tolist(), strict=True):
        row[end:] = random.normal(size=word)  # all that was never written is equal
    until = min(slots, int(written.max()) + count)
    words, keys = Words(tensor(values)), tensor(random.normal(size=(rows, heads, word)))
    found = scan(words, written, keys, count, until, EPSILON)
    assert torch.equal(found, exact(words, written, keys, count, until, EPSILON))


def normal(random: np.random.Generator, slots: int, word: int) -> Array:
    return random.normal(size=(slots, word))


def nearly_equal(random: np.random.Generator, slots: int, word: int) -> Array:
    """Apart by what float32 can just tell."""
    return normal(random, 1, word) * (1 + 1e-7 * random.normal(size=(slots, word)))


def equal(random: np.random.Generator, slots: int, word: int) -> Array:
    return np.repeat(normal(random, 3, word), slots // 3 + 1, axis=0)[:slots]


def of_all_lengths(random: np.random.Generator, slots: int, word: int) -> Array:
    return normal(random, slots, word) * 10.0 ** random.uniform(-44, 38, size=(slots, 1))


def with_one_large_number(random: np.random.Generator, slots: int, word: int) -> Array:
    """Whose other numbers are less than a byte can tell."""
    values = normal(random, slots, word) * 1e-3
    values[np.arange(slots), random.integers(0, word, size=slots)] = 1.0
    return values


def short(random: np.random.Generator, slots: int, word: int) -> Array:
    """So short that the epsilon of the cosine counts, and some of no length."""
    values = normal(random, slots, word) * 10.0 ** random.uniform(-9, -1, size=(slots, 1))
    values[:: 1 + int(random.integers(1, 5))] = 0.0
    return values


def not_numbers(random: np.random.Generator, slots: int, word: int) -> Array:
    values = normal(random, slots, word)
    wrong = random.choice([np.nan, np.inf, -np.inf, 3e38], size=(slots, word))
    return np.where(random.random((slots, word)) < 0.02, wrong, values)


KINDS = (
    normal,
    nearly_equal,
    equal,
    of_all_lengths,
    with_one_large_number,
    short,
    not_numbers,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(
    st.integers(1, 200), st.sampled_from(WIDTHS), st.integers(1, 9), st.booleans(), samples.seeds
)
def test_the_scan_by_bytes_finds_what_the_plain_one_finds(
    kind: Any, slots: int, word: int, heads: int, rising: bool, seed: int
) -> None:
    """The same slots, ties and what is not a number included.

    Rising: each word is more like the first key than those before it.
    """
    random = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        values = kind(random, slots, word).astype(np.float32)[None]
        size = 10.0 ** random.uniform(-8, 8)
        keys = (random.normal(size=(1, heads, word)) * size).astype(np.float32)
        if rising:
            values[0] = values[0, np.argsort(values[0] @ keys[0, 0])]
    count, written = int(random.integers(1, slots + 1)), torch.tensor([slots])
    words = InPlace.of(torch.from_numpy(values))
    assert_same_scans(words, written, torch.from_numpy(keys), count, EPSILON)
    assert_same_scans(words, written, torch.from_numpy(keys), count, 0.0)


def assert_same_scans(
    words: InPlace, written: torch.Tensor, keys: torch.Tensor, count: int, epsilon: float
) -> None:
    slots = words.values.shape[1]
    words.buffer.index = None
    plain = scan(words, written, keys, count, slots, epsilon)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "SKETCHED", 1)
        sketched = scan(words, written, keys, count, slots, epsilon)
    assert isinstance(words.buffer.index, Sketch)
    assert torch.equal(sketched, plain)


@pytest.mark.parametrize("word", [8, 32, 128])
def test_bytes_that_are_as_wrong_as_they_can_be(word: int, always: None) -> None:
    """The best word lies half a byte above its bytes in each number, all others half one below.

    Were the bounds of its cosine nearer to its bytes by a tenth, it would be passed over.
    """
    near = 0.498
    rest = np.arange(2, word) % 50 + 30.0
    best = np.concatenate([[127.0, 10.0], rest + near])
    others = np.concatenate([[127.0, 9.0], rest + 1 - near])
    values = np.stack([others] * 40 + [best] + [others] * 40).astype(np.float32)
    lengths = np.linalg.norm(values, axis=1)
    assert (values.sum(1) / lengths).argmax() == 40
    assert (np.rint(values).sum(1) / lengths).argmin() == 40
    words = InPlace.of(torch.from_numpy(values)[None])
    found = scan(words, torch.tensor([81]), torch.ones(1, 1, word), 1, 81, EPSILON)
    assert isinstance(words.buffer.index, Sketch)
    assert found.item() == 40


def test_a_sketch_follows_what_is_written_and_undone(always: None) -> None:
    torch.manual_seed(0)
    words = InPlace.of(torch.randn(2, 50, 5), shared=True, restores=True)
    start, written, keys = words.version, torch.tensor([50, 40]), torch.randn(2, 3, 5)
    for _ in range(9):
        place, added = torch.randint(50, (2, 4)), 3 * torch.randn(2, 4, 5, requires_grad=True)
        words = words.write(place[:, :1], place, added)
        assert torch.equal(
            scan(words, written, keys, 4, 50, EPSILON), exact(words, written, keys, 4, 50, EPSILON)
        )
    words.buffer.restore(start)
    words = words.after(words.token)
    assert torch.equal(
        scan(words, written, keys, 4, 50, EPSILON), exact(words, written, keys, 4, 50, EPSILON)
    )


@pytest.mark.parametrize("kind", [memnets.SAM, memnets.SDNC])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_layer_with_the_kernel_is_that_without(
    kind: Any, dtype: torch.dtype, always: None
) -> None:
    """Outputs, states and gradients, over two sequences that are trained from one shared state."""
    torch.manual_seed(0)
    options = {"memory_size": 60, "word_size": 6, "read_heads": 3, "hidden_size": 7}
    layer = kind(3, 2, **options, addressing=Sparse(top_k=5), dtype=dtype)
    x = torch.randn(2, 30, 2, 3, dtype=dtype)
    results = []
    for backend in ("reference", "auto"):
        layer.backend = backend
        with torch.no_grad():
            _, state = layer(x[0])
        shared = share(state, restore=True)
        for one in x:
            layer.zero_grad()
            y, end = layer(one, shared)
            made = [y.detach(), *leaves(value(end))]
            y.square().sum().backward()
        results.append([*made, *(one.grad for one in layer.parameters())])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_what_the_kernel_does_not_know_is_done_by_torch() -> None:
    """Words that are no rows of numbers, or of another dtype; and a transform of torch.func."""
    torch.manual_seed(0)
    written, keys = torch.tensor([7]), torch.randn(1, 2, 4)
    for values in (torch.randn(1, 4, 9).transpose(1, 2), torch.randn(1, 9, 4).bfloat16()):
        words, same = Words(values), keys.to(values.dtype)
        found = scan(words, written, same, 2, 9, EPSILON)
        assert torch.equal(found, exact(words, written, same, 2, 9, EPSILON))
    values = torch.randn(1, 9, 4)
    nearest = functools.partial(scan, Words(values), written)
    batched = torch.vmap(lambda key: nearest(key, 2, 9, EPSILON))(keys[None])
    assert torch.equal(batched[0], nearest(keys, 2, 9, EPSILON))

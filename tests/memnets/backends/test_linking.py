"""What a sparse memory does in C++ with the words that it found, against what torch does."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import memnets
from memnets.backends.cpu import linking
from memnets.backends.cpu.linking import along, link, read
from memnets.parts import sparse, sparse_linkage
from memnets.parts.sparse import Sparse
from memnets.parts.sparse_linkage import Links
from memnets.parts.store import InPlace
from tests import samples
from tests.layers import leaves
from tests.samples import tensor

ROWS = 2
NUMBERS = [torch.float32, torch.float64]


def no_links(slots: int, count: int, dtype: torch.dtype) -> Links:
    table, last = (ROWS, slots, count), (ROWS, count)
    shapes = (table, table, table, table, last, last)
    kinds = (torch.int64, dtype) * 3
    return Links(*(torch.zeros(s, dtype=kind) for s, kind in zip(shapes, kinds, strict=True)))


def copied(links: Links) -> Links:
    return Links(*(one.clone() for one in links))


def written(random: np.random.Generator, slots: int, dtype: torch.dtype) -> tuple[Any, Any]:
    """Slots, some of them twice, and weights, some of them 0, that sum to at most 1."""
    places = torch.tensor(random.integers(0, slots, size=(ROWS, 5)))
    weights = random.choice([0.0, 1.0], size=(ROWS, 5)) * random.random((ROWS, 5)) / 5
    if random.random() < 0.2:
        weights[0] = [0, 0, 0, 0, 1]
    return places, tensor(weights).to(dtype)


@given(st.integers(1, 12), st.integers(1, 12), samples.seeds)
def test_links_are_those_of_torch(steps: int, slots: int, seed: int) -> None:
    """Over several writes; in half of the cases a row rests."""
    random = np.random.default_rng(seed)
    count, dtype = int(random.integers(1, slots + 1)), torch.float64
    expected = no_links(slots, count, dtype)
    found, words = copied(expected), InPlace.of(torch.zeros(ROWS, slots, 1, dtype=dtype))
    if random.random() < 0.5:
        words = words.rest(torch.tensor([False, True]))
    for _ in range(steps):
        places, weights = written(random, slots, dtype)
        found = link(found, places, weights, words)
        expected = sparse_linkage.update_links(expected, places, weights, words)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def case(seed: int, dtype: torch.dtype) -> tuple[Links, Any, Any, Any, Any]:
    """Links, and what a step reads along them; some weights and modes are 0, and some equal."""
    random = np.random.default_rng(seed)
    slots, heads = int(random.integers(1, 30)), int(random.integers(1, 4))
    count, wide = (int(random.integers(1, min(slots, 5) + 1)) for _ in range(2))
    places = [torch.tensor(random.integers(0, slots, (ROWS, slots, wide))) for _ in range(2)]
    held = [tensor(random.integers(0, 3, (ROWS, slots, wide)) / 8).to(dtype) for _ in range(2)]
    links = Links(places[0], held[0], places[1], held[1], *no_links(slots, wide, dtype)[4:])
    last, found = (torch.tensor(random.integers(0, slots, (ROWS, heads, count))) for _ in range(2))
    weights, content = (
        tensor(random.integers(0, 3, (ROWS, heads, count)) / 4).to(dtype) for _ in range(2)
    )
    modes = tensor(random.choice([0.0, 0.25, 0.5], size=(ROWS, heads, 3))).to(dtype)
    return links, (last, weights), modes, found, content


@given(samples.seeds, st.sampled_from(NUMBERS))
def test_what_is_read_along_links_is_what_torch_reads(seed: int, dtype: torch.dtype) -> None:
    """Equal weights and gradients of what is 0 among them; eighths and quarters sum exactly."""
    links, last, modes, found, content = case(seed, dtype)
    results = []
    for function in (along, sparse_linkage.read_along):
        given_ = [one.clone().requires_grad_() for one in (last[1], modes, content)]
        slots, weights = function(links, (last[0], given_[0]), given_[1], found, given_[2])
        torch.manual_seed(seed)
        gradients = torch.autograd.grad(weights, given_, torch.randn_like(weights))
        results.append([slots, weights, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_the_gradient_along_links() -> None:
    links, last, modes, found, content = case(3, torch.float64)
    torch.manual_seed(0)
    inputs = [torch.rand_like(one).requires_grad_() for one in (last[1], modes, content)]

    def run(*numbers: torch.Tensor) -> torch.Tensor:
        return along(links, (last[0], numbers[0]), numbers[1], found, numbers[2])[1]

    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
@pytest.mark.parametrize("word", [1, 3, 8, 16, 33])
def test_words_are_read_as_by_torch(word: int, dtype: torch.dtype) -> None:
    """Also words that are equal, a word and a key of 0, and a large strength."""
    single = dtype == torch.float32
    torch.manual_seed(word)
    words, keys = torch.randn(3, 2, 5, word, dtype=dtype), torch.randn(3, 2, word, dtype=dtype)
    strengths = 1 + 5 * torch.rand(3, 2, dtype=dtype)
    words[0, 0], words[1, 0, 2], keys[1, 1], strengths[2, 0] = (
        words[0, 0, 0],
        0.0,
        0.0,
        20.0 if single else 1000.0,
    )
    results = []
    for function in (read, sparse.TORCH.read):
        given_ = [one.clone().requires_grad_() for one in (words, keys, strengths)]
        outputs = function(given_[0], given_[1], given_[2], 1e-6)
        torch.manual_seed(1)
        upstream = [torch.randn_like(one) for one in outputs]
        results.append([*outputs, *torch.autograd.grad(outputs, given_, upstream)])
    for one, other in zip(*results, strict=True):
        near = (1e-4 if single else 1e-12) * max(1.0, other.detach().abs().max().item())
        torch.testing.assert_close(one, other, rtol=0.0, atol=near)


def test_an_epsilon_that_is_a_whole_number() -> None:
    """Which C++ would look for among other numbers than a fraction."""
    torch.manual_seed(0)
    given_ = torch.randn(1, 1, 5, 4), torch.randn(1, 1, 4), 1 + torch.rand(1, 1)
    given_ = [one.requires_grad_() for one in given_]
    whole, same = read(*given_, 1), read(*given_, 1.0)
    expected = sparse.TORCH.read(*given_, 1.0)
    for found in (whole, same):
        torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-5)
        gradients = torch.autograd.grad(found[1].square().sum(), given_)
        wanted = torch.autograd.grad(expected[1].square().sum(), given_, retain_graph=True)
        torch.testing.assert_close(gradients, wanted, rtol=0.0, atol=1e-5)


def test_the_gradient_of_a_read() -> None:
    torch.manual_seed(0)
    shapes = (2, 1, 4, 3), (2, 1, 3), (2, 1)
    inputs = [torch.rand(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda a, b, c: read(a, b, c, 1e-6), inputs)


@settings(max_examples=12)
@given(samples.seeds)
def test_a_layer_with_the_kernel_is_that_without(seed: int) -> None:
    """Two graphs over one state, their backwards in the other order, with lengths and starts."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    slots, heads = int(random.integers(4, 20)), int(random.integers(1, 4))
    top_k, links = int(random.integers(1, 5)), int(random.integers(1, 5))
    layer = memnets.SDNC(
        3,
        2,
        memory_size=slots,
        word_size=int(random.integers(1, 9)),
        read_heads=heads,
        links=links,
        hidden_size=5,
        addressing=Sparse(top_k=top_k),
        dtype=torch.float64,
    )
    x = torch.randn(2, 6, 3, 3, dtype=torch.float64)
    lengths, starts = random.integers(1, 7, size=3).tolist(), torch.rand(6, 3) < 0.1
    results = []
    for backend in ("reference", "auto"):
        layer.backend = backend
        layer.zero_grad()
        _, state = layer(x[0])
        (first, one), (second, other) = (layer(x[1], state, lengths=lengths) for _ in range(2))
        third, _ = layer(x[1], memnets.detach(one), starts=starts)
        for y in (second, third, first):
            y.square().sum().backward(retain_graph=True)
        results.append([first, second, third, *leaves(one), *leaves(other)])
        results[-1] += [parameter.grad for parameter in layer.parameters()]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_layer_takes_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    called = linking.call

    def counted(name: str, *arguments: Any) -> None:
        names.append(name)
        called(name, *arguments)

    monkeypatch.setattr(linking, "call", counted)
    layer = memnets.SDNC(3, 2, memory_size=9, word_size=4, hidden_size=5)
    layer(torch.randn(1, 2, 3))[0].sum().backward()
    forward = ["memnets_read", "memnets_update_links", "memnets_read_along"]
    assert names == [*forward, "memnets_read_along_backward", "memnets_read_backward"]
    names.clear()
    layer.backend = "reference"
    layer(torch.randn(1, 2, 3))[0].sum().backward()
    assert not names

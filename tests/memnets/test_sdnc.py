"""The sparse DNC: its links against dense matrices, and against the linkage of the DNC."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memnets
from memnets.parts import linkage
from memnets.parts.sparse import Sparse
from memnets.parts.sparse_linkage import Links, follow, merged, update_links
from memnets.parts.store import Words
from memnets.sdnc import SDNCMemory, SDNCParameters, step
from memnets.sharing import share, value
from tests import samples
from tests.layers import BY_NAME, assert_same, inputs
from tests.samples import assert_equal_to, tensor

Array = np.ndarray
WORDS = Words(torch.zeros(1, 1, 1))


def no_links(rows: int, slots: int, count: int) -> Links:
    table, last = (rows, slots, count), (rows, count)
    shapes = (table, table, table, table, last, last)
    kinds = (torch.int64, torch.float64) * 3
    return Links(*(torch.zeros(s, dtype=kind) for s, kind in zip(shapes, kinds, strict=True)))


def dense(slots: torch.Tensor, weights: torch.Tensor, size: int) -> torch.Tensor:
    """Slots and weights [..., P] as [..., N]."""
    whole = torch.zeros(*slots.shape[:-1], size, dtype=weights.dtype)
    return whole.scatter_add(-1, slots, weights)


def largest(row: Array, count: int) -> Array:
    kept = np.argsort(-row, kind="stable")[:count]
    found = np.zeros_like(row)
    found[kept] = row[kept]
    return found


class DenseLinks:
    """Rows and columns of one link matrix, each cut to its largest, as loops over all words."""

    def __init__(self, slots: int, count: int) -> None:
        self.rows, self.columns = np.zeros((slots, slots)), np.zeros((slots, slots))
        self.last, self.count = np.zeros(slots), count

    def update(self, w: Array) -> None:
        written = np.flatnonzero(w)
        old_rows, old_columns = self.rows.copy(), self.columns.copy()
        for i in range(len(w)):
            if i in written or (old_columns[i, written] > 0).any():
                self.rows[i] *= 1 - w[i] - w
            if i in written or (old_rows[written, i] > 0).any():
                self.columns[:, i] *= 1 - w[i] - w
        for i in range(len(w)):
            others = np.arange(len(w)) != i
            if i in written:
                self.rows[i] = largest(self.rows[i] + w[i] * self.last * others, self.count)
            if self.last[i] > 0:
                column = self.columns[:, i] + self.last[i] * w * others
                self.columns[:, i] = largest(column, self.count)
        self.last = largest((1 - w.sum()) * self.last + w, self.count)


def writes(random: np.random.Generator, rows: int, slots: int) -> tuple[Any, Any]:
    """Slots [B, 3], one of which may be there twice, and weights that sum to less than 1."""
    places = random.integers(0, slots, size=(rows, 3))
    return torch.tensor(places), tensor(random.random((rows, 3)) / 3)


@given(st.integers(1, 9), st.integers(2, 7), samples.seeds)
def test_links_are_those_of_the_dense_loop(steps: int, slots: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    count, rows = int(random.integers(1, slots + 1)), 2
    links, loops = no_links(rows, slots, count), [DenseLinks(slots, count) for _ in range(rows)]
    for _ in range(steps):
        places, weights = writes(random, rows, slots)
        links = update_links(links, places, weights, WORDS)
        whole = dense(places, weights, slots).numpy()
        for b, loop in enumerate(loops):
            loop.update(whole[b])
            assert_equal_to(dense(*links[:2], slots)[b], loop.rows)
            assert_equal_to(dense(*links[2:4], slots)[b], loop.columns.T)
            assert_equal_to(dense(*links[4:], slots)[b], loop.last)


@given(st.integers(1, 9), st.integers(2, 6), samples.seeds)
def test_all_links_are_the_matrix_of_the_dnc(steps: int, slots: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    links = no_links(1, slots, slots)
    link = torch.zeros(1, 1, slots, slots, dtype=torch.float64)
    last = torch.zeros(1, 1, slots, dtype=torch.float64)
    for _ in range(steps):
        places, weights = writes(random, 1, slots)
        links = update_links(links, places, weights, WORDS)
        whole = dense(places, weights, slots)[:, None]
        link = linkage.update_link(link, last, whole)
        last = linkage.update_precedence(last, whole)
        torch.testing.assert_close(dense(*links[:2], slots), link[:, 0], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(dense(*links[4:], slots), last[:, 0], rtol=1e-10, atol=1e-10)
    read = tensor(random.random((1, 2, slots)))
    everywhere = torch.arange(slots).expand(1, 2, -1)
    backward = dense(*follow(*links[:2], everywhere, read), slots)
    forward = dense(*follow(*links[2:4], everywhere, read), slots)
    torch.testing.assert_close(forward, read @ link[:, 0].mT, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(backward, read @ link[:, 0], rtol=1e-10, atol=1e-10)


@given(st.integers(1, 8), samples.seeds)
def test_merged_is_a_sum_for_each_slot(size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    slots, weights = random.integers(0, 5, size), random.random(size)
    count = int(random.integers(1, size + 1))
    sums = largest(np.array([weights[slots == i].sum() for i in range(5)]), count)
    found = merged(torch.tensor(slots), tensor(weights), count)
    assert_equal_to(dense(*found, 5), sums)


def test_the_gradient_of_a_step() -> None:
    """With a write gate of 0, so that the links, which have no gradient, stay as they are."""
    layer = BY_NAME["sdnc_all_links"].build()
    with torch.no_grad():
        state = layer(inputs())[1].memory
        h = torch.randn(3, layer.interface.linear.in_features, dtype=torch.float64)
        given_ = layer.named(layer.interface(h))
    gate = torch.zeros_like(given_.write_gates)
    names = ("memory", "read_weights")
    wanted = [*given_, *(getattr(state, name) for name in names)]

    def run(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        parameters = SDNCParameters(*tensors[:6])._replace(write_gates=gate)
        before = state._replace(**dict(zip(names, tensors[6:], strict=True)))
        read, after = step(parameters, before, addressing=layer.addressing)
        return read, after.memory, after.read_weights

    arguments = [one.detach().clone().requires_grad_() for one in wanted]
    assert torch.autograd.gradcheck(run, arguments)
    assert (torch.autograd.grad(run(*arguments)[0].sum(), arguments[5])[0] != 0).any()


def test_forward_reads_what_was_written_next() -> None:
    layer = memnets.SDNC(1, 1, memory_size=9, word_size=2, addressing=Sparse(top_k=1))
    state = layer.initial_state(1).memory
    one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    content, forward, backward = torch.tensor([[0.0, 0, 1]]), [0.0, 1, 0], [1.0, 0, 0]

    def act(state: SDNCMemory, word: Any, write: Any, modes: Any) -> tuple[Any, SDNCMemory]:
        vector = torch.tensor([[word]])
        parameters = SDNCParameters(
            vector, 100 * one, write, zero, vector, torch.as_tensor(modes).view(1, 1, 3)
        )
        return step(parameters, state, addressing=layer.addressing)

    for word in ([1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]):
        read, state = act(state, word, one, content)
    read, state = act(state, [1.0, 0.0], zero, content)
    for modes, expected in ((forward, [0.0, 1.0]), (forward, [-1.0, 0.0]), (backward, [0.0, 1.0])):
        read, state = act(state, [0.0, 0.0], zero, modes)
        assert read[0, 0].tolist() == expected


def test_the_links_of_a_shared_memory_are_put_back() -> None:
    layer = BY_NAME["sdnc"].build()
    with torch.no_grad():
        _, state = layer(inputs(seed=2))
    shared = share(state, restore=True)
    y, end = layer(inputs(), shared, lengths=[5, 2, 1])
    assert_same(value(end), memnets.detach(layer(inputs(), state, lengths=[5, 2, 1])[1]))
    y.sum().backward()
    assert_same(value(shared), memnets.detach(state), tolerance=0)


def test_more_links_than_words() -> None:
    with pytest.raises(ValueError, match="links is 8 and memory_size 5"):
        memnets.SDNC(3, 2, memory_size=5)


def test_an_sdnc_writes_before_it_reads() -> None:
    with pytest.raises(ValueError, match="so that read_first must be False: leave it out, or take"):
        memnets.SDNC(3, 2, memory_size=9, addressing=Sparse(read_first=True))

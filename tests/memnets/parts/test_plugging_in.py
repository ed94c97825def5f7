"""What users bring: a controller, an addressing, heads in any order. The table runs every property
on them too.
"""

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import memnets
from memnets.interface import Field, Table, real
from memnets.parts.content import Content
from memnets.parts.heads import Heads, NTMMemory, ReadHead, WriteHead
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.usage import LeastRecentlyUsed
from tests import oracles
from tests.layers import BY_NAME, HIDDEN, B, I, Momentum, N, O, OwnGRU, W, assert_same, inputs
from tests.samples import assert_equal_to, simplex, tensor


def test_an_own_controller_equals_the_stock_one() -> None:
    """torch's GRU cell, wrapped by the user, in place of the stock GRU with the same parameters."""
    own, stock = BY_NAME["ntm_own_controller"].build(), BY_NAME["ntm_gru"].build()
    own.controller.cell.load_state_dict(stock.controller.cells[0].state_dict())
    own.interface.load_state_dict(stock.interface.state_dict())
    own.readout.load_state_dict(stock.readout.state_dict())
    x = inputs()
    assert_same(own(x)[0], stock(x)[0])
    assert {"controller.cell.weight_ih"} <= set(own.state_dict())


def test_an_own_addressing_decides_where_a_head_looks() -> None:
    """A plain dot product: read weightings are its softmax, at every step."""
    layer = BY_NAME["ntm_own_addressing"].build()
    trace = memnets.record(layer, inputs())
    keys, memory = trace.interface[0].keys, trace.memory.memory
    expected = torch.softmax(torch.einsum("tbrw,tbnw->tbrn", keys, memory), dim=-1)
    assert_same(trace.memory.read_weights, expected)


def test_an_own_addressing_module_is_trained_and_saved() -> None:
    """Its parameters are the layer's, and the state it carries is in the layer's state."""
    layer = BY_NAME["ntm_own_addressing_module"].build()
    rates = [name for name in layer.state_dict() if name.endswith("rate")]
    assert len(rates) == 2
    assert sum(isinstance(module, Momentum) for module in layer.modules()) == 2
    _, state = layer(inputs())
    assert len(state.memory.addressing) == 2
    assert state.memory.addressing[0].shape == (B, N)
    assert state.memory.addressing[0].requires_grad


def test_stock_heads_written_out_are_the_default() -> None:
    """heads=[...] with the NTM's own addressing, in any order, is the NTM."""
    torch.manual_seed(0)
    default = memnets.NTM(I, O, memory_size=N, word_size=W, read_heads=2, hidden_size=HIDDEN)
    torch.manual_seed(0)
    written = memnets.NTM(
        I,
        O,
        memory_size=N,
        word_size=W,
        hidden_size=HIDDEN,
        heads=[WriteHead(ContentAndLocation()), ReadHead(ContentAndLocation(), 2)],
    )
    assert_same(tuple(written.parameters()), tuple(default.parameters()), tolerance=0)
    x = inputs(dtype=torch.float32)
    assert_same(written(x), default(x))
    assert (written.read_heads, written.write_heads) == (2, 1)


def test_content_and_location_are_the_halves_of_the_ntm() -> None:
    random = np.random.default_rng(0)
    memory, weights = random.normal(size=(B, N, W)), simplex(random, B, 2, N)
    head = SimpleNamespace(
        keys=random.normal(size=(B, 2, W)),
        strengths=1 + random.random((B, 2)),
        shifts=simplex(random, B, 2, 3),
        sharpenings=1 + random.random((B, 2)),
    )
    given = SimpleNamespace(**{name: tensor(value) for name, value in vars(head).items()})
    state = NTMMemory(tensor(memory), tensor(weights), tensor(weights))
    content, _ = Content(similarity_epsilon=1e-6)(given, tensor(weights), state, ())
    expected = oracles.content_weights(memory, head.keys, head.strengths, oracles.cosine(1e-6))
    assert_equal_to(content, expected)
    location, _ = Location(sharpen_epsilon=1e-9)(given, tensor(weights), state, ())
    moved = oracles.shift(weights, head.shifts)
    assert_equal_to(location, oracles.sharpen(moved, head.sharpenings, 1e-9))


@pytest.mark.parametrize("heads", [1, 2])
def test_least_recently_used_is_santoros(heads: int) -> None:
    """Usage decays and counts last step's accesses; the gate mixes the last read and the unused."""
    random = np.random.default_rng(1)
    reads, writes = simplex(random, B, 1, N), simplex(random, B, heads, N)
    usage, gates = random.random((B, N)), random.random((B, heads))
    state = NTMMemory(tensor(random.normal(size=(B, N, W))), tensor(reads), tensor(writes))
    weights, new_usage = LeastRecentlyUsed(decay=0.9)(
        SimpleNamespace(gates=tensor(gates)), tensor(writes), state, tensor(usage)
    )
    expected_usage = np.zeros((B, N))
    for b, n in np.ndindex(B, N):
        expected_usage[b, n] = 0.9 * usage[b, n] + reads[b, 0, n] + sum(writes[b, :, n])
    assert_equal_to(new_usage, expected_usage)
    unused = oracles.least_used(expected_usage, heads)
    expected = np.zeros((B, heads, N))
    for b, h, n in np.ndindex(B, heads, N):
        expected[b, h, n] = gates[b, h] * reads[b, 0, n] + (1 - gates[b, h]) * unused[b, h, n]
    assert_equal_to(weights, expected)


def test_location_heads_walk() -> None:
    """Shifts all on +1 move a head from slot 0 one slot a step, around the end."""
    heads = [ReadHead(Location()), WriteHead(Location())]
    layer = memnets.NTM(I, O, memory_size=3, word_size=W, heads=heads, dtype=torch.float64)
    with torch.no_grad():
        layer.interface.linear.weight.zero_()
        layer.interface.linear.bias.zero_()
        layer.interface.linear.bias[2] = 100.0  # the read head's shift by +1
    reads = memnets.record(layer, inputs()).memory.read_weights[:, 0, 0]
    assert_equal_to(reads, np.eye(3)[[1, 2, 0, 1, 2]], tolerance=1e-9)


def test_an_own_controller_may_carry_any_nested_state() -> None:
    """A controller that nests its state in a tuple of tuples, with an output of another size."""

    class Nested(nn.Module):
        input_size, output_size = I + W, 2 * HIDDEN

        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.ModuleList([OwnGRU(I + W, HIDDEN) for _ in range(2)])

        def initial_state(self, batch_size: int) -> tuple:
            return tuple((cell.initial_state(batch_size), ()) for cell in self.cells)

        def forward(self, x: torch.Tensor, state: tuple) -> tuple:
            steps = [cell(x, kept[0]) for cell, kept in zip(self.cells, state, strict=True)]
            return torch.cat([h for h, _ in steps], dim=-1), tuple((kept, ()) for _, kept in steps)

    layer = memnets.NTM(I, O, memory_size=N, word_size=W, controller=Nested())
    x = inputs(dtype=torch.float32)
    whole, _ = layer(x, lengths=[2, 5, 1])
    first, state = layer(x[:1])
    assert_same(first[0], whole[0], tolerance=1e-6)
    assert_same(layer(x[1:2], memnets.detach(state))[0][0, 0], whole[1, 0], tolerance=1e-6)


class Store(NamedTuple):
    """The state of a part that masks and records itself."""

    slots: Tensor
    """[B, N]"""

    def select(self, active: Tensor, old: "Store") -> "Store":
        MASKED.append(int(active.sum()))
        return Store(torch.where(active[:, None], self.slots, old.slots))

    def recorded(self) -> Tensor:
        return self.slots.amax(1)


MASKED: list[int] = []


class Counting:
    """An addressing by content that counts in a store how often each slot was in focus."""

    def table(self, count: int, word_size: int) -> Any:
        return Content().table(count, word_size)

    def initial_state(self, like: Tensor) -> Store:
        return Store(torch.zeros_like(like))

    def __call__(
        self, parameters: Any, previous_weights: Tensor, memory: NTMMemory, state: Store
    ) -> tuple[Tensor, Store]:
        weights, _ = Content()(parameters, previous_weights, memory, ())
        return weights, Store(state.slots + weights.sum(1))


def test_a_part_says_how_its_state_is_masked_and_recorded() -> None:
    layer = memnets.NTM(3, 2, memory_size=5, heads=[ReadHead(Counting()), WriteHead(Content())])
    x = torch.randn(4, 2, 3)
    MASKED.clear()
    _, state = layer(x, lengths=[4, 1])
    assert MASKED == [1, 1, 1]  # the second row has ended
    torch.testing.assert_close(state.memory.addressing[0].slots.sum(1), torch.tensor([4.0, 1.0]))
    trace = memnets.record(layer, x)
    assert trace.memory.addressing[0].shape == (4, 2)
    whole = memnets.map_tensors(torch.clone, layer(x)[1]).memory.addressing[0]
    torch.testing.assert_close(trace.memory.addressing[0][-1], whole.slots.amax(1))


class Added(NamedTuple):
    """What `Loud` writes."""

    add_vectors: Tensor


class Loud:
    """A rule of writing that adds and counts steps, and reads a slot times the count."""

    def table(self, write_heads: int, word_size: int) -> Any:
        return Table(Added, {"add_vectors": Field((write_heads, word_size), real)})

    def initial_state(self, memory: Tensor) -> Tensor:
        return memory.new_zeros(len(memory))

    def write(
        self, memory: Tensor, weights: Tensor, vectors: Any, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        return memory + weights.transpose(1, 2) @ vectors.add_vectors, state + 1

    def read(self, memory: Tensor, weights: Tensor, state: Tensor) -> Tensor:
        return state[:, None, None] * (weights @ memory)


@pytest.mark.parametrize("read_first", [False, True])
def test_a_rule_of_writing_may_carry_a_state_and_read(read_first: bool) -> None:
    """Its state is masked with the rest; what it reads is of the step before if read first."""
    heads = Heads(read_first=read_first)
    layer = memnets.NTM(3, 2, memory_size=5, word_size=4, writing=Loud(), heads=heads)
    x = torch.randn(4, 2, 3)
    _, state = layer(x, lengths=[4, 1])
    assert state.memory.writing.tolist() == [4, 1]
    trace = memnets.record(layer, x)
    assert trace.memory.writing.tolist() == [[t, t] for t in (1, 2, 3, 4)]
    t, seen = 2, 1 if read_first else 2
    plain = trace.memory.read_weights[t] @ trace.memory.memory[seen]
    torch.testing.assert_close(trace.read_vectors[t], (seen + 1) * plain)
    assert layer(x)[1].memory.addressing == ()

"""The step of a sparse memory in C++, against what torch does."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import memnets
from memnets import sam, sdnc
from memnets.backends import registry
from memnets.backends.cpu import sparse_sequence, sparse_step
from memnets.parts.controllers import LSTMCell
from memnets.parts.sparse import Sparse, SparseParameters
from memnets.sam import SAMMemory
from memnets.sdnc import SDNCMemory, SDNCParameters
from memnets.state import map_tensors
from tests import samples
from tests.layers import leaves, numbers, wanting
from tests.samples import tensor

ROWS = 2
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-4}


class Case(NamedTuple):
    """Sizes of a step; L of 0 is a SAM."""

    slots: int
    word: int
    readers: int
    writers: int
    top_k: int
    links: int
    settings: Sparse


CASES = {
    "sam": Case(30, 5, 1, 1, 4, 0, Sparse()),
    "heads": Case(30, 33, 4, 3, 3, 0, Sparse(top_k=3)),
    "one_word": Case(9, 2, 2, 2, 1, 0, Sparse(top_k=1)),
    "all_words": Case(5, 8, 3, 2, 5, 0, Sparse(top_k=5)),
    "read_first": Case(12, 5, 3, 2, 4, 0, Sparse(read_first=True)),
    "many_words": Case(300, 4, 2, 2, 4, 0, Sparse()),
    "threshold_and_epsilon": Case(20, 4, 2, 2, 4, 0, Sparse(threshold=0.4, similarity_epsilon=1)),
    "sdnc": Case(30, 5, 1, 1, 4, 8, Sparse()),
    "sdnc_heads": Case(30, 16, 4, 1, 4, 3, Sparse()),
    "sdnc_all_words": Case(5, 3, 2, 1, 5, 5, Sparse(top_k=5)),
    "sdnc_one": Case(7, 4, 3, 1, 1, 1, Sparse(top_k=1)),
}


def quarters(random: np.random.Generator, *shape: int) -> Any:
    """Numbers of which many are equal or 0, and that are summed exactly."""
    return random.integers(0, 3, size=shape) / 4


def state_of(random: np.random.Generator, case: Case, dtype: torch.dtype) -> Any:
    """What a memory may hold; words that were never written are equal, and were never accessed."""
    slots, word, readers, writers, count, links, _ = case
    values = random.normal(size=(ROWS, slots, word))
    accessed = random.integers(0, int(random.integers(1, 400)), size=(ROWS, slots))
    written = random.integers(0, slots + 1, size=ROWS)
    for row, times, end in zip(values, accessed, written, strict=True):
        row[end:], times[end:] = 0.5, 0

    def places(*shape: int) -> Any:
        return torch.tensor(random.integers(0, slots, size=shape))

    def weights(*shape: int) -> torch.Tensor:
        return tensor(quarters(random, *shape)).to(dtype)

    state = SAMMemory(
        tensor(values).to(dtype),
        torch.tensor(accessed),
        torch.full((ROWS,), 400),
        torch.tensor(written),
        places(ROWS, readers, count),
        weights(ROWS, readers, count),
        places(ROWS, writers, count + 1),
        weights(ROWS, writers, count + 1),
    )
    if not links:
        return state
    table, last = (ROWS, slots, links), (ROWS, links)
    linked = [(places(*shape), weights(*shape) / 2) for shape in (table, table, last)]
    return SDNCMemory._make([*state, *itertools.chain(*linked)])


def parameters_of(random: np.random.Generator, case: Case, dtype: torch.dtype) -> Any:
    """What the heads receive; also strengths that are large, gates of 0 and 1, and a key of 0.

    Of several heads no gate is 0 or 1, which would leave several words that are 0. With links the
    gates are eighths, so that of weights that are equal none is rounded otherwise than another.
    """
    keys = random.normal(size=(ROWS, case.readers, case.word))
    if case.top_k == case.slots:
        keys[0, 0] = 0
    strengths = 1 + random.choice([1.0, 20.0], size=(ROWS, case.readers)) * random.random()
    edges = [0.0, 1.0] if case.writers == 1 else []
    between = random.integers(1, 8) / 8 if case.links else random.random()
    gates = random.choice([*edges, 0.5, between], size=(2, ROWS, case.writers))
    vectors = random.normal(size=(ROWS, case.writers, case.word))
    made = [tensor(one).to(dtype) for one in (keys, strengths, *gates, vectors)]
    if not case.links:
        return SparseParameters(*made)
    return SDNCParameters(*made, tensor(quarters(random, ROWS, case.readers, 3)).to(dtype))


def are_told_apart(case: Case, memory: torch.Tensor, written: torch.Tensor, keys: Any) -> bool:
    """Whether no two words are alike to a key almost equally: of these torch takes any."""
    if case.top_k == case.slots:
        return True
    alike = torch.cosine_similarity(memory[:, None].detach(), keys[:, :, None], dim=-1)
    for row, end in zip(alike.double(), written.tolist(), strict=True):
        if (row[:, :end].sort(-1).values.diff() < 1e-6).any():
            return False
    return True


def by_torch(parameters: Any, state: Any, settings: Sparse) -> Any:
    step: Any = sdnc.step if isinstance(state, SDNCMemory) else sam.step
    return step(parameters, state, addressing=settings)


def results(step: Any, case: Case, state: Any, parameters: Any, resting: Any, seed: int) -> Any:
    """All that a step makes and changes, and the gradients of what it takes."""
    given_ = [one.clone().requires_grad_() for one in (state.memory, state.read_weights)]
    heads = [one.clone().requires_grad_() for one in parameters]
    before = state._replace(memory=given_[0], read_weights=given_[1]).opened()
    if resting is not None:
        before = before.resting(resting)
    vectors, after = step(type(parameters)(*heads), before, case.settings)
    end = after._replace(memory=after.memory.end())
    torch.manual_seed(seed)
    outputs = [vectors, end.memory, end.read_weights, end.write_weights]
    upstream = [torch.randn_like(one) for one in outputs]
    gradients = torch.autograd.grad(outputs, [*given_, *heads], upstream, materialize_grads=True)
    return [vectors, *end, *gradients]


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=20)
@given(seed=samples.seeds, rests=st.booleans())
def test_a_step_is_that_of_torch(name: str, dtype: torch.dtype, seed: int, rests: bool) -> None:
    """Outputs, states and gradients; also where a row rests."""
    case, random = CASES[name], np.random.default_rng(seed)
    state, parameters = state_of(random, case, dtype), parameters_of(random, case, dtype)
    resting = torch.tensor([False, True]) if rests else None
    call = case, state, parameters, resting, seed
    found, expected = (results(step, *call) for step in (sparse_step.step, by_torch))
    read = (state.memory, state.written) if case.settings.read_first else (expected[1], expected[4])
    assume(are_told_apart(case, *read, parameters.read_keys))
    for one, other in zip(found, expected, strict=True):
        size = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one, other, rtol=0.0, atol=TOLERANCES[dtype] * size)


def layer_of(kind: Any, dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    torch.manual_seed(0)
    hidden = {} if "controller" in options else {"hidden_size": 7}
    sizes = {"memory_size": 40, "word_size": 5, **hidden, **options}
    return kind(3, 2, **sizes, dtype=dtype)


HEADS = {"read_heads": 3, "write_heads": 2}
LAYERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sam": (memnets.SAM, {}),
    "heads": (memnets.SAM, HEADS),
    "top_k": (memnets.SAM, {"addressing": Sparse(top_k=7)}),
    "settings": (
        memnets.SAM,
        {
            "addressing": Sparse(
                strength="softplus",
                strength_bias=1.0,
                reuse_bias=-1.0,
                sharpness_limit=1.5,
                add_range="bounded",
                threshold=0.1,
                similarity_epsilon=1e-3,
                keys_like_vectors=True,
            ),
            **HEADS,
        },
    ),
    "read_first": (memnets.SAM, {"addressing": Sparse(read_first=True), **HEADS}),
    "no_readout": (memnets.SAM, {"word_size": 16, **HEADS}),
    "gru": (memnets.SAM, {"controller": "gru", **HEADS}),
    "two_cells": (memnets.SAM, {"controller": memnets.Stack(num_layers=2, hidden_size=4)}),
    "sdnc": (memnets.SDNC, {}),
    "sdnc_heads": (memnets.SDNC, {"read_heads": 4, "links": 3}),
    "sdnc_elman": (memnets.SDNC, {"controller": "elman", "read_heads": 2}),
}
CALLS: dict[str, dict[str, Any]] = {
    "whole": {},
    "lengths": {"lengths": [6, 2, 5]},
    "starts": {"starts": torch.arange(18).view(6, 3) % 7 == 3},
}


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_that_of_torch(name: str, call: str, dtype: torch.dtype) -> None:
    """Outputs, states and gradients, from a state that is carried on, and x among what has them."""
    layer = layer_of(LAYERS[name][0], dtype, **LAYERS[name][1])
    x = torch.randn(2, 6, 3, 3, dtype=dtype, requires_grad=True)
    made = []
    for backend in ("reference", "auto"):
        layer.backend = backend
        with torch.no_grad():
            state = wanting(layer(x[0])[1])
        y, end = layer(x[1], state, **CALLS[call])
        ends = [one for one in leaves(end) if one.requires_grad]
        torch.manual_seed(1)
        upstream = [torch.randn_like(one) for one in (y, *ends)]
        wanted = [x, *numbers(state), *layer.parameters()]
        gradients = torch.autograd.grad([y, *ends], wanted, upstream, materialize_grads=True)
        made.append([y, *leaves(end), *gradients])
    for one, other in zip(*made, strict=True):
        size = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one, other, rtol=0.0, atol=TOLERANCES[dtype] * size)


def hooked(layer: Any) -> None:
    layer.interface.register_forward_hook(lambda *_: None)


def with_access_of_its_own(layer: Any) -> None:
    access = layer.access
    layer.access = lambda *arguments: access(*arguments)


def with_a_range_of_its_own(layer: Any) -> None:
    (table,) = layer.interface.tables
    fields = {**table.fields, "write_gates": table.fields["read_strengths"]}
    layer.interface.tables = (table._replace(fields=fields),)


def with_a_cell_of_its_own(layer: Any) -> None:
    class Other(LSTMCell):
        def forward(self, x: Any, state: Any) -> Any:
            h, after = super().forward(x, state)
            return -h, after

    layer.controller.cells[0].__class__ = Other


class Doubled(memnets.SAM):
    def access(self, parameters: Any, memory: Any) -> Any:
        read, after = super().access(parameters, memory)
        return 2 * read, after


def of_another_class(layer: Any) -> None:
    layer.__class__ = Doubled


UNKNOWN = {
    one.__name__: one
    for one in (
        hooked,
        with_access_of_its_own,
        with_a_range_of_its_own,
        with_a_cell_of_its_own,
        of_another_class,
    )
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_the_kernel_does_not_know_of_a_layer_is_done_step_by_step(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = watched(monkeypatch)
    layer, x = layer_of(memnets.SAM), torch.randn(6, 3, 3, dtype=torch.float64)
    layer(x)
    assert taken == [True]
    UNKNOWN[name](layer)
    y, _ = layer(x)
    assert not any(taken[1:])
    layer.backend = "reference"
    torch.testing.assert_close(y, layer(x)[0], rtol=0.0, atol=1e-12)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the kernel did all steps at once, of each time that it is asked to."""
    taken: list[bool] = []

    def steps(*arguments: Any) -> Any:
        found = sparse_sequence.steps(*arguments)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(registry, "steps_in_place", steps)
    return taken


def test_a_reset_cell_or_autocast_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is replaced for all layers, and what torch does to each operation."""
    taken = watched(monkeypatch)
    layer, x = layer_of(memnets.SDNC, torch.float32), torch.randn(6, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        layer(x)
    monkeypatch.setattr(LSTMCell, "forward", lambda self, x, state: (state[0], state))
    layer(x)
    assert taken == [False, False]


def test_a_state_that_names_other_slots() -> None:
    """Said before anything is changed, of each tensor that has slots."""
    layer = layer_of(memnets.SDNC, read_heads=2)
    x = torch.randn(6, 3, 3, dtype=torch.float64)
    message = r"The slots of a state must be in \[0, 40\)"
    for name in ("read_slots", "written", "precedence_slots", "before_slots", "after_slots"):
        for wrong in (-1, 41):
            _, state = layer(x)
            getattr(state.memory, name).fill_(wrong)
            with pytest.raises(ValueError, match=message):
                layer(x, state)
            with pytest.raises(ValueError, match=message):
                layer(x, state, lengths=[1, 2, 6])


@pytest.mark.parametrize("kind", [memnets.SAM, memnets.SDNC])
@pytest.mark.parametrize("every", [1, 4])
def test_segments_that_the_backward_computes_again(kind: Any, every: int) -> None:
    layer, x = layer_of(kind), torch.randn(10, 2, 3, dtype=torch.float64)
    found = []
    for one in (None, every):
        layer.checkpoint_every = one
        layer.zero_grad()
        y, end = layer(x)
        (y.square().sum() + end.memory.memory.square().sum()).backward()
        found.append([y, *leaves(end), *(one.grad for one in layer.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-12)


def test_a_layer_takes_the_kernel_once_for_a_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = watched(monkeypatch)
    layer, x = layer_of(memnets.SDNC), torch.randn(6, 3, 3, dtype=torch.float64)
    layer(x)
    layer(x, lengths=[6, 6, 6])
    assert taken == [True, True]
    layer.backend = "reference"
    layer(x)
    assert len(taken) == 2


def test_the_gradient_of_a_sequence() -> None:
    """With a read of all words, so that which are read does not change."""
    layer = layer_of(memnets.SAM, memory_size=4, word_size=2, hidden_size=3)
    state = wanting(layer.initial_state(1))
    x = torch.randn(3, 1, 3, dtype=torch.float64, requires_grad=True)

    def run(x: torch.Tensor, *started: torch.Tensor) -> Any:
        given_ = iter(started)
        begun = map_tensors(lambda one: next(given_) if one.requires_grad else one, state)
        y, end = layer(x, begun)
        return y, *(one for one in leaves(end) if one.requires_grad)

    assert torch.autograd.gradcheck(run, [x, *(one.clone() for one in numbers(state))])

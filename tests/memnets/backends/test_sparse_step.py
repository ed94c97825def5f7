"""The step of a sparse memory in C++, against what torch does."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import memnets
from memnets import sam, sdnc
from memnets.backends.cpu import sparse_step
from memnets.parts.sparse import Sparse, SparseParameters
from memnets.sam import SAMMemory
from memnets.sdnc import SDNCMemory, SDNCParameters
from tests import samples
from tests.samples import tensor

ROWS = 2
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-4}


class Case(NamedTuple):
    """Sizes of a step; L of 0 is a SAM."""

    slots: int
    word: int
    readers: int
    writers: int
    count: int
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
    linked = [make(*s) / d for s in (table, table, last) for make, d in ((places, 1), (weights, 2))]
    linked = [one.long() if i % 2 == 0 else one for i, one in enumerate(linked)]
    return SDNCMemory(*state, *linked)


def parameters_of(random: np.random.Generator, case: Case, dtype: torch.dtype) -> Any:
    """What the heads receive; also strengths that are large, gates of 0 and 1, and a key of 0.

    Of several heads no gate is 0 or 1, which would leave several words that are 0.
    """
    keys = random.normal(size=(ROWS, case.readers, case.word))
    if case.count == case.slots:
        keys[0, 0] = 0
    strengths = 1 + random.choice([1.0, 20.0], size=(ROWS, case.readers)) * random.random()
    edges = [0.0, 1.0] if case.writers == 1 else []
    gates = random.choice([*edges, 0.5, random.random()], size=(2, ROWS, case.writers))
    vectors = random.normal(size=(ROWS, case.writers, case.word))
    made = [tensor(one).to(dtype) for one in (keys, strengths, *gates, vectors)]
    if not case.links:
        return SparseParameters(*made)
    return SDNCParameters(*made, tensor(quarters(random, ROWS, case.readers, 3)).to(dtype))


def are_told_apart(case: Case, memory: torch.Tensor, written: torch.Tensor, keys: Any) -> bool:
    """Whether no two words are alike to a key almost equally: of these torch takes any."""
    if case.count == case.slots:
        return True
    alike = torch.cosine_similarity(memory[:, None].detach(), keys[:, :, None], dim=-1)
    for row, end in zip(alike.double(), written.tolist(), strict=True):
        if (row[:, :end].sort(-1).values.diff() < 1e-6).any():
            return False
    return True


def by_torch(parameters: Any, state: Any, settings: Sparse) -> Any:
    step = sdnc.step if isinstance(state, SDNCMemory) else sam.step
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

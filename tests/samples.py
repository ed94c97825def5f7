"""Random sizes, interfaces and states for the tests, as NumPy float64, and their way into torch."""

from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch

seeds = st.integers(0, 2**32 - 1)


@st.composite
def sizes(draw: st.DrawFn) -> SimpleNamespace:
    """Sizes from 1 up, with a generator to fill arrays of them."""
    return SimpleNamespace(
        B=draw(st.integers(1, 3)),
        N=draw(st.integers(1, 7)),
        W=draw(st.integers(1, 5)),
        R=draw(st.integers(1, 3)),
        H=draw(st.integers(1, 3)),
        S=draw(st.sampled_from([1, 3, 5])),
        random=np.random.default_rng(draw(seeds)),
    )


def simplex(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Positive numbers that sum to 1 along the last axis, some near one-hot."""
    return random.dirichlet(np.full(shape[-1], 0.5), size=shape[:-1])


def partial(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Positive numbers that sum to at most 1 along the last axis."""
    return simplex(random, *shape) * random.random((*shape[:-1], 1))


def ntm_interface(s: SimpleNamespace) -> SimpleNamespace:
    """One step's activated NTM interface."""
    B, W, R, H, S, random = s.B, s.W, s.R, s.H, s.S, s.random
    values = {}
    for kind, heads in (("read", R), ("write", H)):
        values[f"{kind}_keys"] = random.normal(size=(B, heads, W))
        values[f"{kind}_strengths"] = 1 + random.exponential(3, size=(B, heads))
        values[f"{kind}_gates"] = random.random((B, heads))
        values[f"{kind}_shifts"] = simplex(random, B, heads, S)
        values[f"{kind}_sharpenings"] = 1 + random.exponential(2, size=(B, heads))
    values["erase_vectors"] = random.random((B, H, W))
    values["add_vectors"] = random.normal(size=(B, H, W))
    return SimpleNamespace(**values)


def dnc_interface(s: SimpleNamespace) -> SimpleNamespace:
    """One step's activated DNC interface."""
    B, W, R, H, random = s.B, s.W, s.R, s.H, s.random
    return SimpleNamespace(
        read_keys=random.normal(size=(B, R, W)),
        read_strengths=1 + random.exponential(3, size=(B, R)),
        write_keys=random.normal(size=(B, H, W)),
        write_strengths=1 + random.exponential(3, size=(B, H)),
        erase_vectors=random.random((B, H, W)),
        write_vectors=random.normal(size=(B, H, W)),
        free_gates=random.random((B, R)),
        allocation_gates=random.random((B, H)),
        write_gates=random.random((B, H)),
        read_modes=simplex(random, B, R, 2 * H + 1),
    )


def ntm_memory(s: SimpleNamespace) -> SimpleNamespace:
    """A state of the NTM's memory that some steps could have led to."""
    return SimpleNamespace(
        memory=s.random.normal(size=(s.B, s.N, s.W)),
        read_weights=simplex(s.random, s.B, s.R, s.N),
        write_weights=simplex(s.random, s.B, s.H, s.N),
    )


def link(random: np.random.Generator, B: int, H: int, N: int) -> np.ndarray:
    """A link matrix: entries in [0, 1], empty diagonal, rows and columns summing to at most 1."""
    raw = random.random((B, H, N, N)) * (1 - np.eye(N))
    largest = np.maximum(raw.sum(-1).max(-1), raw.sum(-2).max(-1))
    return raw / np.maximum(largest, 1.0)[..., None, None]


def dnc_memory(s: SimpleNamespace) -> SimpleNamespace:
    """A state of the DNC's memory that some steps could have led to."""
    return SimpleNamespace(
        memory=s.random.normal(size=(s.B, s.N, s.W)),
        usage=s.random.random((s.B, s.N)),
        link=link(s.random, s.B, s.H, s.N),
        precedence=partial(s.random, s.B, s.H, s.N),
        read_weights=partial(s.random, s.B, s.R, s.N),
        write_weights=partial(s.random, s.B, s.H, s.N),
    )


def tensor(array: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """A NumPy array or nested lists as a tensor of its own."""
    return torch.tensor(np.asarray(array, dtype=np.float64)).to(dtype)


def as_tensors(cls: Any, values: SimpleNamespace, dtype: torch.dtype = torch.float64) -> Any:
    """The arrays of `values` as the NamedTuple `cls`."""
    return cls(**{name: tensor(array, dtype) for name, array in vars(values).items()})


def as_arrays(values: Any) -> SimpleNamespace:
    """The tensors of a NamedTuple as float64 arrays (nested empty tuples are left out)."""
    return SimpleNamespace(
        **{
            name: leaf.detach().double().numpy()
            for name, leaf in values._asdict().items()
            if isinstance(leaf, torch.Tensor)
        }
    )


def assert_equal_to(actual: torch.Tensor, expected: np.ndarray, tolerance: float = 1e-10) -> None:
    """The tensor has the array's shape and, within an absolute tolerance, its values."""
    assert tuple(actual.shape) == expected.shape
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=tolerance)

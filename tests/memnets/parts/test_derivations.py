"""The gradients of docs/derivations.md against autograd of the Python mechanisms, in float64."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import memnets
from memnets import interface, parts
from memnets.backends import reference
from memnets.backends.cpu.plan import CELL_NAMES
from memnets.parts import controllers, masking
from tests import derivations, samples
from tests.samples import tensor

PAGE = Path(__file__).parents[3] / "docs" / "derivations.md"


def cell(name: str) -> Callable[..., Any]:
    """A cell of the table as a function of its input, its state and its parameters."""
    module = controllers.CELLS[name](1, 1)  # the sizes come with the parameters
    names = [name for name, _ in module.named_parameters()]

    def step(x: Tensor, *tensors: Tensor) -> Any:
        state, parameters = tensors[: module.state_tensors], tensors[module.state_tensors :]
        given = dict(zip(names, parameters, strict=True))
        h, after = torch.func.functional_call(module, given, (x, state))
        return after or h

    return step


def ntm_access(*tensors: Tensor, read_first: bool = False) -> tuple[Tensor, ...]:
    step, state = memnets.ntm.NTMInterface(*tensors[:12]), memnets.ntm.NTMMemory(*tensors[12:])
    vectors, after = memnets.ntm.access(step, state, read_first=read_first)
    return (vectors, *after[:3])


def ntm_access_read_first(*tensors: Tensor) -> tuple[Tensor, ...]:
    return ntm_access(*tensors, read_first=True)


def dnc_access(*tensors: Tensor) -> tuple[Tensor, ...]:
    step, state = memnets.dnc.DNCInterface(*tensors[:10]), memnets.dnc.DNCMemory(*tensors[10:])
    vectors, after = memnets.dnc.access(step, state)
    return (vectors, *after)


def begin_anew_in_every_second_row(fresh: Tensor, state: Tensor) -> tuple[Tensor, ...]:
    begins = torch.arange(len(fresh)) % 2 == 0
    return reference.begin_anew(begins, (fresh,), (state,))


# A mechanism, and which of the arrays of `drawn` it takes.
CASES: dict[str, tuple[Callable[..., Any], Callable[[SimpleNamespace], Any]]] = {
    "real": (interface.real, lambda v: (v.raw,)),
    "unit": (interface.unit, lambda v: (v.raw,)),
    "bounded": (interface.bounded, lambda v: (v.raw,)),
    "simplex": (interface.simplex, lambda v: (v.raw,)),
    "positive": (interface.positive, lambda v: (v.raw,)),
    "oneplus": (interface.oneplus, lambda v: (v.raw,)),
    "values": (
        interface.Field((1,), interface.oneplus, limit=derivations.LIMIT).values,
        lambda v: (v.raw,),
    ),
    "linear": (torch.nn.functional.linear, lambda v: (v.x, *v.weights(2, own=False))),
    "lstm": (cell("lstm"), lambda v: (v.x, v.h, v.c, *v.weights(4))),
    "gru": (cell("gru"), lambda v: (v.x, v.h, *v.weights(3))),
    "elman": (cell("elman"), lambda v: (v.x, v.h, *v.weights(1))),
    "feedforward": (cell("feedforward"), lambda v: (v.x, *v.weights(1, own=False))),
    "feedforward_tanh": (cell("feedforward_tanh"), lambda v: (v.x, *v.weights(1, own=False))),
    "product": (lambda f: parts.usage.product(f, dim=1), lambda v: (1 - v.writes,)),
    "read": (parts.writing.read, lambda v: (v.memory, v.reads)),
    "write": (parts.writing.write, lambda v: (v.memory, v.writes, v.erase, v.add)),
    "cosine_similarity": (parts.content.cosine_similarity, lambda v: (v.memory, v.keys)),
    "masked_similarity": (
        masking.masked_similarity,
        lambda v: (v.memory, v.keys, v.masks),
    ),
    "content_weights": (parts.content.content_weights, lambda v: (v.memory, v.keys, v.strengths)),
    "added_words": (
        parts.sparse.added_words,
        lambda v: (v.writes, v.write_gates, v.reuse_gates, v.add),
    ),
    "read_words": (parts.sparse.read_words, lambda v: (v.found, v.keys, v.strengths)),
    "interpolate": (parts.location.interpolate, lambda v: (v.content, v.reads, v.gates)),
    "shift": (parts.location.shift, lambda v: (v.reads, v.shifts)),
    "sharpen": (parts.location.sharpen, lambda v: (v.reads, v.sharpenings)),
    "focus": (parts.location.focus, lambda v: (v.memory, v.reads, *v.ntm[:5])),
    "retention": (parts.usage.retention, lambda v: (v.reads, v.gates)),
    "wipe_freed": (parts.usage.wipe_freed, lambda v: (v.memory, v.psi)),
    "update_usage": (parts.usage.update_usage, lambda v: (v.usage, v.writes, v.psi)),
    "allocation": (parts.usage.allocation, lambda v: (v.usage,)),
    "allocate": (parts.usage.allocate, lambda v: (v.usage, v.write_gates)),
    "update_precedence": (parts.linkage.update_precedence, lambda v: (v.precedence, v.writes)),
    "update_link": (parts.linkage.update_link, lambda v: (v.link, v.precedence, v.writes)),
    "directional_weights": (parts.linkage.directional_weights, lambda v: (v.link, v.reads)),
    "ntm_access": (ntm_access, lambda v: (*v.ntm, v.memory, v.reads, v.writes)),
    "ntm_access_read_first": (
        ntm_access_read_first,
        lambda v: (*v.ntm, v.memory, v.reads, v.writes),
    ),
    "begin_anew": (begin_anew_in_every_second_row, lambda v: (v.h, v.c)),
    "dnc_access": (dnc_access, lambda v: (*v.dnc, *v.state)),
}
KINDS = ("random", "equal", "empty", "whole")


def drawn(s: SimpleNamespace, kind: str) -> SimpleNamespace:
    """Arrays for every mechanism.

    `equal`: slots that cannot be told apart; `empty`: nothing was written or read yet; `whole`:
    one-hot weightings, all gates open and all erased, so that factors are exactly 0.
    """
    state, ntm, dnc = samples.dnc_memory(s), samples.ntm_interface(s), samples.dnc_interface(s)
    first = np.eye(s.N)[0]
    if kind == "equal":
        state.memory[:] = state.memory[:, :1]
        state.usage[:] = 0.5
        state.read_weights[:] = state.write_weights[:] = state.precedence[:] = 1 / s.N
    elif kind == "empty":
        for array in vars(state).values():
            array[:] = 0.0
    elif kind == "whole":
        state.read_weights[:] = state.write_weights[:] = state.usage[:] = first
        for name in ("free_gates", "allocation_gates", "write_gates", "erase_vectors"):
            vars(dnc)[name][:] = 1.0
        ntm.read_gates[:] = ntm.write_gates[:] = ntm.erase_vectors[:] = 1.0
    normal = s.random.normal

    def weights(blocks: int, own: bool = True) -> list[np.ndarray]:
        rows = blocks * s.N
        shapes = [(rows, s.W), (rows, s.N), (rows,), (rows,)] if own else [(rows, s.W), (rows,)]
        return [normal(size=shape) for shape in shapes]

    return SimpleNamespace(
        raw=2 * normal(size=(s.B, s.N)),
        x=normal(size=(s.B, s.W)),
        h=normal(size=(s.B, s.N)),
        c=normal(size=(s.B, s.N)),
        weights=weights,
        keys=ntm.read_keys,
        strengths=ntm.read_strengths,
        gates=ntm.read_gates if kind != "whole" else dnc.free_gates,
        shifts=ntm.read_shifts,
        sharpenings=ntm.read_sharpenings,
        erase=dnc.erase_vectors,
        add=dnc.write_vectors,
        write_gates=dnc.write_gates,
        reuse_gates=dnc.allocation_gates,
        content=samples.simplex(s.random, s.B, s.R, s.N),
        psi=s.random.random((s.B, s.N)),
        reads=state.read_weights,
        writes=state.write_weights,
        **{name: vars(state)[name] for name in ("memory", "usage", "link", "precedence")},
        ntm=tuple(vars(ntm).values()),
        dnc=tuple(vars(dnc).values()),
        state=tuple(vars(state).values()),
        found=np.repeat(state.memory[:, None], s.R, axis=1),
        masks=s.random.random(ntm.read_keys.shape),
    )


def by_autograd(
    function: Callable[..., Any], arrays: tuple[np.ndarray, ...], random: np.random.Generator
) -> tuple[list[np.ndarray], tuple[Tensor, ...]]:
    """Random gradients of the results, and those of the arguments that autograd makes of them."""
    arguments = [tensor(array).requires_grad_() for array in arrays]
    results = function(*arguments)
    results = (results,) if isinstance(results, Tensor) else tuple(results)
    d_results = [random.normal(size=result.shape) for result in results]
    gradients = torch.autograd.grad(
        results,
        arguments,
        [tensor(d) for d in d_results],
        allow_unused=True,
        materialize_grads=True,
    )
    return d_results, gradients


def assert_same(actual: Any, expected: tuple[Tensor, ...]) -> None:
    """Equal to rounding, beside the largest number of each gradient."""
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        wanted = other.numpy()
        assert np.isfinite(wanted).all()
        assert one.shape == wanted.shape
        scale = max(1.0, float(np.abs(wanted).max()))
        np.testing.assert_allclose(one, wanted, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("name", list(CASES))
@given(s=samples.sizes(), kind=st.sampled_from(KINDS))
def test_gradient(name: str, s: SimpleNamespace, kind: str) -> None:
    function, take = CASES[name]
    arrays = take(drawn(s, kind))
    d_results, expected = by_autograd(function, arrays, s.random)
    assert_same(getattr(derivations, name)(*arrays, *d_results), expected)


def test_allocation_where_the_product_is_0_in_the_precision() -> None:
    """Of 100 unused slots: 1e-6 to the power of 100 is none of float64's numbers."""
    random = np.random.default_rng(0)
    arrays = (np.zeros((2, 100)),)
    d_results, expected = by_autograd(parts.usage.allocation, arrays, random)
    assert_same(derivations.allocation(*arrays, *d_results), expected)
    assert (expected[0][:, 60:] == 0).all()


@pytest.mark.parametrize("name", ["positive", "oneplus"])
def test_the_derivative_of_softplus_above_20(name: str) -> None:
    """torch's is 1 there, the page's sigmoid(x): as far apart as the page says."""
    raw, d_y = np.array([20.5, 30.0, 700.0]), np.ones(3)
    x = tensor(raw).requires_grad_()
    (expected,) = torch.autograd.grad(CASES[name][0](x), x, tensor(d_y))
    (actual,) = getattr(derivations, name)(raw, d_y)
    assert (expected == 1).all()
    assert (np.abs(actual - 1) < np.exp(-20)).all()


def test_a_limit_has_no_gradient_above_it() -> None:
    raw, d_y = np.array([[-1.0, 0.0, 5.0]]), np.ones((1, 3))
    (gradient,) = derivations.values(raw, d_y)
    assert (gradient[0, :2] > 0).tolist() == [True, False]
    assert gradient[0, 2] == 0


def test_every_mechanism_has_a_section_a_gradient_and_a_case() -> None:
    """A public function of the equations, a range or a cell of the kernel that the page leaves
    out fails here.
    """
    sections = set(re.findall(r"^### (\w+)$", PAGE.read_text(), re.MULTILINE))
    mechanisms = {
        name
        for module in (parts.content, parts.location, parts.usage, parts.linkage, parts.writing)
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    }
    ranges = {*interface.STRENGTHS.values(), *interface.ADD_RANGES.values()}
    ranges |= {interface.unit, interface.simplex}
    mechanisms |= {function.__name__ for function in ranges} | set(CELL_NAMES)
    assert mechanisms <= sections
    # These two have no function of their own in Python: `dnc_access` holds them.
    inside = {"write_weighting", "read_weighting"}
    assert sections - {"least_used"} == (set(CASES) - {"ntm_access_read_first"}) | inside
    assert all(callable(getattr(derivations, name)) for name in sections - {"least_used"})
    assert callable(parts.usage.least_used)


SOURCES = PAGE.parents[1] / "memnets" / "backends" / "cpu" / "csrc"


def test_the_table_of_names_is_that_of_the_kernel() -> None:
    """Each mechanism with a section has a row, and each C++ function in the table exists."""
    text = PAGE.read_text()
    sections = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
    table = text[text.index("## Names in C++") :]
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| `")]
    assert sections - {"least_used"} <= {n for row in rows for n in re.findall(r"`(\w+)`", row[0])}
    code = "".join(path.read_text() for path in SOURCES.glob("*.h"))
    for row in rows:
        for name in re.findall(r"`(?:\w+::)?(\w+)`", row[1] + row[2]):
            if name != "_backward":
                assert re.search(rf"\b{name}\b", code), name

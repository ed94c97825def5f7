"""Every gradient against finite differences, in float64: each equation, each access, and whole
steps of the table.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import memnets
from memnets import interface, parts
from tests import samples
from tests.layers import TABLE, Case, I, leaves, numbers
from tests.samples import as_tensors, tensor


def small(seed: int = 0) -> SimpleNamespace:
    return SimpleNamespace(B=2, N=4, W=3, R=2, H=2, S=3, random=np.random.default_rng(seed))


def wanting(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Copies of the tensors that want a gradient."""
    return tuple(part.detach().clone().requires_grad_() for part in tensors)


def equations() -> dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]]:
    """Each equation with arguments at which it is smooth."""
    s = small()
    state = as_tensors(memnets.dnc.DNCMemory, samples.dnc_memory(s))
    step = as_tensors(memnets.ntm.NTMInterface, samples.ntm_interface(s))
    gates, reads, writes = step.read_gates, state.read_weights, state.write_weights
    content = (state.memory, step.read_keys)
    location = (gates, step.read_shifts, step.read_sharpenings)
    empty = (torch.zeros_like(state.memory), step.read_keys, step.read_strengths)
    retained = tensor(s.random.random((s.B, s.N)))
    raw = tensor(s.random.normal(size=(s.B, s.N)))
    written = (state.memory, writes, step.erase_vectors, step.add_vectors)
    return {
        "cosine_similarity": (parts.content.cosine_similarity, content),
        "content_weights": (parts.content.content_weights, (*content, step.read_strengths)),
        # epsilon wider than the finite difference, which else is larger than what it measures
        "content_weights_of_an_empty_memory": (
            lambda *a: parts.content.content_weights(*a, epsilon=1e-2),
            empty,
        ),
        "interpolate": (parts.location.interpolate, (reads, reads.flip(-1), gates)),
        "shift": (parts.location.shift, (reads, step.read_shifts)),
        "sharpen": (parts.location.sharpen, (reads, step.read_sharpenings)),
        "focus": (parts.location.focus, (state.memory, reads, *step[:2], *location)),
        "retention": (parts.usage.retention, (reads, gates)),
        "wipe_freed": (parts.usage.wipe_freed, (state.memory, retained)),
        "update_usage": (parts.usage.update_usage, (state.usage, writes, retained)),
        "allocation": (parts.usage.allocation, (state.usage,)),
        "allocate": (parts.usage.allocate, (state.usage, step.write_gates)),
        "update_precedence": (parts.linkage.update_precedence, (state.precedence, writes)),
        "update_link": (parts.linkage.update_link, (state.link, state.precedence, writes)),
        "directional_weights": (parts.linkage.directional_weights, (state.link, reads)),
        "read": (parts.writing.read, (state.memory, reads)),
        "write": (parts.writing.write, written),
        "oneplus": (interface.oneplus, (raw,)),
        "simplex": (interface.simplex, (raw,)),
        "unit": (interface.unit, (raw,)),
        "positive": (interface.positive, (raw,)),
        "bounded": (interface.bounded, (raw,)),
    }


@pytest.mark.parametrize("name", list(equations()))
def test_equation(name: str) -> None:
    function, arguments = equations()[name]
    assert torch.autograd.gradcheck(function, wanting(*arguments))


def test_every_equation_is_checked() -> None:
    """A public function of a part that is not above fails here."""
    checked = set(equations()) | {"least_used", "product"}  # no gradient; inside write
    mechanisms = (parts.content, parts.location, parts.usage, parts.linkage, parts.writing)
    for module in mechanisms:
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if callable(value) and own and not isinstance(value, type):
                assert name in checked, name


@pytest.mark.parametrize("model", ["ntm", "ntm_read_first", "dnc"])
def test_access(model: str) -> None:
    """The whole access with respect to every input: interface, memory, weightings, usage, link,
    precedence.
    """
    s = small(1)
    if model == "dnc":
        parameters = as_tensors(memnets.dnc.DNCInterface, samples.dnc_interface(s))
        state = as_tensors(memnets.dnc.DNCMemory, samples.dnc_memory(s))
    else:
        parameters = as_tensors(memnets.ntm.NTMInterface, samples.ntm_interface(s))
        state = as_tensors(memnets.ntm.NTMMemory, samples.ntm_memory(s))
    count, kept = len(parameters), len(leaves(state))

    def access(*tensors: Tensor) -> tuple[Tensor, ...]:
        given, before = type(parameters)(*tensors[:count]), type(state)(*tensors[count:])
        if model == "dnc":
            vectors, after = memnets.dnc.access(given, before)
        else:
            first = model == "ntm_read_first"
            vectors, after = memnets.ntm.access(given, before, read_first=first)
        return (vectors, *leaves(after))

    arguments = (*parameters, *leaves(state))
    assert len(arguments) == count + kept
    assert torch.autograd.gradcheck(access, wanting(*arguments))


def test_stopping_the_usage_gradient() -> None:
    """The values stay; the write weightings of the step before get no gradient through usage."""
    s = small(2)
    parameters = as_tensors(memnets.dnc.DNCInterface, samples.dnc_interface(s))
    state = as_tensors(memnets.dnc.DNCMemory, samples.dnc_memory(s))
    (weights,) = wanting(state.write_weights)
    results, gradients = [], []
    for stop in (False, True):
        allocation = memnets.Allocation(stop_gradient=stop)
        vectors, after = memnets.dnc.access(
            parameters, state._replace(write_weights=weights), allocation=allocation
        )
        results.append([vectors, *leaves(after)])
        if stop:
            assert not vectors.requires_grad
        else:
            gradients += torch.autograd.grad(vectors.sum(), weights)
    assert (gradients[0] != 0).any()
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def of_step(layer: Any, x_t: Tensor, state: Any) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
    """A step as a function of its input, every parameter and every number of its state."""
    names = [name for name, _ in layer.named_parameters()]

    def function(x_t: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        remaining = iter(tensors[len(names) :])
        given = memnets.map_tensors(
            lambda leaf: next(remaining) if leaf.is_floating_point() else leaf, state
        )
        parameters = dict(zip(names, tensors[: len(names)], strict=True))
        y, after = torch.func.functional_call(layer, parameters, (x_t[None], given))
        return (y[0], *numbers(after))

    return function, (x_t, *layer.parameters(), *numbers(state))


@pytest.mark.parametrize("case", [case for case in TABLE if not case.stopped], ids=str)
def test_step(case: Case) -> None:
    """One whole step, after two others, along random directions (gradcheck's fast mode)."""
    layer = case.build(memory_size=4)
    x = tensor(np.random.default_rng(3).normal(size=(3, 2, I)))
    with torch.no_grad():
        _, state = layer(x[:2])
    if case.kinks:
        state = memnets.map_tensors(lambda leaf: leaf + 0.1 * torch.rand_like(leaf), state)
    function, arguments = of_step(layer, x[2], state)
    assert torch.autograd.gradcheck(function, wanting(*arguments), fast_mode=True)


@pytest.mark.parametrize("case", [case for case in TABLE if not case.stopped], ids=str)
def test_sequence(case: Case) -> None:
    """Three steps from the initial state, with respect to the input and every parameter."""
    layer = case.build(memory_size=4)
    x = tensor(np.random.default_rng(4).normal(size=(3, 2, I)))
    names = [name for name, _ in layer.named_parameters()]

    def function(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        parameters = dict(zip(names, tensors, strict=True))
        y, _ = torch.func.functional_call(layer, parameters, (x,))
        return (y,)

    assert torch.autograd.gradcheck(
        function, wanting(x, *layer.parameters()), fast_mode=True, eps=1e-7
    )

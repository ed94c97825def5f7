"""Each layer's plan, made once and again when the layer has changed: a call must not pay for it.

A layer is plain Python that its user may change between calls (another controller, another
epsilon), so a plan is kept with all it was made from, and used while that is the same.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from types import NoneType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memnets.backends.cpu.buffers import is_zero
from memnets.backends.cpu.known import INITIAL, PLAIN, evidence, reason_against
from memnets.backends.cpu.plan import Plan
from memnets.backends.spec import Steps
from memnets.parts.controllers import Controller
from memnets.parts.start import Start
from memnets.state import State, map_tensors

BATCH_SIZES = 16
"""For how many the shapes of a state are kept."""


CONSTANTS = (float, int, NoneType)
BEGINNINGS = ("start_memory", "start_read_vectors", "start_weights")
"""The attributes of a layer that hold a first state which is learned."""


class Planned(NamedTuple):
    """What was found out about a layer."""

    made_from: tuple[Any, ...]
    reason: str | None
    """Why the kernel cannot run such a layer; None where it can."""
    plan: Any
    """Its `Plan`; None where there is a reason."""
    form: list[Any] | None
    """The form of its states, as `form_of` says it."""
    shapes: dict[int, list[tuple[int, ...]]]
    """The shapes of its states' tensors for batch sizes that were asked for."""
    first: dict[tuple[int, torch.dtype], State]
    """The state before the first step for the last batch size and dtype, where it is constant: no
    caller gets these tensors, and the kernel only reads them."""


_kept: weakref.WeakKeyDictionary[Any, Planned] = weakref.WeakKeyDictionary()


def planned(layer: Steps, modules: Sequence[nn.Module]) -> Planned:
    """Return the layer's plan, or why it can have none; `modules` are its `inner_modules`."""
    made_from = evidence(layer, modules)
    found = _kept.get(layer)
    if found is None or found.made_from != made_from:
        reason = reason_against(layer)
        found = Planned(made_from, reason, None, None, {}, {})
        if reason is None:
            found = _made(layer, made_from)
        _kept[layer] = found
    return found


def _made(layer: Steps, made_from: tuple[Any, ...]) -> Planned:
    plan = Plan(layer.spec)
    form, tensors = form_of(type(layer).initial_state(layer, 1))
    wanted, shapes = plan.shapes(1), [tuple(tensor.shape) for tensor in tensors]
    if shapes != wanted:
        reason = f"It knows states with the shapes {wanted}; the layer makes one with {shapes}."
        return Planned(made_from, reason, None, None, {}, {})
    return Planned(made_from, None, plan, form, {1: wanted}, {})


def knows_states(layer: Steps) -> bool:
    """Whether a state that `supports` has nothing against is one of the layer's."""
    return INITIAL.isdisjoint(layer.__dict__)


def makes_constants(layer: Steps) -> bool:
    """Whether `initial_state` is the class's, and makes the same until a setting changes.

    A tensor that it begins with may be learned, or written to: then nothing can be kept.
    """
    controller, start = layer._modules["controller"], layer.__dict__.get("start")
    return (
        knows_states(layer)
        and type(start) is Start
        and type(controller) is Controller
        and type(layer.some_weight) in PLAIN
        and type(start.memory) in CONSTANTS
        and type(layer.__dict__.get("constant")) in CONSTANTS
        and all(getattr(layer, name, None) is None for name in BEGINNINGS)
        and controller.start is None
    )


def first_state(layer: Steps, batch: int) -> State:
    """What `initial_state` makes, kept: for a layer that `planned` has just found to be known.

    Only where nothing of it is learned, and never for a caller, who may write to it.
    """
    kept = _kept[layer].first
    key = batch, layer.some_weight.dtype
    found = kept.get(key)
    if found is None:
        kept.clear()
        with torch.inference_mode(False):  # else no later call could keep it for its backward
            state = layer.initial_state(batch)
            # One zero, expanded, is for the kernel no memory to read; it reads all else as a whole.
            whole = map_tensors(lambda one: one if is_zero(one) else one.contiguous(), state)
        found = kept[key] = whole
    return found


def form_of(state: tuple[Any, ...]) -> tuple[list[Any], list[Tensor]]:
    """The classes and lengths of a state's tuples in order, and its tensors.

    >>> import torch
    >>> form_of((torch.zeros(2), ()))[0] == [tuple, 2, Tensor, tuple, 0]
    True
    """
    form: list[Any] = [type(state), len(state)]
    tensors: list[Tensor] = []
    for part in state:
        if isinstance(part, Tensor):
            form.append(Tensor)
            tensors.append(part)
        elif isinstance(part, tuple):
            inner, more = form_of(part)
            form += inner
            tensors += more
        else:
            form.append(type(part))
    return form, tensors


def shapes_of(known: Planned, batch: int) -> list[tuple[int, ...]]:
    """The shapes of a state's tensors, in the order of `memnets.state.leaves`."""
    shapes = known.shapes.get(batch)
    if shapes is None:
        if len(known.shapes) >= BATCH_SIZES:
            known.shapes.clear()
        shapes = known.shapes[batch] = known.plan.shapes(batch)
    return shapes


def latest_plan(layer: Steps) -> Plan:
    """Return the plan that `planned` found last, for who has just asked it."""
    return _kept[layer].plan

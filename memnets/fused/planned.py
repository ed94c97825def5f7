"""Each layer's plan, made once and again when the layer has changed: a call must not pay for it.

A layer is plain Python that its user may change between calls (another controller, another
epsilon), so a plan is kept with all it was made from, and used while that is the same.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from memnets.controllers import Controller
from memnets.fused.plan import ADDRESSINGS, CELLS, RANGES, Plan

if TYPE_CHECKING:
    from memnets.layer import MemoryLayer


class Planned(NamedTuple):
    """What was found out about a layer."""

    made_from: tuple[Any, ...]
    reason: str | None
    """Why the kernel cannot run such a layer; None where it can."""
    plan: Any
    """Its `Plan`; None where there is a reason."""


_kept: weakref.WeakKeyDictionary[nn.Module, Planned] = weakref.WeakKeyDictionary()


def planned(layer: MemoryLayer) -> Planned:
    """Return the layer's plan, or why it can have none."""
    made_from = _made_from(layer)
    found = _kept.get(layer)
    if found is None or found.made_from != made_from:
        reason = _reason(layer)
        found = Planned(made_from, reason, None if reason else Plan(layer))
        _kept[layer] = found
    return found


def latest_plan(layer: MemoryLayer) -> Plan:
    """Return the plan that `planned` found last, for who has just asked it."""
    return _kept[layer].plan


def modules_of(layer: nn.Module) -> list[nn.Module]:
    """The layer and all modules in it, as `modules()` but quick.

    >>> len(modules_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU())))
    3
    """
    found = [layer]
    for module in found:
        found.extend(child for child in module._modules.values() if child is not None)
    return found


def _made_from(layer: Any) -> tuple[Any, ...]:
    """All that `Plan` and `_reason` look at: modules by identity, settings by value."""
    attributes = layer.__dict__
    heads = [(head.addressing, head.count) for head in attributes.get("heads", ())]
    settings = [attributes.get(name) for name in SETTINGS]
    return (*modules_of(layer)[1:], layer.interface.tables, *heads, *settings)


SETTINGS = (
    "memory_size",
    "word_size",
    "read_heads",
    "write_heads",
    "read_first",
    "stop_usage_gradient",
    "similarity_epsilon",
    "allocation_epsilon",
    "usage_resolution",
)


def _reason(layer: Any) -> str | None:
    from memnets.dnc import DNC  # here: they import the seam that imports this
    from memnets.ntm import NTM

    if type(layer) not in (NTM, DNC):
        return f"It knows memnets.NTM and memnets.DNC; {type(layer).__name__} is another class."
    if type(layer.controller) is not Controller:
        return (
            f"It knows the controllers of memnets; this one is a {type(layer.controller).__name__}."
        )
    if any(type(cell) not in CELLS for cell in layer.controller.cells):
        return "It knows the cells of memnets.controllers; this controller has others."
    if type(layer) is NTM:
        for head in layer.heads:
            if type(head.addressing) not in ADDRESSINGS:
                return f"It knows content and location addressing; a head has {head.addressing!r}."
    fields = [field for table in layer.interface.tables for field in table.fields.values()]
    if any(field.activation not in RANGES for field in fields):
        return "It knows the ranges of memnets.interface; a field has another."
    return None

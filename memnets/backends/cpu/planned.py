"""Each layer's plan, made once and again when the layer has changed: a call must not pay for it.

A layer is plain Python that its user may change between calls (another controller, another
epsilon), so a plan is kept with all it was made from, and used while that is the same.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from memnets.backends.cpu.known import evidence, reason_against
from memnets.backends.cpu.plan import Plan

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


def planned(layer: MemoryLayer, modules: Sequence[nn.Module]) -> Planned:
    """Return the layer's plan, or why it can have none; `modules` are its `inner_modules`."""
    made_from = evidence(layer, modules)
    found = _kept.get(layer)
    if found is None or found.made_from != made_from:
        reason = reason_against(layer)
        found = Planned(made_from, reason, None if reason else Plan(layer))
        _kept[layer] = found
    return found


def latest_plan(layer: MemoryLayer) -> Plan:
    """Return the plan that `planned` found last, for who has just asked it."""
    return _kept[layer].plan

"""What a layer computes, as a value: equal for equal layers, another for every change."""

import dataclasses
from typing import Any

import pytest
import torch

import memnets
from memnets.backends.cpu.plan import Plan
from memnets.backends.cpu.specs import reason_in_spec
from memnets.parts.controllers import Stack
from memnets.parts.linkage import Linkage
from tests.layers import TABLE, Case

SIZES = ("input_size", "memory_size", "word_size", "read_heads", "write_heads")


@pytest.mark.parametrize("case", [case for case in TABLE if not case.own_controller], ids=str)
def test_two_layers_made_alike_have_one_spec(case: Case) -> None:
    spec = case.build().spec
    if "module" in case.name or "writing" in case.name:  # which are compared as objects
        assert spec.model is memnets.NTM
    else:
        assert spec == case.build(seed=1).spec
    assert spec != dataclasses.replace(spec, memory_size=spec.memory_size + 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.memory_size = 3


@pytest.mark.parametrize("case", [case for case in TABLE if case.kernel], ids=str)
def test_the_kernel_knows_the_spec_without_the_layer(case: Case) -> None:
    """And what it is told follows from the spec alone."""
    layer = case.build()
    assert reason_in_spec(layer.spec) is None
    one, other = (Plan(spec).problem for spec in (layer.spec, case.build(seed=2).spec))
    for name in ("slots", "word", "read_heads", "write_heads", "hidden", "depth", "numbers"):
        assert getattr(one, name) == getattr(other, name)
    assert one.numbers == layer.interface.linear.out_features


class Chain(Linkage):
    """A linkage of the user's."""


def changed_parts() -> list[Any]:
    ntm, dnc = memnets.NTM(3, 2).spec, memnets.DNC(3, 2).spec
    return [
        (memnets.NTM(3, 2, controller="indrnn").spec, "It knows the cells LSTMCell, "),
        (memnets.NTM(3, 2, controller=Stack(residual=True)).spec, "It knows controllers without "),
        (memnets.DNC(3, 2, linkage=Chain()).spec, "It knows Linkage as linkage"),
        (dataclasses.replace(ntm, model=torch.nn.LSTM), "It knows memnets."),
        (dataclasses.replace(ntm, tables=ntm.tables[:2]), "It knows an interface of 3 tables"),
        (dataclasses.replace(dnc, sizes=(1, *dnc.sizes[1:])), "Its interface must be split"),
        (dataclasses.replace(dnc, interface=torch.nn.Linear), "It knows memnets.interface."),
    ]


@pytest.mark.parametrize(("spec", "reason"), changed_parts(), ids=lambda one: str(one)[:30])
def test_another_spec_is_refused_by_name(spec: Any, reason: str) -> None:
    assert (reason_in_spec(spec) or "").startswith(reason)

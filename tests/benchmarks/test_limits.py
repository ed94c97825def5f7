"""Operations and bytes: the profiler against the formula, sums done by hand, and growth."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import contestants, limits
from benchmarks.cases import Case
from training.options.models import MODELS

SMALL = Case(
    memory_size=4,
    word_size=2,
    read_heads=1,
    batch=3,
    steps=5,
    input_size=1,
    output_size=2,
    hidden_size=3,
)


def test_a_step_of_the_ntm_by_hand():
    # Two heads emit 2 + 1 + 1 + 3 + 1 = 8 each, then erase and add 2 each: 20.
    assert limits.emitted(SMALL) == 20
    # Gates 12 x (1 + 2 + 3 + 1), interface 20 x (3 + 1), readout 2 x (3 + 2 + 1).
    assert limits.parameters(SMALL) == 84 + 80 + 12
    # Memory 8, two weightings of 4, one read vector of 2, h and c of 3.
    assert limits.state(SMALL) == 8 + 8 + 2 + 6
    assert limits.forward_flops(SMALL) == {
        "controller": 3 * (2 * 12 * 6 + 13 * 3),
        "interface": 3 * (2 * 20 * 3 + 2 * 20),
        "content": 3 * (2 * 4 * (4 + 6) + (4 + 2) * 5),
        "location": 3 * (2 * 4 * (3 + 6 + 6)),
        "write": 3 * (5 * 8),
        "read": 3 * (2 * 8),
        "readout": 3 * (2 * 2 * 5 + 2),
    }
    assert limits.step_flops(SMALL, "forward") == 3 * (183 + 160 + 110 + 120 + 40 + 16 + 22)
    assert limits.step_flops(SMALL, "training") == 3 * limits.step_flops(SMALL, "forward")
    assert limits.step_bytes(SMALL, "forward") == 4 * (176 + 2 * 3 * 24 + 3 * 3)
    assert limits.step_bytes(SMALL, "training") == 4 * (2 * 176 + 5 * 3 * 24 + 2 * 3 * 3)


def test_a_step_of_the_dnc_by_hand():
    case = replace(SMALL, kind="DNC", read_heads=2)
    # Keys 2 x 2, three vectors of 2, and 5 x 2 + 3.
    assert limits.emitted(case) == 4 + 6 + 13
    # Memory 8, three weightings, two read vectors, h and c; usage, precedence, link.
    assert limits.state(case) == 8 + 12 + 4 + 6 + 4 + 4 + 16
    flops = limits.forward_flops(case)
    # Each of 16 links: 5 to update, 4 for each of two read heads.
    assert flops["link"] == 3 * 16 * (5 + 8)
    # For each of 4 slots: retention 6, usage 4, allocation log2(4) + 4, write weighting 4,
    # precedence 3, read weighting 12.
    assert flops["location"] == 3 * 4 * (6 + 4 + 6 + 4 + 3 + 12)
    assert flops["content"] == 3 * (3 * 4 * (4 + 6) + (4 + 3) * 5)


def profiled(case, steps, one_pass):
    """What the profiler counts of a sequence of the reference, on real numbers."""
    layer = contestants.layer(case, "reference")
    x = torch.randn(steps, case.batch, case.input_size)
    with FlopCounterMode(display=False) as counter:
        y, _ = layer(x)
        if one_pass == "training":
            y.sum().backward()
    return counter.get_total_flops()


KINDS = [model.constructor.__name__ for model in MODELS.values() if model.costs is not None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"read_heads": 3},
        {"memory_size": 1, "word_size": 1, "batch": 1},
        {"memory_size": 17, "word_size": 5, "read_heads": 2, "hidden_size": 7, "input_size": 3},
        {"memory_size": 128, "word_size": 20, "batch": 16, "hidden_size": 100, "input_size": 9},
    ],
    ids=str,
)
def test_the_products_that_the_profiler_counts_are_those_of_the_formula(kind, sizes):
    case = replace(SMALL, kind=kind, **sizes)
    formula = sum(limits.products(case).values())
    assert profiled(case, 4, "forward") == 4 * formula
    assert limits.counted_products(case, "forward") == formula
    # Each product has two products of its size as derivatives, but for those of the first step,
    # whose state has no gradient.
    steps = [profiled(case, steps, "training") for steps in (2, 3, 4)]
    assert [steps[1] - steps[0], steps[2] - steps[1]] == [3 * formula, 3 * formula]
    assert limits.counted_products(case, "training") == 3 * formula


def test_the_products_of_the_largest_case_need_no_memory():
    case = Case(kind="DNC", memory_size=2**16, batch=64)
    assert limits.counted_products(case, "forward") == sum(limits.products(case).values())


def test_links_make_the_dnc_quadratic():
    large = Case(kind="DNC", memory_size=4096)
    doubled = replace(large, memory_size=8192)
    for one_pass in ("forward", "training"):
        flops = limits.step_flops(doubled, one_pass) / limits.step_flops(large, one_pass)
        moved = limits.step_bytes(doubled, one_pass) / limits.step_bytes(large, one_pass)
        assert 3.9 < flops < 4
        assert 3.9 < moved < 4
    assert limits.kept_by_autograd(large) > 40 * 16 * 4096**2 * 4

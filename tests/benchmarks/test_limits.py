"""The counts of operations and bytes against sums done by hand, and their growth."""

from dataclasses import replace

import pytest

from benchmarks import contestants, limits
from benchmarks.cases import Case

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


@pytest.mark.parametrize("kind", ["NTM", "DNC"])
@pytest.mark.parametrize("heads", [1, 3])
def test_the_counts_are_those_of_the_layer(kind, heads):
    if kind == "NTM" and heads > 1:
        heads = 2
    case = replace(SMALL, kind=kind, read_heads=heads)
    layer = contestants.layer(case, "reference")
    assert limits.emitted(case) == layer.interface.linear.out_features
    counted = sum(parameter.numel() for parameter in layer.parameters())
    assert limits.parameters(case) == counted - 4 * case.hidden_size  # its biases are two


def test_links_make_the_dnc_quadratic():
    large = Case(kind="DNC", memory_size=4096)
    doubled = replace(large, memory_size=8192)
    for one_pass in ("forward", "training"):
        flops = limits.step_flops(doubled, one_pass) / limits.step_flops(large, one_pass)
        moved = limits.step_bytes(doubled, one_pass) / limits.step_bytes(large, one_pass)
        assert 3.9 < flops < 4
        assert 3.9 < moved < 4
    assert limits.kept_by_autograd(large) > 40 * 16 * 4096**2 * 4

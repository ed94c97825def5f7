"""The loop that README.md shows: a few of its steps, and what they start from."""

import torch

import memnets
from tests.stress.own_loop import own_loop, train, wrong_bits


def test_the_loop_of_the_readme_learns_from_its_first_steps() -> None:
    untrained, trained = (wrong_bits(train(0, steps=steps)["layer"]) for steps in (0, 60))
    assert 0 < trained < untrained - 2


def test_the_loop_trains_a_dnc_in_the_place_of_the_ntm() -> None:
    before, after = (train(0, kind="DNC", steps=steps)["layer"] for steps in (0, 3))
    assert isinstance(after, memnets.DNC)
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        assert new.isfinite().all()
        assert not torch.equal(new, old)


def test_the_loop_has_no_settings_but_those_it_shows() -> None:
    """Fifteen lines or so, and the layer's own defaults."""
    lines = [line for line in own_loop().splitlines() if line and "import" not in line]
    assert len(lines) <= 17
    assert "memnets.NTM(input_size=9, output_size=8)\n" in own_loop()

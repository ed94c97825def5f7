"""Lists of different bits: `_repeated` against a loop, also of more bits than a number has."""

import pytest
import torch

from tasks.different import _repeated, different_bits


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("size", [1, 3, 62, 63, 70])
def test_what_repeats_an_earlier_entry(size, axis):
    """Entries that differ in the first or in the last bit alone, or not at all."""
    generator = torch.Generator().manual_seed(size)
    bits = torch.zeros(6, 5, size)
    bits[..., 0] = torch.randint(0, 2, (6, 5), generator=generator)
    bits[..., -1] = torch.randint(0, 2, (6, 5), generator=generator)
    expected = torch.zeros(6, 5, dtype=torch.bool)
    for row in range(6):
        for column in range(5):
            earlier = bits[:row, column] if axis == 0 else bits[row, :column]
            expected[row, column] = any(torch.equal(one, bits[row, column]) for one in earlier)
    assert expected.any()
    assert not expected.all()
    assert torch.equal(_repeated(bits, axis), expected)


def test_as_many_entries_as_there_are():
    found = different_bits((3, 8, 3), 1, torch.Generator().manual_seed(0))
    codes = (found * torch.tensor([1, 2, 4])).sum(-1)
    assert (codes.sort(1).values == torch.arange(8)).all()

"""The DNC's descendants in the kernel: compared with the reference, then timed."""

import pytest

from benchmarks import variants
from benchmarks.gate import Disagreement, results
from memnets.parts.usage import Allocation

SIZES = {"memory_size": 4, "word_size": 3, "read_heads": 2}


def test_every_variant_has_its_time(capsys):
    variants.main(**SIZES, batch=2, steps=3, rounds=1)
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith("DNC 4x3, 2 read heads, LSTM 100, batch 2, T 3")
    names = [name for row in rows for name in variants.variants() if row.startswith(f"{name}  ")]
    assert names == list(variants.variants())
    assert rows[0].split()[2:3] == ["1.00"]


def test_a_variant_that_is_not_the_references_is_not_timed(monkeypatch):
    def turned(layer, x):
        return results(layer, -x if layer.backend == "fused" else x)

    monkeypatch.setattr(variants, "results", turned)
    with pytest.raises(Disagreement, match="wiped: output differs from the reference's"):
        variants.checked("wiped", SIZES, {"allocation": Allocation(wipe=True)})

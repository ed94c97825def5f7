"""The questions to a GPU, asked of the emulator: at tiny sizes they come to their end."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu
from benchmarks.cases import CASES, Case
from tests.emulator import emulated

TINY = Case(memory_size=5, word_size=3, hidden_size=4)


def asked(folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    """What the command writes, with torch.compile left out."""
    monkeypatch.setitem(CASES, "tiny", TINY)
    monkeypatch.setattr("torch.compile", lambda model, mode: model)
    out = folder / "gpu.json"
    sizes: dict[str, Any] = {"cases": ("tiny",), "batches": (2,), "steps": (3,), "rounds": 1}
    gpu.main(out, device="cpu", run=False, **sizes, **options)
    return json.loads(out.read_text())


def test_every_part_has_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated():
        found = asked(tmp_path, monkeypatch)
    for kind in ("NTM", "DNC"):
        for bits, most in ((64, 1e-10), (32, 1e-3)):
            for way in ("batch 2", "batch 2, segments of 2"):
                answer = found[f"{kind}: agreement"][f"torch.float{bits}, {way}"]
                assert answer["difference"] < most
                assert answer["three runs to the same bits"]
        assert found[f"{kind}: finite differences"]["agree"]
    (title,) = [name for name in found if "batch 2, T 3" in name]
    parts = {name: one for name, one in found[title].items() if name != "seconds"}
    timed = {name for name, one in parts.items() if one.get("training", 0) > 0}
    assert timed == {"cuda", "reference", "reference in CUDA graphs", "torch.nn.LSTM"}
    assert "Absent: pytorch-ntm is left out" in found[title]["peer 0"]["error"]


def test_a_part_that_fails_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = asked(tmp_path, monkeypatch)  # on no GPU, and no emulator
    assert "It runs on a GPU; the layer is on cpu" in found["NTM: agreement"]["error"]
    (title,) = [name for name in found if "batch 2, T 3" in name]
    assert found[title]["torch.nn.LSTM"]["training"] > 0

"""The table of searches: what each finds is what it should find."""

import re

import pytest
import torch

from benchmarks import search


def test_every_search_finds_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    search.main(["--sizes", "400", "5041", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split("|")[1:-1] for line in lines if re.match(r"\| (exact|product)", line)]
    assert len(rows) == 8
    assert all(row[3].strip() == "1.000" for row in rows)


def test_recall_counts_what_was_missed() -> None:
    found = torch.tensor([[4, 3, 2, 1], [1, 2, 3, 9]])
    assert search.recall(found, torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4]])) == 7 / 8

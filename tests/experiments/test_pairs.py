"""The curriculum of pairs, at small sizes."""

import json
import re
from dataclasses import asdict, replace

import pytest
import torch

from experiments import pairs
from experiments.pairs import Options, Settings, Training, main

SMALL = Settings(memory_size=40, word_size=6, top_k=2, batch_size=2, most=3, threshold=9.0)


def test_pairs_double_when_their_cost_is_low(tmp_path):
    training = Training(SMALL, 0, tmp_path / "seed0.pt")
    for _ in range(45):  # twice as long as the mean of the curriculum, and a few
        training.step()
    assert [(row["pairs"], row["sequences"]) for row in training.rows] == [(1, 0), (2, 40), (3, 80)]
    never = Training(replace(SMALL, threshold=1e-9), 0, tmp_path / "seed1.pt")
    for _ in range(45):
        never.step()
    assert [row["pairs"] for row in never.rows] == [1]


def test_a_training_goes_on_to_the_same_numbers(tmp_path):
    whole = Training(SMALL, 0, tmp_path / "whole.pt")
    for _ in range(25):
        whole.step()
    first = Training(SMALL, 0, tmp_path / "seed0.pt")
    for _ in range(22):
        first.step()
    first.save()
    second = Training(SMALL, 0, tmp_path / "seed0.pt")
    assert second.seconds == first.seconds > 0
    for _ in range(3):
        second.step()
    assert second.curriculum == whole.curriculum
    assert second.sequences == whole.sequences == 50
    for ours, theirs in zip(second.layer.parameters(), whole.layer.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_training_of_other_settings_is_refused(tmp_path):
    path = tmp_path / "seed0.pt"
    Training(SMALL, 0, path).save()
    with pytest.raises(ValueError, match=re.escape("seed0.pt was trained with other settings")):
        Training(replace(SMALL, rate=0.1), 0, path)


def test_values_that_are_not_recalled_are_counted():
    task = SMALL.task
    assert pairs.wrong_share(SMALL.layer(), task, pairs=10, lists=4) > 0.8  # of eight bits each
    knows = lambda inputs: (2 * task.solve(inputs) - 1, None)  # noqa: E731
    assert pairs.wrong_share(knows, task, pairs=10, lists=4) == 0


def test_the_command_writes_what_it_trained(tmp_path):
    options = Options(
        seeds=(0, 1), minutes=0.002, pairs=(2, 5), lists=2, settings=SMALL,
        runs=tmp_path / "runs", folder=tmp_path / "docs",
    )  # fmt: skip
    for _ in range(2):  # the second time nothing is trained
        assert main(options) == 0
        found = json.loads((tmp_path / "docs/results/pairs.json").read_text())
        assert [one["seed"] for one in found] == [0, 1]
    assert found[0]["settings"] == asdict(SMALL)
    assert found[0]["rows"][0] == {"seconds": 0.0, "sequences": 0, "pairs": 1}
    assert found[0]["rows"][-1]["seconds"] >= 0.12
    assert set(found[0]["wrong"]) == {"2", "5"}
    assert (tmp_path / "docs/pictures/pairs.png").stat().st_size > 10_000

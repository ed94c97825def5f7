"""What puts the layer of a run into the package: its file, its card, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch

import memnets
import train
from experiments import trained
from experiments.trained import Options, keep
from tests.training.tiny import arguments


@pytest.fixture
def run():
    assert train.main(arguments("copy", "ntm", steps=2, more=["--name", "a", "--seed", "3"])) == 0
    return Path("runs/a")


def test_the_layer_of_a_run_is_kept_with_its_card(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"generalisation\.json"):
        keep(Options("small", run), tmp_path)
    assert train.main(["--evaluate", str(run), "--sequences", "4"]) == 0
    path = keep(Options("small", run, flags="--model.memory-size 4"), tmp_path)
    layer, before = memnets.load(path), memnets.load(run)
    assert layer.config == before.config
    assert all(map(torch.equal, layer.state_dict().values(), before.state_dict().values()))
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["command"] == (
        "python train.py --task copy --model ntm --model.memory-size 4 --seed 3"
    )
    assert (card["sequences"], card["evaluated"], card["seed"]) == (8, 4, 3)
    assert card["weights"] == sum(weight.numel() for weight in before.state_dict().values())
    figures = json.loads((run / "generalisation.json").read_text())["settings"]
    assert card["settings"].keys() == figures.keys()
    for setting, row in card["settings"].items():
        assert row.keys() == {"wrong_bits", "exact_match"}
        assert all(figures[setting][name] == value for name, value in row.items())


def test_it_may_have_more_slots_than_in_training(run, tmp_path):
    words = ["--evaluate", str(run), "--sequences", "4", "--memory-size", "9"]
    assert train.main(words) == 0
    path = keep(Options("small", run, memory_size=9), tmp_path)
    assert memnets.load(path).initial_state(1).memory.memory.shape[1] == 9


def test_a_run_that_went_on_and_a_file_that_is_too_large_are_refused(run, tmp_path, monkeypatch):
    assert train.main(["--evaluate", str(run), "--sequences", "4"]) == 0
    figures = run / "generalisation.json"
    figures.write_text(figures.read_text().replace('"step": 2', '"step": 1'))
    with pytest.raises(
        ValueError, match="runs/a went on after it was evaluated: evaluate it again"
    ):
        keep(Options("small", run), tmp_path)
    monkeypatch.setattr(trained, "LARGEST", 1000)
    with pytest.raises(
        ValueError, match=r"must be at most 1,000 bytes, got .*: train a smaller one"
    ):
        keep(Options("small", run), tmp_path)
    assert not list(tmp_path.glob("small*"))

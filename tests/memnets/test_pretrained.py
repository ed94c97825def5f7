"""The layers that come trained: each does on fresh sequences what its card says."""

import re

import pytest
import torch

import memnets
import tasks
from memnets.loading import TRAINED, card, trained_names
from tasks.grid import grid

NAMES = trained_names()
FRESH, SEED = 64, 987_654_321


def settings(name):
    """The task of a card as it was trained, and at the sizes that the card has."""
    found = card(name)
    task = tasks.make(found["task"], **found["task_options"])
    every = {"training": task, **grid(task)}
    assert found["settings"].keys() <= every.keys()
    return [(setting, every[setting], row) for setting, row in found["settings"].items()]


def answered(layer, task):
    """How many answers are wrong, of each of some sequences that nobody has seen."""
    generator = torch.Generator().manual_seed(SEED)
    errors = []
    for _ in range(8):  # a batch has one length
        batch = task.sample(FRESH // 8, generator)
        with torch.no_grad():
            errors.append(task.cost.errors(layer(batch.inputs)[0], batch))
    return torch.cat(errors)


def test_there_are_some():
    assert {"copy", "copy_dnc", "associative_recall", "repeat_copy", "reverse"} <= {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_it_does_what_its_card_says_on_fresh_sequences(name):
    layer = memnets.pretrained(name).eval()
    for setting, task, row in settings(name):
        errors = answered(layer, task)
        exact, said = float((errors == 0).double().mean()), row["exact_match"]
        if setting == "training":
            assert said == {"mean": 1, "low": 1, "high": 1}
            assert row[task.cost.errors_name]["mean"] == errors.sum() == 0
        # Four standard errors of a share of 64 beside the interval of the card.
        low, high = (
            share - side * 4 * (share * (1 - share) / FRESH) ** 0.5
            for share, side in ((said["low"], 1), (said["high"], -1))
        )
        assert low <= exact <= high, setting
    assert len(settings(name)) > 2


@pytest.mark.parametrize("name", NAMES)
def test_its_file_is_small_and_its_card_is_whole(name):
    assert (TRAINED / f"{name}.safetensors").stat().st_size < 300_000
    found = card(name)
    assert re.fullmatch(r"[0-9a-f]{7,}", found["commit"])  # no change beside the commit
    assert found["command"].startswith(f"python train.py --task {found['task']} --model ")
    assert found["command"].endswith(f"--seed {found['seed']}")
    layer = memnets.pretrained(name)
    assert found["weights"] == sum(weight.numel() for weight in layer.state_dict().values())
    assert type(layer).__name__.lower() == found["model"]
    assert all(weight.dtype == torch.float32 for weight in layer.parameters())


def test_every_file_has_a_card_and_every_card_a_file():
    assert {path.stem for path in TRAINED.glob("*.json")} == {*NAMES}


def test_the_page_has_every_card():
    page = (TRAINED.parents[1] / "docs" / "trained.md").read_text()
    for name in NAMES:
        assert f'`"{name}"`' in page
        assert f"`{card(name)['command']}`" in page


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"no trained layer 'copi'\. Did you mean 'copy'\? The"):
        memnets.pretrained("copi")
    with pytest.raises(ValueError, match=rf"There are {', '.join(NAMES)}; a run of your own is lo"):
        card("xyz")


def test_load_takes_a_name_where_there_is_no_such_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = torch.rand(5, 2, 9)
    expected = memnets.pretrained("copy")(x)[0]
    assert torch.equal(memnets.load("copy")(x)[0], expected)
    other = memnets.NTM(9, 8)
    torch.save({"layer": other.config, "weights": other.state_dict()}, "copy")
    assert torch.equal(memnets.load("copy")(x)[0], other(x)[0])
    with pytest.raises(FileNotFoundError, match=rf"at copi; .* or one of {', '.join(NAMES)}, w"):
        memnets.load("copi")


def test_each_call_returns_a_layer_of_its_own():
    one, two = memnets.pretrained("copy"), memnets.pretrained("copy")
    with torch.no_grad():
        one.readout.weight.zero_()
    assert two.readout.weight.abs().sum() > 0

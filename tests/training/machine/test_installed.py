"""What the trainer says and starts where it is inside of an installed package, and no clone."""

import sys

import pytest

from training.command_line import parser
from training.files import provenance
from training.machine import distributed
from training.sweep import __main__ as sweep


@pytest.fixture
def inside(monkeypatch):
    for module in (distributed, provenance, sweep):
        monkeypatch.setattr(module, "INSTALLED", True)


def test_it_is_a_clone_here():
    assert not provenance.INSTALLED
    assert distributed.command() == "python train.py"


def test_it_says_the_command_that_goes_on(inside, monkeypatch, capsys):
    assert distributed.command() == "memnets train"
    for words in (["--help"], ["--task", "copi"]):
        with pytest.raises(SystemExit):
            parser.parse(words)
    said = capsys.readouterr()
    assert "usage: memnets train [--task" in said.out
    assert "python train.py" not in said.out
    assert "See memnets train --help" in said.err
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert distributed.command() == "torchrun --nproc-per-node=2 -m memnets train"


def test_a_sweep_starts_the_trainer_where_it_is(inside):
    train = str(provenance.ROOT / "train.py")
    for given in ({}, {"program": "train.py"}):
        assert sweep.command(given, {"seed": 1}) == [sys.executable, train, "--seed=1"]
    assert sweep.command({"program": "mine.py"}, {})[1:] == ["mine.py"]


def test_the_clone_around_an_environment_is_not_its_commit(inside):
    assert provenance.commit() is None

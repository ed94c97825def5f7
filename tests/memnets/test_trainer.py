"""The command `memnets`: what it runs, where that is, and what it says where it cannot."""

import runpy
import shutil
import sys
from pathlib import Path

import pytest

from memnets import __main__, trainer


@pytest.fixture
def ran(monkeypatch):
    """What was run, with which words; a value in `ends` is raised in its place."""
    found = {"modules": [], "words": [], "ends": None}

    def run_module(name, run_name, alter_sys):
        assert (run_name, alter_sys) == ("__main__", True)
        found["modules"].append(name)
        found["words"].append(sys.argv[1:])
        if found["ends"] is not None:
            raise found["ends"]

    monkeypatch.setattr(runpy, "run_module", run_module)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return found


@pytest.mark.parametrize(
    ("words", "module", "given"),
    [
        ("train --task copy", "train", ["--task", "copy"]),
        ("evaluate runs/a --best True", "train", ["--evaluate", "runs/a", "--best", "True"]),
        ("compare runs", "training.compare", ["runs"]),
        ("sweep a.yaml", "training.sweep", ["a.yaml"]),
    ],
)
def test_a_command_runs_its_module_with_the_words_that_follow(ran, words, module, given):
    assert __main__.main(words.split()) == 0
    assert (ran["modules"], ran["words"]) == ([module], [given])
    assert str(trainer.folder()) in sys.path
    assert (trainer.folder() / module.replace(".", "/")).with_suffix(".py").is_file() or (
        trainer.folder() / module.replace(".", "/") / "__main__.py"
    ).is_file()


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        (SystemExit(3), 3, ""),
        (SystemExit(), 0, ""),
        (SystemExit("compare: error: no"), 1, "compare: error: no\n"),
        (
            ModuleNotFoundError("No module named 'tyro'", name="tyro"),
            2,
            "memnets: error: compare needs more than the library (No module named 'tyro'): pip "
            "install 'memnets[train]'\n",
        ),
        (
            ModuleNotFoundError("No module named 'optuna'", name="optuna"),
            2,
            "memnets: error: compare needs more than the library (No module named 'optuna'): pip "
            "install 'memnets[sweep]'\n",
        ),
    ],
)
def test_how_it_ends_is_its_exit_status(ran, capsys, end, status, said):
    ran["ends"] = end
    assert __main__.main(["compare"]) == status
    assert capsys.readouterr().err == said


def test_a_module_of_the_users_that_is_missing_is_no_matter_of_extras(ran):
    ran["ends"] = ModuleNotFoundError("No module named 'mine'", name="mine")
    with pytest.raises(ModuleNotFoundError, match="mine"):
        __main__.main(["train"])


def test_another_word_is_refused_and_help_lists_the_commands(capsys):
    assert __main__.main(["trian"]) == 2
    said = "there is no command 'trian': say one of train, evaluate, compare, sweep"
    assert said in capsys.readouterr().err
    assert __main__.main(["--help"]) == 0
    assert "memnets evaluate runs/NAME" in capsys.readouterr().out


def test_an_installed_trainer_is_inside_of_the_package(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "memnets"
    package.mkdir(parents=True)
    monkeypatch.setattr(trainer, "__file__", str(package / "trainer.py"))
    with pytest.raises(FileNotFoundError, match=r"trainer must be in .*_trainer or beside .*again"):
        trainer.folder()
    inside = package / "_trainer"
    (inside / "training").mkdir(parents=True)
    shutil.copy(Path(__file__).parents[2] / "train.py", inside)
    assert trainer.folder() == inside

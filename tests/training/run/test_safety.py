"""A step whose loss or gradient is not finite changes no weight; it is named, saved, replayed."""

import json
import math
import re
from pathlib import Path

import pytest
import torch

import memnets
import train
from tests.anomalies import HARMLESS, REFUSED, feed
from tests.training.tiny import arguments, assert_same, assert_same_run, rows
from training.command_line.parser import parse
from training.files import checkpoint
from training.machine.signals import Stop
from training.options.models import MODELS
from training.report.console import Console
from training.report.wandb_tracker import NullTracker
from training.run import loop, non_finite, replay
from training.run.state import start


class Poisoned:
    """A task whose batches are changed."""

    def __init__(self, task, change):
        self.cost, self.chance_cost = task.cost, task.chance_cost
        self._task, self._change = task, change

    def sample(self, batch_size, generator):
        batch = self._task.sample(batch_size, generator)
        self._change(batch)
        return batch


def set_nan(batch):
    batch.inputs[1, 0, 0] = math.nan


def set_huge_targets(batch):
    batch.targets[-1] = 1e25


def poison(monkeypatch, steps, change=set_nan):
    """Change the batches of these steps, counted from 1."""
    train_step, at_level = loop.train_step, loop.at_level

    def poisoned(config, training):
        with monkeypatch.context() as patch:
            if training.step + 1 in steps:
                patch.setattr(loop, "at_level", lambda *given: Poisoned(at_level(*given), change))
            return train_step(config, training)

    monkeypatch.setattr(loop, "train_step", poisoned)


def run(*more, status=0, **options):
    assert train.main(arguments(**options, more=["--name", "run", *more])) == status


SKIP = ["--run.non-finite", "skip"]


@pytest.mark.parametrize("model", MODELS)
def test_a_step_that_is_not_finite_stops_the_run_and_is_named(monkeypatch, capsys, model):
    poison(monkeypatch, [10])
    run(model=model, status=1)
    error = capsys.readouterr().err
    saved = "runs/run/faults/step_10.pt"
    assert "the loss became nan at step 10 (inputs, time step 1: 1 NaN of" in error
    assert f"python -m training.run.replay {saved}; a smaller --optimizer.learning-rate" in error
    assert "the last checkpoint is runs/run/checkpoints/last.pt" in error
    assert torch.load("runs/run/checkpoints/last.pt", weights_only=True)["step"] == 8
    last = rows(Path("runs/run"))[-1]
    assert last == {"step": 10, "sequences": 40, "non_finite_steps": 1}
    assert replay.main(Path(saved)) == 0
    printed = capsys.readouterr().out
    assert f"associative_recall with {model}, step 10: 4 sequences of" in printed
    assert "loss           was nan, is nan" in printed
    assert "inputs, time step 1: 1 NaN of" in printed
    if MODELS[model].memory:
        assert "h, time step 1: 5 NaN of 20" in printed
        assert re.search(r"state\.memory\.memory, time step 1: \d+ NaN of 48", printed)
        assert memnets.load(saved).memory_size == 4
    # Attention multiplies later steps by 0, and 0 times a NaN is one: then step 0 is named, too.
    assert re.search("outputs, time step [01]: ", printed)
    assert "gradient of readout.weight: " in printed


def test_the_saved_step_is_the_one_that_broke(monkeypatch):
    """Weights, optimiser and batch are those before the step, which no later step shows."""
    poison(monkeypatch, [10])
    run("--task.max-items", "4", status=1)
    fault = replay.read_fault(Path("runs/run/faults/step_10.pt"))
    config = parse(arguments(more=["--task.max-items", "4"]))
    monkeypatch.undo()
    training = start(config)
    for _ in range(9):
        loop.train_step(config, training)
        training.step += 1
    assert_same(training.layer.state_dict(), fault.training.layer.state_dict(), "weights")
    assert_same(training.optimizer.state_dict(), fault.training.optimizer.state_dict(), "optimizer")
    batch = training.task.sample(4, training.data)
    assert fault.batch.inputs[1, 0, 0].isnan()
    fault.batch.inputs[1, 0, 0] = batch.inputs[1, 0, 0]
    assert_same(tuple(batch), tuple(fault.batch), "batch")
    assert fault.training.step == training.step == 9
    assert torch.equal(training.data.get_state(), fault.training.data.get_state())


def test_a_gradient_that_overflows_is_named(monkeypatch, capsys):
    poison(monkeypatch, [3], set_huge_targets)
    run(model="ntm", status=1)
    error = capsys.readouterr().err
    assert "the gradient became inf at step 3 (gradient norm: squares overflow; " in error
    assert re.search(r"the largest gradient is \de\+2\d, of \w+", error), error


def test_a_gradient_that_overflows_is_named_beside_a_weight_without_elements(monkeypatch, capsys):
    # A feed-forward controller has no state, and so an initial state of no elements to learn.
    poison(monkeypatch, [3], set_huge_targets)
    options = ["--model.controller", "feedforward", "--model.learned", "True"]
    run(*options, model="ntm", status=1)
    assert "squares overflow; the largest gradient is" in capsys.readouterr().err


def test_skipped_steps_change_nothing_and_are_counted(monkeypatch, capsys):
    poison(monkeypatch, [4, 5, 10])
    run(*SKIP)
    error = capsys.readouterr().err
    assert "skipped: the loss became nan at step 5 (inputs, time step 1" in error
    assert "(3 skipped so far)" in error
    found = {row["step"]: row for row in rows(Path("runs/run")) if "loss" in row}
    counts = {step: row["non_finite_steps"] for step, row in found.items()}
    assert counts == {3: 0, 6: 2, 9: 2, 12: 3, 15: 3, 18: 3, 20: 3}
    assert all(math.isfinite(row["loss"]) for row in found.values())
    assert json.loads(Path("runs/run/evaluation.json").read_text())["step"] == 20
    saved = sorted(path.name for path in Path("runs/run/faults").iterdir())
    assert saved == ["step_10.pt", "step_4.pt", "step_5.pt"]
    before, after = (
        replay.read_fault(Path(f"runs/run/faults/step_{step}.pt")).training for step in (4, 5)
    )
    for part in ("layer", "optimizer"):
        states = [getattr(training, part).state_dict() for training in (before, after)]
        assert_same(*states, part)
    assert not torch.equal(before.data.get_state(), after.data.get_state())


@pytest.mark.parametrize("curriculum", [[], ["--curriculum", "prediction_gain"]])
@pytest.mark.parametrize("crash", [4, 6, 11])
def test_a_run_with_skipped_steps_resumes_exactly(monkeypatch, crash, curriculum):
    poison(monkeypatch, [4, 5, 10])
    words = arguments(steps=14, more=[*SKIP, *curriculum])
    assert train.main([*words, "--name", "whole"]) == 0
    with monkeypatch.context() as patch:
        steady = loop.train_step

        def crashing(config, training):
            if training.step >= crash:
                raise RuntimeError("crash")
            return steady(config, training)

        patch.setattr(loop, "train_step", crashing)
        with pytest.raises(RuntimeError, match="crash"):
            train.main([*words, "--name", "crashed"])
    assert train.main(["--resume", "runs/crashed"]) == 0
    assert_same_run(Path("runs/whole"), Path("runs/crashed"))
    for path in Path("runs/whole/faults").iterdir():
        other = Path("runs/crashed/faults") / path.name
        one, two = (replay.read_fault(file).batch[:3] for file in (path, other))
        assert_same(tuple(map(torch.nan_to_num, one)), tuple(map(torch.nan_to_num, two)), path)


def test_a_run_that_stopped_goes_on_by_skipping(monkeypatch, capsys):
    poison(monkeypatch, [10])
    run(status=1)
    assert train.main(["--resume", "runs/run"]) == 1  # the same step, the same end
    assert "at step 10 (" in capsys.readouterr().err
    assert train.main(["--resume", "runs/run", *SKIP]) == 0
    assert rows(Path("runs/run"))[-1]["step"] == 20
    assert json.loads(Path("runs/run/config.json").read_text())["run"]["non_finite"] == "skip"


def test_a_run_does_not_skip_for_ever(monkeypatch, capsys):
    monkeypatch.setattr(non_finite, "MOST_IN_A_ROW", 6)
    poison(monkeypatch, range(5, 100))
    run(*SKIP, status=1)
    error = capsys.readouterr().err
    assert "6 steps in a row, the last of them step 10" in error
    assert len(list(Path("runs/run/faults").iterdir())) == non_finite.MOST_SAVED == 5
    # a few, then some that are not, are no reason to stop
    assert rows(Path("runs/run"))[-1]["non_finite_steps"] == 6


def test_a_full_disk_does_not_hide_the_fault(monkeypatch, capsys):
    poison(monkeypatch, [10])
    original = checkpoint.save

    def save(path, content):
        if path.parent.name == "faults":
            raise OSError(28, "No space left on device")
        original(path, content)

    monkeypatch.setattr(checkpoint, "save", save)
    run(status=1)
    error = capsys.readouterr().err
    assert "the loss became nan at step 10 (inputs, time step 1" in error
    assert "it could not be saved for replay: [Errno 28] No space left on device" in error


def test_the_count_reaches_the_tracker(monkeypatch, tmp_path):
    logged = []

    class Listening(NullTracker):
        def log(self, values, step, sequences):
            logged.append((step, sequences, values))

    poison(monkeypatch, [2])
    config = parse(arguments(steps=3, more=SKIP))
    training = start(config)
    shown, stop = Console(12, 0), Stop()
    loop.train(config, training, tmp_path, tracker=Listening(), console=shown, stop=stop)
    (row,) = logged
    assert row[:2] == (3, 12)
    assert row[2]["train/non_finite_steps"] == 1


def test_weights_that_are_not_finite_are_named_first():
    config = parse(arguments(model="ntm"))
    training = start(config)
    with torch.no_grad():
        training.layer.readout.weight[0, 0] = math.inf
    batch = training.task.sample(2, training.data)
    found = non_finite.diagnose(training.layer, batch, training.task.cost)
    assert found[0].startswith("weight readout.weight: 1 infinite of ")
    assert found[1].startswith("outputs, time step 0: ")


def test_where_the_gradient_breaks():
    """The answers are scored in the last two steps, so that all before them have a gradient."""
    training = start(parse(arguments("repeat_copy", model="dnc")))
    with torch.no_grad():
        training.layer.readout.weight.fill_(1e30)
    batch = training.task.sample(2, training.data)
    set_huge_targets(batch)
    found = non_finite.diagnose(training.layer, batch, training.task.cost)
    assert found[0].startswith("loss: ")
    last = len(batch.inputs) - 1
    assert found[1] == f"gradient of the inputs: not finite from time step {last} backwards"
    assert any(sentence.startswith("gradient of controller.") for sentence in found)


def test_what_is_no_fault_cannot_be_replayed(capsys, tmp_path):
    run(steps=1)
    assert replay.main(Path("runs/run/checkpoints/last.pt")) == 2
    assert "is a checkpoint and has no batch" in capsys.readouterr().err
    assert replay.main(tmp_path / "nothing.pt") == 2
    (tmp_path / "rubbish.pt").write_bytes(b"rubbish")
    assert replay.main(tmp_path / "rubbish.pt") == 2
    assert "is damaged or no checkpoint" in capsys.readouterr().err


def test_a_step_that_comes_out_differently_is_said_to(monkeypatch, capsys):
    poison(monkeypatch, [2])
    run(status=1)
    path = Path("runs/run/faults/step_2.pt")
    saved = checkpoint.load(path)
    saved["batch"]["inputs"][1, 0, 0] = 1.0
    checkpoint.save(path, saved)
    assert replay.main(path) == 1
    printed = capsys.readouterr().out
    assert "everything is finite here" in printed
    assert "the step came out differently" in printed


@pytest.mark.parametrize("model", ["ntm", "dnc"])
def test_extreme_batches(model):
    """A glimpse of `python -m tests.anomalies`, which feeds 100,000 of them."""
    seen, wrong = feed(model, 250, seed=3)
    assert wrong == ""
    assert set(HARMLESS) <= set(seen)
    assert set(REFUSED) & set(seen)

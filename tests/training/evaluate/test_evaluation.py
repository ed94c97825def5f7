"""Evaluation: right, repeatable, without any trace in the training; and its pictures."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import memnets
import train
from memnets.inspect.plots import pixels, sequence_figure
from tasks import TASKS, make
from tests.training.tiny import arguments, assert_same, rows
from training.command_line.parser import parse
from training.evaluate import evaluation, generalisation
from training.options.models import MODELS
from training.run.state import start


class Solver(torch.nn.Module):
    """Answers right, except for one bit of the first step that counts."""

    def __init__(self, task, wrong):
        super().__init__()
        self.task, self.wrong = task, wrong

    def forward(self, x):
        logits = (self.task.solve(x) * 2 - 1) * 50
        logits[-1, :, : self.wrong] *= -1
        return logits, None


@pytest.mark.parametrize("wrong", [0, 2])
def test_figures(wrong):
    task = make("copy", bits=3, max_length=4)
    found = evaluation.evaluate(Solver(task, wrong), task, 10, batch_size=4, seed=0)
    assert found["wrong_bits"] == wrong
    assert found["exact_match"] == (wrong == 0)
    assert found["bits_per_sequence"] == pytest.approx(wrong * 50 / np.log(2), rel=1e-6)


class Stray(torch.nn.Module):
    """Moves by any edge but the best."""

    def __init__(self, task):
        super().__init__()
        self.task = task

    def forward(self, x, before=None):
        seen = x if before is None else torch.cat([before, x])
        return -50 * self.task.solve(seen)[-len(x) :], seen


def test_a_network_is_measured_on_the_path_of_its_own_moves():
    task = make("graph_shortest_path", nodes=9, degree=3, path=3)
    drawn = task.sample(64, torch.Generator().manual_seed(5))
    followed = evaluation.follow(Stray(task), task, drawn)
    assert (followed.inputs != drawn.inputs).any((0, 2)).all()
    wrong = task.cost.errors(Stray(task)(followed.inputs)[0], followed).double().mean()
    found = evaluation.evaluate(Stray(task), task, 64, batch_size=64, seed=5)
    assert found["wrong_moves"] == pytest.approx(float(wrong))
    measured = generalisation.measure(Stray(task), task, 64, batch_size=64, seed=5)
    assert measured["wrong_moves"].mean == pytest.approx(float(wrong))


def test_evaluation_leaves_training_alone():
    words = arguments(model="ntm", steps=8)
    assert train.main([*words, "--name", "often", "--run.evaluate-every", "1"]) == 0
    assert train.main([*words, "--name", "never", "--run.evaluate-every", "0"]) == 0
    often, never = (
        torch.load(f"runs/{name}/checkpoints/last.pt", weights_only=True)
        for name in ("often", "never")
    )
    for key in ("weights", "optimizer", "generators", "sums"):
        assert_same(often[key], never[key], key)
    trained = [row for row in rows(Path("runs/often")) if "loss" in row]
    assert trained == rows(Path("runs/never"))
    assert (Path("runs/often/evaluation.json").read_bytes()) == (
        Path("runs/never/evaluation.json").read_bytes()
    )
    assert often["best"]["wrong_bits"] >= 0
    assert not Path("runs/never/checkpoints/best.pt").exists()


def test_evaluation_file():
    assert train.main(arguments("copy", steps=2, more=["--name", "run"])) == 0
    found = json.loads(Path("runs/run/evaluation.json").read_text())
    names = ["training", *(f"length_{length}" for length in (10, 20, 30, 50, 120))]
    assert list(found["settings"]) == names
    assert found["sequences"] == 8
    assert found["settings"]["length_120"]["chance_cost"] == 240
    table = evaluation.table(found["settings"])
    assert [line.split()[0] for line in table.splitlines()] == ["setting", *names]


def test_a_curriculum_does_not_change_what_is_evaluated():
    training = start(parse(arguments("copy", more=["--curriculum", "incremental"])))
    found = evaluation.evaluate_all(training.layer, training.task, 4, batch_size=4, seed=0)
    plain = start(parse(arguments("copy")))
    expected = evaluation.evaluate_all(plain.layer, plain.task, 4, batch_size=4, seed=0)
    assert found == expected


@pytest.mark.parametrize("task", ["dyck", "adding"])
def test_figures_and_pictures_of_other_answers(task, monkeypatch):
    monkeypatch.setattr(evaluation, "settings", lambda task: {"training": task})  # others are long
    more = ["--name", "run", "--run.pictures", "True"]
    assert train.main(arguments(task, steps=2, more=more)) == 0
    cost = TASKS[task].cost
    found = json.loads(Path("runs/run/evaluation.json").read_text())["settings"]["training"]
    assert list(found) == [cost.name, cost.errors_name, "exact_match", "chance_cost"]
    text = evaluation.table({"training": found})
    assert cost.errors_name.replace("_", " ") in text
    assert Path("runs/run/pictures/training.png").exists()


def test_evaluation_stops_when_asked():
    config = parse(arguments("copy"))
    training = start(config)
    found = evaluation.evaluate_all(
        training.layer, training.task, 4, batch_size=4, seed=0, stopped=lambda: True
    )
    assert found == {}


@pytest.mark.parametrize("model", MODELS)
def test_pictures(model):
    entry = MODELS[model]
    several = "read_heads" in inspect.signature(entry.constructor).parameters
    more = ["--model.read-heads", "2"] if several else []
    config = parse(arguments("copy", model, more=more))
    training = start(config)
    task = make("copy", bits=2, min_length=6, max_length=6)
    figure, title = evaluation.picture(training.layer, task, "copy", seed=0)
    assert title.startswith("copy: 13 steps, ")
    assert title.endswith(" wrong of 12 bits")
    labels = [axes.get_ylabel() for axes in figure.axes]
    heads = ["read slot\nhead 1", "read slot\nhead 2"] if several else ["read slot"]
    wanted = ["input", "target", "output"]
    wanted += ["written slot", *heads] if entry.memory else []
    assert labels[: len(wanted)] == wanted
    image = pixels(figure)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert len(np.unique(image)) > 10


def test_a_setting_that_is_the_training_task_is_drawn_once():
    more = ["--name", "run", "--run.pictures", "True"]
    more += ["--task.length", "20", "--task.answer-length", "16"]
    assert train.main(arguments("priority_sort", steps=2, more=more)) == 0
    drawn = {path.stem for path in Path("runs/run/pictures").iterdir()}
    settings = json.loads(Path("runs/run/evaluation.json").read_text())["settings"]
    assert drawn == {"training", "length_10", "length_30"}
    assert set(settings) == {*drawn, "length_20"}


def test_the_rows_of_a_picture_have_the_tasks_names():
    config = parse(arguments("priority_sort"))
    training = start(config)
    figure, _ = evaluation.picture(training.layer, training.task, "sorted", seed=0)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["bits", "priority", "delimiter"]
    assert [image.get_clim() for image in figure.axes[0].images] == [(0, 1), (-1, 1)]


def test_the_picture_shows_the_data():
    inputs, targets = torch.eye(4), torch.tensor([[0.0, 1], [1, 0], [0, 0], [1, 1]])
    outputs = targets.clone()
    outputs[3, 0] = 0.2
    mask = torch.tensor([0.0, 1, 1, 1])
    figure = sequence_figure(inputs, targets, outputs, mask=mask, title="mine")
    shown = [axes.images[0].get_array() for axes in figure.axes[:3]]
    np.testing.assert_array_equal(shown[0], inputs.T)
    np.testing.assert_array_equal(shown[1][:, 1:], targets.T[:, 1:])
    assert np.ma.getmaskarray(shown[1])[:, 0].all()
    (dots,) = figure.axes[2].collections
    np.testing.assert_array_equal(dots.get_offsets(), [[3, 0]])
    assert figure.get_suptitle() == "mine"


def test_the_picture_shows_the_slots_in_use():
    layer = memnets.NTM(2, 2, memory_size=10, word_size=3, hidden_size=4)
    x = torch.zeros(3, 2)
    trace = memnets.record(layer, x)
    weights = torch.zeros(3, 1, 10)
    for step, slot in enumerate((8, 9, 0)):  # around the end
        weights[step, 0, slot] = 1
    memory = trace.memory._replace(write_weights=weights, read_weights=weights)
    trace = trace._replace(memory=memory)
    used = sequence_figure(x, x, x, trace)
    np.testing.assert_array_equal(used.axes[3].images[0].get_array(), np.eye(5)[1:4].T)
    assert [label.get_text() for label in used.axes[3].get_yticklabels()] == list("78901")
    whole = sequence_figure(x, x, x, trace, all_slots=True)
    assert whole.axes[3].images[0].get_array().shape == (10, 3)


def test_what_is_not_of_one_sequence_is_refused():
    x = torch.zeros(3, 2)
    layer = memnets.NTM(2, 2, memory_size=4, word_size=3, hidden_size=4)
    with pytest.raises(ValueError, match="of one sequence"):
        sequence_figure(x[:, None], x, x)
    with pytest.raises(ValueError, match="must have the same shape"):
        sequence_figure(x, x, x[:, :1])
    with pytest.raises(ValueError, match=r"mask must be \[T\] with T = 3"):
        sequence_figure(x, x, x, mask=torch.ones(2))
    with pytest.raises(ValueError, match="without a batch axis"):
        sequence_figure(x, x, x, memnets.record(layer, x[:, None]))

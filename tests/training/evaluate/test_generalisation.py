"""`train.py --evaluate`: figures, intervals, other memory sizes, the gap to the optimum, errors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import train
from tasks import make
from tasks.grid import coordinates, grid
from tests.tasks.table import TABLE
from tests.training.evaluate.test_evaluation import Solver
from tests.training.tiny import arguments
from training.evaluate import generalisation
from training.evaluate.intervals import bootstrap, wilson


def trained(name, task="associative_recall", model="ntm", more=()):
    assert train.main(arguments(task, model, steps=2, more=["--name", name, *more])) == 0


def evaluate(name, *words):
    status = train.main(["--evaluate", f"runs/{name}", "--sequences", "6", *words])
    file = generalisation.file_name(int(words[1]) if words[:1] == ("--memory-size",) else None)
    path = Path(f"runs/{name}") / file
    return status, json.loads(path.read_text()) if path.is_file() else None


@pytest.mark.parametrize("name", [name for name in TABLE if not make(name).grid])
def test_a_task_without_a_grid_is_measured_on_its_evaluations(name):
    assert grid(make(name)) == make(name).evaluations()


@pytest.mark.parametrize("name", [name for name in TABLE if make(name).grid])
def test_grids(name):
    task = make(name)
    found = grid(task)
    largest = {sizes.name: max(sizes.values) for sizes in task.grid}
    wanted = {n: v[0] if isinstance(v, tuple) else v for n, v in largest.items()}
    assert coordinates(list(found)[-1]) == wanted
    assert len(found) == np.prod([len(sizes.values) for sizes in task.grid])
    for variant in found.values():
        assert (variant.input_size, variant.output_size) == (task.input_size, task.output_size)
    evaluated = set(task.evaluations())
    assert evaluated <= set(found) or name == "binary_addition"  # whose names have two lengths


def test_sizes_that_the_task_refuses_are_left_out():
    assert list(grid(make("associative_recall", bits=1, item_length=3, max_items=4))) == [
        f"items_{items}" for items in (2, 4, 6, 8)
    ]


def test_figures_of_known_answers():
    task = make("copy", bits=3, min_length=4, max_length=4)
    for wrong in (0, 2):
        found = generalisation.measure(Solver(task, wrong), task, 100, batch_size=30, seed=0)
        assert found["wrong_bits"] == (wrong, wrong, wrong)
        assert found["exact_match"].mean == (wrong == 0)
        assert found["exact_match"].high - found["exact_match"].low == pytest.approx(
            0.037, abs=1e-3
        )
        assert "gap_to_optimum" not in found


def test_the_gap_to_the_optimum_is_paired():
    class Best(torch.nn.Module):
        def forward(self, x):
            return torch.logit(task.solve(x)), None

    class Guess(torch.nn.Module):
        def forward(self, x):
            return torch.zeros_like(x), None

    task = make("dynamic_ngram", length=50)
    best = generalisation.measure(Best(), task, 64, batch_size=64, seed=0)
    assert best["gap_to_optimum"].mean == pytest.approx(0, abs=1e-4)
    assert best["bits_per_sequence"].high - best["bits_per_sequence"].low > 1
    guess = generalisation.measure(Guess(), task, 64, batch_size=64, seed=0)
    gap = 50 - best["bits_per_sequence"].mean
    assert guess["gap_to_optimum"].mean == pytest.approx(gap, rel=1e-4)


def test_a_run_is_evaluated_and_its_files_are_left_alone(capsys):
    trained("run")
    folder = Path("runs/run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    status, found = evaluate("run")
    assert status == 0
    printed = capsys.readouterr().out
    settings = ["training", *(f"items_{items}" for items in (2, 4))]  # of 2 bits: 4 items at most
    assert list(found["settings"]) == settings
    assert [line.split()[0] for line in printed.splitlines()] == ["setting", *settings, "written"]
    for row in found["settings"].values():
        for name in ("bits_per_sequence", "wrong_bits", "exact_match"):
            assert row[name]["low"] <= row[name]["mean"] <= row[name]["high"]
        assert row["chance_cost"] == 2
    assert found["evaluated"] == 6
    assert found["sequences"] == 8
    for path, content in before.items():
        assert path.read_bytes() == content


@pytest.mark.parametrize("model", ["ntm", "dnc"])
def test_another_memory_size(model):
    trained("run", model=model)
    status, same = evaluate("run", "--memory-size", "4", "--settings", "items_4")
    assert status == 0
    status, larger = evaluate("run", "--memory-size", "9", "--settings", "items_4")
    assert status == 0
    assert (same["memory_size"], larger["memory_size"]) == (4, 9)
    assert same["settings"]["items_4"] != larger["settings"]["items_4"]
    _, plain = evaluate("run", "--settings", "items_4")
    assert plain["settings"] == same["settings"]


def test_what_cannot_be_evaluated(capsys):
    trained("learned", more=["--model.learned", "True"])
    trained("lstm", model="lstm")
    capsys.readouterr()
    for words, message in (
        (
            ["learned", "--memory-size", "9"],
            "--memory-size 9 does not fit: the run learned its ini",
        ),
        (
            ["lstm", "--memory-size", "9"],
            "--memory-size needs a model with a memory, got --model l",
        ),
        (
            ["lstm", "--settings", "items_9"],
            "there is no setting items_9: choose from training, it",
        ),
        (
            ["lstm", "--batch-size", "0"],
            "--sequences and --batch-size must be at least 1, got 6 an",
        ),
        (["lost"], "runs/lost is no run folder: it has no config.json; runs there: learned, lstm"),
    ):
        assert evaluate(*words) == (2, None)
        assert f"train.py: error: {message}" in capsys.readouterr().err
    assert evaluate("learned", "--memory-size", "4", "--settings", "items_4")[0] == 0


def test_the_bootstrap_agrees_with_the_normal_interval():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=400)
    found = bootstrap(list(values[:, None]))
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)


def test_sequences_of_one_batch_are_not_taken_as_independent():
    # Batches of 9 that are all alike: 100 values, and not 900.
    batches = [np.full(9, value) for value in np.random.default_rng(0).normal(size=100)]
    together = bootstrap(batches)
    apart = bootstrap([value for batch in batches for value in batch[:, None]])
    assert together.mean == pytest.approx(apart.mean)
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(3, rel=0.1)


def test_wilson():
    # computed by hand from Wilson 1927, z = 1.959964: (p + z^2/2n -+ z sqrt(...)) / (1 + z^2/n)
    assert wilson(8, 10) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-4)
    with pytest.raises(ValueError, match="successes must be from 0 to trials, got 3 of 2"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="a mean needs at least one value"):
        bootstrap([])

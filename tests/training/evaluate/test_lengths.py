"""`train.py --evaluate runs/NAME --lengths`: any length, with slots and batches that follow it."""

import json
from pathlib import Path

import pytest
import torch

import memnets
import train
from tasks import make
from tests.tasks.table import TABLE
from tests.training.tiny import arguments
from training.evaluate import generalisation, lengths
from training.options.models import MODELS, options_class


def trained(name, task="copy", model="ntm", more=()):
    assert train.main(arguments(task, model, steps=2, more=["--name", name, *more])) == 0


def evaluate(name, *words):
    return train.main(["--evaluate", f"runs/{name}", *words])


@pytest.mark.parametrize("name", [name for name in TABLE if not make(name).grid])
def test_a_task_without_a_grid_has_no_lengths(name):
    with pytest.raises(ValueError, match=f"{type(make(name)).__name__} has no lengths: leave out"):
        lengths.of_lengths(make(name), [20])


@pytest.mark.parametrize("name", [name for name in TABLE if make(name).grid])
def test_the_length_is_the_first_size_of_the_grid(name):
    task = make(name)
    first = task.grid[0]
    largest = first.values[-1]
    length = largest[0] if isinstance(largest, tuple) else largest
    ((label, variant),) = lengths.of_lengths(task, [length]).items()
    assert label == f"{first.name}_{length}"
    assert {getattr(variant, field) for field in first.fields} == (
        set(largest) if isinstance(largest, tuple) else {length}
    )
    # One length, so that every sequence counts by itself in the interval.
    generator = torch.Generator().manual_seed(0)
    assert len({len(variant.sample(1, generator).inputs) for _ in range(5)}) == 1


def test_slots_follow_the_length():
    def needed(name, length, trained=1):
        (variant,) = lengths.of_lengths(make(name), [length]).values()
        return lengths.slots(variant, trained)

    assert needed("copy", 20) == 84
    assert needed("copy", 20_000) == 20_064
    assert needed("copy", 20, trained=128) == 128
    assert needed("repeat_copy", 50) == 50 + 1 + lengths.SPARE  # the vectors and how often
    assert needed("associative_recall", 30) == 30 * 4 + 5 + lengths.SPARE


def test_long_sequences_are_few_and_none_is_too_large(monkeypatch):
    layer = memnets.NTM(9, 8)
    options = options_class("ntm")()

    def found(length, sequences=None, batch_size=None, flags=options, of=layer):
        task = make("copy", min_length=length, max_length=length)
        return lengths.extent(of, task, flags, sequences, batch_size)

    short, long, longest = found(10), found(1000), found(50_000)
    assert short == (21, lengths.MOST, lengths.TOGETHER)
    assert lengths.LEAST < long.sequences < lengths.MOST
    assert (longest.sequences, longest.batch_size) == (lengths.LEAST, lengths.LEAST)
    assert found(1000, sequences=5) == (2001, 5, 5)
    assert found(1000, batch_size=3).batch_size == 3
    # A batch keeps within the budget, also of a Transformer, whose attention is quadratic.
    transformer = MODELS["transformer"].constructor(input_size=9, output_size=8)
    attentive = found(3000, flags=options_class("transformer")(), of=transformer)
    assert 1 <= attentive.batch_size < found(3000).batch_size
    monkeypatch.setattr(lengths, "MEMORY", 2**20)
    with pytest.raises(ValueError, match=r"one sequence of 20,001 steps needs some \d\.\d GiB"):
        found(10_000)
    assert found(10_000, batch_size=1).batch_size == 1


@pytest.mark.parametrize("model", MODELS)
def test_lengths_of_a_run(model, capsys):
    trained("run", model=model)
    before = (Path("runs/run") / "checkpoints/last.pt").read_bytes()
    capsys.readouterr()
    assert evaluate("run", "--lengths", "7", "300", "--sequences", "3") == 0
    printed = capsys.readouterr()
    lines = [line.split()[0] for line in printed.out.splitlines()]
    assert lines == ["setting", "length_7", "length_300", "written"]
    assert "length_300: 3 sequences of 601 steps, 3 at a time" in printed.err
    found = json.loads(Path("runs/run/lengths.json").read_text())["settings"]
    assert [row["steps"] for row in found.values()] == [15, 601]
    slots = [71, 364] if hasattr(options_class(model)(), "memory_size") else [None, None]
    assert [row["memory_size"] for row in found.values()] == slots
    for row in found.values():
        assert row["sequences"] == 3
        for name in ("bits_per_sequence", "wrong_bits", "exact_match"):
            assert row[name]["low"] <= row[name]["mean"] <= row[name]["high"]
        assert 0 <= row["wrong_bits"]["mean"] <= row["answers"]
    assert (Path("runs/run") / "checkpoints/last.pt").read_bytes() == before
    assert not (Path("runs/run") / generalisation.file_name(None)).exists()


def test_lengths_are_measured_as_settings_are():
    """Of the same length, seed, slots and batches: the same numbers."""
    trained("run", task="associative_recall")
    same = ["--memory-size", "20", "--sequences", "6", "--batch-size", "4"]
    assert evaluate("run", "--lengths", "4", *same) == 0
    assert evaluate("run", "--settings", "items_4", *same) == 0
    by_length = json.loads(Path("runs/run/lengths_memory_20.json").read_text())
    by_name = json.loads(Path("runs/run/generalisation_memory_20.json").read_text())
    for name, figure in by_name["settings"]["items_4"].items():
        assert by_length["settings"]["items_4"][name] == figure


def test_what_cannot_be_evaluated(capsys, monkeypatch):
    trained("copy")
    trained("ranks", task="nth_farthest")
    trained("learned", more=["--model.learned", "True"])
    capsys.readouterr()
    for words, message in (
        (["copy", "--lengths", "20", "0"], "--lengths must be at least 1, got 20 0"),
        (
            ["copy", "--lengths", "20", "--settings", "length_20"],
            "--lengths takes the place of --settings, got both: leave out one",
        ),
        (["ranks", "--lengths", "999"], "NthFarthest has no vectors 999: "),
        (
            ["learned", "--lengths", "20"],
            "--memory-size 84 does not fit: the run learned its initial state",
        ),
        (["copy", "--lengths", "9000000"], "one sequence of 18,000,001 steps needs some"),
    ):
        assert evaluate(*words) == 2
        assert f"train.py: error: {message}" in capsys.readouterr().err
    monkeypatch.setattr(type(make("copy")), "grid", ())
    assert evaluate("copy", "--lengths", "20") == 2
    assert "Copy has no lengths: leave out --lengths" in capsys.readouterr().err


@pytest.mark.parametrize("length", [998, 999, 1000, 1001])
def test_slots_do_not_depend_on_what_is_drawn(length):
    """The answer of stack manipulation is as long as the stack happens to be in the end."""
    ((_, variant),) = lengths.of_lengths(make("stack_manipulation"), [length]).items()
    assert lengths.slots(variant, 1) == length + 1 + 63


def test_the_budget_counts_the_units_of_all_cells():
    task = make("copy", min_length=2000, max_length=2000)
    kind, options = MODELS["rnn"].constructor, options_class("rnn")()
    few, more = (
        lengths.extent(
            kind(9, 8, controller=memnets.Stack(cell="elman", hidden_size=512, num_layers=n)),
            *(task, options, 64, None),
        ).batch_size
        for n in (1, 4)
    )
    assert few > 3 * more

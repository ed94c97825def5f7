"""The page of the family: each network trained for a time, kept, continued, laid out."""

import dataclasses
import itertools
import json
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

import tasks
from experiments import family, family_page
from experiments.family import Cell, Options, main
from experiments.family_table import LESSONS, Member, members
from memnets.parts.controllers import CELLS
from training.options.config import make_layer, make_task
from training.options.models import MODELS

PAGE = Path("docs/family.md")
TINY = {"controller.hidden_size": 4}
ELMAN = Member("cell elman", "rnn", {"controller": "elman", **TINY})
NTM = Member("NTM", "ntm", {"word_size": 3, **TINY})
COPY, PARITY = (lesson for lesson in LESSONS if lesson.title in ("copy", "parity"))


def options(**changes) -> Options:
    return Options(**{"seconds": 0.2, "seeds": (0,), "page": PAGE, **changes})


def cell(member: str, task: str, trained: float, longer: float, **changes) -> dict:
    found = {"task": task, "member": member, "seed": 0, "seconds": 30.0, "commit": "abc"}
    found |= {"processor": "a core", "error": None, "weights": 1234, "sequences": 56_789}
    return {
        **found,
        "core_seconds": 30.0,
        "microseconds": 12.34,
        "trained": trained,
        "longer": longer,
        **changes,
    }


def test_every_model_cell_and_way_is_a_member_under_a_name_of_its_own():
    every = members()
    for names in ([m.label for m in every], [m.name for m in every]):
        assert len(set(names)) == len(names)
    assert {m.model for m in every} == set(MODELS)
    labels = {m.label for m in every}
    assert {f"cell {name}" for name in CELLS} <= labels
    assert {"NTM, writing DeltaRule", "DNC, all three of Csordas", "DNC, without links"} <= labels
    assert {f"Transformer, positions {p}" for p in ("rotary", "none", "alibi")} <= labels


def test_a_cell_that_registers_itself_is_a_member():
    with mock.patch.dict(CELLS, {"mine": CELLS["gru"]}):
        assert "cell mine" in {member.label for member in members()}


@pytest.mark.parametrize("member", members(), ids=lambda member: member.name)
def test_every_member_is_what_its_label_says_on_every_task(member):
    first = members()[[m.model for m in members()].index(member.model)]
    for lesson in LESSONS:
        config = family.settings(Cell(member, lesson, 3))
        layer = make_layer(config)
        assert config.seed == 3
        assert getattr(config.optimizer_options, "cooldown") == 0  # noqa: B009
        assert getattr(layer, "memory_size", 32) == 32
        if member.settings and member.model != "rnn":
            plain = family.settings(Cell(first, lesson, 3))
            assert config.model_options != plain.model_options


def test_the_tasks_are_made_and_the_longer_ones_are_longer():
    generator = tasks.base.torch.Generator().manual_seed(0)
    for lesson in LESSONS:
        task = tasks.make(lesson.task, **lesson.trained)
        longer = dataclasses.replace(task, **lesson.longer)
        assert (task.input_size, task.output_size) == (longer.input_size, longer.output_size)
        steps = [len(task.sample(1, generator).mask) for _ in range(50)]
        assert len(longer.sample(1, generator).mask) > max(steps)
        assert make_task(family.settings(Cell(NTM, lesson, 0))) == task


def test_what_is_done_is_kept_and_the_page_says_what_the_files_say(capsys):
    chosen = options(tasks=("copy",))
    assert main(chosen, [NTM, ELMAN], LESSONS) == 0
    files = sorted(Path("runs/family/0.2s").glob("*.json"))
    assert [file.name for file in files] == ["copy-cell-elman-seed0.json", "copy-ntm-seed0.json"]
    for file in files:
        found = json.loads(file.read_text())
        assert found["error"] is None
        assert 0.2 <= found["core_seconds"] < 3
        assert found["sequences"] > 0
        assert 0 <= found["longer"] <= 1
    text = PAGE.read_text()
    first = json.loads(files[1].read_text())
    percents = [family_page.percent(first[name]) for name in ("trained", "longer")]
    assert f"| {first['weights']:,} | " in text
    assert f" | {', '.join(percents)} | - | - |" in text
    assert "for 0.2 core-seconds" in text
    assert "10 of 12 trainings are not done yet" in text
    assert (PAGE.parent / "pictures/family.png").is_file()

    before = [file.stat().st_mtime_ns for file in files]
    files[0].unlink()
    assert main(chosen, [NTM, ELMAN], LESSONS) == 0  # what is lost is done again, and nothing else
    assert files[0].is_file()
    assert files[1].stat().st_mtime_ns == before[1]
    capsys.readouterr()
    assert main(options(list=True), [NTM, ELMAN], LESSONS) == 0
    assert re.search(r"ntm +1 of 6\n", capsys.readouterr().out)


def test_a_stopped_training_leaves_nothing_and_no_page(monkeypatch):
    def stopped(cell, seconds, stop):
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    monkeypatch.setattr(family, "measure", stopped)
    assert main(options(), [ELMAN], [COPY]) == 128 + signal.SIGTERM
    assert not list(Path("runs").rglob("*.json"))
    assert not PAGE.exists()


def test_a_training_that_fails_stays_in_the_table():
    wrong = NTM._replace(label="too few", settings={"start.learned": True, **NTM.settings})
    assert main(options(), [wrong], [COPY]) == 0  # its slots cannot be others in the test
    assert "| too few | - | - | - | failed |" in PAGE.read_text()
    assert re.search(
        r"- too few, copy, seed 0: ValueError: --memory-size \d+ does", PAGE.read_text()
    )


def test_the_rate_stays_for_half_of_the_time_and_falls_to_nothing(monkeypatch):
    clock = itertools.chain([0.0], itertools.count(0.0, 0.25))
    monkeypatch.setattr("time.process_time", lambda: next(clock))
    config = family.settings(Cell(ELMAN, COPY, 0))
    stop = SimpleNamespace(requested=False)
    found = list(family.by_time(config, 2.0, stop))  # type: ignore[arg-type]
    rates = [vars(now.optimizer_options)["learning_rate"] for now in found]
    assert rates == pytest.approx([1e-3 * f for f in (1, 1, 1, 1, 1, 0.75, 0.5, 0.25)])


def test_the_layout_of_the_table_and_its_words():
    cells = [
        cell("NTM", "copy", 1.0, 0.5),
        cell("NTM", "parity_check", 0.25, 0.0),
        cell("DNC", "copy", 0.0, 0.0, error="NonFiniteStepError: nan"),
    ]
    heading, rows = family_page.rows(cells, [COPY, PARITY])
    facts = ["network", "parameters", "µs a step", "thousand sequences"]
    assert heading == [*facts, "copy", "parity"]
    assert rows == [
        ["NTM", "1,234", "12.3", "56.8", "100, 50", "25, 0"],
        ["DNC", "-", "-", "-", "failed", "-"],
    ]
    text = family_page.body(cells, [COPY, PARITY])
    assert "One seed says little" in text
    assert "1 of 4 trainings are not done yet" in text
    assert "- DNC, copy, seed 0: NonFiniteStepError: nan" in text
    more = [{**c, "seed": seed} for c in cells for seed in (0, 1)]
    assert "Cells are medians, of two seeds the lower." in family_page.body(more, [COPY, PARITY])


def test_variants_stand_together_in_words_and_their_groups_apart():
    names = ["NTM", "NTM, writing GatedDelta2", "cell gru", "DNC, wiping", "cell lstm"]
    cells = [cell(name, "copy", 1.0, 0.5) for name in [*names, "NTM, heads read Location"]]
    shown = [row[0] for row in family_page.rows(cells, [COPY])[1]]
    variants = ["NTM, writing: gated delta 2", "NTM, read address: location"]
    assert shown == ["NTM", *variants, "gru, no memory", "lstm, no memory", "DNC, wiping"]
    left, right = family_page.figure(cells, [COPY]).axes
    assert [label.get_text() for label in left.get_yticklabels()] == shown
    apart = [[line.get_ydata()[0] for line in axes.lines] for axes in (left, right)]
    assert apart == 2 * [[0.5, 2.5, 4.5]]


def test_every_variant_of_a_place_has_its_words():
    shown = [family_page.words(member.label) for member in members()]
    assert len(set(shown)) == len(shown)
    split = [name for name in shown if re.search("[a-z][A-Z]", name)]
    assert [name.rpartition(" ")[2] for name in split] == ["mLSTM", "ALiBi"]


def test_words_around_the_marks_stay_and_marks_must_be_there(capsys):
    PAGE.parent.mkdir()
    begin, end = family_page.MARKS
    PAGE.write_text(f"# Before\n\n{begin}\nold\n{end}\n\nAfter.\n")
    family_page.write(PAGE, [cell("NTM", "copy", 1.0, 0.5)], [COPY])
    text = PAGE.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("\n\nAfter.\n")
    assert "\nold\n" not in text
    PAGE.write_text("# No marks\n")
    with pytest.raises(ValueError, match=r"must have a line .* and, below it, a line"):
        family_page.write(PAGE, [cell("NTM", "copy", 1.0, 0.5)], [COPY])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": ("ntm", "gpt*")}, "there is no member gpt*: there are ntm"),
        ({"tasks": ("babi",)}, "there is no task babi: there are copy"),
        ({"seeds": ()}, "there must be a seed and some time, got --seeds ()"),
        ({"seconds": 0.0}, "there must be a seed and some time"),
        ({"only_write": True}, "there is no training of 0.2 core-seconds in runs/family"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(changes, message, capsys):
    assert main(options(**changes), [NTM], LESSONS) == 2
    assert message in capsys.readouterr().err

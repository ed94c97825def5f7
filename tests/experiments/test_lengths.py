"""The page of lengths: trained, measured, stopped, continued; it says what the files say."""

import json
import shutil
from pathlib import Path

import pytest

import train
from experiments import lengths, lengths_page
from experiments.lengths import Entry, Options, main
from tests.training.tiny import arguments

PAGE = Path("docs/lengths.md")
ENTRY = Entry("copy", "ntm", (3, 40), (0, 1))


@pytest.fixture
def tiny(monkeypatch):
    """Trainings of two steps, by the same command otherwise."""
    PAGE.parent.mkdir()

    def command(entry, seed):
        words = arguments(entry.task, entry.model, steps=2)
        for flag in ("--wandb", "--run.pictures"):
            place = words.index(flag)
            del words[place : place + 2]
        return [*words, "--seed", str(seed)]

    monkeypatch.setattr(lengths, "command", command)
    return Options(page=PAGE)


def test_what_is_missing_is_done_and_the_page_says_what_the_files_say(tiny):
    assert main(tiny, [ENTRY]) == 0
    runs = [Path(f"runs/lengths/copy-ntm-seed{seed}") for seed in (0, 1)]
    found = [json.loads((run / "lengths.json").read_text())["settings"] for run in runs]
    rows = [f["length_40"] for f in found]
    wrong = [1 - row["wrong_bits"]["mean"] / row["answers"] for row in rows]
    text = PAGE.read_text()
    assert f"| 40 | {lengths_page.spread(wrong)} | 0% |" in text
    assert "seeds 0, 1" in text
    assert (PAGE.parent / "pictures/lengths.png").is_file()

    # The second time nothing is done again, and the page stays as it is.
    before = [path.stat().st_mtime_ns for run in runs for path in run.rglob("*") if path.is_file()]
    assert main(tiny, [ENTRY]) == 0
    after = [path.stat().st_mtime_ns for run in runs for path in run.rglob("*") if path.is_file()]
    assert (after, PAGE.read_text()) == (before, text)

    # An evaluation that is lost is made again, without a training.
    (runs[1] / "lengths.json").unlink()
    steps = (runs[1] / "metrics.jsonl").read_bytes()
    assert main(tiny, [ENTRY]) == 0
    assert (runs[1] / "lengths.json").is_file()
    assert (runs[1] / "metrics.jsonl").read_bytes() == steps


def test_runs_that_are_gone_stay_on_the_page(tiny):
    assert main(tiny, [ENTRY._replace(seeds=(0,))]) == 0
    data = json.loads(Path("docs/results/lengths.json").read_text())
    shutil.rmtree("runs")
    assert main(tiny, [ENTRY]) == 0
    assert [path.name for path in Path("runs/lengths").glob("copy*")] == ["copy-ntm-seed1"]
    found = json.loads(Path("docs/results/lengths.json").read_text())
    assert found[0]["runs"][0] == data[0]["runs"][0]
    assert [run["seed"] for run in found[0]["runs"]] == [0, 1]

    # Another question is asked anew.
    assert main(tiny, [ENTRY._replace(lengths=(3, 50), seeds=(0,))]) == 0
    assert Path("runs/lengths/copy-ntm-seed0").is_dir()


def test_words_around_the_marks_stay_and_marks_must_be_there(tiny, capsys):
    one = ENTRY._replace(seeds=(0,))
    begin, end = lengths_page.MARKS
    PAGE.write_text(f"# Before\n\n{begin}\nold\n{end}\n\nAfter.\n")
    assert main(tiny, [one]) == 0
    text = PAGE.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("After.\n")
    assert "old" not in text
    PAGE.write_text("# No marks\n")
    assert main(tiny, [one]) == 2
    assert "docs/lengths.md must have a line <!-- written by" in capsys.readouterr().err


def test_a_failed_training_is_reported(tiny, monkeypatch):
    monkeypatch.setattr(train, "main", lambda words: 130)
    assert main(tiny, [ENTRY]) == 130
    assert not PAGE.exists()


def test_nothing_to_write(tiny, capsys):
    assert main(Options(page=PAGE, only_write=True), [ENTRY]) == 2
    assert "no run in runs/lengths has been measured" in capsys.readouterr().err


def test_recipes_are_the_default_and_lengths_rise():
    for entry in lengths.ENTRIES:
        assert list(entry.lengths) == sorted(set(entry.lengths))
        assert not {0, 1, 2, 3, 4, 5} & set(entry.seeds)  # those of the table of results
    assert lengths.command(lengths.ENTRIES[0], 20) == [
        *("--task", "copy", "--model", "ntm"),
        *("--seed", "20"),
    ]

"""A row of a page is run again by what is recorded of it, and compared."""

import json
from pathlib import Path

import pytest

from experiments import chomsky, reproduce, results
from experiments.reproduce import Options, main
from tests.experiments.test_chomsky import EVEN, LSTM
from tests.experiments.test_reproduce import options as table_options
from tests.experiments.test_reproduce import run_here, tiny_row
from training.command_line import parser
from training.files.provenance import ROOT

KEPT = Path("kept")


def keep(name: str, content) -> None:
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture
def recorded_row() -> dict:
    """A row of the table that was run here, as its file has it."""
    row = tiny_row()
    run_here(table_options(), [row])
    summary = results.summarise_row(Path("runs/reproduce"), row)
    keep(row.name, summary)
    return summary


def test_a_row_that_is_run_again_has_the_recorded_figures(recorded_row, capsys):
    name = recorded_row["row"]
    assert main(Options(row=name, recorded=KEPT)) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    settings = recorded_row["runs"][0]["settings"]
    assert len(lines) == 2 * len(settings)  # costs and errors
    assert all(line.endswith("| the same |") for line in lines)
    assert Path(f"runs/reproduced/{name}-seed0/config.json").is_file()


def test_figures_that_are_worse_than_every_seed_are_told(recorded_row, capsys):
    for figures in recorded_row["runs"][0]["settings"].values():
        for values in figures.values():
            values[0] *= 0.9
    keep(recorded_row["row"], recorded_row)
    assert main(Options(row=recorded_row["row"], recorded=KEPT)) == 1
    assert "| worse |" in capsys.readouterr().out


def test_a_training_of_the_chomsky_page_is_run_again(monkeypatch, capsys):
    monkeypatch.setattr(chomsky, "TESTED", (41,))
    monkeypatch.setattr(chomsky, "SHORT", (3,))
    monkeypatch.setattr(reproduce.chomsky_table, "MEMBERS", (LSTM,))
    chosen = chomsky.Options(seconds=0.2, page=KEPT / "chomsky.md", seeds=(0, 1))
    assert chomsky.main(chosen, [LSTM], [EVEN]) == 0
    capsys.readouterr()
    kept = KEPT / "results"
    assert main(Options(recorded=kept, list=True)) == 0
    assert capsys.readouterr().out.split() == ["chomsky/even_pairs-lstm", "seeds", "0,", "1"]
    found = []
    measured = chomsky.measure
    monkeypatch.setattr(chomsky, "measure", lambda *given: found.append(given) or measured(*given))
    assert main(Options(row="chomsky/even_pairs-lstm", recorded=kept, seed=1)) in (0, 1)
    ((cell, seconds, _),) = found
    assert (cell.member, cell.lesson, cell.seed, seconds) == (LSTM, EVEN, 1, 0.2)
    assert "| longer |" in capsys.readouterr().out


def test_every_row_of_the_pages_is_there_and_its_command_is_understood():
    kept = ROOT / "docs" / "results"
    rows = {row.name: row for row in reproduce.recorded(kept)}
    tables = [path.stem for path in kept.glob("*-*.json")]
    assert len(tables) == 20
    assert rows.keys() >= {*tables, "lengths/copy-ntm", "family/copy-ntm"}
    for name in tables:
        summary = json.loads((kept / f"{name}.json").read_text())
        words = summary["command"].replace("SEED", "3").split()[2:]
        assert parser.parse(words).task == summary["task"]
        assert list(rows[name].seeds) == [run["seed"] for run in summary["runs"]]
        assert all(rows[name].seeds.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row": "nothing"}, "there is no row 'nothing': --list names the 1 there are"),
        ({"row": "a-b", "seed": 9}, "a-b has the seeds 3, 4, not 9: pass one"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(changes, message, capsys):
    runs = [{"seed": seed, "solved": None, "settings": {}} for seed in (3, 4)]
    command = "python train.py --task a --model b --seed SEED"
    row = {"row": "a-b", "task": "a", "model": "B", "command": command, "evaluated": 6}
    keep("a-b", {**row, "runs": runs})
    assert main(Options(recorded=KEPT, **changes)) == 2
    assert message in capsys.readouterr().err

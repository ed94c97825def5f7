"""The summary reads what a run wrote."""

from pathlib import Path

import pytest

import train
from tests.training.tiny import arguments
from training.summary import Finished, curves, main, read_run, table


def run(rows):
    config = {"task": "copy", "model": "ntm", "seed": 0}
    return Finished("run", config, rows, {})


def test_solved_is_the_first_row_below_the_limit():
    rows = [{"sequences": 10 * i, "wrong_bits": wrong} for i, wrong in enumerate((3, 0.1, 0, 2))]
    assert run(rows).solved(0.01) == 20
    assert run(rows).solved(0.5) == 10
    assert run(rows[:2]).solved(0.01) is None


def test_a_real_run_is_summed_up(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(arguments("copy", steps=6, more=["--name", "tiny"])) == 0
    capsys.readouterr()
    main((Path("runs/tiny"),), picture=Path("curves.png"))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("| task | model | seed | below 0.01 wrong bits after |")
    assert printed[0].endswith("| length_120 |")
    assert printed[2].startswith("| copy | lstm | 0 | never |")
    assert (tmp_path / "curves.png").stat().st_size > 1000
    finished = read_run(Path("runs/tiny"))
    line = curves([finished]).axes[0].lines[0]
    assert list(line.get_ydata()) == [row["wrong_bits"] for row in finished.rows]
    assert list(line.get_xdata()) == [row["sequences"] / 1000 for row in finished.rows]


@pytest.mark.parametrize(
    ("task", "unit"),
    [("dyck", "wrong symbols"), ("adding", "wrong answers"), ("copy", "wrong bits")],
)
def test_headings_say_what_is_counted(task, unit):
    name = unit.replace(" ", "_")
    rows = [
        {"sequences": 10, name: 2.0, "seconds": 60.0},
        {"sequences": 20, name: 0.0, "seconds": 60.0},
    ]
    config = {"task": task, "model": "ntm", "seed": 0}
    finished = Finished("run", config, rows, {"length_10": {"squared_error": 9.0, name: 3.0}})
    heading, _, line = table([finished]).splitlines()
    assert f"| below 0.01 {unit} after |" in heading
    assert line == f"| {task} | ntm | 0 | 20 | 1.0 | 3 |"
    assert curves([finished]).axes[0].get_ylabel() == f"{unit} per sequence"


def test_a_run_that_is_not_finished(tmp_path):
    wanted = r"has no metrics\.jsonl: give the folder of a finished run"
    with pytest.raises(FileNotFoundError, match=wanted):
        read_run(tmp_path)
    with pytest.raises(SystemExit, match=wanted):
        main((tmp_path,))

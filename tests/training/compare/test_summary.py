"""The summary reads what a run wrote."""

from pathlib import Path

import pytest

import train
from tests.training.tiny import arguments
from training.compare.data import Found
from training.compare.summary import curves, main, read_finished, table
from training.files.metrics import is_finished, read_evaluation


def test_a_real_run_is_summed_up(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(arguments("copy", steps=6, more=["--name", "tiny"])) == 0
    capsys.readouterr()
    main((Path("runs/tiny"),), picture=Path("curves.png"))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("| task | model | seed | solved is | solved after | minutes |")
    assert printed[0].endswith("| length_120 |")
    assert printed[2].startswith("| copy | lstm | 0 | below 0.01 wrong bits a sequence | never |")
    assert (tmp_path / "curves.png").stat().st_size > 1000
    finished = read_finished(Path("runs/tiny"))
    line = curves([finished]).axes[0].lines[0]
    assert list(line.get_ydata()) == [row["wrong_bits"] for row in finished.training]
    assert list(line.get_xdata()) == [row["sequences"] / 1000 for row in finished.training]


@pytest.mark.parametrize(
    ("task", "unit"),
    [("dyck", "wrong symbols"), ("adding", "wrong answers"), ("copy", "wrong bits")],
)
def test_headings_say_what_is_counted(task, unit):
    name = unit.replace(" ", "_")
    rows = [
        {"sequences": 400, name: 2.0, "seconds": 60.0},
        {"sequences": 800, name: 0.0, "seconds": 60.0},
    ]
    config = {"task": task, "model": "ntm", "seed": 0}
    finished = Found("run", config, rows, {"length_10": {"squared_error": 9.0, name: 3.0}}, [])
    heading, _, line = table([finished]).splitlines()
    assert heading.endswith(f"| solved after | minutes | {unit}: length_10 |")
    assert line == f"| {task} | ntm | 0 | below 0.01 {unit} a sequence | 800 | 1.0 | 3 |"
    assert curves([finished]).axes[0].get_ylabel() == f"{unit} per sequence"


def test_a_run_that_is_not_finished(tmp_path):
    wanted = r"has no metrics\.jsonl: give the folder of a finished run"
    with pytest.raises(FileNotFoundError, match=wanted):
        read_finished(tmp_path)
    with pytest.raises(SystemExit, match=wanted):
        main((tmp_path,))


def test_an_evaluation_is_read_when_it_is_whole(tmp_path):
    assert not is_finished(tmp_path)
    assert read_evaluation(tmp_path) == {}
    path = tmp_path / "evaluation.json"
    path.write_text('{"settings": {"training": {"wrong_bits": 0.5}}}')
    assert is_finished(tmp_path)
    assert read_evaluation(tmp_path) == {"training": {"wrong_bits": 0.5}}
    path.write_text(path.read_text()[:-4])
    assert read_evaluation(tmp_path) == {}

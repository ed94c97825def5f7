"""The page of the bAbI tasks says what the files of a run say."""

import json
from pathlib import Path

import train
from experiments.babi import MARKS, Options, main
from tests.tasks.stories import write

PAGE = Path("docs/babi.md")


def trained(folder: Path, *more: str) -> None:
    words = ["--task", "babi", "--model", "lstm", "--task.folder", str(folder), "--name", "run"]
    words += ["--model.hidden-size", "5", "--run.sequences", "64", "--run.batch-size", "16"]
    words += ["--run.evaluate-every", "2", "--run.pictures", "False", "--wandb", "disabled"]
    assert train.main([*words, *more]) == 0


def test_the_page_has_the_command_the_table_and_the_figure(tmp_path):
    trained(write(tmp_path / "stories"), "--seed", "3")
    assert train.main(["--evaluate", "runs/run"]) == 0
    PAGE.parent.mkdir()
    PAGE.write_text(f"# bAbI\n\nBefore.\n\n{MARKS.begin}\nold\n{MARKS.end}\n\nAfter.\n")
    assert main(Options(run=Path("runs/run"), page=PAGE)) == 0
    text = PAGE.read_text()
    assert text.startswith("# bAbI\n\nBefore.\n")
    assert text.endswith(f"{MARKS.end}\n\nAfter.\n")
    command = "python train.py --task babi --model lstm --task.folder FOLDER"
    assert f"`{command} --seed 3 --model.hidden-size 5 --run.sequences 64" in text
    assert str(tmp_path) not in text
    found = json.loads(Path("runs/run/generalisation.json").read_text())["settings"]
    wrong = 100 * found["task_1"]["wrong_questions"]["mean"] / 2  # two questions a story
    assert f"| 1 | {wrong:.1f}% |\n" in text
    assert "| mean | " in text
    assert "| failed | 3 of 3 |" in text
    assert (PAGE.parent / "pictures/babi.png").is_file()
    kept = json.loads((PAGE.parent / "results/babi.json").read_text())
    assert kept["curve"]["sequences"] == [32, 64]


def test_a_run_without_its_evaluation_is_refused(tmp_path, capsys):
    trained(write(tmp_path / "stories"))
    assert main(Options(run=Path("runs/run"), page=PAGE)) == 2
    assert "then run python train.py --evaluate runs/run" in capsys.readouterr().err


def test_marks_must_be_there(tmp_path, capsys):
    trained(write(tmp_path / "stories"))
    assert train.main(["--evaluate", "runs/run"]) == 0
    PAGE.parent.mkdir()
    PAGE.write_text("# bAbI\n")
    assert main(Options(run=Path("runs/run"), page=PAGE)) == 2
    assert "must have a line" in capsys.readouterr().err

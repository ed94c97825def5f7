"""A run that was stopped or killed goes on to the very numbers of one that never stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import train
from tests.training.tiny import arguments, assert_same_run, rows
from training.files import checkpoint
from training.run import loop

ROOT = Path(__file__).parents[3]


def run(*words):
    assert train.main(words) == 0


class CrashError(Exception):
    pass


def crash_at(monkeypatch, step, during="train_step"):
    """The next time that a step is trained (or a checkpoint made) after this step, all is lost."""
    original = getattr(loop, during)

    def crashing(config, training):
        if training.step >= step:
            raise CrashError
        return original(config, training)

    monkeypatch.setattr(loop, during, crashing)


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("ntm", []),
        ("ntm", ["--optimizer", "graves_rmsprop"]),
        ("dnc", ["--model.controller", "gru"]),
        ("lstm", []),
        ("lstm", ["--curriculum", "uniform"]),
        ("lstm", ["--curriculum", "incremental", "--curriculum.threshold", "2"]),
        ("lstm", ["--curriculum", "mixed", "--curriculum.window", "2"]),
        ("lstm", ["--curriculum", "doubling", "--curriculum.window", "4"]),
        ("lstm", ["--curriculum", "prediction_gain", "--curriculum.reservoir", "3"]),
    ],
)
def test_resume_after_a_crash_is_exact(monkeypatch, model, more):
    words = arguments(model=model, steps=14, more=["--task.max-items", "4", *more])
    run(*words, "--name", "whole")
    for step in random.Random(" ".join([model, *more])).sample(range(14), 2):
        name = f"crashed{step}"
        with monkeypatch.context() as patch:
            crash_at(patch, step)
            with pytest.raises(CrashError):
                train.main([*words, "--name", name])
        run("--resume", f"runs/{name}")
        assert_same_run(Path("runs/whole"), Path(f"runs/{name}"))


def test_crash_while_a_checkpoint_is_made(monkeypatch):
    words = arguments(steps=14)
    run(*words, "--name", "whole")
    with monkeypatch.context() as patch:
        crash_at(patch, 8, during="snapshot")
        with pytest.raises(CrashError):
            train.main([*words, "--name", "crashed"])
    assert len(rows(Path("runs/crashed"))) > 0
    run("--resume", "runs/crashed")
    assert_same_run(Path("runs/whole"), Path("runs/crashed"))


def test_killed_before_the_first_checkpoint():
    run(*arguments(steps=6), "--name", "whole")
    run(*arguments(steps=6), "--name", "killed")
    for path in Path("runs/killed").rglob("*"):
        if path.is_file() and path.name != "config.json":
            path.unlink()
    run("--resume", "runs/killed")
    assert_same_run(Path("runs/whole"), Path("runs/killed"))


@pytest.mark.parametrize("best", [True, False])
def test_a_missing_checkpoint_is_no_reason_to_start_over(capsys, best):
    run(*arguments(steps=12), "--name", "run")
    before = Path("runs/run/metrics.jsonl").read_bytes()
    for name in ("last.pt", "previous.pt"):
        Path("runs/run/checkpoints", name).unlink()
    if not best:
        Path("runs/run/checkpoints/best.pt").unlink()
    with pytest.raises(SystemExit) as exit_:
        train.main(["--resume", "runs/run"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    if best:
        assert "last.pt is missing: restore it, or copy runs/run/checkpoints/best.pt over" in error
    else:
        assert "last.pt is missing: restore it, or start a new run" in error
        assert "best.pt" not in error
    assert Path("runs/run/metrics.jsonl").read_bytes() == before


def test_the_best_checkpoint_continues_the_run_too():
    # Evaluated at step 5 and 10, between rows of metrics (every 3 steps) and checkpoints (every 4).
    run(*arguments(steps=14), "--name", "whole")
    run(*arguments(steps=14), "--name", "back")
    folder = Path("runs/back/checkpoints")
    assert checkpoint.load(folder / "best.pt")["step"] in (5, 10)
    (folder / "best.pt").replace(folder / "last.pt")
    run("--resume", "runs/back")
    assert rows(Path("runs/whole")) == rows(Path("runs/back"))


@pytest.mark.parametrize("steps", [12, 13])  # metrics are logged every 3 steps
def test_more_sequences_continue_a_finished_run(steps):
    constant = ["--optimizer.cooldown", "0"]
    run(*arguments(steps=24, more=constant), "--name", "whole")
    run(*arguments(steps=steps, more=constant), "--name", "longer")
    run("--resume", "runs/longer", "--run.sequences", "96")
    if steps == 13:  # its last row then is one that the whole run does not have
        path = Path("runs/longer/metrics.jsonl")
        lines = path.read_text().splitlines(keepends=True)
        (extra,) = [line for line in lines if '"step": 13,' in line]
        path.write_text("".join(line for line in lines if line != extra))
    assert_same_run(Path("runs/whole"), Path("runs/longer"))
    assert json.loads(Path("runs/longer/config.json").read_text())["run"]["sequences"] == 96


def test_half_a_line_of_metrics_is_dropped():
    run(*arguments(steps=8), "--name", "run")
    before = rows(Path("runs/run"))
    with Path("runs/run/metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "seque')
    run("--resume", "runs/run")
    assert rows(Path("runs/run")) == before


def start_process(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "train.py"), *words]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def wait_for_rows(process, folder, count):
    deadline = time.monotonic() + 60
    path = folder / "metrics.jsonl"
    while not (path.exists() and path.read_text().count("\n") >= count):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_terminated_process(tmp_path):
    """As a user starts it; SIGKILL comes to forks of one process, which are cheaper."""
    more = ["--run.evaluate-every", "40", "--run.checkpoint-every", "15", "--run.log-every", "2"]
    words = arguments(steps=240, more=more)
    run(*words, "--name", "whole")
    folder = tmp_path / "runs" / "stopped"
    process = start_process(*words, "--name", "stopped")
    wait_for_rows(process, folder, 17)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "python train.py --resume runs/stopped" in output
    assert not (folder / "evaluation.json").exists(), "the run was over before the signal"
    run("--resume", "runs/stopped")
    assert_same_run(Path("runs/whole"), folder)

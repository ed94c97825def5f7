"""What arrives at a server of W&B: that of `tests.training.wandb_server`, on this machine."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import train
from tests.training.tiny import arguments
from tests.training.wandb_server import ENTITY, serving
from training.evaluate import media
from training.files import checkpoint
from training.options.grouping import group_name
from training.report.tracker import in_sections
from training.report.wandb_objects import code_files

ROOT = Path(train.__file__).parent


@pytest.fixture
def server(monkeypatch):
    """A server to which somebody is logged in."""
    with serving() as one:
        monkeypatch.setenv("WANDB_BASE_URL", one.address)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        yield one
        if "wandb" in sys.modules:  # it says goodbye while the server is there
            sys.modules["wandb"].teardown()


def assert_has_all(run, folder="runs/run"):
    """Every row of the run folder is in the history, at its step, and no step is there twice."""
    steps = [row["_step"] for row in run.rows]
    assert steps == sorted(set(steps))
    arrived = {row["_step"]: row for row in run.rows}
    kept = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    assert kept
    for row in kept:
        step, sequences = row.pop("step"), row.pop("sequences")
        assert in_sections(row).items() <= arrived[step].items()
        assert arrived[step]["sequences"] == sequences


def of_type(server, kind):
    """The artifacts of a type, with the names of their files; all of them are committed."""
    found = {key: one for key, one in server.artifacts.items() if one.type == kind}
    assert set(found) <= set(server.committed)
    files = {key: [f for f in server.files if f.startswith(f"{key}/")] for key in found}
    return [
        (one, {f.partition("/")[2]: server.files[f] for f in files[k]}) for k, one in found.items()
    ]


def test_a_dashboard_gets_what_the_page_says(server):
    more = ["--name", "run", "--wandb", "auto", "--wandb.tags", "a", "--wandb.notes", "why"]
    more += ["--run.pictures", "True", "--wandb.histograms-every", "4"]
    assert train.main(arguments("associative_recall", "dnc", steps=6, more=more)) == 0
    (run,) = server.runs.values()
    config = json.loads(Path("runs/run/config.json").read_text())
    assert {name: run.config[name] for name in config} == config
    assert run.header("project") == "memnets"
    assert run.header("displayName") == "run"
    assert run.header("groupName") == group_name(config)
    assert run.header("jobType") == "train"
    assert run.header("notes") == "why"
    assert set(run.header("tags")) == {"associative_recall", "dnc", "adam", "a"}
    assert run.finished == 0
    assert_has_all(run)

    axes = run.config["_wandb"]["m"]  # fields: 1 name, 2 glob, 5 which of these is the axis
    assert [axes[one["5"] - 1]["1"] for one in axes if one.get("2") == "*"] == ["sequences"]

    results = json.loads(Path("runs/run/evaluation.json").read_text())["settings"]
    for name, result in results.items():
        assert run.summary[f"evaluation/{name}/wrong_bits"] == result["wrong_bits"]
        assert any(f"pictures/{name}" in row for row in run.rows)
    for name in ("best/wrong_bits", "final/wrong_bits", "train/loss", "sequences"):
        assert name in run.summary
    shown = {key.partition("/")[0] for row in run.rows for key in row}
    assert {"train", "validation", "optimizer", "speed", "examples", "memory"} <= shown
    assert {"weights", "gradients", "pictures"} <= shown
    pictures = [row["memory/write_weights"] for row in run.rows if "memory/write_weights" in row]
    assert all(
        f"{run.name}/{file}" in server.files for one in pictures for file in one["filenames"]
    )
    assert any("associative_recall: DNC" in line for line in run.printed.values())


def test_a_dashboard_gets_checkpoints_code_and_the_table(server):
    assert train.main(arguments(steps=6, more=["--name", "run", "--wandb", "online"])) == 0
    (name,) = server.runs
    kept = of_type(server, "model")
    assert {one.name for one, _ in kept} == {f"checkpoint-{name}"}
    assert {alias for one, _ in kept for alias in one.aliases} == {"best", "last", "latest"}
    for one, files in kept:
        (file,) = (file for file in files if file != "manifest")
        assert files[file] == Path(f"runs/run/checkpoints/{file}").read_bytes()
        saved = torch.load(Path("runs/run/checkpoints") / file, weights_only=True)
        assert one.metadata["step"] == saved["step"]
    ((code, files),) = of_type(server, "code")
    assert server.runs[name].config["_wandb"]["code_path"] == code.name == "code-memnets"
    assert len(files) == len(code_files()) + 1
    assert files["train.py"] == (ROOT / "train.py").read_bytes()
    ((_, files),) = of_type(server, "run_table")
    assert json.loads(files["examples/table.table.json"])["columns"] == media.COLUMNS


def test_a_resumed_run_goes_on_in_the_same_charts(server):
    words = ["--name", "run", "--wandb", "online", "--optimizer.cooldown", "0"]
    assert train.main(arguments(steps=4, more=words)) == 0
    (run,) = server.runs.values()
    before = len(run.rows)
    shutil.copytree("runs/run", "runs/killed")
    assert train.main(["--resume", "runs/run", "--run.sequences", "40"]) == 0
    assert list(server.runs) == [run.name]
    assert checkpoint.load(Path("runs/run/checkpoints/last.pt"))["wandb_id"] == run.name
    assert len(run.rows) > before
    assert_has_all(run)
    assert run.finished == 0
    (used,) = server.named("UseArtifact")
    assert "last" in server.artifacts[used["artifactID"]].aliases
    assert used["runName"] == run.name
    # Killed, it would go on from a checkpoint before the last row that W&B has.
    steps = [row["_step"] for row in run.rows]
    assert train.main(["--resume", "runs/killed", "--run.sequences", "60"]) == 0
    assert list(server.runs) == [run.name]
    assert [row["_step"] for row in run.rows] == [*steps, 12, 15]


def test_offline_parts_become_one_run(server, capsys):
    words = ["--name", "run", "--wandb", "offline", "--optimizer.cooldown", "0"]
    assert train.main(arguments(steps=4, more=words)) == 0
    assert train.main(["--resume", "runs/run", "--run.sequences", "40"]) == 0
    assert not server.requests
    command = capsys.readouterr().out.rsplit("upload with `", 1)[1].split("`")[0]
    assert len(shlex.split(command)) == 4  # wandb sync and both parts
    sent = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert sent.returncode == 0, sent.stdout + sent.stderr
    (run,) = server.runs.values()
    assert_has_all(run)
    assert run.finished == 0
    assert {one.name for one, _ in of_type(server, "model")} == {f"checkpoint-{run.name}"}


def test_an_agent_runs_what_a_sweep_proposes(server):
    words = arguments(steps=3)
    flags = {w.removeprefix("--"): v for w, v in zip(words[::2], words[1::2], strict=True)}
    flags |= {
        "wandb": "auto",
        "folder": str(Path.cwd() / "runs"),
        "optimizer.learning_rate": 0.002,
    }
    server.sweep = (ROOT / "sweeps" / "copy.yaml").read_text()  # whose command the agent takes
    proposed = {name: {"value": value} for name, value in flags.items()}
    command = {"type": "run", "run_id": "first", "program": "train.py", "args": proposed}
    server.commands = [command]
    ran = subprocess.run(
        [sys.executable, "-m", "wandb", "agent", "--count", "1", f"{ENTITY}/memnets/sweep"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "first" in server.runs, ran.stdout + ran.stderr
    run = server.runs["first"]
    assert run.header("sweep") == "sweep"
    assert run.config["optimizer_options"]["learning_rate"] == 0.002
    assert run.summary["final/wrong_bits"] >= 0
    assert run.finished == 0

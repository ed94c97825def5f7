"""Weights & Biases: what an offline run holds, and that a first run is never stopped by it."""

import builtins
import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from tests.training import wandb_file
from tests.training.tiny import arguments
from training.files import checkpoint
from training.options.grouping import group_name
from training.report import wandb_tracker
from training.report.tracker import NullTracker
from training.report.wandb_tracker import WandbTracker, start_tracker

CONFIG = {"task": "copy", "model": "ntm", "optimizer": "adam", "model_options": {"memory_size": 8}}


def start(mode="auto", name="some-run", run_id=None):
    folder = Path("runs") / name
    folder.mkdir(parents=True, exist_ok=True)
    return start_tracker(mode, config=CONFIG, folder=folder, run_id=run_id)


def is_offline(tracker):
    return isinstance(tracker, WandbTracker) and tracker._run.settings._offline


def test_an_offline_run_holds_everything(capsys):
    words = arguments(model="ntm", steps=10, more=["--name", "run", "--wandb", "auto"])
    words += ["--run.pictures", "True", "--curriculum", "uniform"]
    assert train.main(words) == 0
    run = wandb_file.read(os.environ["WANDB_DIR"])
    config = json.loads(Path("runs/run/config.json").read_text())
    assert {key: run.config[key] for key in config} == config
    assert run.header.project == "memnets"
    assert run.header.display_name == "run"
    assert run.header.run_group == group_name(config)
    assert run.header.job_type == "train"
    assert set(run.header.tags) == {"associative_recall", "ntm", "adam"}
    assert run.header.run_id.startswith("run-")
    assert run.axes["*"] == "sequences"
    assert run.exit_code == 0

    logged = [row for row in run.rows if "train/loss" in row]
    assert [row["sequences"] for row in logged] == [12, 24, 36, 40]
    for name in (
        "train/loss",
        "train/bits_per_sequence",
        "train/wrong_bits",
        "train/level",
        "optimizer/gradient_norm",
        "optimizer/learning_rate",
        "speed/sequences_per_second",
        "speed/seconds",
        "speed/core_seconds",
    ):
        assert all(np.isfinite(row[name]) for row in logged), name
    validated = [row for row in run.rows if "validation/wrong_bits" in row]
    assert [row["sequences"] for row in validated] == [20, 40]

    results = json.loads(Path("runs/run/evaluation.json").read_text())["settings"]
    for name, result in results.items():
        assert run.summary[f"evaluation/{name}/wrong_bits"] == result["wrong_bits"]
    assert run.summary["final/wrong_bits"] == results["training"]["wrong_bits"]
    best = min(row["validation/bits_per_sequence"] for row in validated)
    assert run.summary["best/bits_per_sequence"] == best

    images = {}
    for name, value in (item for row in run.rows for item in row.items()):
        if name.startswith("pictures/"):
            _, setting, field = name.split("/")
            images.setdefault(setting, {})[field] = value
    assert set(images) == set(results)
    for image in images.values():
        with Image.open(run.folder / "files" / image["path"]) as file:
            pixels = np.asarray(file)
        assert pixels.max() > 200
        assert pixels.min() < 50
        assert "wrong of" in image["caption"]
    for name in results:
        with Image.open(f"runs/run/pictures/{name}.png") as file:
            assert min(file.size) > 300
    assert "wandb leet" in capsys.readouterr().out


def test_a_resumed_run_keeps_its_id(monkeypatch):
    more = ["--name", "run", "--wandb", "offline", "--optimizer.cooldown", "0"]
    assert train.main(arguments(steps=4, more=more)) == 0
    (first,) = Path(os.environ["WANDB_DIR"]).glob("wandb/offline-run-*")
    second_home = Path(os.environ["WANDB_DIR"]) / "second"
    second_home.mkdir()
    monkeypatch.setenv("WANDB_DIR", str(second_home))
    sys.modules["wandb"].teardown()  # else it remembers the first folder
    assert train.main(["--resume", "runs/run", "--run.sequences", "40"]) == 0
    second = wandb_file.read(second_home)
    assert first.name.endswith(second.header.run_id)
    assert [row["sequences"] for row in second.rows if "train/loss" in row] == [24, 36, 40]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("mode", ["auto", "online"])
def test_without_a_key_it_goes_offline_and_never_asks(monkeypatch, mode, terminal):
    def asked(*_):
        raise AssertionError("it asked")

    monkeypatch.setattr(builtins, "input", asked)
    monkeypatch.setattr("getpass.getpass", asked)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO() if not terminal else sys.stdin)
    begun = time.monotonic()
    tracker = start(mode)
    assert time.monotonic() - begun < 30
    assert is_offline(tracker)
    tracker.finish(0)


def test_with_a_key_but_no_network_it_goes_offline_soon(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    tracker = start()
    assert is_offline(tracker)
    tracker.log({"train/loss": 1.0}, 1, 4)
    tracker.finish(0)
    assert "going on offline" in capsys.readouterr().out
    run = wandb_file.read(os.environ["WANDB_DIR"])
    assert run.rows[0]["train/loss"] == 1.0


@pytest.mark.parametrize("value", ["online please", "0"])
def test_a_wrong_wandb_mode_costs_the_tracking_only(monkeypatch, capsys, value):
    monkeypatch.setenv("WANDB_MODE", value)
    assert isinstance(start(), NullTracker)
    assert f"W&B cannot be used {value}" in capsys.readouterr().out


def test_the_environment_wins(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "my-project")
    monkeypatch.setenv("WANDB_NAME", "my-name")
    monkeypatch.setenv("WANDB_RUN_GROUP", "my-group")
    monkeypatch.setenv("WANDB_JOB_TYPE", "my-job")
    monkeypatch.setenv("WANDB_TAGS", "my,tags")
    monkeypatch.setenv("WANDB_RUN_ID", "my-id")
    start().finish(0)
    header = wandb_file.read(os.environ["WANDB_DIR"]).header
    assert header.project == "my-project"
    assert header.display_name == "my-name"
    assert header.run_group == "my-group"
    assert header.job_type == "my-job"
    assert set(header.tags) == {"my", "tags"}
    assert header.run_id == "my-id"


def test_a_run_folder_given_as_a_dot_has_its_name(tmp_path, monkeypatch):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "runs" / "mine")
    tracker = start_tracker("offline", config=CONFIG, folder=Path(), run_id=None)
    tracker.finish(0)
    header = wandb_file.read(os.environ["WANDB_DIR"]).header
    assert header.display_name == "mine"
    assert header.run_id.startswith("mine-")


def test_disabled_needs_no_wandb(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import of it would fail
    assert isinstance(start("disabled"), NullTracker)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert isinstance(start("auto"), NullTracker)


def test_not_installed(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    tracker = start("auto", run_id="kept")
    assert isinstance(tracker, NullTracker)
    assert tracker.run_id == "kept"
    assert "wandb is not installed" in capsys.readouterr().out


def test_when_all_fails_training_goes_on(monkeypatch, capsys):
    def broken(*_):
        raise OSError("read-only file system")

    monkeypatch.setattr(wandb_tracker, "_init", broken)
    assert isinstance(start("auto"), NullTracker)
    assert "cannot be used at all (read-only file system)" in capsys.readouterr().out


def test_the_id_is_saved_before_the_first_step(monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.run.loop.train_step", killed)
    words = arguments(steps=4, more=["--name", "run", "--wandb", "offline"])
    assert train.main(words) == 128 + signal.SIGINT
    (folder,) = Path(os.environ["WANDB_DIR"]).glob("wandb/offline-run-*")
    saved = checkpoint.load(Path("runs/run/checkpoints/last.pt"))
    assert saved["step"] == 0
    assert folder.name.endswith(saved["wandb_id"])


def test_the_hint_names_every_offline_part_of_a_run(capsys):
    other = start("offline", run_id="not-mine")
    other.finish(0)
    for _ in range(2):  # the second as a resumed run is
        capsys.readouterr()
        start("offline", run_id="mine").finish(0)
    printed = capsys.readouterr().out
    home = Path(os.environ["WANDB_DIR"]) / "wandb"
    first, second = sorted(path.parent for path in home.glob("offline-run-*/run-mine.wandb"))
    first, second = (path.relative_to(Path.cwd()) for path in (first, second))
    assert f"wandb leet {second}`" in printed
    assert f"wandb sync {first} {second}`" in printed
    assert "not-mine" not in printed


class Broken:
    """A run of W&B whose service is gone."""

    id = "broken"
    settings = type("Settings", (), {"_offline": False})()
    url = "nowhere"

    def __init__(self, fails=("log", "finish")):
        self.fails, self.calls = fails, []

    def define_metric(self, *_, **__):
        pass

    def log(self, *_, **__):
        self._call("log")

    def finish(self, *_, **__):
        self._call("finish")

    def _call(self, name):
        self.calls.append(name)
        if name in self.fails:
            raise ConnectionError("the service is gone")


def test_a_service_that_dies_does_not_stop_the_training(capsys):
    run = Broken()
    tracker = WandbTracker(run)
    tracker.log({"train/loss": 1.0}, 1, 4)
    tracker.log({"train/loss": 1.0}, 2, 8)
    tracker.image("picture", np.zeros((4, 4, 3), np.uint8), "", 2)
    tracker.summary({"best/loss": 1.0})
    tracker.finish(0)
    assert run.calls == ["log"]
    printed = capsys.readouterr().out
    assert printed.count("W&B was lost (the service is gone)") == 1
    assert "nowhere" not in printed  # where the curves end, or never were


def test_a_service_that_dies_at_the_end_gives_no_hint(capsys):
    run = Broken(fails=("finish",))
    WandbTracker(run).finish(0)
    assert run.calls == ["finish"]
    printed = capsys.readouterr().out
    assert "W&B was lost (the service is gone)" in printed
    assert "nowhere" not in printed


def test_a_hint_that_cannot_be_given_still_finishes(capsys):
    run = Broken(fails=())
    run.settings = None
    WandbTracker(run).finish(0)
    assert run.calls == ["finish"]
    assert "W&B was lost" in capsys.readouterr().out


def test_a_picture_that_wandb_refuses_does_not_stop_the_training(monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("wandb.Image", refuse)
    tracker = WandbTracker(Broken(fails=()))
    tracker.image("picture", np.zeros((4, 4, 3), np.uint8), "", 1)
    assert "W&B was lost (no space left)" in capsys.readouterr().out


def test_images_must_be_uint8():
    tracker = start("offline")
    with pytest.raises(TypeError, match="pixels must be uint8, got float64"):
        tracker.image("picture", np.zeros((4, 4, 3)), "", 1)
    tracker.finish(0)

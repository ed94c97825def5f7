"""Files are whole or absent, and nothing that is loaded can run code."""

import json
import math
import os
import pickle
from pathlib import Path

import pytest
import torch

import memnets
import train
from tests.training.tiny import arguments
from training.files import checkpoint


def last(name):
    return Path("runs") / name / checkpoint.LAST


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    checkpoint.write_atomically(path, b"old")

    def full(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["file"]


def test_the_new_content_is_on_disk_before_it_replaces_the_old(tmp_path, monkeypatch):
    path = tmp_path / "file"
    checkpoint.write_atomically(path, b"old")
    synced = []
    real = os.fsync

    def fsync(descriptor):
        synced.append(path.read_bytes())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    checkpoint.write_atomically(path, b"new")
    assert synced[0] == b"old"
    assert path.read_bytes() == b"new"


class Malicious:
    def __reduce__(self):
        return (os.mkdir, ("harm",))


def test_a_checkpoint_cannot_run_code(tmp_path):
    path = tmp_path / "bad.pt"
    torch.save({"version": checkpoint.VERSION, "weights": Malicious()}, path)
    with pytest.raises(ValueError, match="is damaged or no checkpoint"):
        checkpoint.load(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"rubbish", pickle.dumps({"version": 1})])
def test_damaged_files(tmp_path, content):
    path = tmp_path / "bad.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad.pt is damaged or no checkpoint .* restore it"):
        checkpoint.load(path)


def test_the_best_checkpoint_is_offered_where_there_is_one(tmp_path):
    for name in ("last.pt", "best.pt"):
        (tmp_path / name).write_bytes(b"rubbish")
    with pytest.raises(ValueError, match=r"last\.pt is damaged .* or copy .*best\.pt over it"):
        checkpoint.load(tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"best\.pt is damaged .* or start a new run"):
        checkpoint.load(tmp_path / "best.pt")
    (tmp_path / "best.pt").unlink()
    with pytest.raises(ValueError, match=r"last\.pt is damaged .* or start a new run"):
        checkpoint.load(tmp_path / "last.pt")


def test_a_checkpoint_that_cannot_be_read_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match="last"):
        checkpoint.load(tmp_path / "last.pt")
    (tmp_path / "last.pt").mkdir()
    with pytest.raises(IsADirectoryError, match="last"):
        checkpoint.load(tmp_path / "last.pt")


def test_a_truncated_checkpoint(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="is damaged"):
        checkpoint.load(path)


def test_other_versions(tmp_path):
    torch.save({"version": 0}, tmp_path / "old.pt")
    with pytest.raises(ValueError, match="of version 0, and this memnets reads 1"):
        checkpoint.load(tmp_path / "old.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="of version None"):
        checkpoint.load(tmp_path / "list.pt")


def test_what_a_run_leaves():
    assert train.main(arguments(model="ntm", steps=10, more=["--name", "run"])) == 0
    saved = checkpoint.load(last("run"))
    assert saved["step"] == 10
    assert saved["sequences"] == 40
    assert saved["config"] == json.loads(Path("runs/run/config.json").read_text())
    assert saved["layer"]["name"] == "NTM"
    assert set(saved["generators"]) == {"torch", "cuda", "data", "streams"}
    layer = memnets.load("runs/run")
    assert isinstance(layer, memnets.NTM)
    for name, weight in layer.state_dict().items():
        assert torch.equal(weight, saved["weights"][name])


def test_checkpoints_hold_the_time_until_their_own_step():
    more = ["--name", "run", "--run.checkpoint-every", "100", "--run.log-every", "1"]
    assert train.main(arguments(steps=10, more=more)) == 0
    lines = Path("runs/run/metrics.jsonl").read_text().splitlines()
    seconds = {row["step"]: row["seconds"] for row in map(json.loads, lines) if "seconds" in row}
    best = checkpoint.load(Path("runs/run") / checkpoint.BEST)
    following = seconds.get(best["step"] + 1, math.inf)
    assert 0 < seconds[best["step"]] <= best["seconds"] <= following
    assert seconds[10] <= checkpoint.load(last("run"))["seconds"]


def test_processor_time_goes_on_after_a_resume():
    more = ["--name", "run", "--run.log-every", "1"]
    assert train.main(arguments(steps=4, more=more)) == 0
    before = checkpoint.load(last("run"))["core_seconds"]
    assert train.main(["--resume", "runs/run", "--run.sequences", "32"]) == 0
    lines = Path("runs/run/metrics.jsonl").read_text().splitlines()
    times = [row["core_seconds"] for row in map(json.loads, lines) if "core_seconds" in row]
    assert len(times) == 8
    assert times == sorted(times)
    assert 0 < times[3] <= before < times[4] < before + 60


def test_a_checkpoint_without_processor_time_counts_it_from_now():
    assert train.main(arguments(steps=4, more=["--name", "run"])) == 0
    saved = torch.load(last("run"), weights_only=True)
    del saved["core_seconds"]
    torch.save(saved, last("run"))
    assert train.main(["--resume", "runs/run", "--run.sequences", "32"]) == 0
    assert checkpoint.load(last("run"))["core_seconds"] > 0


def test_a_damaged_checkpoint_is_a_clear_error(capsys):
    assert train.main(arguments(steps=10, more=["--name", "run"])) == 0
    last("run").write_bytes(b"rubbish")
    last("run").with_name("previous.pt").write_bytes(b"rubbish")
    with pytest.raises(SystemExit) as exit_:
        train.main(["--resume", "runs/run"])
    assert exit_.value.code == 2
    assert "last.pt is damaged or no checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--seed 1", "seed is 0 in config.json and 1 in the checkpoint"),
        (
            "--optimizer graves_rmsprop",
            "optimizer is adam in config.json and graves_rmsprop in the checkpoint",
        ),
        ("--task.max-items 2", "task.max_items is 3 in config.json and 2 in the checkpoint"),
    ],
)
def test_a_checkpoint_of_another_run_is_a_clear_error(flag, message, capsys):
    assert train.main(arguments(steps=4, more=["--name", "run"])) == 0
    assert train.main(arguments(steps=4, more=["--name", "other", *flag.split()])) == 0
    last("run").write_bytes(last("other").read_bytes())
    with pytest.raises(SystemExit) as exit_:
        train.main(["--resume", "runs/run"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert "the checkpoint does not fit the configuration" in error
    assert message in error


def test_a_checkpoint_of_another_layer_is_a_clear_error(capsys):
    for name, size in (("run", "4"), ("other", "5")):
        more = ["--name", name, "--model.hidden-size", size]
        assert train.main(arguments(steps=4, more=more)) == 0
    last("run").write_bytes(last("other").read_bytes())
    with pytest.raises(SystemExit) as exit_:
        train.main(["--resume", "runs/run"])
    assert exit_.value.code == 2
    assert "does not fit the configuration" in capsys.readouterr().err

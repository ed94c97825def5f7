"""What can go wrong around a run, and that none of it loses the run (docs/reliability.md)."""

import errno
import json
import random
import re
import resource
import shutil
import signal
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch

import memnets
import train
from tests.training.tiny import arguments, assert_same_run, rows
from training.command_line.parser import parse
from training.files import checkpoint
from training.machine import environment
from training.machine.distributed import Ranks
from training.run import loop
from training.run.folder import open_run
from training.run.state import start

RUN = Path("runs/run")


def run(*words):
    assert train.main(words) == 0


def refused(*words):
    with pytest.raises(SystemExit) as exit_:
        train.main(words)
    assert exit_.value.code == 2


@pytest.fixture
def whole():
    """A run of 14 steps that nothing happened to."""
    run(*arguments(steps=14), "--name", "whole")
    return Path("runs/whole")


@pytest.fixture
def at_step(monkeypatch):
    """Do something before a step is trained: at_step(8, action)."""

    def arrange(step, action):
        original = loop.train_step

        def hooked(config, training):
            if training.step == step:
                monkeypatch.setattr(loop, "train_step", original)
                action()
            return original(config, training)

        monkeypatch.setattr(loop, "train_step", hooked)

    return arrange


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "a wrong bit":
        content[content.index(b"data/1") + 200] ^= 1
    elif how == "empty":
        content = bytearray()
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "a wrong bit", "empty", "missing"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(whole, at_step, capsys, how):
    def crash():
        raise KeyboardInterrupt

    at_step(10, crash)  # after the checkpoints of the steps 4 and 8
    assert train.main([*arguments(steps=14), "--name", "run"]) == 128 + signal.SIGINT
    assert "stopped at once; to go on from the last checkpoint: python" in capsys.readouterr().err
    last = RUN / checkpoint.LAST
    if how == "missing":
        last.unlink()
    else:
        damage(last, how)
    run("--resume", str(RUN))
    said = capsys.readouterr().out
    assert "last.pt is missing: going" in said or "last.pt was damaged (it is dam" in said
    assert f"going on from {RUN / checkpoint.PREVIOUS}, the checkpoint before it" in said
    assert (RUN / "checkpoints/damaged.pt").exists() == (how != "missing")
    assert_same_run(whole, RUN)


def test_no_wrong_bit_is_taken_for_a_weight(whole):
    path = whole / checkpoint.LAST
    content, dice = path.read_bytes(), random.Random(0)
    before = json.dumps(checkpoint.load(path), default=torch.Tensor.tolist)
    found = 0
    for place in dice.sample(range(len(content)), 60):
        wrong = bytearray(content)
        wrong[place] ^= 1 << dice.randrange(8)
        path.write_bytes(wrong)
        try:
            after = checkpoint.load(path)
        except checkpoint.DamagedError:
            found += 1
        else:  # the bit was between the contents
            assert json.dumps(after, default=torch.Tensor.tolist) == before
    assert found > 10


@contextmanager
def full_disk():
    """No file can grow beyond 1000 bytes: the system's own error in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_a_clear_error_and_loses_nothing(whole, monkeypatch, capsys):
    save_last = checkpoint.save_last

    def full(folder, content):
        if content["step"] < 8:
            save_last(folder, content)
        else:
            with full_disk():
                save_last(folder, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_last", full)
        assert train.main([*arguments(steps=14), "--name", "run"]) == 1
    error = capsys.readouterr().err
    assert "train.py: error: [Errno 27] File too large: 'runs/run/checkpoints/last.pt'" in error
    assert "go on from it: python train.py --resume runs/run" in error
    assert not list(RUN.rglob(checkpoint.TEMPORARY))
    run("--resume", str(RUN))
    assert_same_run(whole, RUN)


def test_a_row_that_finds_no_room_is_a_clear_error():
    path = Path("metrics.jsonl")
    metrics = checkpoint.MetricsFile(path, 0)

    def fill():
        with full_disk():
            for step in range(100):
                metrics.write({"step": step, "sequences": step})

    with pytest.raises(OSError, match=r"File too large: 'metrics\.jsonl'"):
        fill()
    metrics.close()
    checkpoint.MetricsFile(path, 5).close()
    assert [row["step"] for row in rows(Path())] == list(range(6))


def test_a_folder_that_cannot_be_written(whole, monkeypatch, capsys):
    def refuse(path, _):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(checkpoint, "write_atomically", refuse)
    refused(*arguments(steps=14), "--name", "run")
    assert "Read-only file system: 'runs/run/config.json'" in capsys.readouterr().err
    assert train.main(["--resume", str(whole)]) == 1
    assert "error: [Errno 30] Read-only file system" in capsys.readouterr().err
    monkeypatch.undo()


def test_a_place_that_is_no_folder(capsys):
    Path("file").write_text("")
    refused(*arguments(), "--folder", "file")
    assert "Not a directory: 'file/" in capsys.readouterr().err
    refused(*arguments(), "--folder", "file", "--name", "run")
    assert "Not a directory: 'file/run'" in capsys.readouterr().err


def test_a_folder_deleted_under_a_run_is_made_again(whole, at_step, capsys):
    at_step(10, lambda: shutil.rmtree(RUN))
    run(*arguments(steps=14), "--name", "run")
    assert f"{RUN} was deleted while the run went on: made again" in capsys.readouterr().out
    assert rows(RUN) == rows(whole)
    assert json.loads((RUN / "config.json").read_text())["name"] == "run"
    run("--resume", str(RUN))
    assert rows(RUN) == rows(whole)
    layers = (torch.load(p / checkpoint.LAST, weights_only=True)["weights"] for p in (RUN, whole))
    one, two = layers
    assert all(torch.equal(one[name], two[name]) for name in two)


@pytest.mark.parametrize(
    "content",
    [None, "", '{"task": "co', "\x00\x00", "[" * 100_000],
    ids=["missing", "empty", "half", "zeros", "deep"],
)
def test_a_lost_configuration_is_in_the_checkpoint_too(whole, capsys, content):
    path = whole / "config.json"
    before = path.read_text()
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    run("--resume", str(whole))
    assert "and is made again from a checkpoint" in capsys.readouterr().out
    assert path.read_text() == before


def test_two_processes_do_not_share_a_folder(whole, capsys):
    words = ["--resume", str(whole)]
    with open_run(parse(words), Ranks()):
        refused(*words)
    error = capsys.readouterr().err
    assert f"another process is training in {whole}: wait until it ends, or stop it" in error
    run(*words)


def test_a_run_killed_before_its_first_file_can_begin_again(whole):
    RUN.mkdir()
    (RUN / ".config.json.123.tmp").write_text("half")
    run(*arguments(steps=14), "--name", "run")
    assert_same_run(whole, RUN)
    assert not list(RUN.rglob("*.tmp"))


def test_what_a_killed_write_left_is_cleaned_away(whole):
    leftovers = [whole / "checkpoints/.last.pt.123.tmp", whole / ".metrics.jsonl.7.tmp"]
    for path in leftovers:
        path.write_bytes(b"half")
    run("--resume", str(whole))
    assert not any(path.exists() for path in leftovers)


def test_a_run_that_goes_on_elsewhere_says_so(whole, monkeypatch, capsys):
    monkeypatch.setattr(environment.torch, "__version__", "9.9")
    run("--resume", str(whole))
    assert "and is 9.9: the last bits of the numbers may differ" in capsys.readouterr().out


def test_what_an_older_checkpoint_was_computed_with(whole, monkeypatch, capsys):
    """It has it under another name."""
    file = whole / checkpoint.LAST
    content = checkpoint.load(file)
    content["surroundings"] = content.pop("runtime")
    checkpoint.save(file, content)
    monkeypatch.setattr(environment.torch, "__version__", "9.9")
    run("--resume", str(whole))
    assert "and is 9.9: the last bits of the numbers may differ" in capsys.readouterr().out


def test_an_id_from_the_beginning():
    config = parse([*arguments(), "--name", "run"])
    with open_run(config, Ranks()) as opened:
        first = opened.training.wandb_id
    assert re.fullmatch(r"run-[0-9a-f]{6}", first)
    assert checkpoint.load(RUN / checkpoint.LAST)["wandb_id"] == first


@pytest.mark.parametrize("curriculum", ["fixed", "mixed", "prediction_gain"])
def test_training_depends_on_no_generator_that_is_not_saved(curriculum):
    """Neither on Python's nor, after the weights, on torch's; numpy's is forbidden by lint."""
    config = parse(arguments("copy", "ntm", steps=4, more=["--curriculum", curriculum]))
    ends = []
    for seed in (1, 2):
        training = start(config)
        random.seed(seed)
        torch.manual_seed(seed)
        for _ in range(3):
            loop.train_step(config, training)
        loop.validate(config, training, Path())
        ends.append([*training.layer.parameters(), training.data.get_state()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_the_number_of_threads_changes_no_bit_of_the_kernel(kind, request):
    """The products over all steps are BLAS's, which may sum in another order."""
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    layer = kind(5, 4, memory_size=9, word_size=5, hidden_size=11, backend="fused")
    x = torch.randn(7, 13, 5)
    exact, products = [], []
    for count in (1, 3):
        torch.set_num_threads(count)
        layer.zero_grad()
        started = memnets.map_tensors(
            lambda tensor: tensor.clone().requires_grad_(), layer.initial_state(13)
        )
        y, _ = layer(x, started)
        y.square().sum().backward()
        carried = memnets.flatten(started).values()
        exact.append([y.detach(), *(tensor.grad for tensor in carried)])
        products.append([parameter.grad.clone() for parameter in layer.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*exact, strict=True))
    for one, other in zip(*products, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)

"""Several processes: the same gradients, the same curves, and an end when one of them ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tasks import TASKS
from tasks.base import Stream
from tests.tasks.table import TABLE
from tests.training.tiny import arguments
from training.machine import distributed
from training.machine.distributed import Ranks

ROOT = Path(__file__).parents[3]


def test_several_processes():
    """All scenarios of tests/training/machine/ranks.py, in one process that imports torch once."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.training.machine.ranks"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("last.pt was damaged (it is damaged.pt now): going on from") == 1
    assert "every run ended with the bits of a whole one" in done.stdout
    for message, times in (
        ("error: another process of this run has ended or does not answer", 3),
        ("the last checkpoint is runs/killed/checkpoints/last.pt", 1),
        ("it was made by 2 processes, and there is 1 now; resume it under torchrun with as", 1),
        ("it was made by 1 process, and there are 2 now; resume it without torchrun", 1),
        ("--run.batch-size must be a multiple of the 3 streams of sequences", 1),
        ("--streams must be a multiple of the 2 processes, got 3", 1),
        ("runs/one exists: choose another --name", 1),
    ):
        assert done.stderr.count(message) == times, message + done.stderr


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
def test_torchrun(tmp_path):
    """The command of the README, one process of which is killed from outside."""
    words = arguments(steps=100_000, more=["--name", "run"])
    start = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--local-addr=127.0.0.1"]
    agent = subprocess.Popen(
        [sys.executable, "-W", "ignore", *start, "--standalone", str(ROOT / "train.py"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        metrics, deadline = tmp_path / "runs/run/metrics.jsonl", time.monotonic() + 120
        while not (metrics.exists() and metrics.read_text().count("\n") >= 4):
            assert agent.poll() is None, agent.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[1]), signal.SIGKILL)
        output, _ = agent.communicate(timeout=120)
    finally:
        if agent.poll() is None:
            agent.terminate()  # it ends its processes
            agent.communicate(timeout=60)
    assert agent.returncode == 1
    assert "another process of this run has ended" in output
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    saved = torch.load(tmp_path / "runs/run/checkpoints/last.pt", weights_only=True)
    assert saved["step"] >= 4
    assert saved["processes"] == 2


@pytest.mark.parametrize("name", TABLE)
def test_streams_have_one_length_and_other_contents(name):
    task = TASKS[name]()
    drawn = []
    for rank in range(2):
        sizes = torch.Generator().manual_seed(5)
        own = distributed.streams(4, 5, Ranks(rank, 2), sizes)
        drawn.append([distributed.sample(task, 3, sizes, own) for _ in range(4)])
    sizes = torch.Generator().manual_seed(5)
    every = distributed.streams(4, 5, Ranks(), sizes)
    for first, second in zip(*drawn, strict=True):
        whole = distributed.sample(task, 3, sizes, every)
        assert first.inputs.shape == second.inputs.shape
        assert torch.equal(torch.cat([first.inputs, second.inputs], dim=1), whole.inputs)
        assert torch.equal(torch.cat([first.targets, second.targets], dim=1), whole.targets)
    assert any(not torch.equal(a.inputs, b.inputs) for a, b in zip(*drawn, strict=True))


def test_no_two_streams_have_one_seed():
    for seed in (0, 1, 2**32 - 1):
        made = distributed.streams(4096, seed, Ranks(), torch.Generator())
        # What torch's generator takes of a seed.
        assert len({seed % 2**32, *(stream.initial_seed() % 2**32 for stream in made)}) == 4097


def test_one_stream_is_the_generator_itself():
    assert distributed.streams(1, 3, Ranks(), torch.Generator()) == []
    generator = torch.Generator().manual_seed(3)
    batch = distributed.sample(TASKS["copy"](), 4, generator, [])
    assert torch.equal(batch.inputs, TASKS["copy"]().sample(4, generator.manual_seed(3)).inputs)
    assert not isinstance(generator, Stream)

"""Break the disk under a run: full, read-only, deleted, corrupted; then resume, and compare.

    unshare -m python -m tests.stress.faults --corruptions 100 --seed 0

It mounts a small file system of its own, which takes root on Linux; `unshare` keeps the mount to
this process.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from tests.stress.kill_and_resume import begin, ended
from tests.training.tiny import arguments, assert_same_run, rows
from training.files import checkpoint
from training.run import loop
from training.run.state import Training

WORDS = arguments(model="ntm", steps=14)
LOG = Path("log")
DISK = Path("disk")
RUN = DISK / "run"


def mount(options: str) -> None:
    """Mount the small file system, or change how it is mounted."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(DISK)]
    subprocess.run(command, check=True)


def train(words: list[str], at: int = -1, action: Callable[[], object] = int) -> tuple[int, str]:
    """Run train.py in a fork, and do something before a step: its status, and what it printed."""
    original = loop.train_step

    def hooked(config: object, training: Training) -> dict[str, torch.Tensor]:
        if training.step == at:
            action()
        return original(config, training)  # type: ignore[arg-type]

    loop.train_step = hooked
    try:
        status = ended(begin(words, LOG))
    finally:
        loop.train_step = original
    said = LOG.read_text()
    assert "Traceback" not in said, said
    return status, said


def fill() -> None:
    """Leave no room on the disk."""
    with Path(DISK / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def give_up() -> None:
    """End the process at once, as a kill does."""
    os._exit(3)


def new_run() -> list[str]:
    """Forget the run before, and begin another."""
    shutil.rmtree(RUN, ignore_errors=True)
    return [*WORDS, "--folder", str(DISK), "--name", "run"]


def report(fault: str, status: int, said: str) -> None:
    """Print what a run said of a fault."""
    words = [line for line in said.splitlines() if "error" in line or "was d" in line]
    print(f"{fault}: exit status {status}; {' '.join(words)[:200]}", flush=True)


def finish(fault: str, status: int, said: str) -> None:
    """Resume the run, and compare it with the whole one."""
    report(fault, status, said)
    again, said = train(["--resume", str(RUN)])
    assert again == 0, said
    assert_same_run(Path("runs/whole"), RUN)
    assert not list(RUN.rglob(checkpoint.TEMPORARY))


def disks() -> None:
    """A disk that is full or read-only, from the beginning or from the middle on."""
    for step in range(1, 14):
        status, said = train(new_run(), step, fill)
        assert status == 1, said
        (DISK / "filler").unlink()
        finish(f"disk full from step {step}", status, said)
    fill()
    shutil.rmtree(RUN)
    fill()
    status, said = train([*WORDS, "--folder", str(DISK), "--name", "run"])
    assert status == 2, said
    (DISK / "filler").unlink()
    report("disk full at the start", status, said)

    train(new_run(), 10, give_up)
    shutil.copytree(RUN, "kept")
    shutil.rmtree(RUN)
    mount("remount,ro")
    status, said = train([*WORDS, "--folder", str(DISK), "--name", "run"])
    assert status == 2, said
    report("read-only at the start", status, said)
    mount("remount,rw")
    shutil.copytree("kept", RUN)
    mount("remount,ro")
    status, said = train(["--resume", str(RUN)])
    assert status in (1, 2), said
    mount("remount,rw")
    finish("read-only at a resume", status, said)


def deleted() -> None:
    """The folder of a run is deleted at every step of it in turn."""
    for step in range(1, 14):
        status, said = train(new_run(), step, lambda: shutil.rmtree(RUN))
        assert status == 0, said
        assert rows(RUN) == rows(Path("runs/whole"))
        report(f"deleted at step {step}", status, said)


def corrupted(count: int, dice: random.Random) -> None:
    """last.pt is corrupted in every way there is."""
    fallen_back = 0
    for _ in range(count):
        train(new_run(), 10, give_up)
        path = RUN / checkpoint.LAST
        content = bytearray(path.read_bytes())
        way = dice.choice(["bit", "truncated", "zeros", "rubbish"])
        place = dice.randrange(len(content))
        if way == "bit":
            content[place] ^= 1 << dice.randrange(8)
        elif way == "truncated":
            del content[place:]
        else:
            size = min(dice.randrange(1, 4096), len(content) - place)
            content[place : place + size] = bytes(size) if way == "zeros" else dice.randbytes(size)
        path.write_bytes(content)
        status, said = train(["--resume", str(RUN)])
        assert status == 0, said
        fallen_back += "going on from" in said
        assert_same_run(Path("runs/whole"), RUN)
    print(
        f"{count} corrupted checkpoints: {fallen_back} fell back to the one before, the others "
        "were corrupted between their contents; all ended with the bits of a whole run"
    )


def main() -> None:
    """Try every fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corruptions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        DISK.mkdir()
        status, said = train([*WORDS, "--name", "whole"])
        assert status == 0, said
        mount("size=2m")
        try:
            disks()
            deleted()
            corrupted(options.corruptions, random.Random(options.seed))
        finally:
            subprocess.run(["umount", "-l", str(DISK)], check=True)
            os.chdir("/")


if __name__ == "__main__":
    main()

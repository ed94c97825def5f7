"""Kill runs at random moments, resume them, and compare every bit with a run that never stopped.

    python -m tests.stress.kill_and_resume --kills 240 --seed 0

A run is killed again and again, then left to its end. A third of the kills come before a line of
the trainer's code that is drawn at random, half of these among the lines that write its files (so
that they hit the instant between two statements of a save), a third at a random time, a third are
SIGINT or SIGTERM. Each attempt is a fork of this process, which has torch loaded, so that it is at
work after milliseconds; one in thirty is a process of its own, as a user starts it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch._dynamo  # an optimiser loads it, which takes seconds: not in every fork

import train
from memnets.backends import cpu as fused
from tests.training.tiny import arguments, assert_same_run
from training.files import checkpoint

ROOT = Path(__file__).parents[2]
TRACED = (str(ROOT / "training"), str(ROOT / "train.py"), str(ROOT / "tasks"))
WRITING = (str(ROOT / "training/files/checkpoint.py"), str(ROOT / "training/run/folder.py"))


def case(model: str, backend: str | None = None, more: str = "") -> list[str]:
    """The flags of a run of 14 steps, with a checkpoint every 4 and an evaluation every 5."""
    chosen = ["--model.backend", backend] if backend else []
    return arguments(model=model, steps=14, more=["--task.max-items", "4", *chosen, *more.split()])


CASES = {
    "ntm reference": case("ntm", "reference"),
    "ntm fused": case("ntm", "fused"),
    "dnc reference": case("dnc", "reference", "--optimizer graves_rmsprop"),
    "dnc fused": case("dnc", "fused"),
    "ntm fused graves_rmsprop cooldown": case(
        "ntm", "fused", "--optimizer graves_rmsprop --optimizer.cooldown 0.5"
    ),
    "lstm uniform": case("lstm", None, "--curriculum uniform"),
    "dnc fused incremental": case(
        "dnc", "fused", "--curriculum incremental --curriculum.threshold 2 --curriculum.window 3"
    ),
    "ntm reference mixed": case("ntm", "reference", "--curriculum mixed --curriculum.window 2"),
    "ntm fused doubling": case(
        "ntm", "fused", "--curriculum doubling --curriculum.threshold 2 --curriculum.window 3"
    ),
    "dnc reference prediction_gain": case(
        "dnc", "reference", "--curriculum prediction_gain --curriculum.reservoir 3"
    ),
}


class Bomb:
    """A trace function that kills the process before the n-th line of the trainer's own code."""

    def __init__(self, line: int | None, places: tuple[str, ...] = TRACED) -> None:
        """places: only lines of files whose names begin so are counted."""
        self.line, self.places = line, places
        self.seen: Counter[tuple[str, ...]] = Counter()

    def __call__(self, frame: FrameType, event: str, _: Any) -> Bomb | None:
        name = frame.f_code.co_filename
        if not name.startswith(TRACED):
            return None
        if event == "line":
            self.seen[TRACED] += 1
            self.seen[WRITING] += name.startswith(WRITING)
            if self.seen[self.places] == self.line:
                print(f"\nKILLED AT {Path(name).name} {frame.f_code.co_name}", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def begin(words: list[str], log: Path, bomb: Bomb | None = None) -> int:
    """Fork a process that runs train.py with these words; return its id."""
    bomb = bomb or Bomb(None)
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = (
            os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2)
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        sys.settrace(bomb)
        status = train.main(words)
        sys.settrace(None)
        print(f"LINES {bomb.seen[TRACED]} {bomb.seen[WRITING]}", flush=True)
    except SystemExit as error:
        status = int(str(error.code))
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(status)


def ended(child: int) -> int:
    """Wait for a process: its exit status, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def begin_process(words: list[str], log: Path) -> int:
    """Start train.py as a user does; return the process's id."""
    command = [sys.executable, str(ROOT / "train.py"), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("w") as output:
        return subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        ).pid


class Attempts:
    """Runs of one case: a whole one, and others that are killed again and again."""

    def __init__(self, words: list[str], kind: str, dice: random.Random, processes: float) -> None:
        """processes: share of the attempts, beside kills at a line, that are no forks."""
        self.words, self.kind, self.dice, self.processes = words, kind, dice, processes
        self.log = Path("log")
        self.counts: Counter[str] = Counter()
        begun = time.perf_counter()
        status = ended(begin([*words, "--name", f"{kind} whole"], self.log))
        self.seconds = time.perf_counter() - begun
        assert status == 0, self.log.read_text()
        counts = self.log.read_text().rpartition("LINES ")[2].split()
        self.lines = dict(zip((TRACED, WRITING), map(int, counts), strict=True))

    def go_on(self, name: str) -> list[str]:
        """The words that a user would give next: resume, if the run has been begun."""
        folder = Path("runs") / name
        if (folder / "config.json").exists():
            return ["--resume", str(folder)]
        return [*self.words, "--name", name]

    def stop(self, name: str) -> bool:
        """Start or resume a run and end it at a random moment; False if it came to its end."""
        way = self.dice.choice(["line", "time", "signal"])
        bomb = None
        if way == "line":
            places = self.dice.choice([TRACED, WRITING])
            bomb = Bomb(self.dice.randrange(1, self.lines[places]), places)
        own = way != "line" and self.dice.random() < self.processes
        words = self.go_on(name)
        child = begin_process(words, self.log) if own else begin(words, self.log, bomb)
        number = signal.SIGKILL
        if way != "line":
            if way == "signal":
                number = self.dice.choice([signal.SIGINT, signal.SIGTERM])
            time.sleep(self.dice.random() * (self.seconds + (4 if own else 0)))
            os.kill(child, number)
        status = ended(child)
        if status == 0:
            return False
        said = self.log.read_text()
        by_signal = status == -number or (status == 128 + number and "stopped" in said)
        assert by_signal or "KeyboardInterrupt" in said, f"{words}: status {status}\n{said}"
        self.counts[self._place(way, own, number, said)] += 1
        return True

    def _place(self, way: str, own: bool, number: int, said: str) -> str:
        if way == "line":
            return "SIGKILL before a line of " + said.rpartition("KILLED AT ")[2].split()[0]
        return f"{signal.Signals(number).name} at a random time" + (", own process" if own else "")

    def check(self, name: str, stops: int) -> None:
        """Stop a run some times, let it end, and compare it with the whole one."""
        for _ in range(stops):
            if not self.stop(name):
                break
        status = ended(begin(self.go_on(name), self.log))
        assert status == 0, self.log.read_text()
        folder = Path("runs") / name
        assert_same_run(Path("runs") / f"{self.kind} whole", folder)
        left = [path.name for path in folder.rglob(checkpoint.TEMPORARY)]
        assert not left, left


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the cases in turn until there were as many kills as were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=len(CASES), help="only the first so many")
    parser.add_argument("--processes", type=float, default=0.05, help="share that are no forks")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    reason = fused.reason_against(torch.float32)
    assert reason is None, reason
    dice = random.Random(options.seed)
    total: Counter[str] = Counter()
    runs, before = 0, Path.cwd()
    with tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        cases = list(CASES.items())[: options.cases]
        made = {name: Attempts(words, name, dice, options.processes) for name, words in cases}
        while total.total() < options.kills:
            attempts = made[cases[runs % len(cases)][0]]
            attempts.check(f"{attempts.kind} {runs}", stops=dice.randrange(3, 13))
            runs += 1
            total = sum((a.counts for a in made.values()), Counter())
            print(f"{total.total()} kills in {runs} runs, all equal so far", flush=True)
        os.chdir(before)
    for place, count in sorted(total.items()):
        print(f"{count:5}  {place}")
    for name, attempts in made.items():
        print(f"{attempts.counts.total():5}  {name}")
    print(f"{total.total()} kills in {runs} runs: every run ended with the bits of a whole one")


if __name__ == "__main__":
    main()

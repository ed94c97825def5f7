"""The flags of `python -m benchmarks`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import contestants, peers, timing
from benchmarks.cases import CASES
from memnets.backends.registry import BACKENDS

MODES = {
    "growth": "print how the cost of training grows with N, W, R, T and B, one at a time",
    "memory": "print the peak memory of a training step of each backend, in fresh processes",
    "first-call": "print what the first call of each backend costs, in fresh processes: with "
    "nothing built yet, and with what that built",
    "profile": "print where the time of --backend goes, and how far it is from the limit",
    "tasks": "print how fast the tasks make sequences, beside what training takes",
}
"""What can be measured instead of the main table."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time memnets' layers beside other packages, in turn, in one run. "
        "The others are used where you have them: "
        + "; ".join(f"{name}: {how}" for name, how in peers.GET.items()),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_modes(made)
    made.add_argument("--cases", nargs="+", choices=list(CASES), help="which models and sizes")
    made.add_argument("--batch", nargs="+", type=_positive, help="sequences at once")
    made.add_argument("--steps", nargs="+", type=_positive, help="lengths of a sequence")
    made.add_argument("--backends", nargs="+", choices=["reference", *contestants.timed_backends()])
    made.add_argument("--seconds", type=_seconds, default=30.0, help="to time for, each case")
    made.add_argument("--threads", type=_positive, default=1, help="threads of torch")
    made.add_argument(
        "--clock",
        choices=tuple(timing.CLOCKS),
        default="wall",
        help="processor: count only time spent computing, for a machine that is busy",
    )
    made.add_argument("--ntm-repository", type=Path, help="a clone of loudinthecloud/pytorch-ntm")
    made.add_argument("--dnc-repository", type=Path, help="a clone of ixaxaar/pytorch-dnc")
    made.add_argument("--csordas-repository", type=Path, help="a clone of RobertCsordas/dnc")
    made.add_argument("--json", type=Path, help="write all numbers to this file")
    made.add_argument("--plot", type=Path, help="draw the main table as a PNG")
    return made


def _add_modes(made: argparse.ArgumentParser) -> None:
    modes = made.add_mutually_exclusive_group()
    for name, said in MODES.items():
        modes.add_argument(
            f"--{name}", dest="mode", action="store_const", const=name, help=said, default="compare"
        )
    made.add_argument(
        "--backend", choices=list(BACKENDS), default="auto", help="for --profile and --tasks"
    )
    made.add_argument(
        "--checkpoint-every",
        type=_positive,
        help="for --memory: steps recomputed at once in the backward; the square root of T if not "
        "given",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number

"""`python -m benchmarks`: memnets beside other packages, in one run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import contestants, gate, peers, report, timing
from benchmarks.contestants import LSTM, Absent, Contestant, Group, Sizes, own, own_name


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time memnets' layers beside other packages, in turn, in one run. "
        "The others are used where you have them: "
        f"`{peers.GET_PYTORCH_NTM}`; `{peers.GET_DNC}`.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--batch", type=_positive, default=16, help="sequences at once")
    made.add_argument("--steps", type=_positive, default=40, help="length of a sequence")
    made.add_argument("--rounds", type=_positive, default=30, help="times each is measured")
    made.add_argument("--threads", type=_positive, default=1, help="threads of torch")
    made.add_argument(
        "--clock",
        choices=tuple(timing.CLOCKS),
        default="wall",
        help="processor: count only time spent computing, for a machine that is busy",
    )
    made.add_argument("--ntm-repository", type=Path, help="a clone of loudinthecloud/pytorch-ntm")
    made.add_argument("--json", type=Path, help="write all numbers to this file")
    return made


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def groups() -> list[Group]:
    """What is compared with what."""
    backends = contestants.timed_backends()
    return [
        Group(
            "NTM, ratios to memnets.NTM reference",
            own_name("NTM", "reference"),
            (*(own_name("NTM", name) for name in backends), peers.PYTORCH_NTM, LSTM),
        ),
        Group(
            "DNC, ratios to memnets.DNC reference",
            own_name("DNC", "reference"),
            (*(own_name("DNC", name) for name in backends), peers.DNC_PACKAGE, LSTM),
        ),
    ]


def assemble(sizes: Sizes, ntm_repository: Path | None) -> tuple[list[Contestant], list[str]]:
    """Build every contestant that this machine has, and say in a sentence which it has not."""
    backends = ["reference", *contestants.timed_backends()]
    builders = [
        *(own("NTM", name) for name in backends),
        peers.pytorch_ntm(ntm_repository),
        *(own("DNC", name) for name in backends),
        peers.dnc_package,
        contestants.lstm,
    ]
    present, absent = [], []
    for build in builders:
        torch.manual_seed(0)
        try:
            present.append(build(sizes))
        except Absent as reason:
            absent.append(str(reason))
    return present, absent


def compare(
    sizes: Sizes, *, rounds: int, clock: str, ntm_repository: Path | None, json_path: Path | None
) -> str:
    """Check, then time, then lay out.

    Raises:
        gate.Disagreement: if contestants that claim to be equal are not; nothing is timed then.
    """
    checks = [sentence for kind in ("NTM", "DNC") for sentence in gate.check_backends(kind, sizes)]
    present, absent = assemble(sizes, ntm_repository)
    for contestant in present:
        gate.check_at_work(contestant, sizes)
    times = timing.measure(present, sizes, rounds=rounds, clock=clock, after_round=_say(rounds))
    found = list(report.rows(groups(), {one.name: one for one in present}, times))
    where = report.machine()
    if json_path is not None:
        content = {
            "machine": where,
            "sizes": asdict(sizes),
            "clock": clock,
            "rows": found,
            "checks": checks,
            "absent": absent,
        }
        json_path.write_text(json.dumps(content, indent=1) + "\n")
    facts = ", ".join(f"{name} {value}" for name, value in where.items())
    layout = report.table(found, sizes=sizes, clock=clock)
    return "\n".join([layout, "", f"{facts}; {rounds} rounds in turn", *checks, *absent])


def _say(rounds: int) -> Callable[[int], None]:
    def say(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\rround {done} of {rounds}", end="", file=sys.stderr)

    return say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    chosen = parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    try:
        print(
            compare(
                Sizes(batch=chosen.batch, steps=chosen.steps),
                rounds=chosen.rounds,
                clock=chosen.clock,
                ntm_repository=chosen.ntm_repository,
                json_path=chosen.json,
            )
        )
    except gate.Disagreement as verdict:
        print(verdict, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

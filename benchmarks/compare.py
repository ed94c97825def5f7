"""One case: check, then time in turn, then work out the ratios."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from benchmarks import contestants, gate, limits, machine, peers, timing
from benchmarks.cases import Case
from benchmarks.contestants import LSTM, Absent, Build, Contestant
from benchmarks.timing import PASSES, Spread, Times, ratios

NOWHERE = peers.Repositories()


@dataclass(frozen=True)
class Settings:
    """How to measure: seconds for each case, the clock, and where other packages are.

    `backends` are those of memnets to time, None for all there are; without `rivals`, no other
    package is.
    """

    seconds: float = 30.0
    clock: str = "wall"
    repositories: peers.Repositories = NOWHERE
    backends: tuple[str, ...] | None = None
    rivals: bool = True


@dataclass(frozen=True)
class Comparison:
    """What was found for a case: rows for the table, what was compared, what was left out."""

    case: Case
    rows: tuple[dict[str, Any], ...]
    checks: tuple[str, ...]
    absent: tuple[str, ...]


def compare(case: Case, settings: Settings) -> Comparison:
    """Measure every contestant of a case.

    Raises:
        gate.Disagreement: if contestants that claim to be equal are not; nothing is timed then.
    """
    verdict = gate.check_backends(case, settings.backends)
    wanted = _wanted(settings)
    backends = [name for name in wanted if name not in verdict.absent]
    present, absent = assemble(case, backends, settings)
    times = timing.measure(
        present, case, seconds=settings.seconds, clock=settings.clock, after_round=_say(case)
    )
    absent = [*(verdict.absent[name] for name in wanted if name in verdict.absent), *absent]
    found = tuple(rows(case, present, times))
    return Comparison(case, found, verdict.sentences, tuple(absent))


def _wanted(settings: Settings) -> list[str]:
    names = ["reference", *contestants.timed_backends()]
    return [name for name in names if settings.backends is None or name in settings.backends]


def assemble(
    case: Case, backends: Sequence[str], settings: Settings
) -> tuple[list[Contestant], list[str]]:
    """Build every contestant that can run here, and say in a sentence which cannot.

    Raises:
        gate.Disagreement: if one is not at work.
    """
    builders: list[Build] = [contestants.own(name) for name in backends]
    if settings.rivals:
        builders += peers.builders(case.kind, settings.repositories)
    builders.append(contestants.lstm)
    present, absent = [], []
    for build in builders:
        torch.manual_seed(0)
        try:
            contestant = build(case)
            _check_memory(contestant, case)
            _check_runs(contestant, case)
            present.append(contestant)
        except Absent as reason:
            absent.append(str(reason))
    return present, absent


def _check_memory(contestant: Contestant, case: Case) -> None:
    """Leave out what would fill the memory: a loop under autograd keeps every link of a DNC."""
    if contestant.name == LSTM:
        return
    fused = contestant.name == contestants.own_name(case.kind, "fused")
    needed = limits.kept_by_fused(case) if fused else limits.kept_by_autograd(case)
    free = machine.free_memory()
    if needed > 0.8 * free:
        raise Absent(
            f"{contestant.name} is left out: training {case.title} keeps about "
            f"{needed / 2**30:.0f} GiB, {free / 2**30:.0f} are free."
        )


def _check_runs(contestant: Contestant, case: Case) -> None:
    if contestant.own:
        gate.check_at_work(contestant, case)
        return
    try:
        # What torch thinks of other people's calls (of names it deprecates) is not for our users.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gate.check_at_work(contestant, case)
    except contestants.REFUSALS as error:
        raise Absent(
            f"{contestant.name} is left out: it does not run with torch {torch.__version__}: "
            f"{error}."
        ) from error


def rows(case: Case, present: Sequence[Contestant], times: Times) -> Iterator[dict[str, Any]]:
    """One row for each contestant and pass.

    `ratio_to_lstm` is how many times as long as `nn.LSTM`; `times_faster` says of memnets' own how
    many times as long each peer and the reference takes.
    """
    reference = contestants.own_name(case.kind, "reference")
    rivals = [one.name for one in present if not one.own and one.name != LSTM]
    rivals += [one.name for one in present if one.name == reference]
    for one in present:
        for name in PASSES:
            sample = times[one.name][name]
            faster = {
                rival: asdict(ratios(times[rival][name], sample))
                for rival in rivals
                if one.own and rival != one.name
            }
            yield {
                "case": asdict(case),
                "contestant": one.name,
                "own": one.own,
                "pass": name,
                "microseconds_per_step": asdict(Spread.of(list(sample.values()))),
                "ratio_to_lstm": asdict(ratios(sample, times[LSTM][name])),
                "times_faster": faster,
                "note": one.note,
                "rounds": sample,
            }


def growth(base: Case, axis: str, values: Sequence[Case], settings: Settings) -> dict[str, Any]:
    """Training time of memnets' backends and nn.LSTM, and how it grows along one axis.

    `exponent` is that of the power law through the first and the last value: 1 is linear.
    `counted` is the cost model beside it: what a step must compute and move (`limits`).

    Raises:
        gate.Disagreement: as `compare`.
    """
    alone = replace(settings, rivals=False)
    microseconds: dict[str, dict[int, float]] = {}
    absent: list[str] = []
    for case in values:
        found = compare(case, alone)
        absent += found.absent
        for row in found.rows:
            if row["pass"] == "training":
                column = microseconds.setdefault(row["contestant"], {})
                column[getattr(case, axis)] = row["microseconds_per_step"]["median"]
    counted = {
        "operations, thousands": {
            getattr(case, axis): limits.step_flops(case, "training") / 1e3 for case in values
        },
        "KiB moved": {
            getattr(case, axis): limits.step_bytes(case, "training") / 1024 for case in values
        },
    }
    columns = {**microseconds, **counted}
    return {
        "base": asdict(base),
        "axis": axis,
        "microseconds_per_step": microseconds,
        "counted": counted,
        "exponent": {name: timing.exponent(column) for name, column in columns.items()},
        "absent": sorted(set(absent)),
    }


def _say(case: Case) -> Callable[[int, int], None]:
    def say(done: int, rounds: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == rounds else ""
            print(f"\r{case.title}: round {done} of {rounds}", end=end, file=sys.stderr)

    return say

"""Where the time of a step goes, and how far it is from what the machine could do."""

from __future__ import annotations

from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import contestants, gate, limits, report, timing
from benchmarks.cases import Case
from benchmarks.contestants import inputs
from benchmarks.timing import PASSES, Spread

OPERATORS = 15
"""How many of the operators that take most are listed."""


def profiled(case: Case, backend: str, *, seconds: float) -> dict[str, Any]:
    """Time a backend, list the operators that take most, and compare with the machine's limits.

    `limits` says for each pass: `flops` and `bytes` of a step as `benchmarks.limits` counts them,
    the microseconds that these take at the machine's best product and best copy (of tensors as
    large as what a step moves), what was measured, and `times_the_limit`, measured over the slower
    of the two. `operators` is the share of torch's operators in training; a fused backend is one
    of them, and its parts are those of `flops_by_part`.

    Raises:
        gate.Disagreement: if the backend's results are not the reference's.
        contestants.Absent: if the backend cannot serve.
    """
    verdict = gate.check_backends(case, [backend])
    if backend in verdict.absent:
        raise contestants.Absent(verdict.absent[backend])
    torch.manual_seed(0)
    contestant = contestants.own(backend)(case)
    times = timing.measure([contestant], case, seconds=seconds)[contestant.name]
    peak = limits.peak_flops()
    found = {}
    for name in PASSES:
        moved = limits.step_bytes(case, name)
        rate = limits.copy_rate(moved)
        measured = Spread.of(list(times[name].values())).median
        found[name] = _limit(limits.step_flops(case, name), peak, moved, rate, measured)
    return {
        "contestant": contestant.name,
        "limits": found,
        "flops_by_part": limits.forward_flops(case),
        "operators": _operators(contestant, case),
    }


def _limit(
    flops: float, peak: float, moved: float, rate: float, measured: float
) -> dict[str, float]:
    computing, moving = 1e6 * flops / peak, 1e6 * moved / rate
    return {
        "flops": flops,
        "peak_flops_per_second": peak,
        "computing_microseconds": computing,
        "bytes": moved,
        "copied_bytes_per_second": rate,
        "moving_microseconds": moving,
        "microseconds_per_step": measured,
        "times_the_limit": measured / max(computing, moving),
    }


def _operators(contestant: contestants.Contestant, case: Case) -> list[dict[str, Any]]:
    x = inputs(case)
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as recorded:
        timing.training(contestant, x)
    events = recorded.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    ordered = sorted(events, key=lambda event: event.self_cpu_time_total, reverse=True)
    return [
        {
            "operator": event.key,
            "share": event.self_cpu_time_total / total,
            "microseconds_per_step": event.self_cpu_time_total / case.steps,
            "calls_per_step": event.count / case.steps,
        }
        for event in ordered[:OPERATORS]
    ]


def page(case: Case, found: dict[str, Any]) -> str:
    """Lay out what `profiled` returned."""
    limit_lines = [
        (
            name,
            f"{one['microseconds_per_step']:,.0f}",
            f"{one['flops'] / 1e6:,.2f}",
            f"{one['computing_microseconds']:,.1f}",
            f"{one['bytes'] / 1e6:,.2f}",
            f"{one['moving_microseconds']:,.1f}",
            f"{one['times_the_limit']:,.1f}",
        )
        for name, one in found["limits"].items()
    ]
    one = found["limits"]["training"]
    header = ("pass", "us/step", "Mflop", "at peak, us", "MB", "at copy rate, us", "x the limit")
    total = sum(found["flops_by_part"].values())
    parts = [(name, f"{count / total:.1%}") for name, count in found["flops_by_part"].items()]
    operators = [
        (
            operator["operator"],
            f"{operator['share']:.1%}",
            f"{operator['microseconds_per_step']:,.1f}",
            f"{operator['calls_per_step']:,.1f}",
        )
        for operator in found["operators"]
    ]
    return "\n".join(
        [
            f"{found['contestant']}; {case.title}",
            "",
            report.table(header, limit_lines),
            "",
            f"Best product {one['peak_flops_per_second'] / 1e9:,.0f} Gflop/s, best copy of as much "
            f"as a training step moves {one['copied_bytes_per_second'] / 1e9:,.1f} GB/s, "
            f"{torch.get_num_threads()} thread(s).",
            "",
            report.table(("flops of the forward step", "share"), parts),
            "",
            report.table(
                ("operator (training, while recorded)", "self", "us/step", "calls/step"), operators
            ),
        ]
    )

"""Compare runs without an account: a table in the terminal, and one page that needs no network.

`python -m training.compare runs/` compares all runs there, `python -m training.compare runs/a
runs/b` those two. Runs that differ only in their seeds are one group, drawn as a line with a band.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from training.compare.data import Found, Group, find, groups, read_all
from training.compare.page import page
from training.report.console import duration


def table(found: Sequence[Group]) -> str:
    """A table for each task, one row a group: medians over its seeds, with their range in brackets.

    >>> rows = [{"sequences": 800, "wrong_bits": 0.0, "seconds": 90.0}]
    >>> setting = {"length_10": {"wrong_bits": 0.25}}
    >>> configs = [{"task": "copy", "seed": seed} for seed in (0, 1)]
    >>> runs = [Found("a", config, rows, setting, []) for config in configs]
    >>> print(table([Group("copy ntm", {}, runs)]))
    group     seeds  solved  after sequences  trained     length_10
    copy ntm  0 1    2 of 2  800              1 min 30 s  0.25
    """
    tasks = dict.fromkeys(group.task for group in found)
    return "\n\n".join(_table([one for one in found if one.task == task]) for task in tasks)


def _table(found: Sequence[Group]) -> str:
    runs = [run for group in found for run in group.runs]
    settings = list(dict.fromkeys(setting for run in runs for setting in run.evaluation))
    best = ["best"] if any(run.best() is not None for run in runs) else []
    heading = ["group", "seeds", "solved", "after sequences", "trained", *best, *settings]
    lines = [heading]
    for group in found:
        solved = [run.solved.sequences for run in group.runs if run.solved]
        lines.append(
            [
                group.label,
                " ".join(str(run.config["seed"]) for run in group.runs),
                f"{len(solved)} of {len(group.runs)}",
                _median(solved, ",.0f"),
                duration(statistics.median(run.seconds for run in group.runs)),
                *(_median([run.best() for run in group.runs], ".3g") for _ in best),
                *(_median([run.final(name) for run in group.runs], ".3g") for name in settings),
            ]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(heading))]
    padded = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(line.rstrip() for line in padded)


def _median(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    middle = format(statistics.median(known), form)
    low, high = format(min(known), form), format(max(known), form)
    return middle if low == high else f"{middle} ({low}-{high})"


def state(run: Found) -> str:
    """How far a run is.

    >>> state(Found("a", {"run": {"sequences": 90, "batch_size": 8}}, [{"sequences": 48}], {}, []))
    '48 of 90 sequences'
    """
    wanted = run.config["run"]["sequences"]
    return "finished" if run.evaluation else f"{run.sequences:,} of {wanted:,} sequences"


def main(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = (Path("runs"),),
    page_path: Annotated[Path | None, tyro.conf.arg(name="page")] = None,
    pictures: bool = True,
) -> None:
    """Compare runs: a table here, and a page of curves, figures, configurations and pictures.

    Args:
        runs: their folders, or folders that hold such folders, however deep.
        page_path: where to write the page; None: compare.html in the first folder that holds runs.
        pictures: put the runs' pictures into the page.
    """
    try:
        folders = find(runs)
        found = groups(read_all(folders))
    except (ValueError, OSError) as error:
        raise SystemExit(f"compare: error: {error}") from None
    print(table(found))
    unfinished = [run for group in found for run in group.runs if not run.evaluation]
    print("".join(f"not finished: {run.name}, {state(run)}\n" for run in unfinished), end="")
    beside = runs[0].parent if folders[0] == runs[0] else runs[0]
    path = page_path or beside / "compare.html"
    path.write_text(page(found, pictures=pictures), encoding="utf-8")
    print(f"page: {path} (open it in any browser)")


if __name__ == "__main__":
    tyro.cli(main, prog="python -m training.compare", config=(tyro.conf.FlagConversionOff,))

"""Whether a run has solved its task, and after how many sequences, as the task states it.

Training sequences are new ones, each answered before it is trained on, so the rows of metrics about
training say how good the network is. They do not where a curriculum makes them easier than the task
is, or where there are so few that they come again, and they do not have the gap to an optimum: then
the validations decide. The evaluation at the end is one more measurement, the last.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tasks
from tasks.solved import GAP, Solved

SEQUENCES = 256
"""A mean over fewer training sequences says too little: 0.01 wrong bits is then one bit or none.

A row of metrics with fewer is joined with those before it. Validations have as many unless the run
says otherwise, and they are always the same sequences.
"""

Rows = Sequence[Mapping[str, Any]]


class Moment(NamedTuple):
    """How far a run was."""

    sequences: int
    seconds: float
    """of training"""


class Outcome(NamedTuple):
    """What a run came to by its task's statement of what is solved."""

    first: Moment | None
    """when the metric was first below the limit; None: it never was, as far as it was measured"""
    lowest: float | None
    """the lowest mean of the metric; None: it was never measured, or never finite"""
    on_the_way: bool
    """whether it was measured before the end"""


def outcome(
    rows: Rows, solved: Solved, curriculum: str, final: Mapping[str, float] | None = None
) -> Outcome:
    """Whether and when a run was solved.

    Args:
        rows: of metrics.jsonl, of all parts of the run.
        solved: what the task states.
        curriculum: of the run.
        final: the figures of the evaluation at the end on the setting that decides
            (`Solved.setting`), if there was one.

    >>> solved = tasks.make("copy").solved
    >>> rows = [{"sequences": 400 * i, "wrong_bits": 4.0 - i, "seconds": i} for i in (1, 2, 3, 4)]
    >>> outcome(rows, solved, "fixed")
    Outcome(first=Moment(sequences=1600, seconds=4), lowest=0.0, on_the_way=True)
    """
    first: Moment | None = None
    values: list[float] = []
    for moment, value in means(rows, solved, curriculum):
        values.append(value)
        if first is None and value < solved.below:
            first = moment
    on_the_way = bool(values)
    if final is not None and solved.metric in final:
        values.append(final[solved.metric])
        if first is None and values[-1] < solved.below:
            first = end(rows)
    return Outcome(first, min(filter(math.isfinite, values), default=None), on_the_way)


def outcome_of(
    config: Mapping[str, Any], rows: Rows, evaluation: Mapping[str, Mapping[str, float]]
) -> Outcome:
    """The outcome of a run of this config.json; evaluation: at its end, by setting, or empty.

    Raises:
        ValueError: the task is unknown, or has no such options.
    """
    task = tasks.make(config["task"], **config.get("task_options", {}))
    final = evaluation.get(task.solved.setting)
    return outcome(rows, task.solved, config.get("curriculum", "fixed"), final)


def column(metric: str, curriculum: str, held_out: bool = False) -> str:
    """The name in metrics.jsonl of a metric on the task as it is.

    >>> column("wrong_bits", "fixed"), column("wrong_bits", "mixed")
    ('wrong_bits', 'validation/wrong_bits')
    """
    new = curriculum == "fixed" and metric != GAP and not held_out
    return metric if new else f"validation/{metric}"


def means(rows: Rows, solved: Solved, curriculum: str) -> Iterator[tuple[Moment, float]]:
    """Each measurement of a metric: a validation, or a mean over enough training sequences."""
    metric = solved.metric
    name = column(metric, curriculum, solved.held_out)
    recent: deque[tuple[int, float]] = deque()  # how many sequences, and their mean
    before, seconds = 0, 0.0
    for row in rows:
        seconds = row.get("seconds", seconds)  # a row of a validation has the time of the last
        if name not in row:
            continue
        moment = Moment(int(row["sequences"]), seconds)
        if name != metric:
            yield moment, row[name]
            continue
        recent.append((moment.sequences - before, row[name]))
        before = moment.sequences
        count = sum(sequences for sequences, _ in recent)
        while count - recent[0][0] >= SEQUENCES:
            count -= recent.popleft()[0]
        if count >= SEQUENCES:
            yield moment, sum(sequences * value for sequences, value in recent) / count


def end(rows: Rows) -> Moment:
    """How far the run was at its last row."""
    seconds = [row["seconds"] for row in rows if "seconds" in row]
    return Moment(int(rows[-1]["sequences"]) if rows else 0, seconds[-1] if seconds else 0.0)


def unit(metric: str) -> str:
    """What a metric counts, in words.

    >>> unit("wrong_bits"), unit("bits_per_sequence")
    ('wrong bits a sequence', 'bits a sequence')
    """
    if metric == GAP:
        return "bits a sequence above the best possible predictor"
    return f"{'bits' if metric == 'bits_per_sequence' else metric.replace('_', ' ')} a sequence"


def amount(metric: str, value: float) -> str:
    """A figure in words.

    >>> amount("bits_per_sequence", 17.46)
    '17.5 bits a sequence'
    """
    return f"{value:.3g} {unit(metric)}"


def rule(solved: Solved) -> str:
    """When a task is solved, in words.

    >>> rule(tasks.make("priority_sort").solved)
    'below 18 bits a sequence'
    """
    return f"below {amount(solved.metric, solved.below)}"

"""How a call is divided: its rows among threads, its steps into segments.

Axes: B batch, T time.
"""

from __future__ import annotations

import math

import torch

from memnets.backends.cpu.plan import MOST_PAST, Plan

RECORD_BUDGET = 2**29
"""How many bytes of the memory's records a training call keeps at most for its backward; a longer
sequence is kept in segments, which the backward makes again (as with `checkpoint_every`)."""

ROWS_A_THREAD = 4
"""Below this many rows for each, another thread costs more than it brings."""


def threads(batch_size: int) -> int:
    """Return how many threads such a call takes: torch's number, with at least 4 rows for each."""
    return max(1, min(torch.get_num_threads(), batch_size // ROWS_A_THREAD))


LINKS_EVERY = MOST_PAST + 1
"""How many steps lie between two links that are kept. The backward makes the others again on its
way over them, which takes less time than to bring them back from memory."""


def links_every(time: int, segment: int) -> int:
    """Between how many steps to keep a link: each segment begins with one."""
    return LINKS_EVERY if segment >= time or segment % LINKS_EVERY == 0 else 1


def numbers_a_step(plan: Plan) -> int:
    """How many numbers the memory's records of one step of one row have, about."""
    problem = plan.problem
    rows = problem.word // SPAN
    rows += 8 * (problem.read_heads + problem.write_heads)
    rows += plan.links * problem.slots // LINKS_EVERY
    return rows * problem.slots


def written_a_step(plan: Plan) -> int:
    """How many numbers of one step of one row can be written again: the memory."""
    return plan.problem.word * plan.problem.slots


def segment(time: int, bytes_a_step: int, checkpoint_every: int | None) -> int:
    """How many steps' records to keep at once: all that the budget allows, else some sqrt(T).

    `bytes_a_step` are of the records of all rows.
    """
    if checkpoint_every is not None:
        return min(checkpoint_every, time)
    if time * bytes_a_step <= RECORD_BUDGET:
        return time
    return min(time, -(-(math.isqrt(time - 1) + 1) // LINKS_EVERY) * LINKS_EVERY)


def segment_in_graph(time: int, bytes_a_step: int, checkpoint_every: int | None) -> int:
    """As `segment`, for sizes that may be symbols, which have no root: as many as the budget holds.

    The comparisons become conditions on the sizes, for which torch.compile compiles anew.
    """
    if checkpoint_every is not None:
        return checkpoint_every if checkpoint_every < time else time
    if time * bytes_a_step <= RECORD_BUDGET:
        return time
    most = RECORD_BUDGET // bytes_a_step
    whole = most // LINKS_EVERY * LINKS_EVERY
    return whole or most or 1


SPAN = 4
"""How many steps' memories are kept at once where the backward writes them again: few enough that
they stay in the cache until it has used them."""
NEAR = 2**24
"""How many bytes of them, of all steps, are kept: up to here they come back from the processor's
caches, and sooner than they are written again."""


def span(time: int, segment: int, bytes_a_step: int) -> int:
    """For how many steps to keep at once what can be written again; `segment` is for all else.

    `bytes_a_step` are of all rows. Sizes may be symbols of a graph, as in `segment_in_graph`.
    """
    if segment < time:
        return segment
    return time if time <= SPAN or time * bytes_a_step <= NEAR else SPAN

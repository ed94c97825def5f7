"""How many numbers the kernel keeps and works with, and where each part of them begins.

`memory_sizes` says of a memory what csrc/ntm.h and csrc/dnc.h do, for vectors of 32 numbers; a test
compares the two.

Axes: B batch, T time, N memory slots, W word, R read heads, H write heads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import NamedTuple

from memnets.backends.cpu.plan import ABSENT, LSTM, Layer, Plan, Problem

LANES = 32
LINE = 64
"""Bytes: each part of what is kept begins at a multiple of them."""
LINK_COLUMNS, LINK_SUMS = 12, 6
"""Rows that a pass over a link takes, and those that each warp adds up (csrc/links.h)."""
TILE = 4
"""Rows that a product takes at once (csrc/block_products.h)."""


class MemorySizes(NamedTuple):
    """Numbers of one row of the batch."""

    running: int
    """What its steps update in place."""
    written: int
    kept: int
    """Of a record, and in that of the state:"""
    state: int
    carry: int
    """The gradients that a backward carries."""
    work: int
    """What a step works with."""

    def times(self, length: int) -> MemorySizes:
        """Of rows, the numbers."""
        return MemorySizes(*(length * rows for rows in self))


def padded(count: int) -> int:
    """A count of numbers in whole vectors."""
    return -(-count // LANES) * LANES


def memory_sizes(problem: Problem, warps: int = 1) -> MemorySizes:
    """The sizes of a memory, of whose rows so many warps each take one together."""
    slots, word = problem.slots, problem.word
    readers, writers = problem.read_heads, problem.write_heads
    length = padded(slots)
    if not problem.dnc:
        heads = readers + writers
        reach = max(problem.heads[index].shift_range for index in range(heads))
        rows = MemorySizes(0, word + 1, 6 * heads, heads, word + heads, 5).times(length)
        return rows._replace(work=rows.work + 2 * padded(length + 2 * reach + LANES))
    places = problem.dnc.contents
    links = 0 if places.read_modes == ABSENT else writers
    running = links * slots
    state = 1 + links + readers + writers
    ways = 2 * readers * links
    kept = state + 5 * writers + 3 * readers + ways * (1 if places.sharpenings == ABSENT else 2)
    carry = word + 1 + links + readers + writers + running
    columns = LINK_COLUMNS + LINK_SUMS * warps
    work = 6 + ways + 2 * writers + columns + readers + (2 if places.wipe else 0)
    return MemorySizes(running, word + 1, kept, state, carry, work).times(length)


def numbers_a_step(problem: Problem) -> int:
    """How many numbers a row keeps of the memory for a step of training."""
    memory = memory_sizes(problem)
    return memory.kept + memory.written + memory.running


def parts(
    problem: Problem,
    layers: ctypes.Array[Layer],
    *,
    time: int,
    batch: int,
    segment: int,
    starts: bool,
) -> Iterator[tuple[Problem | Layer, str, int]]:
    """Each part of what is kept, as csrc/kernel.cpp has it: what points to it, by which name, and
    how many numbers it has.

    Links of every step are kept, and memories of as many as a segment has. The sizes of a call may
    be symbols of a graph.
    """
    memory, times = memory_sizes(problem), time if problem.times_kept else 1
    yield problem, "raw", times * batch * problem.numbers
    yield problem, "values", times * batch * problem.numbers
    for layer in layers:
        yield layer, "z", (times + 1) * batch * layer.width
        yield layer, "gates", times * batch * layer.rows
        yield layer, "cell", (times + 1) * batch * problem.hidden if problem.cell == LSTM else 0
    yield problem, "records", batch * (segment + 1) * memory.kept
    yield problem, "written", batch * (segment + 1) * memory.written
    links = memory.running if problem.times_kept else 0
    yield problem, "links", batch * (segment + 1) * links
    several = problem.times_kept and segment < time
    spans = -(-time // segment) if several else 0
    yield problem, "checkpoints", batch * spans * (memory.written + memory.state + links)
    fresh = memory.written + memory.kept + links
    yield problem, "fresh", batch * fresh if starts else 0


def divide(problem: Problem, layers: ctypes.Array[Layer], address: int | None, size: int) -> int:
    """Point to the parts of what is kept; return how many numbers it takes.

    Args:
        problem: whose pointers are set.
        layers: of its controller.
        address: where it begins; None to ask for the size alone.
        size: of a number, in bytes.
    """
    used, line, starts = 0, LINE // size, problem.starts is not None
    call = {"time": problem.time, "batch": problem.batch, "segment": problem.segment}
    for owner, name, count in parts(problem, layers, **call, starts=starts):
        setattr(owner, name, None if address is None or not count else address + used * size)
        used += -(-count // line) * line
    return used


def most_kept(plan: Plan, size: int, *, time: int, batch: int, segment: int, starts: bool) -> int:
    """At least as many numbers as `divide` says of a call of training, in sizes of a graph."""
    problem = Problem.from_buffer_copy(plan.problem)
    problem.times_kept = 1
    call = {"time": time, "batch": batch, "segment": segment}
    counts = [count for *_, count in parts(problem, plan.layers, **call, starts=starts)]
    return sum(counts) + len(counts) * (LINE // size)


def arena_size(
    problem: Problem, layers: ctypes.Array[Layer], rows: int, threads: int, forward: bool
) -> int:
    """How many numbers a block of `threads` takes to work with, for `rows` rows of the batch."""
    memory, hidden = memory_sizes(problem, threads // LANES // rows), problem.hidden
    parts = [TILE * threads, rows * padded(memory.work)]
    if forward:
        return sum(map(padded, [*parts, rows * memory.running]))
    reads = problem.read_heads * problem.word
    outputs = hidden * (problem.depth if problem.skip else 1)
    widest = max(layer.width for layer in layers)
    parts += [rows * memory.carry, rows * reads, rows * padded(problem.numbers), rows * outputs]
    parts += [rows * hidden, *2 * [problem.depth * rows * hidden]]
    parts += [rows * memory.carry if problem.starts else 0]
    parts += [rows * widest, max(widest, outputs + reads)]
    if problem.checkpoints:
        parts += [rows * memory.running, rows * padded(reads)]
    return sum(map(padded, parts))

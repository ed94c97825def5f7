"""The kernel on the CPU as what runs an operator's calls: see `engines.Engine`.

Axes: B batch, T time.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from memnets.backends.cpu import compiling, division, node
from memnets.backends.cpu.buffers import ALIGNMENT
from memnets.backends.cpu.division import links_every, span, written_a_step
from memnets.backends.cpu.library import load, reason_against
from memnets.backends.cpu.plan import Plan, Problem
from memnets.backends.cpu.problems import Call, Tensors


class Rates(NamedTuple):
    """How many numbers a row keeps."""

    step: int
    """Of each step, besides the memory's record."""
    once: int
    kept: int
    """Of a record, what is kept until the backward,"""
    written: int
    """what it can have written again,"""
    links: int
    """and what it has of every few steps."""
    state: int
    """Of a state to begin a segment from."""
    fresh: int
    """For its starts."""


@functools.lru_cache(maxsize=64)
def _rates(plan: Plan, dtype: torch.dtype) -> Rates:
    """Ask the kernel itself, for sizes so small that they tell these apart."""

    def divided(time: int, segment: int, span: int, links: int = 1, starts: bool = False) -> int:
        rows = ALIGNMENT  # so many that no part is rounded up
        problem = Problem.from_buffer_copy(plan.problem)
        layers = type(plan.layers).from_buffer_copy(plan.layers)
        problem.layers = layers
        problem.time, problem.batch, problem.segment, problem.span = time, rows, segment, span
        problem.times_kept, problem.links_every = 1, links
        problem.starts = ALIGNMENT if starts else None  # is asked for, and not read
        return load(dtype).memnets_divide(ctypes.byref(problem), None) // rows

    least, longer = divided(1, 1, 1), divided(1, 2, 1)
    whole = divided(1, 2, 2)
    every, written = longer - least, whole - longer
    links = longer - divided(1, 2, 1, 2)
    step = divided(2, 2, 2) - whole
    state = (divided(2, 1, 1) - divided(2, 2, 2) + every + written) // 2
    once = least - step - 2 * (every + written)
    fresh = divided(1, 1, 1, starts=True) - least
    return Rates(step, once, every - links, written, links, state, fresh)


def _span(plan: Plan, dtype: torch.dtype, time: int, batch: int, segment: int) -> int:
    return span(time, segment, batch * written_a_step(plan) * dtype.itemsize)


SPENT = -1
"""Which of the numbers that are kept says whether a backward has used them: none of the kernel's,
as `kept_numbers` has a cache line more than it takes."""

_used: set[int] = set()
_returned = threading.Condition()


@contextmanager
def _alone(kept: Tensor) -> Iterator[None]:
    """Let one thread at a time use what is kept: a backward writes to it."""
    address = kept.data_ptr()
    with _returned:
        _returned.wait_for(lambda: address not in _used)
        _used.add(address)
    try:
        yield
    finally:
        with _returned:
            _used.remove(address)
            _returned.notify_all()


class Host:
    """The CPU: see `engines.Engine`."""

    begins = True
    logits = True

    def reason_against(self, device: torch.device, dtype: torch.dtype, plan: Plan) -> str | None:
        """As `engines.Engine` says."""
        if device.type != "cpu":
            return "It takes dense tensors on the CPU; one is not."
        return reason_against(dtype)

    def name(self, dtype: torch.dtype) -> str:
        """The sources, the instruction set, and the lengths of spans."""
        vectors = load(dtype).memnets_vectors().decode()
        sizes = division.SPAN, division.NEAR, division.LINKS_EVERY
        return " ".join(map(str, (compiling.digest_of_sources()[:12], vectors, *sizes)))

    def threads(self, batch: int) -> int:
        """As `division.threads`."""
        return division.threads(batch)

    def numbers_a_step(self, plan: Plan) -> int:
        """As `division.numbers_a_step`."""
        return division.numbers_a_step(plan)

    def kept_numbers(
        self, plan: Plan, dtype: torch.dtype, time: int, batch: int, segment: int, starts: bool
    ) -> int:
        """The most that the kernel takes, and a cache line."""
        rates = _rates(plan, dtype)
        steps = _span(plan, dtype, time, batch, segment)
        spans = (time + steps - 1) // steps
        state = rates.state if segment < time else rates.written
        records = (segment + 1) * rates.kept + (steps + 1) * rates.written + spans * state
        records += (segment // links_every(time, segment) + 1) * rates.links
        row = time * rates.step + rates.once + records + starts * rates.fresh
        parts = 7 + 3 * plan.problem.depth  # each begins at a cache line of its own
        return batch * row + (parts + 1) * ALIGNMENT

    def forward(self, call: Call, tensors: Tensors, least: int) -> tuple[Sequence[Tensor], Tensor]:
        """As `node.forward`."""
        outputs, kept = node.forward(call, tensors, least)
        if kept is None:
            return outputs, tensors.x.new_empty(0)
        assert kept.numel() == least
        if self._several(call, tensors.x):
            kept.data[SPENT] = 0
        return outputs, kept

    def backward(
        self,
        call: Call,
        tensors: Tensors,
        wanted: Tensors,
        d_outputs: Sequence[Tensor | None],
        outputs: Sequence[Tensor],
        kept: Tensor,
    ) -> list[Tensor | None]:
        """As `node.backward`; a second one finds in what is kept that it is the second."""
        if kept.data_ptr() % ALIGNMENT:
            kept = node.aligned(kept)
        with _alone(kept):
            several = self._several(call, tensors.x)
            spent = several and bool(kept[SPENT])
            if several:
                kept.data[SPENT] = 1  # so that autograd does not count it as a change
            return node.backward(call, tensors, wanted, d_outputs, outputs, kept, spent)

    def _several(self, call: Call, x: Tensor) -> bool:
        """Whether there are several spans, of which a backward overwrites the last."""
        time, batch = x.shape[:2]
        return _span(call.plan, x.dtype, time, batch, call.segment) < time

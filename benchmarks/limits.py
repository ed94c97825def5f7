"""How much a step must compute and move: counted by hand, to compare a time with the limit.

A multiplication and an addition count as two operations (flops), a function of one number (exp,
log, tanh, division) as one. Bytes are what must pass between memory and processor if nothing but
the state, the parameters, the input and the output exists: what a step of ideal code touches.

Axes: B batch, T time, N memory slots, W word, R read heads, S shifts, I input, O output. One write
head, LSTM controller, 4 bytes a number unless it says otherwise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from benchmarks.cases import Case
from memnets import fused

SHIFTS = 3
BYTES = 4


def emitted(case: Case) -> int:
    """How many numbers the interface has: the columns of its linear map.

    >>> emitted(Case(kind="DNC", word_size=64, read_heads=4))
    471
    """
    return COSTS[case.kind].emitted(case)


def parameters(case: Case) -> int:
    """How many numbers are learned (the LSTM's two biases counted once, as they can be merged)."""
    read_size = case.read_heads * case.word_size
    controller = 4 * case.hidden_size * (case.input_size + read_size + case.hidden_size + 1)
    interface = emitted(case) * (case.hidden_size + 1)
    return controller + interface + case.output_size * (case.hidden_size + read_size + 1)


def state(case: Case) -> int:
    """How many numbers one sequence carries from step to step.

    Memory NW, weightings (R + 1)N, read vectors RW, the LSTM's 2 hidden; the DNC also usage N,
    precedence N and link N^2.
    """
    slots, reads = case.memory_size, case.read_heads
    common = slots * case.word_size + (reads + 1) * slots + reads * case.word_size
    common += 2 * case.hidden_size
    return common + COSTS[case.kind].more_state(case) + COSTS[case.kind].links(case)


def forward_flops(case: Case) -> dict[str, float]:
    """Operations of one forward step of the whole batch, by what they are for."""
    batch, slots, words = case.batch, case.memory_size, case.word_size
    reads, hidden = case.read_heads, case.hidden_size
    heads = reads + 1
    # Products of the gates, then for each hidden unit: 4 biases, 4 activations, f c + i g (3),
    # tanh, and the output gate.
    lstm = 8 * hidden * (case.input_size + reads * words + hidden) + 13 * hidden
    found = {
        "controller": lstm,
        # The product, the bias and the activation.
        "interface": emitted(case) * (2 * hidden + 2),
        # Products with every slot; norm, strength and softmax (4) for each; the norms of slots
        # and keys.
        "content": heads * slots * (2 * words + 6) + (slots + heads) * (2 * words + 1),
        # M (1 - w e) + w a
        "write": 5 * slots * words,
        "read": 2 * reads * slots * words,
        "readout": case.output_size * (2 * (hidden + reads * words) + 1),
        **COSTS[case.kind].location(case),
    }
    return {name: batch * float(count) for name, count in found.items()}


def _ntm_emitted(case: Case) -> int:
    # Key W, strength, gate, shift S, sharpening for each head; erase and add W for the write head.
    return (case.read_heads + 1) * (case.word_size + 3 + SHIFTS) + 2 * case.word_size


def _dnc_emitted(case: Case) -> int:
    # Graves et al. 2016, Methods: WR + 3W + 5R + 3.
    return case.word_size * (case.read_heads + 3) + 5 * case.read_heads + 3


def _ntm_location(case: Case) -> dict[str, float]:
    # Interpolation (3), circular convolution (2 S), log, power and normalisation (6), per slot.
    return {"location": (case.read_heads + 1) * case.memory_size * (9 + 2 * SHIFTS)}


def _dnc_location(case: Case) -> dict[str, float]:
    slots, reads = case.memory_size, case.read_heads
    retention_and_usage = 3 * reads * slots + 4 * slots
    allocation = slots * (math.log2(slots) + 4)  # comparisons of a sort; log, sum, exp, product
    write_weighting = 4 * slots
    precedence = 3 * slots
    read_weighting = 6 * reads * slots
    return {
        "location": retention_and_usage
        + allocation
        + write_weighting
        + precedence
        + read_weighting,
        # (1 - w_i - w_j) L + w_i p_j, then L w and L^T w for every read head.
        "link": slots**2 * (5 + 4 * reads),
    }


class Costs(NamedTuple):
    """The cost model of a kind of memory: what differs between the kinds, per row of the batch."""

    emitted: Callable[[Case], int]
    """numbers of the interface"""
    location: Callable[[Case], dict[str, float]]
    """operations of what is addressed otherwise than by content, by what they are for"""
    more_state: Callable[[Case], int] = lambda case: 0
    """numbers of the state beside memory, weightings, read vectors and controller"""
    links: Callable[[Case], int] = lambda case: 0
    """numbers of the state that grow with the square of the slots"""


COSTS = {
    "NTM": Costs(_ntm_emitted, _ntm_location),
    "DNC": Costs(
        _dnc_emitted,
        _dnc_location,
        more_state=lambda case: 2 * case.memory_size,
        links=lambda case: case.memory_size**2,
    ),
}


def step_flops(case: Case, one_pass: str) -> float:
    """Operations of one step of a pass, `forward` or `training`.

    Training is three times forward: each product has two products of its size as derivatives.
    """
    return sum(forward_flops(case).values()) * (3 if one_pass == "training" else 1)


def step_bytes(case: Case, one_pass: str) -> float:
    """Bytes that one step of a pass must move.

    Forward: parameters and state read, state written, x_t read, y_t written. Training: the same,
    and on the way back the parameters, the state as it was before the step, and the state's
    gradient, read and written. Gradients of parameters, once a sequence, are neglected.
    """
    carried = case.batch * state(case)
    outside = case.batch * (case.input_size + case.output_size)
    if one_pass == "training":
        return BYTES * float(2 * parameters(case) + 5 * carried + 2 * outside)
    return BYTES * float(parameters(case) + 2 * carried + outside)


LINKS_KEPT = 4
MEMORIES_KEPT = 6


def kept_by_autograd(case: Case, itemsize: int = BYTES) -> float:
    """Bytes that a step-by-step loop under autograd holds at the end of a sequence, about.

    A step keeps some four tensors of the link's size and six of the memory's: as `--memory` shows.
    It decides whether a case is tried at all.
    """
    links = COSTS[case.kind].links(case)
    step = LINKS_KEPT * links + MEMORIES_KEPT * case.memory_size * case.word_size
    return float(itemsize * case.batch * case.steps * step)


def kept_by_fused(case: Case, itemsize: int = BYTES) -> float:
    """Bytes that the fused backend holds at the end of a sequence, at most about.

    Beyond its budget for records it keeps segments, and makes the rest again.
    """
    return min(kept_by_autograd(case, itemsize), float(fused.RECORD_BUDGET))


def best_of(run: Callable[[], object], *, seconds: float = 1.0) -> float:
    """The shortest time of a function in seconds, over many calls: the machine at its best."""
    run()
    best, ends = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best


def peak_flops(size: int = 768) -> float:
    """Operations a second of a large square float32 product, with the threads torch has now."""
    matrix = torch.ones(size, size)
    made = torch.empty(size, size)
    return 2 * size**3 / best_of(lambda: torch.mm(matrix, matrix, out=made))


def copy_rate(size: float) -> float:
    """Bytes a second (read and written) of a copy between two tensors that together hold `size`.

    The size matters: what fits in a cache moves several times faster.
    """
    source = torch.ones(max(int(size / BYTES / 2), 1024))
    target = torch.empty_like(source)
    return 2 * BYTES * source.numel() / best_of(lambda: target.copy_(source))

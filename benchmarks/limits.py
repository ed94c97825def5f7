"""How much a step must compute and move, to compare a time with the limit.

The operations of products are counted by torch's `FlopCounterMode` while the reference runs, on
tensors without data. It counts nothing else, so those of functions of single numbers are stated
here; so are the shares of the parts, whose sum the count must equal. A multiplication and an
addition count as two operations (flops), a function of one number (exp, log, tanh, division) as
one. Bytes are what must pass between memory and processor if nothing but the state, the parameters,
the input and the output exists: what a step of ideal code touches.

Axes: B batch, T time, N memory slots, W word, R read heads, S shifts, I input, O output. One write
head, LSTM controller, 4 bytes a number unless it says otherwise.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import contestants
from benchmarks.cases import Case
from memnets import MemoryLayer
from memnets.backends import cpu as fused
from memnets.state import leaves
from training.baselines.costs import Costs
from training.options.models import MODELS

BYTES = 4


@functools.cache
def _layer(case: Case) -> MemoryLayer:
    """The layer of a case, without data."""
    with torch.device("meta"):
        return contestants.layer(case, "reference")


def emitted(case: Case) -> int:
    """How many numbers the interface has: the columns of its linear map.

    >>> emitted(Case(kind="DNC", word_size=64, read_heads=4))
    471
    """
    return _layer(case).interface.linear.out_features


def parameters(case: Case) -> int:
    """How many numbers are learned (the LSTM's two biases counted once, as they can be merged)."""
    learned = sum(parameter.numel() for parameter in _layer(case).parameters())
    return learned - 4 * case.hidden_size


def state(case: Case) -> int:
    """How many numbers one sequence carries from step to step."""
    return sum(tensor.numel() for tensor in leaves(_layer(case).initial_state(1)))


@functools.cache
def counted_products(case: Case, one_pass: str) -> int:
    """Operations of all products in one step of a pass, `forward` or `training`, by the profiler.

    The step is one inside a sequence: the state before the first has no gradient.
    """
    return _products_of(case, 3, one_pass) - _products_of(case, 2, one_pass)


def _products_of(case: Case, steps: int, one_pass: str) -> int:
    x = torch.empty(steps, case.batch, case.input_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        y, _ = _layer(case)(x)
        if one_pass == "training":
            torch.autograd.grad(y.sum(), list(_layer(case).parameters()))
    return counter.get_total_flops()


def costs(case: Case) -> Costs:
    """The cost model of the memory of a case."""
    for model in MODELS.values():
        if model.costs is not None and model.constructor is contestants.constructor(case.kind):
            return model.costs
    raise ValueError(f"{case.kind} has no cost model: give it one where it is registered.")


def products(case: Case) -> dict[str, float]:
    """Operations of the products of one forward step of the whole batch, by part."""
    hidden, reads = case.hidden_size, _layer(case).read_heads * case.word_size
    found = {
        "controller": 8 * hidden * (case.input_size + reads + hidden),
        "interface": 2 * hidden * emitted(case),
        "readout": 2 * case.output_size * (hidden + reads),
    }
    found |= costs(case).products(case)
    return {name: case.batch * float(count) for name, count in found.items()}


def elementwise(case: Case) -> dict[str, float]:
    """Operations on single numbers in one forward step of the whole batch, by part."""
    hidden = case.hidden_size
    found = {
        # For each hidden unit: 4 biases, 4 activations, f c + i g (3), tanh, and the output gate.
        "controller": 13 * hidden,
        # The bias and the activation.
        "interface": 2 * emitted(case),
        "readout": case.output_size,
        **costs(case).elementwise(case),
    }
    return {name: case.batch * float(count) for name, count in found.items()}


def forward_flops(case: Case) -> dict[str, float]:
    """Operations of one forward step of the whole batch, by what they are for."""
    one, other = products(case), elementwise(case)
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}


def step_flops(case: Case, one_pass: str) -> float:
    """Operations of one step of a pass, `forward` or `training`.

    Products are counted. In training, those on single numbers count three times, as each product
    does: it has two products of its size as derivatives.
    """
    single = sum(elementwise(case).values()) * (3 if one_pass == "training" else 1)
    return counted_products(case, one_pass) + single


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
    links = costs(case).links(case)
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

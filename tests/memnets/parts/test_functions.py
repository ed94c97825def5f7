"""exp, log, tanh, sigmoid and softplus of the compiled kernel, against wider numbers and mpmath.

Every float32 there is: `python -m tests.stress.functions`.
"""

import mpmath
import numpy as np
import pytest
import torch

from memnets.backends.cpu import library
from tests.functions import LIMIT, NAMES, apply, largest_error

DTYPES = {torch.float32: np.float32, torch.float64: np.float64}
EXACT = {
    "exponential": mpmath.exp,
    "logarithm": mpmath.log,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: x if x > 20 else mpmath.log1p(mpmath.exp(x)),
}


@pytest.fixture(scope="module", params=DTYPES, ids=["float32", "float64"])
def kernel(request):
    if request.param is torch.float64 and np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("numpy has no numbers wider than float64 on this platform")
    return DTYPES[request.param], library.load(request.param)


def special(number):
    """Zeros, infinities, NaN, the ends of the range, where a formula changes, and neighbours."""
    info = np.finfo(number)
    edges = [0, info.smallest_subnormal, info.tiny, info.max, np.inf, 1, 0.55, 20, 0.5**0.5, 2**0.5]
    edges += [-np.log(np.longdouble(info.smallest_subnormal)), np.log(np.longdouble(info.max))]
    edges = np.array(edges, number)
    with np.errstate(over="ignore"):
        near = [edges, np.nextafter(edges, number(-np.inf)), np.nextafter(edges, number(np.inf))]
    near = np.concatenate(near)
    return np.concatenate([near, -near, [number(np.nan)]])


def spread(number):
    """Numbers of every size: over all bit patterns, and over the ranges where something happens."""
    if number is np.float32:
        every = np.arange(0, 2**32, 65_521).astype(np.uint32).view(number)
    else:
        every = np.arange(0, 2**64, 2**64 // 65_521, dtype=np.uint64).view(number)
    ranges = [(-1e-3, 1e-3), (-1, 1), (-20, 20), (-110, 90), (-750, 710), (0, 2), (0.99, 1.01)]
    return np.concatenate([every, *(np.linspace(*ends, 20_000).astype(number) for ends in ranges)])


@pytest.mark.parametrize("name", NAMES)
def test_within_two_units_in_the_last_place(kernel, name):
    number, compiled = kernel
    x = np.concatenate([special(number), spread(number)])
    error, at = largest_error(compiled, name, x)
    assert error <= LIMIT, f"{error} at {at}"


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_mpmath(name):
    x = np.concatenate([np.geomspace(1e-300, 700, 150), np.linspace(0.4, 1.6, 50)])
    if name != "logarithm":
        x = np.concatenate([x, -x])
    actual = apply(library.load(torch.float64), name, x, flush=False)
    with mpmath.workdps(400):
        exact = [EXACT[name](mpmath.mpf(float(one))) for one in x]
        distances = [
            abs((mpmath.mpf(float(y)) - want) / mpmath.mpf(float(np.spacing(np.abs(float(want))))))
            for y, want in zip(actual, exact, strict=True)
        ]
    assert max(distances) <= LIMIT


def test_a_part_of_a_vector_writes_no_further(kernel):
    number, compiled = kernel
    for count in range(1, 20):
        room = np.full(count + 20, 7, number)
        inside = room[1 : 1 + count]
        inside[:] = 0
        apply(compiled, "exponential", inside, flush=False, out=inside)
        assert (inside == 1).all()
        assert (np.delete(room, np.s_[1 : 1 + count]) == 7).all()

"""The kernel's functions, called over arrays, and how far they are from the exact value."""

from __future__ import annotations

import ctypes

import numpy as np

NAMES = ("exponential", "logarithm", "tanh", "sigmoid", "softplus")
"""In the order of csrc/apply.h."""
LIMIT = 2.0
"""Units in the last place."""
WIDE = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}
"""The numbers that the exact value is computed in."""


def apply(
    kernel: ctypes.CDLL, name: str, x: np.ndarray, *, flush: bool, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the function of every number, as the kernel has it; in `out` if that is given."""
    y = np.empty_like(x) if out is None else out
    addresses = [ctypes.c_void_p(one.ctypes.data) for one in (x, y)]
    number, count = ctypes.c_int64(NAMES.index(name)), ctypes.c_int64(x.size)
    kernel.memnets_apply(number, *addresses, count, ctypes.c_int64(flush))
    return y


def exact(name: str, x: np.ndarray) -> np.ndarray:
    """Return the function of every number, in wider numbers."""
    with np.errstate(all="ignore"):
        wide = x.astype(WIDE[x.dtype])
        if name == "exponential":
            return np.exp(wide)
        if name == "logarithm":
            return np.log(wide)
        if name == "tanh":
            return np.tanh(wide)
        power = np.exp(-np.abs(wide))
        if name == "sigmoid":
            return np.where(wide < 0, power, 1) / (1 + power)
        return np.where(wide > 20, wide, np.maximum(wide, 0) + np.log1p(power))


def errors(expected: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance of y from the exact value in units in the last place of the latter.

    It is infinite where one of the two is NaN, or infinite, and the other is not.
    """
    info = np.finfo(y.dtype)
    with np.errstate(all="ignore"):
        rounded = expected.astype(y.dtype)
        size = np.maximum(np.abs(expected), expected.dtype.type(info.tiny))
        distance = np.abs(y - expected) / _power_of_two(size) * 2.0**info.nmant
    odd = ~np.isfinite(distance)
    same = (y[odd] == rounded[odd]) | (np.isnan(y[odd]) & np.isnan(rounded[odd]))
    distance[odd] = np.where(same, 0, np.inf)
    return distance


def _power_of_two(x: np.ndarray) -> np.ndarray:
    """The largest power of 2 that is not above x."""
    if x.dtype == np.float64:  # infinity and NaN stay infinite
        return (x.view(np.int64) & 0x7FF0_0000_0000_0000).view(np.float64)
    return np.ldexp(x.dtype.type(1), np.frexp(x)[1] - 1)


def flushed_errors(name: str, x: np.ndarray, expected: np.ndarray, y: np.ndarray) -> np.ndarray:
    """As `errors`; but a number too small to be normal may be read, and written, as 0."""
    found = errors(expected, y)
    tiny = np.finfo(x.dtype).tiny
    small = np.abs(x) < tiny
    as_zero = errors(exact(name, np.copysign(x.dtype.type(0), x[small])), y[small])
    found[small] = np.minimum(found[small], as_zero)
    found[(y == 0) & (np.abs(expected) <= tiny)] = 0
    return found


def largest_error(kernel: ctypes.CDLL, name: str, x: np.ndarray) -> tuple[float, float]:
    """Return the largest error over x, and where it is, with tiny numbers kept and flushed."""
    expected = exact(name, x)
    kept, flushed = (apply(kernel, name, x, flush=flush) for flush in (False, True))
    found = errors(expected, kept)
    other = (kept != flushed) & ~(np.isnan(kept) & np.isnan(flushed))
    found[other] = np.maximum(
        found[other], flushed_errors(name, x[other], expected[other], flushed[other])
    )
    worst = int(found.argmax())
    return float(found[worst]), float(x[worst])

"""`python -m tests.stress.coefficients`: the polynomials' coefficients in csrc/functions.h.

Each polynomial interpolates its function at Chebyshev points of its interval, in 60 digits: that is
within a factor of about two of the smallest possible largest error. Needs mpmath.
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import chop, cos, exp, log, lu_solve, matrix, mp, mpf, pi, sqrt, tanh


def interpolated(function: Callable[[mpf], mpf], low: mpf, high: mpf, degree: int) -> list[mpf]:
    """Return the coefficients of the polynomial through degree + 1 Chebyshev points."""
    count = degree + 1
    points = [
        (low + high) / 2 + (high - low) / 2 * cos(pi * (2 * k + 1) / (2 * count))
        for k in range(count)
    ]
    powers = matrix(count, count)
    for row, point in enumerate(points):
        for power in range(count):
            powers[row, power] = point**power
    return list(lu_solve(powers, matrix([function(point) for point in points])))


def exponential_rest(r: mpf) -> mpf:
    """Return (e^r - 1 - r) / r^2."""
    if abs(r) < mpf(10) ** -15:
        return mpf(1) / 2 + r / 6
    return (exp(r) - 1 - r) / r**2


def logarithm_rest(z: mpf) -> mpf:
    """Return (log((1 + s) / (1 - s)) / s - 2) / z, where z = s^2."""
    s = sqrt(z)
    return (log((1 + s) / (1 - s)) / s - 2) / z


def tanh_rest(z: mpf) -> mpf:
    """Return (tanh(x) / x - 1) / z, where z = x^2."""
    x = sqrt(z)
    return (tanh(x) / x - 1) / z


def main() -> None:
    """Print them, lowest power first, and the two parts of log 2."""
    mp.dps = 60
    half = log(2) / 2
    largest = ((sqrt(2) - 1) / (sqrt(2) + 1)) ** 2
    for name, degrees in (("float", (4, 2, 4)), ("double", (10, 6, 10))):
        for title, function, low, high, degree in (
            ("exponential", exponential_rest, -half, half, degrees[0]),
            ("logarithm", logarithm_rest, mpf(0), largest, degrees[1]),
            ("tanh", tanh_rest, mpf(0), mpf("0.55") ** 2, degrees[2]),
        ):
            found = [mp.nstr(chop(one), 20) for one in interpolated(function, low, high, degree)]
            print(f"{name} {title}: {', '.join(found)}")
    for name, bits in (("float", 12), ("double", 32)):
        scale = mpf(2) ** bits
        high = mp.nint(log(2) * scale) / scale
        print(f"{name} log 2: {mp.nstr(high, 20)} + {mp.nstr(log(2) - high, 20)}")


if __name__ == "__main__":
    main()

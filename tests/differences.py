"""How far the tests are from what they compare with: a plugin of pytest that prints it.

`python -m pytest -n 0 -p tests.differences tests/memnets/parts` prints, of each test that compares
float64 arrays with NumPy, the largest absolute difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

FOUND = pytest.StashKey[dict[str, float]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing found."""
    config.stash[FOUND] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Keep the largest difference that the test compares, over all its parameters."""
    name, found = item.nodeid.split("[")[0], item.config.stash[FOUND]
    compare = np.testing.assert_allclose

    def noted(actual: Any, desired: Any, *options: Any, **named: Any) -> None:
        compare(actual, desired, *options, **named)
        if np.asarray(actual).dtype == np.float64 and np.size(actual):
            apart = float(np.max(np.abs(np.asarray(actual) - desired)))
            found[name] = max(found.get(name, 0.0), apart)

    np.testing.assert_allclose = noted
    try:
        yield
    finally:
        np.testing.assert_allclose = compare


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print them."""
    for name, apart in sorted(terminalreporter.config.stash[FOUND].items()):
        terminalreporter.write_line(f"{apart:9.1e}  {name}")

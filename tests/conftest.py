"""One thread for torch (two under load are many times slower), and property tests that draw the
same cases every time.
"""

import sys

import hypothesis
import pytest
import torch

torch.set_num_threads(1)

hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=50,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Let hypothesis report a failing case where libcst is installed, whose import warns."""
    config.addinivalue_line(
        "filterwarnings", "ignore:mypy_extensions.TypedDict is deprecated:DeprecationWarning"
    )


@pytest.fixture(autouse=True)
def no_graphs_of_other_tests() -> None:
    """torch.compile makes eight graphs of a function in a process, and refuses the ninth."""
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()

"""One thread for torch (two under load are many times slower), and property tests that draw the same cases every time."""

import hypothesis
import torch

torch.set_num_threads(1)

hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")

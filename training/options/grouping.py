"""Runs that differ only in the seed and in what is logged: one group, in W&B and when compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# The seed, and what changes nothing about the weights that a run learns.
APART = ("seed", "name", "folder", "resume", "threads", "wandb", "wandb_options", "weights")
APART_IN_RUN = (
    "log_every",
    "evaluate_every",
    "evaluation_sequences",
    "checkpoint_every",
    "pictures",
)


def of_group(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the runs of a group have in common.

    >>> of_group({"task": "copy", "seed": 3, "name": "mine"})
    {'task': 'copy'}
    >>> of_group({"task": "copy", "run": {"sequences": 800, "log_every": 50}})
    {'task': 'copy', 'run': {'sequences': 800}}
    """
    found = {name: value for name, value in config.items() if name not in APART}
    if "run" in found:
        run = found["run"].items()
        found["run"] = {name: value for name, value in run if name not in APART_IN_RUN}
    return found


def group_name(config: Mapping[str, Any]) -> str:
    """A name for the group of a configuration, the same on every machine.

    >>> group_name({"task": "copy", "model": "ntm", "seed": 3})
    'copy__ntm__5ac8'
    """
    content = json.dumps(of_group(config), sort_keys=True).encode()
    return f"{config['task']}__{config['model']}__{hashlib.sha256(content).hexdigest()[:4]}"

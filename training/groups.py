"""Runs whose configurations differ only in the seed are one group: in W&B, and when compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# The seed, and what does not decide what a run computes.
APART = ("seed", "name", "folder", "resume", "threads", "wandb", "wandb_options", "weights")


def of_group(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the runs of a group have in common.

    >>> of_group({"task": "copy", "seed": 3, "name": "mine"})
    {'task': 'copy'}
    """
    return {name: value for name, value in config.items() if name not in APART}


def group_name(config: Mapping[str, Any]) -> str:
    """A name for the group of a configuration, the same on every machine.

    >>> group_name({"task": "copy", "model": "ntm", "seed": 3})
    'copy__ntm__5ac8'
    """
    content = json.dumps(of_group(config), sort_keys=True).encode()
    return f"{config['task']}__{config['model']}__{hashlib.sha256(content).hexdigest()[:4]}"

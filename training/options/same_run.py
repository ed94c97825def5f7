"""What a run that goes on may change and still be the same run; all else is refused by name."""

from __future__ import annotations

from typing import Any

from training.options.config import OPTION_GROUPS, Config, flat, to_json

CHANGEABLE = ("run.sequences", "run.non_finite", "device")
"""What may be asked for beside --resume, apart from what W&B is told."""

PLACE = ("name", "folder", "resume")
"""Where a run is kept: a run folder may be moved."""


def differences(before: Config, after: Config) -> dict[str, tuple[Any, Any]]:
    """The fields that differ, W&B's apart, by the names of their flags: (before, after).

    Of another task, model, optimiser or curriculum, only the choice: its options are others.

    >>> from dataclasses import replace
    >>> from training.options.recipes import recipe
    >>> differences(recipe("copy", "ntm"), replace(recipe("copy", "ntm"), seed=3))
    {'seed': (0, 3)}
    """
    old, new = (flat(to_json(one)) for one in (before, after))
    others = [f"{group}." for group in OPTION_GROUPS if old[group] != new[group]]
    return {
        name: (old.get(name), new.get(name))
        for name in {**new, **old}
        if not name.startswith(("wandb", *others)) and old.get(name) != new.get(name)
    }


def cooldown(config: Config) -> float:
    """The share of a run over which its learning rate falls to 0."""
    return vars(config.optimizer_options)["cooldown"]


def check_same_run(config: Config, made_by: Config) -> None:
    """Refuse a checkpoint of a run with other settings, of which many change no shape.

    Args:
        config: what config.json says.
        made_by: the configuration in the checkpoint.

    Raises:
        ValueError: naming every field that differs, both values and what to do.
    """
    found = differences(made_by, config)
    free = {*CHANGEABLE, *PLACE}
    if config.run.sequences < made_by.run.sequences or cooldown(made_by) > 0:
        free.remove("run.sequences")
    wrong = [
        f"{name} is {new} in config.json and {old} in the checkpoint"
        for name, (old, new) in found.items()
        if name not in free
    ]
    if wrong:
        raise ValueError(
            f"{'; '.join(wrong)}: put back the file that was changed (without a config.json, "
            "--resume makes it again from the checkpoint), or start a new run"
        )

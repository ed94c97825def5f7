"""Make a ready workspace in W&B: python -m training.report.workspace --entity NAME.

It needs an account, and W&B's own library for this: pip install -e '.[workspace]'.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import tyro

from training.report.wandb_tracker import PROJECT


class Curve(NamedTuple):
    """A chart of metrics against sequences seen; the runs of a group are a line with a band."""

    metrics: tuple[str, ...]
    log: bool = False


class Media(NamedTuple):
    """Pictures over training, of one name or several."""

    names: tuple[str, ...]


# Those of a task that counts symbols or numbers are in W&B's own sections, below these.
PANELS: dict[str, tuple[Curve | Media, ...]] = {
    "Does it learn": (
        Curve(("train/bits_per_sequence",), log=True),
        Curve(("train/wrong_bits",), log=True),
        Curve(("train/loss",), log=True),
        Curve(("validation/bits_per_sequence",), log=True),
        Curve(("validation/wrong_bits",), log=True),
        Curve(("validation/exact_match",)),
    ),
    "What the memory does": (
        Media(("examples/sequence",)),
        Media(("memory/write_weights", "memory/read_weights")),
        Media(("memory/usage", "memory/links")),
        Media(("memory/gates", "memory/contents")),
    ),
    "How it is trained": (
        Curve(("optimizer/gradient_norm",), log=True),
        Curve(("optimizer/learning_rate",)),
        Curve(("speed/sequences_per_second",)),
    ),
}


def build(entity: str, project: str, name: str) -> Any:
    """The workspace of a project, grouped by task and model; `.save()` sends it to W&B.

    Raises:
        ImportError: wandb-workspaces is not installed.
    """
    try:
        workspaces = importlib.import_module("wandb_workspaces.workspaces")
        panels = importlib.import_module("wandb_workspaces.reports.v2")
    except ImportError as error:
        raise ImportError(
            f"W&B's library for workspaces is missing ({error}): pip install -e '.[workspace]'"
        ) from error

    def panel(one: Curve | Media) -> Any:
        if isinstance(one, Media):
            return panels.MediaBrowser(media_keys=list(one.names), title=", ".join(one.names))
        return panels.LinePlot(
            title=", ".join(one.metrics), x="sequences", y=list(one.metrics), log_y=one.log
        )

    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            workspaces.Section(name=title, panels=[panel(one) for one in row], is_open=True)
            for title, row in PANELS.items()
        ],
        settings=workspaces.WorkspaceSettings(
            x_axis="sequences", group_by_prefix="first", max_runs=50
        ),
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Config("task"), workspaces.Metric("Group")],
            pinned_columns=[
                "config:task",
                "config:model",
                "summary:solved/sequences",
                "summary:solved/seconds",
                "summary:best/wrong_bits",
                "summary:final/wrong_bits",
            ],
        ),
    )


def main(entity: str, project: str = PROJECT, name: str = "memnets") -> None:
    """Make a workspace of the trainer's metrics and pictures, and print its address.

    Args:
        entity: user or team of the project.
        project: the project whose runs it shows.
        name: what to call the workspace.
    """
    try:
        print(build(entity, project, name).save().url)
    except Exception as error:  # W&B raises many kinds: no key, no network, no such project
        raise SystemExit(f"workspace: error: {str(error) or type(error).__name__}") from None


if __name__ == "__main__":
    tyro.cli(main, prog="python -m training.report.workspace")

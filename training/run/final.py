"""Figures and checkpoints for the tracker, when a run ends or is stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.evaluate import solved
from training.evaluate.media import COLUMNS, example_rows
from training.evaluate.solved import Outcome
from training.files import checkpoint
from training.files.metrics import read_rows
from training.options.config import to_json
from training.options.grouping import group_name
from training.report.tracker import Tracker
from training.run.folder import Run


def keep(run: Run, tracker: Tracker) -> None:
    """Log the best figures, when the run was solved, and the best and the last checkpoint."""
    if not tracker.listening:
        return
    training = run.training
    tracker.summary({f"best/{name}": value for name, value in training.best.items()})
    note_solved(tracker, outcome(run))
    if not run.config.wandb_options.checkpoints:
        return
    about = {
        **{name: getattr(run.config, name) for name in ("task", "model", "seed")},
        "group": group_name(to_json(run.config)),
    }
    last: dict[str, Any] = {
        **about,
        "step": training.step,
        "sequences": training.step * run.config.run.batch_size,
    }
    best = run.folder / checkpoint.BEST
    same = training.best.get("step") == training.step
    if training.best and not same and best.is_file():
        tracker.checkpoint(best, ["best"], {**about, **training.best})
    tracker.checkpoint(
        run.folder / checkpoint.LAST,
        ["last", "best"] if same else ["last"],
        {**last, **training.best} if same else last,
    )


def outcome(run: Run, final: Mapping[str, float] | None = None) -> Outcome:
    """Whether and when the run was solved; final: the evaluation at the end, of what decides."""
    rows = read_rows(run.folder)
    return solved.outcome(rows, run.training.task.solved, run.config.curriculum, final)


def note_solved(tracker: Tracker, found: Outcome) -> None:
    """Log after how many sequences and seconds of training the run was solved, if it was."""
    if found.first is not None:
        tracker.summary({f"solved/{n}": value for n, value in found.first._asdict().items()})


def show_examples(run: Run, tracker: Tracker) -> None:
    """Log a table of examples of every setting of the evaluation."""
    if not tracker.listening:
        return
    rows = example_rows(run.training.layer, run.training.task, device=run.config.device)
    tracker.table("examples/table", COLUMNS, rows, run.training.step)

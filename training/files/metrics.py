"""What a run measured, as its folder has it: metrics.jsonl, and evaluation.json at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EVALUATION = "evaluation.json"


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, as far as they are written; none before the first."""
    path = folder / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    # Without its end, the last line is of a run that goes on, or was killed in the middle of it.
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def training_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those about training, and not of an evaluation."""
    return [row for row in rows if any(name.startswith("wrong_") for name in row)]


def is_finished(folder: Path) -> bool:
    """Whether a run was trained to its end and evaluated."""
    return (folder / EVALUATION).is_file()


def read_evaluation(folder: Path) -> dict[str, dict[str, float]]:
    """The figures of the evaluation at the end, by setting; none before, or if it is damaged."""
    try:
        return json.loads((folder / EVALUATION).read_text(encoding="utf-8"))["settings"]
    except (OSError, KeyError, json.JSONDecodeError):
        return {}

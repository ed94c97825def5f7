"""Small trainings that are done once, and what a page shows of them: results/ and pictures/."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.files import checkpoint, provenance

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def kept(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a training came to: read from its file, or measured and written there."""
    if not path.is_file():
        found = {**measure(), "commit": provenance.facts()["commit"]}
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_json(path, found)
        print(f"done: {path}", flush=True)
    return json.loads(path.read_text())


def write(folder: Path, name: str, found: list[dict[str, Any]], figure: Figure) -> None:
    """Write results/NAME.json, with a line for each of what was found, and pictures/NAME.png."""
    data, picture = folder / "results" / f"{name}.json", folder / "pictures" / f"{name}.png"
    for path in (data, picture):
        path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(one) for one in found)
    checkpoint.write_atomically(data, f"[\n{lines}\n]\n".encode())
    figure.savefig(picture, metadata={"Software": None})
    print(f"written: {data}, {picture}")

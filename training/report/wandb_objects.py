"""What W&B keeps beside numbers, made of plain arrays and files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CODE = ("train.py", "training", "tasks", "memnets")


def image(pixels: np.ndarray, caption: str | None = None) -> Any:
    """A picture of uint8 [height, width, 3]: see `check_pixels`."""
    import wandb

    check_pixels(pixels)
    return wandb.Image(pixels, caption=caption)


def check_pixels(pixels: np.ndarray) -> None:
    """Refuse what would be drawn wrong.

    Raises:
        TypeError: the pixels are not uint8 (W&B would draw floats in [0, 1] all black).
    """
    if pixels.dtype != np.uint8:
        raise TypeError(f"pixels must be uint8, got {pixels.dtype}: scale them to 0 to 255")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Any:
    """A table; cells that are pixels become pictures."""
    import wandb

    cells = [[image(x) if isinstance(x, np.ndarray) else x for x in row] for row in rows]
    return wandb.Table(columns=list(columns), data=cells)


def histogram(counts: np.ndarray, edges: np.ndarray) -> Any:
    """A histogram that is already counted."""
    import wandb

    return wandb.Histogram(np_histogram=(counts, edges))


def checkpoint(run: Any, path: Path, metadata: Mapping[str, Any]) -> Any:
    """An artifact of one file, as it is now, though the file changes before a later upload."""
    import wandb

    artifact = wandb.Artifact(f"checkpoint-{run.id}", "model", metadata=dict(metadata))
    copy = _folder(run, "checkpoints") / f"{path.stem}-{metadata['step']:08d}{path.suffix}"
    shutil.copyfile(path, copy)
    # Mutable files would be copied to a folder of all runs, where copies of offline runs pile up.
    artifact.add_file(str(copy), name=path.name, policy="immutable")
    return artifact


def code(run: Any) -> Any:
    """An artifact of the code, as it is now: what W&B's Code tab shows."""
    import wandb

    artifact = wandb.Artifact("code-memnets", "code")
    folder = _folder(run, "code")
    for path in code_files():
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        artifact.add_file(str(copy), name=str(path.relative_to(ROOT)), policy="immutable")
    return artifact


def code_files() -> list[Path]:
    """The files that decide what a run computes."""
    files = [path for name in CODE for path in (ROOT / name).rglob("*.*")]
    files += [ROOT / name for name in CODE if (ROOT / name).is_file()]
    return sorted(path for path in files if path.suffix in (".py", ".cpp", ".h", ".cu"))


def _folder(run: Any, name: str) -> Path:
    """A folder beside the run's other files: offline, it lasts until the run is uploaded."""
    folder = Path(run.settings.sync_dir) / "artifacts" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder

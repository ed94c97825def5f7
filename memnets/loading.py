"""Rebuild a trained layer from what the trainer saved."""

from __future__ import annotations

from pathlib import Path

import torch

from memnets.dnc import DNC
from memnets.layer import MemoryLayer
from memnets.ntm import NTM

LAYERS: dict[str, type[MemoryLayer]] = {"NTM": NTM, "DNC": DNC}


def load(path: str | Path) -> MemoryLayer:
    """Return the trained layer of a run.

    Args:
        path: a run's folder (its `checkpoints/last.pt` is read) or a checkpoint file: a dictionary
            with `layer` (the `config` of a layer) and `weights` (its state_dict). Only tensors and
            plain data are read from it, never code.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no checkpoint of a layer of this package.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "checkpoints" / "last.pt"
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint at {file}; give a run's folder or a checkpoint file."
        )
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
        config, weights = saved["layer"], saved["weights"]
        name, arguments = config["name"], config["arguments"]
    except Exception as error:  # torch raises IndexError, EOFError and others for rubbish
        raise ValueError(
            f"{file} is no checkpoint: it must hold `layer` and `weights` ({error!r})."
        ) from error
    if name not in LAYERS:
        raise ValueError(f"{file} holds a {name}; load rebuilds {', '.join(LAYERS)}.")
    layer = LAYERS[name](**arguments, dtype=weights["readout.weight"].dtype)
    layer.load_state_dict(weights)
    return layer

"""Layers as data: rebuilt from a configuration, or from what the trainer saved."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from memnets.backends.registry import Backend
from memnets.layer import MemoryLayer
from memnets.parts.registry import from_data
from memnets.registry import LAYERS


def from_config(
    config: Mapping[str, Any],
    *,
    backend: str | Backend = "auto",
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> MemoryLayer:
    """Make a new layer from the `config` of another.

    Args:
        config: the name of a registered class, `name`, and its `arguments`, as data.
        backend, device, dtype: see `memnets.NTM`.

    Raises:
        ValueError: if a class is not registered, or does not take its arguments.

    >>> import memnets
    >>> layer = memnets.NTM(9, 8, memory_size=16)
    >>> from_config(layer.config).config == layer.config
    True
    """
    try:
        name, arguments = config["name"], dict(config["arguments"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"A config has a name and arguments; got {config!r}.") from error
    if not isinstance(name, str) or name not in LAYERS:
        raise ValueError(
            f"There is no layer {name!r}; registered are {', '.join(LAYERS)}. Import the module "
            "that defines it first, with @memnets.register."
        )
    arguments = {key: from_data(value) for key, value in arguments.items()}
    try:
        return LAYERS[name](**arguments, backend=backend, device=device, dtype=dtype)
    except TypeError as error:
        raise ValueError(f"{name} cannot be made from this config: {error}.") from error


def load(path: str | Path) -> MemoryLayer:
    """Return the trained layer of a run.

    Args:
        path: a run's folder (its `checkpoints/last.pt` is read) or a checkpoint file: a dictionary
            with `layer` (the `config` of a layer) and `weights` (its state_dict). Only tensors and
            plain data are read from it, never code.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no checkpoint of a layer of this package.
        TypeError: if the path is none.
        OSError: if the file cannot be read.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a run's folder or a file; got {path!r}.")
    file = Path(path)
    try:
        if file.is_dir():
            file = file / "checkpoints" / "last.pt"
        there = file.is_file()
    except OSError as error:
        raise ValueError(f"path cannot be that of a checkpoint: {error}") from error
    if not there:
        raise FileNotFoundError(
            f"There is no checkpoint at {file}; give a run's folder or a checkpoint file."
        )
    name, arguments, weights = _read(file)
    try:
        dtype = getattr(weights.get("readout.weight"), "dtype", None)
        layer = from_config({"name": name, "arguments": arguments}, dtype=dtype)
        layer.load_state_dict(weights)
    except (TypeError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} cannot be rebuilt as a {name}: {error}") from error
    return layer


def _read(file: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The name, the arguments and the weights of the layer in a checkpoint."""
    content = file.read_bytes()
    try:
        # torch does not look at the sums, and would take a wrong bit for another weight.
        if zipfile.is_zipfile(io.BytesIO(content)):
            wrong = zipfile.ZipFile(io.BytesIO(content)).testzip()
            if wrong is not None:
                raise zipfile.BadZipFile(f"{wrong} is not as it was written")
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        config, weights = saved["layer"], saved["weights"]
        name, arguments = str(config["name"]), dict(config["arguments"])
        return name, arguments, dict(weights)
    except Exception as error:  # torch raises IndexError, EOFError and others for rubbish
        previous = file.with_name("previous.pt")
        other = f" The one before it is {previous}." if previous.is_file() else ""
        raise ValueError(
            f"{file} is no checkpoint: it must hold `layer` and `weights` ({error!r}).{other}"
        ) from error

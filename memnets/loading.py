"""Layers as data: saved, rebuilt from a configuration or a file, or trained, in the package."""

from __future__ import annotations

import difflib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from memnets.backends.registry import Backend
from memnets.layer import MemoryLayer
from memnets.parts.registry import from_data
from memnets.registry import LAYERS

TRAINED: Path = Path(__file__).parent / "trained"
"""a file and a card, NAME.safetensors and NAME.json, of each layer that comes trained"""
SUFFIX: str = ".safetensors"


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
    """Return the trained layer of a run, or one that comes with the package.

    Args:
        path: a file that `memnets.save` wrote, NAME.safetensors; a run's folder (its
            `checkpoints/last.pt` is read) or a checkpoint of it: a dictionary with `layer` (the
            `config` of a layer) and `weights` (its state_dict). Only tensors and plain data are
            read, never code. Where there is none of them, a name that `memnets.pretrained` takes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file does not hold a layer of this package.
        TypeError: if the path is none.
        OSError: if the file cannot be read.

    >>> load("copy").config == pretrained("copy").config  # unless there is a file of this name
    True
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
    if not there and path in trained_names():
        file, there = TRAINED / f"{path}{SUFFIX}", True
    if not there:
        raise FileNotFoundError(
            f"There is no checkpoint at {file}; give a run's folder, a checkpoint file, or one of "
            f"{', '.join(trained_names())}, which come with memnets."
        )
    name, arguments, weights = (_read if file.suffix == SUFFIX else _read_checkpoint)(file)
    try:
        of_interface = (weights[key] for key in weights if key.startswith("interface."))
        weight = weights.get("readout.weight", next(of_interface, None))
        dtype = getattr(weight, "dtype", None)
        layer = from_config({"name": name, "arguments": arguments}, dtype=dtype)
        layer.load_state_dict(weights)
    except (TypeError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} cannot be rebuilt as a {name}: {error}") from error
    return layer


def save(layer: MemoryLayer, path: str | Path) -> None:
    """Write a layer to a safetensors file: its weights, and as metadata `layer`, its `config`.

    Args:
        layer: whose parts are registered.
        path: NAME.safetensors; a file that is there is replaced.

    Raises:
        TypeError: if the layer is none of memnets.
        ValueError: if the path has another ending, or as `config` of the layer does.
        OSError: if the file cannot be written.

    >>> import memnets, tempfile
    >>> layer = memnets.NTM(9, 8, memory_size=16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(layer, Path(folder) / "small.safetensors")
    ...     load(Path(folder) / "small.safetensors").config == layer.config
    True
    """
    if not isinstance(layer, MemoryLayer):
        raise TypeError(f"layer must be a layer of memnets; got {type(layer).__name__}.")
    if Path(path).suffix != SUFFIX:
        raise ValueError(f"path must end in {SUFFIX}, by which load knows the file; got {path}.")
    weights = {name: one.detach().contiguous() for name, one in layer.state_dict().items()}
    content = safetensors.torch.save(weights, {"layer": json.dumps(layer.config)})
    unfinished = Path(path).with_suffix(".unfinished")  # so that no half of a file replaces one
    unfinished.write_bytes(content)
    unfinished.replace(path)


def pretrained(name: str) -> MemoryLayer:
    """Return a layer that has learned its task, and comes with the package.

    `memnets.loading.card` says which task, how it was trained and what it can do.

    Args:
        name: one of `memnets.loading.trained_names()`.

    Raises:
        ValueError: if there is none of this name; the message lists those there are.

    >>> import memnets, torch
    >>> layer = memnets.pretrained("copy")
    >>> vectors = torch.randint(0, 2, (20, 1, 8)).float()  # [time, batch, bits]
    >>> x = torch.zeros(41, 1, 9)
    >>> x[:20, :, :8], x[20, :, 8] = vectors, 1  # the vectors, a delimiter, then time to answer
    >>> bool(((layer(x)[0][21:] > 0) == vectors.bool()).all())
    True
    """
    return load(TRAINED / f"{_trained(name)}{SUFFIX}")


def card(name: str) -> dict[str, Any]:
    """Return what is known of a trained layer: its task, command, seed, commit and figures.

    Args:
        name: of a layer that `memnets.pretrained` returns.

    Raises:
        ValueError: if there is none of this name; the message lists those there are.

    >>> card("copy")["seed"] == int(card("copy")["command"].rpartition("--seed ")[2])
    True
    """
    return json.loads((TRAINED / f"{_trained(name)}.json").read_text(encoding="utf-8"))


def trained_names() -> list[str]:
    """The names that `memnets.pretrained` takes.

    >>> "copy" in trained_names()
    True
    """
    return sorted(path.stem for path in TRAINED.glob(f"*{SUFFIX}"))


def _trained(name: str) -> str:
    """The name, if there is a trained layer of it."""
    known = trained_names()
    if name in known:
        return name
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"There is no trained layer {name!r}.{meant} There are {', '.join(known)}; a run of your "
        'own is loaded by memnets.load("runs/NAME").'
    )


def _read(file: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The name, the arguments and the weights of the layer that `save` wrote."""
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            config = json.loads(opened.metadata()["layer"])
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return str(config["name"]), dict(config["arguments"]), weights
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} must be what memnets.save wrote, with `layer` in its metadata ({error!r})."
        ) from error


def _read_checkpoint(file: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
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

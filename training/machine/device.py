"""What a run computes on: the device, its threads, its precision, and whether it may vary."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch

import memnets
from training.options.config import Config
from training.options.models import MODELS


def problems(config: Config) -> Iterator[str]:
    """Say what this machine cannot do of a configuration, one sentence a problem."""
    missing = missing_device(config.device)
    if missing:
        yield f"--device {config.device} cannot be used: {missing}"
        return
    on_cuda = config.precision == "bf16" and config.device.startswith("cuda")
    if on_cuda and not torch.cuda.is_bf16_supported():
        yield f"--precision bf16 needs a GPU with bfloat16, and {config.device} has none"


def notes(config: Config) -> list[str]:
    """What runs otherwise than asked for, because this machine cannot; one sentence each."""
    return MODELS[config.model].notes(config.device, config.precision)


def missing_device(name: str) -> str | None:
    """Why a device cannot be used here, and what can; None where it can.

    >>> missing_device("cpu")
    >>> missing_device("abacus")
    'there is no such kind of device; say cpu, cuda, cuda:1 or mps'
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        return "there is no such kind of device; say cpu, cuda, cuda:1 or mps"
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            return (
                f"torch {torch.__version__} finds no CUDA GPU; it takes a CUDA build of torch and "
                "an NVIDIA driver, or say --device cpu"
            )
        if (device.index or 0) >= count:
            return f"there are {count} CUDA GPUs, and the first is cuda:0"
    if device.type == "mps" and not torch.backends.mps.is_available():
        return "torch finds no GPU of Apple's here; say --device cpu"
    if device.type == "meta":
        return "it holds no numbers; say cpu, cuda or mps"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        return f"{str(error).splitlines()[0]}; say --device cpu"
    return None


def cores() -> int:
    """How many cores this process may use.

    >>> cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_up(config: Config) -> None:
    """Give torch the run's threads, and let torch refuse what varies, or not."""
    # The introduction says which backend runs, and why.
    warnings.simplefilter("ignore", memnets.PerformanceWarning)
    torch.set_num_threads(config.threads)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by cuBLAS
    torch.use_deterministic_algorithms(config.deterministic)
    # It would also fill every new tensor, in case it is read before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def autocast(config: Config) -> AbstractContextManager[object]:
    """In which a layer computes its products in the configuration's precision.

    The memory and its weightings stay in float32: see `MemoryLayer.advance`.
    """
    if config.precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(config.device).type, dtype=torch.bfloat16)

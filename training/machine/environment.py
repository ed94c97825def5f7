"""What the bits of a run depend on beside its configuration: versions, processor, backend."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import torch
from torch import nn

import memnets
from memnets.backends.registry import SLOWER
from training.options.models import with_memory


def runtime(layer: nn.Module, device: str) -> dict[str, str]:
    """What computes a layer here and now, in words; the number of threads changes no bit."""
    found = {
        "memnets": memnets.__version__,
        "torch": str(torch.__version__),  # a TorchVersion could not be loaded as plain data
        "processor": f"{platform.machine()} with {torch.backends.cpu.get_cpu_capability()}",
    }
    if device.startswith("cuda"):
        found["device"] = torch.cuda.get_device_name(device)
    memory = with_memory(layer)
    if memory is not None:
        found["backend"] = choice(memory).backend
    return found


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say what is not as it was, so that a resumed run may differ from one that never stopped.

    >>> print(changes({"torch": "2.12.0", "backend": "fused"}, {"torch": "2.13.0"})[0])
    torch was 2.12.0 and is 2.13.0: the last bits of the numbers may differ from here on
    """
    return [
        f"{name} was {before[name]} and is {now[name]}: the last bits of the numbers may differ "
        "from here on"
        for name in before
        if name in now and before[name] != now[name]
    ]


def choice(layer: memnets.MemoryLayer) -> memnets.Choice:
    """The backend that runs a layer here, on zeros; may compile the kernel first."""
    return layer.backend_for(layer.some_weight.new_zeros(1, 1, layer.input_size))


def backend_in_words(layer: nn.Module) -> str | None:
    """What runs the steps of a layer here, for a person; None for a layer without a choice.

    >>> backend_in_words(memnets.NTM(9, 8, backend="reference"))
    'reference'
    """
    memory = with_memory(layer)
    if memory is None:
        return None
    backend, reason = choice(memory)
    if backend == "fused":
        return "fused: one kernel for the whole sequence"
    if reason is None:
        return backend
    return f"{backend}, about {SLOWER} times slower than the kernel: {reason}"

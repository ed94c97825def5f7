"""The weights of a network of PyPI's package `dnc` 1.1.0, under the names of memnets."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

CELLS = {"lstm": "lstm", "gru": "gru", "rnn": "elman"}
"""The cells of memnets by dnc's names."""
TRANSFORMS = (
    *("read_keys", "read_strengths", "write_key", "write_strength", "erase_vector"),
    *("write_vector", "free_gates", "allocation_gate", "write_gate", "read_modes"),
)
"""The linear maps of dnc with `independent_linears`, in the order of memnets' interface."""


FIRST = "layers.0.controller.cells.0"


def converted(state_dict: Mapping[str, Tensor], *, reads: bool = False) -> dict[str, Tensor]:
    """The weights of a network of dnc 1.1.0 under the names of `DNC.load_state_dict`.

    Args:
        state_dict: of `dnc.DNC`.
        reads: whether the network was trained step by step, so that its controller saw what was
            read. False: over sequences, where it did not, and the weights that it never used are
            set to 0, so that this network computes what that one did.

    Raises:
        ValueError: if a name is none of those of `dnc.DNC`, or one of those is missing.
    """
    found: dict[str, Tensor] = {}
    memories: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state_dict.items():
        cell = re.fullmatch(r"(?:lstm|gru|rnn)_layer_(\d+)\.((?:weight|bias)_[ih]h)_l(\d+)", name)
        memory = re.fullmatch(r"rnn_layer_memory_(shared|\d+)\.(.*)", name)
        if cell:
            found[f"layers.{cell[1]}.controller.cells.{cell[3]}.{cell[2]}"] = tensor
        elif memory:
            memories.setdefault(memory[1], {})[memory[2]] = tensor
        elif name in ("output.weight", "output.bias"):
            found[name] = tensor
        else:
            raise ValueError(
                f"state_dict must be that of a dnc.DNC of dnc 1.1.0; {name} is none of its names."
            )
    for name in (FIRST + ".weight_ih", FIRST + ".weight_hh", "output.weight"):
        if name not in found:
            raise ValueError(f"state_dict must be that of a dnc.DNC; nothing in it is {name}.")
    depth = 1 + max((int(name.split(".")[1]) for name in found if "cells" in name), default=0)
    for layer in range(depth):
        weights = memories.get("shared", memories.get(str(layer), {}))
        for name, tensor in _interface(weights).items():
            found[f"layers.{layer}.interface.linear.{name}"] = tensor
    if not reads:
        _forget_reads(found)
    return found


def _interface(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weight and the bias of one linear map, of which dnc has one or ten."""
    found = {}
    for name in ("weight", "bias"):
        names = [f"{one}_transform.{name}" for one in TRANSFORMS]
        names = [f"interface_weights.{name}"] if f"interface_weights.{name}" in weights else names
        missing = [one for one in names if one not in weights]
        if missing:
            raise ValueError(f"state_dict must have the weights of a memory; it lacks {missing}.")
        found[name] = torch.cat([weights[one] for one in names])
    return found


def _forget_reads(found: dict[str, Tensor]) -> None:
    """Set to 0 the weights onto what was read the step before."""
    reads = found["output.weight"].shape[1] - found[f"{FIRST}.weight_hh"].shape[1]
    weight = found[f"{FIRST}.weight_ih"] = found[f"{FIRST}.weight_ih"].clone()
    weight[:, -reads:] = 0

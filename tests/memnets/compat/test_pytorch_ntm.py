"""Weights of pytorch-ntm: whole trajectories of the published code, and what has no counterpart."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import memnets
from memnets.compat.pytorch_ntm import converted, initial_state

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "pytorch_ntm.npz")
CASES = ("encapsulated", "write_first")


def golden(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights and the trajectory of a network."""
    arrays = {key: torch.from_numpy(GOLDEN[key]) for key in GOLDEN.files}
    own = {k.removeprefix(f"{name}/"): v for k, v in arrays.items() if k.startswith(f"{name}/")}
    weights = {k.removeprefix("weights/"): v for k, v in own.items() if k.startswith("weights/")}
    return weights, {k: v for k, v in own.items() if not k.startswith("weights/")}


def assert_close(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", ["reference", "fused"])
@pytest.mark.parametrize("name", CASES)
def test_every_step_is_that_of_the_published_code(name: str, backend: str) -> None:
    weights, found = golden(name)
    layer = converted(weights)
    layer.backend = backend
    state = initial_state(layer, 2)
    for t, x_t in enumerate(found["x"]):
        y, state = layer.step(x_t, state)
        assert_close(torch.sigmoid(y), found["outputs"][t])
        assert_close(state.memory.memory, found["memory"][t])
        assert_close(state.read_vectors, found["read_vectors"][t])
        memory = state.memory
        heads = [memory.read_weights, memory.write_weights]
        order = heads if layer.read_first else heads[::-1]
        assert_close(torch.cat(order, dim=1), found["head_weights"][t])
    assert_close(torch.stack([cell[0] for cell in state.controller]), found["h"])
    assert_close(torch.stack([cell[1] for cell in state.controller]), found["c"])
    y, _ = layer(found["x"], initial_state(layer, 2))
    assert_close(torch.sigmoid(y), found["outputs"])


def test_what_it_does_not_learn_is_frozen_and_the_layer_is_data() -> None:
    layer = converted(golden("encapsulated")[0])
    frozen = {name for name, one in layer.named_parameters() if not one.requires_grad}
    assert frozen == {"start_memory", "start_read_vectors", "start_weights"}
    again = memnets.from_config(layer.config, dtype=torch.float64)
    again.load_state_dict(layer.state_dict())
    x = golden("encapsulated")[1]["x"]
    assert torch.equal(again(x)[0], layer(x)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ntm.fc.bias": None}, "it lacks fc.bias."),
        ({"ntm.read0_bias": None}, "it lacks read0_bias."),
        ({"ntm.memory.mem_bias": None, "memory.mem_bias": None}, "it lacks memory.mem_bias."),
        ({"ntm.fc2.bias": torch.zeros(1)}, "pytorch-ntm, which has no fc2.bias."),
        (
            {"ntm.heads.2.fc_read.bias": torch.zeros(10), "ntm.heads.3.fc_write.bias": ...},
            "those of this network are read, write, read, write, each of which sees what the one",
        ),
        ({"ntm.heads.0.fc_read.bias": None}, "those of this network are write, each of which"),
    ],
)
def test_what_has_no_counterpart(change: dict[str, Any], message: str) -> None:
    weights: dict[str, Any] = {**golden("encapsulated")[0], **change}
    with pytest.raises(ValueError, match=re.escape(message)):
        converted({name: one for name, one in weights.items() if one is not None})

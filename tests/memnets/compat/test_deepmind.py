"""Variables of DeepMind's dnc: trajectories of the published code, and what has no counterpart."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from memnets.compat.deepmind import converted

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "dnc_deepmind.npz")
CASES = ("one_write_head", "two_write_heads")
EPSILON = 1e-14


def variables(name: str) -> dict[str, Any]:
    start = f"{name}/variables/"
    return {key.removeprefix(start): GOLDEN[key] for key in GOLDEN.files if key.startswith(start)}


def assert_close(actual: Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", ["reference", "fused"])
@pytest.mark.parametrize("name", CASES)
def test_a_sequence_is_that_of_the_published_code(name: str, backend: str) -> None:
    """Outputs of all steps and the state after them, slot by slot but for the order of the slots:
    which of several empty ones is written to first is no matter of the equations.
    """
    layer = converted(variables(name), memory_size=6)
    layer.backend = backend
    layer.content = replace(layer.content, similarity_epsilon=EPSILON**2)
    layer.allocation = replace(layer.allocation, epsilon=EPSILON, resolution=0.0)
    y, state = layer(torch.from_numpy(GOLDEN[f"{name}/x"]))
    assert_close(y, GOLDEN[f"{name}/outputs"])
    assert_close(state.read_vectors, GOLDEN[f"{name}/read_vectors"])
    assert_close(state.controller[0][0], GOLDEN[f"{name}/h"])
    assert_close(state.controller[0][1], GOLDEN[f"{name}/c"])
    wanted = {key: GOLDEN[f"{name}/{key}"] for key in state.memory._fields if key != "memory"}
    wanted["memory"] = GOLDEN[f"{name}/memory"][-1]
    wanted["usage"] = GOLDEN[f"{name}/usage"][-1]
    for row in range(2):
        ours = state.memory.memory[row, :, 0].argsort()
        theirs = wanted["memory"][row, :, 0].argsort()
        assert_close(state.memory.memory[row][ours], wanted["memory"][row][theirs])
        for key in ("usage", "precedence", "read_weights", "write_weights"):
            assert_close(getattr(state.memory, key)[row][..., ours], wanted[key][row][..., theirs])
        link = state.memory.link[row][:, ours][..., ours]
        assert_close(link, wanted["link"][row][:, theirs][..., theirs])


def test_the_settings_are_those_of_the_published_code() -> None:
    layer = converted(variables("two_write_heads"), memory_size=6)
    assert layer.allocation.stop_gradient
    assert layer.content.strength == "softplus"
    assert (layer.input_size, layer.output_size, layer.hidden_size) == (3, 2, 5)
    assert (layer.word_size, layer.read_heads, layer.write_heads) == (4, 2, 2)


def test_names_of_a_checkpoint() -> None:
    """Another scope, `:0`, and what the trainer and its optimizer keep beside the weights."""
    plain = variables("one_write_head")
    named = {f"model/{name}:0": array.astype(np.float32) for name, array in plain.items()}
    named |= {f"model/{name}/RMSProp": array for name, array in plain.items()}
    named["global_step"] = np.array(3)
    layer = converted(named, memory_size=6)
    assert layer.readout.weight.dtype is torch.float32
    expected = converted(plain, memory_size=6)
    for ours, theirs in zip(layer.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours.double(), theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dnc/lstm/b_gates": None}, "nothing is lstm/b_gates."),
        ({"dnc/lstm/w_gates": None}, "variables must hold one network, one lstm/w_gates; got 0"),
        ({"other/lstm/w_gates": np.zeros(1)}, "one lstm/w_gates; got 2: pass those of one scope."),
        ({"dnc/lstm/w_f_diag": np.zeros(5)}, "it has no lstm/w_f_diag. A layer norm, a peephole"),
        ({"dnc/output_linear/w": np.zeros((3, 2))}, "The shapes of the variables do not fit"),
    ],
)
def test_what_has_no_counterpart(change: dict[str, Any], message: str) -> None:
    given = {**variables("one_write_head"), **change}
    given = {name: array for name, array in given.items() if array is not None}
    with pytest.raises(ValueError, match=re.escape(message)):
        converted(given, memory_size=6)


def test_the_number_of_slots_must_be_one() -> None:
    with pytest.raises(ValueError, match="memory_size must be a whole number of at least 1; got 0"):
        converted(variables("one_write_head"), memory_size=0)

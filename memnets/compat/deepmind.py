"""The variables of DeepMind's `dnc` (google-deepmind/dnc, TensorFlow 1) as a `memnets.DNC`.

    {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}

gives them, with `reader = tf.train.load_checkpoint(path)`; memnets needs no TensorFlow.

Axes: I input, W word, R read heads, H write heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memnets.dnc import DNC
from memnets.parts.content import Content
from memnets.parts.usage import Allocation

FORGET_BIAS = 1.0
"""What Sonnet's LSTM adds to its forget gates beside their bias."""
HEADS = (
    *("read_keys", "read_strengths", "write_keys", "write_strengths", "erase_vectors"),
    *("write_vectors", "free_gate", "allocation_gate", "write_gate", "read_mode"),
)
"""Its linear maps, in the order of memnets' interface."""
OTHERS = ("global_step", "beta1_power", "beta2_power")
SLOTS = ("RMSProp", "RMSProp_1", "Adam", "Adam_1", "Momentum")
"""What an optimizer keeps for a variable is named after it, with one of these."""


def converted(variables: Mapping[str, Any], *, memory_size: int) -> DNC:
    """Return a layer with the weights of a checkpoint.

    Its state before the first step is that of the checkpoint's network, all zero. `clip_value` is
    no part of a checkpoint: h is within [-1, 1] and needs none; clip the outputs yourself; an
    LSTM's c that passes it, after as many steps at least, goes on here.

    Args:
        variables: NumPy arrays by the names that TensorFlow has, `dnc/lstm/w_gates` and so on;
            what is before `lstm` may be another scope. What an optimizer keeps is left out.
        memory_size: slots, which no variable tells of.

    Raises:
        ValueError: if a variable is missing or is none of the network's, as the weights of a
            peephole, or shapes do not fit together.

    >>> I, hidden, W = 3, 4, 2  # one read head and one write head
    >>> variables = {"dnc/lstm/w_gates": np.zeros((I + W + hidden, 4 * hidden)),
    ...              "dnc/lstm/b_gates": np.zeros(4 * hidden)}
    >>> words = [name for name in HEADS if name.endswith(("keys", "vectors"))]
    >>> sizes = dict.fromkeys(HEADS, 1) | dict.fromkeys(words, W)
    >>> for name, size in {**sizes, "read_mode": 3}.items():
    ...     variables[f"dnc/memory_access/{name}/w"] = np.zeros((hidden, size))
    ...     variables[f"dnc/memory_access/{name}/b"] = np.zeros(size)
    >>> variables |= {"dnc/output_linear/w": np.zeros((hidden + W, 5)),
    ...               "dnc/output_linear/b": np.zeros(5)}
    >>> layer = converted(variables, memory_size=16)
    >>> layer.input_size, layer.output_size, layer.word_size, layer.read_heads
    (3, 5, 2, 1)
    """
    left = _scoped(variables)
    gates, bias = _take(left, "lstm/w_gates").T, _take(left, "lstm/b_gates")
    heads = {
        name: (
            _take(left, f"memory_access/{name}/w").T,
            _take(left, f"memory_access/{name}/b"),
        )
        for name in HEADS
    }
    readout = _take(left, "output_linear/w").T, _take(left, "output_linear/b")
    if left:
        raise ValueError(
            "variables must be those of a DNC with an LSTM as in google-deepmind/dnc; it has no "
            f"{', '.join(sorted(left))}. A layer norm, a peephole or a projection has no "
            "counterpart in memnets' LSTM."
        )
    hidden = len(bias) // 4
    reads, writes = len(heads["free_gate"][1]), len(heads["write_gate"][1])
    word = len(heads["read_keys"][1]) // reads
    layer = DNC(
        gates.shape[1] - hidden - reads * word,
        len(readout[1]),
        memory_size=memory_size,
        word_size=word,
        read_heads=reads,
        write_heads=writes,
        hidden_size=hidden,
        content=Content(strength="softplus"),
        allocation=Allocation(stop_gradient=True),
        dtype=bias.dtype,
    )
    weights = _lstm(gates, bias)
    for place, name in enumerate(("weight", "bias")):
        rows = torch.cat([heads[head][place] for head in HEADS])
        weights[f"interface.linear.{name}"] = rows
        weights[f"readout.{name}"] = readout[place]
    try:
        layer.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"The shapes of the variables do not fit together: {error}") from error
    return layer


def _scoped(variables: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's variables by their names inside of its scope."""
    arrays = {name.removesuffix(":0"): array for name, array in variables.items()}
    found = [name for name in arrays if name.endswith("lstm/w_gates")]
    if len(found) != 1:
        raise ValueError(
            f"variables must hold one network, one lstm/w_gates; got {len(found)}: pass those of "
            "one scope."
        )
    scope = found[0].removesuffix("lstm/w_gates")
    own = {
        name.removeprefix(scope): array
        for name, array in arrays.items()
        if name.startswith(scope) and name not in OTHERS and name.split("/")[-1] not in SLOTS
    }
    return {name: torch.from_numpy(np.array(array)) for name, array in own.items()}


def _take(left: dict[str, Tensor], name: str) -> Tensor:
    if name not in left:
        raise ValueError(
            "variables must be those of a DNC of google-deepmind/dnc, by their names; nothing is "
            f"{name}."
        )
    return left.pop(name)


def _lstm(gates: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """The weights of the LSTM: Sonnet's gates are input, cell, forget, output, one bias each."""
    hidden = len(bias) // 4
    order = torch.arange(4 * hidden).view(4, hidden)[[0, 2, 1, 3]].flatten()
    gates, bias = gates[order], bias[order].clone()
    bias[hidden : 2 * hidden] += FORGET_BIAS
    cell = "controller.cells.0."
    return {
        f"{cell}weight_ih": gates[:, :-hidden],
        f"{cell}weight_hh": gates[:, -hidden:],
        f"{cell}bias_ih": bias,
        f"{cell}bias_hh": torch.zeros_like(bias),
    }

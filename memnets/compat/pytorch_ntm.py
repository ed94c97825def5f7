"""The weights of loudinthecloud/pytorch-ntm (its `EncapsulatedNTM`) as a `memnets.NTM`.

Axes: T time, I input, N memory slots, W word, R read heads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from memnets.ntm import NTM
from memnets.parts.controllers import Stack
from memnets.parts.heads import Heads
from memnets.parts.location import ContentAndLocation
from memnets.parts.start import Start
from memnets.parts.writing import EraseAdd
from memnets.state import State

SHIFTS = 3
"""How far its heads move: its convolution knows 3 shifts."""
ADDRESSING = ContentAndLocation(
    strength="softplus",
    gate_bias=0.0,
    sharpening_bias=0.0,
    similarity_epsilon=1e-16,
    sharpen_epsilon=1e-16,
)


def converted(state_dict: Mapping[str, Tensor]) -> NTM:
    """Return a layer with the weights of a network of pytorch-ntm.

    Its outputs are logits: those of pytorch-ntm are their sigmoid. Begin from `initial_state`, as
    the weightings that pytorch-ntm begins with are 0. What it begins with and does not learn, the
    memory and the read vectors, is frozen here too.

    Args:
        state_dict: of an `EncapsulatedNTM`, or of its `ntm`.

    Raises:
        ValueError: if a name is none of those, one is missing, or the heads have an order that has
            no counterpart: memnets has one write, before or after all reads of a step, and
            `num_heads=2` of pytorch-ntm reads, writes, reads, writes.

    >>> weights = {f"ntm.controller.lstm.{name}_l0": torch.zeros(4, size)
    ...            for name, size in (("weight_ih", 6), ("weight_hh", 1))}
    >>> weights |= {f"ntm.controller.lstm.bias_{name}_l0": torch.zeros(4) for name in ("ih", "hh")}
    >>> weights |= {f"ntm.controller.lstm_{name}_bias": torch.zeros(1, 1, 1) for name in "hc"}
    >>> weights |= {"ntm.memory.mem_bias": torch.zeros(5, 2), "ntm.read0_bias": torch.zeros(1, 2)}
    >>> for head, size in (("heads.0.fc_read", 8), ("heads.1.fc_write", 12), ("fc", 3)):
    ...     weights[f"ntm.{head}.weight"] = torch.zeros(size, 3 if head == "fc" else 1)
    ...     weights[f"ntm.{head}.bias"] = torch.zeros(size)
    >>> layer = converted(weights)
    >>> layer.input_size, layer.output_size, layer.memory_size, layer.read_first
    (4, 3, 5, True)
    """
    found = _Weights(state_dict)
    heads = found.heads()
    reads = len(heads) - 1
    memory = found.take("memory.mem_bias")
    slots, word = memory.shape
    h, c = found.take("controller.lstm_h_bias"), found.take("controller.lstm_c_bias")
    depth, hidden = h.shape[0], h.shape[2]
    cells = {
        f"controller.cells.{layer}.{name}": found.take(f"controller.lstm.{name}_l{layer}")
        for layer in range(depth)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    readout = {f"readout.{name}": found.take(f"fc.{name}") for name in ("weight", "bias")}
    starts = [found.take(f"read{head}_bias") for head in range(reads)]
    layer = NTM(
        cells["controller.cells.0.weight_ih"].shape[1] - reads * word,
        len(readout["readout.bias"]),
        memory_size=slots,
        word_size=word,
        read_heads=reads,
        controller=Stack(cell="lstm", hidden_size=hidden, num_layers=depth),
        heads=Heads(read=ADDRESSING, read_first=heads[-1] == "fc_write"),
        writing=EraseAdd(add_range="real"),
        start=Start(learned=True),
        dtype=memory.dtype,
    )
    linear = {
        f"interface.linear.{name}": _interface(
            [found.take(f"heads.{head}.{kind}.{name}") for head, kind in _reads_first(heads)], word
        )
        for name in ("weight", "bias")
    }
    found.check_all_taken()
    start = {
        "controller.start": torch.stack([h[:, 0], c[:, 0]], dim=1),
        "start_memory": memory,
        "start_read_vectors": torch.cat(starts),
        "start_weights": layer.state_dict()["start_weights"],
    }
    layer.load_state_dict({**cells, **readout, **linear, **start})
    for parameter in (layer.start_memory, layer.start_read_vectors, layer.start_weights):
        assert parameter is not None
        parameter.requires_grad_(False)
    return layer


def initial_state(layer: NTM, batch_size: int) -> State:
    """The state that pytorch-ntm begins with: as the layer's own, but for weightings of 0.

    With them, the gate of a head has no say in the first step.

    Args:
        layer: as `converted` returns it.
        batch_size: how many rows, as `init_sequence` takes it.

    Raises:
        ValueError: if the batch size is not a whole number of at least 1.
    """
    state = layer.initial_state(batch_size)
    weights = state.memory.read_weights, state.memory.write_weights
    read_weights, write_weights = (torch.zeros_like(one) for one in weights)
    memory = state.memory._replace(read_weights=read_weights, write_weights=write_weights)
    return state._replace(memory=memory)


class _Weights:
    """The arrays of a checkpoint, each of which is to be taken."""

    def __init__(self, state_dict: Mapping[str, Tensor]) -> None:
        # The memory is there again under each head.
        self.left = {
            name.removeprefix("ntm."): tensor
            for name, tensor in state_dict.items()
            if not re.fullmatch(r"memory\.mem_bias|(ntm\.)?heads\.\d+\.memory\.mem_bias", name)
            or (name == "memory.mem_bias" and "ntm.memory.mem_bias" not in state_dict)
        }

    def take(self, name: str) -> Tensor:
        if name not in self.left:
            raise ValueError(
                f"state_dict must be that of an EncapsulatedNTM of pytorch-ntm; it lacks {name}."
            )
        return self.left.pop(name)

    def heads(self) -> list[str]:
        """The kind of each head, in the order in which they act."""
        form = r"heads\.(\d+)\.(fc_read|fc_write)\.bias"
        found = [re.fullmatch(form, name) for name in self.left]
        heads = [one[2] for one in sorted((m for m in found if m), key=lambda m: int(m[1]))]
        reads = ["fc_read"] * (len(heads) - 1)
        if not reads or heads not in ([*reads, "fc_write"], ["fc_write", *reads]):
            order = ", ".join(heads).replace("fc_", "") or "none"
            raise ValueError(
                "The heads must be one write before or after all reads, which a memnets.NTM can "
                f"do; those of this network are {order}, each of which sees what the one before "
                "it left: there is no counterpart for num_heads above 1."
            )
        return heads

    def check_all_taken(self) -> None:
        if self.left:
            raise ValueError(
                f"state_dict must be that of an EncapsulatedNTM of pytorch-ntm, which has no "
                f"{', '.join(sorted(self.left))}."
            )


def _reads_first(heads: list[str]) -> list[tuple[int, str]]:
    """The place and the kind of each head, in the order of memnets' interface."""
    return sorted(enumerate(heads), key=lambda head: head[1] == "fc_write")


def _interface(rows: list[Tensor], word: int) -> Tensor:
    """Put the rows of all heads' maps side by side: field after field, as memnets has them.

    The third of its shifts is -1, the first +1.
    """
    fields = [one.split([word, 1, 1, SHIFTS, 1]) for one in rows[:-1]]
    write = rows[-1].split([word, 1, 1, SHIFTS, 1, word, word])
    ordered = [torch.cat([head[place] for head in fields]) for place in range(5)]
    shifts = torch.cat([head[3].flip(0) for head in fields])
    return torch.cat([*ordered[:3], shifts, ordered[4], *write[:3], write[3].flip(0), *write[4:]])

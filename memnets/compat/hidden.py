"""The hidden states of the package `dnc`, and what they are as states of memnets.

Axes: B batch, N memory slots, W word, R read heads, L layers of a controller.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

from memnets.dnc import DNC, DNCMemory
from memnets.parts.content import ContentParameters
from memnets.parts.linkage import LinkageParameters
from memnets.parts.writing import read

NAMES: dict[str, str] = {
    "memory": "memory",
    "link_matrix": "link",
    "precedence": "precedence",
    "read_weights": "read_weights",
    "write_weights": "write_weights",
    "usage_vector": "usage",
}
"""The fields of a `DNCMemory` by the keys of dnc's dictionaries, in their order."""


def memory_of(hidden: Any) -> DNCMemory:
    """The memory in a dictionary of dnc.

    Raises:
        ValueError: if it is none, or has other keys.
    """
    if not isinstance(hidden, Mapping) or set(hidden) != set(NAMES):
        found = sorted(hidden) if isinstance(hidden, Mapping) else type(hidden).__name__
        raise ValueError(
            f"The memory in hx must be a dictionary of {', '.join(NAMES)}, as a call returns; got "
            f"{found}. With share_memory=False it is a list of them, one for each layer."
        )
    return DNCMemory(**{field: hidden[name] for name, field in NAMES.items()})


def dictionary_of(memory: DNCMemory) -> dict[str, Tensor]:
    """The dictionary that dnc has in place of a `DNCMemory`.

    >>> import memnets
    >>> memory = memnets.DNC(3, None, memory_size=5).initial_state(2).memory
    >>> {name: tuple(tensor.shape) for name, tensor in dictionary_of(memory).items()}
    {'memory': (2, 5, 20), 'link_matrix': (2, 1, 5, 5), 'precedence': (2, 1, 5),
     'read_weights': (2, 4, 5), 'write_weights': (2, 1, 5), 'usage_vector': (2, 5)}
    """
    return {name: getattr(memory, field) for name, field in NAMES.items()}


def read_vectors_of(hidden: Any, rows: int, read_heads: int, word_size: int) -> Tensor:
    """The read vectors [B, R, W] out of those of dnc, [B, R * W].

    Raises:
        ValueError: if they are none, or of another shape.
    """
    shape = (rows, read_heads * word_size)
    if not isinstance(hidden, Tensor) or hidden.shape != shape:
        found = tuple(hidden.shape) if isinstance(hidden, Tensor) else type(hidden).__name__
        raise ValueError(
            f"The read vectors in hx must be a tensor [B, R * W] = {shape}, as a call returns; got "
            f"{found}."
        )
    return hidden.unflatten(-1, (read_heads, word_size))


def cells_of(hidden: Any) -> tuple[tuple[Tensor, ...], ...]:
    """The state of a controller out of h [L, B, hidden], or of an LSTM out of (h, c).

    Raises:
        ValueError: if it is none of both.
    """
    tensors = (hidden,) if isinstance(hidden, Tensor) else hidden
    if not isinstance(tensors, list | tuple) or not all(
        isinstance(one, Tensor) and one.dim() == 3 for one in tensors
    ):
        raise ValueError(
            "A controller's state in hx must be h [L, B, hidden], or (h, c) of an LSTM, one for "
            f"each layer in a list, as a call returns; got a {type(hidden).__name__}."
        )
    return tuple(zip(*(one.unbind(0) for one in tensors), strict=True))


def stacked(state: tuple[tuple[Tensor, ...], ...]) -> Any:
    """Undo `cells_of`.

    >>> h = torch.zeros(2, 3, 4)
    >>> stacked(cells_of(h)).shape, len(stacked(cells_of((h, h))))
    (torch.Size([2, 3, 4]), 2)
    """
    tensors: list[Tensor] = [torch.stack(one) for one in zip(*state, strict=True)]
    return tuple(tensors) if len(tensors) > 1 else tensors[0]


class Memory:
    """The memory of a `DNC`, for a network of one's own that reads it."""

    def __init__(self, layer: DNC) -> None:
        self._layer = layer

    def read(
        self,
        read_keys: Tensor,
        read_strengths: Tensor,
        read_modes: Tensor,
        hidden: MutableMapping[str, Tensor],
    ) -> tuple[Tensor, MutableMapping[str, Tensor]]:
        """Read by content and along the link, without a write.

        Args:
            read_keys: [B, R, W].
            read_strengths: [B, R], above 0.
            read_modes: [B, R, 3] on the simplex: backward, forward, content.
            hidden: a memory, as a call of the network returns it. Its entry `read_weights` is set
                to the new weightings, as in dnc, so that the next read goes on from them.

        Returns:
            Read vectors [B, R, W], and `hidden`.
        """
        state, layer = memory_of(hidden), self._layer
        by_content = layer.content.weigh(state.memory, ContentParameters(read_keys, read_strengths))
        weights = layer.linkage.mix(
            LinkageParameters(read_modes), state.link, state.read_weights, by_content
        )
        hidden["read_weights"] = weights
        return read(state.memory, weights), hidden

"""The state that a layer takes and returns: explicit, immutable, nested tuples of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor


class State(NamedTuple):
    """Everything a layer carries from one step to the next.

    The batch is the first axis of every tensor in it; an unbatched layer call drops that axis.
    """

    controller: Any
    """The controller's own state: nested tuples of tensors [B, ...]."""
    memory: Any
    """An `NTMMemory` or a `DNCMemory`: the memory and the weightings of its heads."""
    read_vectors: Tensor
    """What the read heads returned, [B, R, W]: an input of the controller's next step."""


def map_tensors(function: Callable[..., Tensor], *states: Any) -> Any:
    """Apply `function` to the matching tensors of one or several states of the same form.

    >>> import torch
    >>> map_tensors(torch.add, (torch.ones(1), ()), (torch.ones(1), ()))
    (tensor([2.]), ())
    """
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    if not isinstance(first, tuple):
        raise TypeError(
            f"A state is made of tensors and (named) tuples; got {type(first).__name__}. "
            "Let the controller return its state as a tuple."
        )
    parts = [map_tensors(function, *parts) for parts in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


def detach(state: Any) -> Any:
    """Return the state cut off from the graph that made it, for truncated back-propagation.

    >>> import torch, memnets
    >>> layer = memnets.NTM(3, 2, memory_size=8, word_size=4)
    >>> y, state = layer(torch.zeros(5, 1, 3))
    >>> memnets.detach(state).read_vectors.requires_grad
    False
    """
    return map_tensors(Tensor.detach, state)

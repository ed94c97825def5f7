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


def difference(wanted: Any, given: Any, path: str = "state", *, dtypes: bool = True) -> str | None:
    """Say in words where the form of `given` first differs from that of `wanted`; None if nowhere.

    The form is the nesting, and the shape, device and (unless `dtypes` is False) dtype of tensors.

    >>> import torch
    >>> difference((torch.zeros(2, 3),), (torch.zeros(2, 1),))
    'state[0] must be a tensor of the shape (2, 3), and is one of (2, 1)'
    """
    if isinstance(wanted, Tensor):
        if not isinstance(given, Tensor):
            return f"{path} must be a tensor, and is a {type(given).__name__}"
        if given.shape != wanted.shape:
            shapes = tuple(wanted.shape), tuple(given.shape)
            return f"{path} must be a tensor of the shape {shapes[0]}, and is one of {shapes[1]}"
        if given.layout != wanted.layout:
            return f"{path} must be a dense tensor, and is {given.layout}"
        if given.device != wanted.device:
            return f"{path} must be a tensor on {wanted.device}, and is one on {given.device}"
        if dtypes and given.dtype != wanted.dtype:
            return f"{path} must be a tensor of {wanted.dtype}, and is one of {given.dtype}"
        return None
    if type(given) is not type(wanted):
        return f"{path} must be a {type(wanted).__name__}, and is a {type(given).__name__}"
    if len(given) != len(wanted):
        return f"{path} must have {len(wanted)} parts, and has {len(given)}"
    names = getattr(wanted, "_fields", None)
    for index, parts in enumerate(zip(wanted, given, strict=True)):
        place = f"{path}.{names[index]}" if names else f"{path}[{index}]"
        found = difference(*parts, place, dtypes=dtypes)
        if found:
            return found
    return None

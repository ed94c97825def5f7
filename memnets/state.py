"""The state that a layer takes and returns: explicit, immutable, nested tuples of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
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
    if hasattr(first, "mapped"):
        return first.mapped(function)
    if not isinstance(first, tuple):
        raise TypeError(
            f"A state is made of tensors and (named) tuples; got {type(first).__name__}. "
            "Let the controller return its state as a tuple."
        )
    parts = [map_tensors(function, *parts) for parts in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


def copied(state: Any) -> Any:
    """Return the state in contiguous tensors of its own, without a graph.

    >>> import torch
    >>> copied((torch.zeros(1).expand(3),))[0].stride()
    (1,)
    """
    form = torch.contiguous_format
    return map_tensors(lambda tensor: tensor.detach().clone(memory_format=form), state)


def select(active: Tensor, new: Any, old: Any) -> Any:
    """Take the rows of one state where `active` [B] is True, and of another where it is not.

    This is how `lengths` and `starts` mask a state. A part whose state need not be copied whole,
    such as a store in which a step changes few slots, gives its NamedTuple a method
    `select(active, old)` that does the same.

    >>> import torch
    >>> select(torch.tensor([True, False]), (torch.ones(2, 1),), (torch.zeros(2, 1),))
    (tensor([[1.],
            [0.]]),)
    """
    if isinstance(new, Tensor):
        return torch.where(active.view(-1, *[1] * (new.dim() - 1)), new, old)
    if hasattr(new, "select"):
        return new.select(active, old)
    parts = [select(active, *pair) for pair in zip(new, old, strict=True)]
    return type(new)(*parts) if hasattr(new, "_fields") else tuple(parts)


def opened(state: Any) -> Any:
    """The state as a sequence takes it: each part that has a method `opened()` as that returns it.

    A part with a large memory, of which a step changes little, gives its NamedTuple the methods
    `opened()`, `closed()`, `resting(rows)` and `select`: the sequence then changes one copy in
    place, and `closed` makes a value of it in the end. A graph of torch.compile and a transform of
    torch.func take the state as it is.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return state
    return _hooked("opened", state)


def closed(state: Any) -> Any:
    """Undo `opened`: the state as a value."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return state
    return _hooked("closed", state)


def resting(rows: Tensor, state: Any) -> Any:
    """The state of which the next step changes nothing in place in `rows`, [B] of bool."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return state
    return _hooked("resting", state, rows)


def _hooked(method: str, state: Any, *arguments: Any) -> Any:
    """Replace each part that has the method by what that returns."""
    if isinstance(state, Tensor):
        return state
    if hasattr(state, method):
        return getattr(state, method)(*arguments)
    parts = [_hooked(method, part, *arguments) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def recorded(state: Any) -> Any:
    """What a record keeps of a state: all of it, or of a part what its method `recorded()` returns.

    A part with a large memory gives its NamedTuple that method, and `memnets.record` stacks over
    time what it offers.
    """
    if isinstance(state, Tensor):
        return state
    if hasattr(state, "recorded"):
        return state.recorded()
    parts = [recorded(part) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def leaves(state: Any) -> list[Tensor]:
    """The tensors of a state, in order.

    >>> import memnets
    >>> [leaf.dim() for leaf in leaves(memnets.NTM(3, 2).initial_state(4))]
    [2, 2, 3, 3, 3, 3]
    """
    if isinstance(state, Tensor):
        return [state]
    found = []
    for part in state:
        if isinstance(part, Tensor):
            found.append(part)
        else:
            found += leaves(part)
    return found


def detach(state: Any) -> Any:
    """Return the state cut off from the graph that made it, for truncated back-propagation.

    >>> import torch, memnets
    >>> layer = memnets.NTM(3, 2, memory_size=8, word_size=4)
    >>> y, state = layer(torch.zeros(5, 1, 3))
    >>> memnets.detach(state).read_vectors.requires_grad
    False
    """
    return map_tensors(Tensor.detach, state)


def flatten(state: Any) -> dict[str, Tensor]:
    """Return the tensors of a state by name, for what takes no tuples: ONNX, TensorDict, a file.

    A name is the path to the tensor, such as `memory.read_weights`.

    >>> import memnets
    >>> state = memnets.DNC(3, 2, controller="gru").initial_state(16)
    >>> {name: tuple(tensor.shape) for name, tensor in flatten(state).items()}
    {'controller.0.0': (16, 100), 'memory.memory': (16, 128, 20), 'memory.usage': (16, 128),
     'memory.link': (16, 1, 128, 128), 'memory.precedence': (16, 1, 128),
     'memory.read_weights': (16, 4, 128), 'memory.write_weights': (16, 1, 128),
     'read_vectors': (16, 4, 20)}
    """
    return dict(_named("", state))


def _named(path: str, part: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(part, Tensor):
        yield path, part
        return
    names = getattr(part, "_fields", range(len(part)))
    for name, inner in zip(names, part, strict=True):
        yield from _named(f"{path}.{name}" if path else str(name), inner)


def unflatten(tensors: Mapping[str, Tensor], like: Any) -> Any:
    """Return the state of the form of `like` that holds `tensors`; undoes `flatten`.

    >>> import memnets
    >>> state = memnets.NTM(3, 2).initial_state(16)
    >>> again = unflatten(flatten(state), like=state)
    >>> again.memory.memory is state.memory.memory
    True

    Raises:
        ValueError: if the names are not those of `flatten(like)`.
    """
    wanted = list(flatten(like))
    if set(wanted) != set(tensors):
        missing = sorted(set(wanted) - set(tensors))
        unknown = sorted(set(tensors) - set(wanted))
        raise ValueError(
            f"The tensors must have the names of flatten(like); missing: {missing}, "
            f"unknown: {unknown}."
        )
    ordered = iter([tensors[name] for name in wanted])
    return map_tensors(lambda _: next(ordered), like)


def difference(wanted: Any, found: Any, path: str = "state", *, dtypes: bool = True) -> str | None:
    """Say in words where the form of `found` first differs from that of `wanted`; None if nowhere.

    The form is the nesting, and the shape, device and (unless `dtypes` is False) dtype of tensors.

    >>> import torch
    >>> difference((torch.zeros(2, 3),), (torch.zeros(2, 1),))
    'state[0] must be a tensor of the shape (2, 3), and is one of (2, 1)'
    """
    if isinstance(wanted, Tensor):
        found = getattr(found, "values", found) if hasattr(found, "mapped") else found
        if not isinstance(found, Tensor):
            return f"{path} must be a tensor, and is a {type(found).__name__}"
        if found.shape != wanted.shape:
            shapes = tuple(wanted.shape), tuple(found.shape)
            return f"{path} must be a tensor of the shape {shapes[0]}, and is one of {shapes[1]}"
        if found.layout != wanted.layout:
            return f"{path} must be a dense tensor, and is {found.layout}"
        if found.device != wanted.device:
            return f"{path} must be a tensor on {wanted.device}, and is one on {found.device}"
        if dtypes and found.dtype != wanted.dtype:
            return f"{path} must be a tensor of {wanted.dtype}, and is one of {found.dtype}"
        return None
    if type(found) is not type(wanted):
        return f"{path} must be a {type(wanted).__name__}, and is a {type(found).__name__}"
    if len(found) != len(wanted):
        return f"{path} must have {len(wanted)} parts, and has {len(found)}"
    names = getattr(wanted, "_fields", None)
    for index, parts in enumerate(zip(wanted, found, strict=True)):
        place = f"{path}.{names[index]}" if names else f"{path}[{index}]"
        inner = difference(*parts, place, dtypes=dtypes)
        if inner:
            return inner
    return None


def with_batch(state: Any) -> Any:
    """Give every tensor of a state a batch axis of one row."""
    return map_tensors(lambda tensor: tensor.unsqueeze(0), state)


def without_batch(state: Any) -> Any:
    """Drop the batch axis, of one row, from every tensor of a state."""
    return map_tensors(lambda tensor: tensor.squeeze(0), state)

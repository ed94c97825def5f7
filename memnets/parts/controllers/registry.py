"""The cells by their names: each registers itself by one decorator, in its own file."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import TypeVar, cast

from torch import nn

from memnets.parts.controllers.cell import CellContract

Kind = TypeVar("Kind", bound=type)

CELLS: dict[str, type[CellContract]] = {}
"""The class of each cell, by the name that `controller=` takes."""


def register(name: str) -> Callable[[Kind], Kind]:
    """Enter a class of cells in `CELLS` under the name that `controller=` takes.

    A class that is defined again, as in a notebook, replaces its former self.

    Raises:
        ValueError: the name is not of words in lower case, another class has it, or the class has
            another name.
        TypeError: the class lacks a part of the contract; the message says which.

    >>> @register("mean")
    ... class Mean(nn.Module):
    ...     state_tensors = 1
    Traceback (most recent call last):
    ...
    TypeError: the cell 'mean' (class Mean) must be made by (input_size, hidden_size, *, device, ...
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ValueError(
            "the name of a cell must be words in lower case joined by underscores, got "
            f'{name!r}: pass one such as "feedforward_tanh"'
        )

    def enter(kind: Kind) -> Kind:
        problem = next(_problems(kind), None)
        if problem is not None:
            called = getattr(kind, "__name__", type(kind).__name__)
            raise TypeError(f"the cell {name!r} (class {called}) must {problem}")
        taken = {other: _place(cell) for other, cell in CELLS.items()}
        if taken.get(name, _place(kind)) != _place(kind):
            raise ValueError(
                f"each cell must have a name of its own, but {name!r} is both {taken[name]} and "
                f"{_place(kind)}: rename one of them"
            )
        if _place(kind) in (place for other, place in taken.items() if other != name):
            raise ValueError(
                f"a cell must have one name, but {_place(kind)} has another than {name!r}: "
                "register a subclass"
            )
        CELLS[name] = cast("type[CellContract]", kind)  # as _problems has made sure
        return kind

    return enter


def _place(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _problems(kind: type) -> Iterator[str]:
    """What a class must be to be a cell, as far as it is not."""
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        yield f"be a class derived from torch.nn.Module, got {kind!r}"
        return
    made = kind.__init__ is not nn.Module.__init__  # which takes anything
    if not made or not _takes(kind, 1, 1, device=None, dtype=None):
        yield (
            "be made by (input_size, hidden_size, *, device, dtype) and need no more, got "
            f"{inspect.signature(kind)}"
        )
    tensors = getattr(kind, "state_tensors", None)
    if not isinstance(tensors, int) or isinstance(tensors, bool) or tensors < 0:
        yield (
            "say how many tensors its state has by a class attribute state_tensors, a whole number "
            f"of at least 0, got {tensors!r}"
        )
    if not callable(getattr(kind, "reset_parameters", None)):
        yield "have reset_parameters(), which draws the parameters anew: define it"
    if kind.forward is nn.Module.forward or not _takes(kind.forward, None, None, None):
        yield "have forward(x, state), which returns (h, state): define it"


def _takes(function: Callable[..., object], *arguments: object, **named: object) -> bool:
    """Whether a call with these arguments has all that the function needs, and no more."""
    try:
        inspect.signature(function).bind(*arguments, **named)
    except TypeError:
        return False
    return True

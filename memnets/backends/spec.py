"""What a layer computes, as a value: by this a backend says what it serves, and what it refuses.

A backend knows a `Spec` and parts; it imports no model and no layer.

Axes: N memory slots, W word, R read heads, H write heads, I input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from memnets.interface import Field, Interface, Table
from memnets.parts.controllers import Controller
from memnets.state import State


class Steps(Protocol):
    """What a backend uses of the layer whose steps it runs: `memnets.MemoryLayer` has all of it."""

    input_size: int
    word_size: int
    read_heads: int
    backend: str
    checkpoint_every: int | None
    controller: nn.Module
    interface: Interface
    readout: nn.Linear | None
    start_memory: nn.Parameter | None
    _modules: dict[str, nn.Module | None]
    _parameters: dict[str, nn.Parameter | None]

    @property
    def some_weight(self) -> Tensor:
        """A weight of the layer, whose dtype and device are the layer's."""
        ...

    @property
    def spec(self) -> Spec:
        """What the layer computes."""
        ...

    def advance(self, x_t: Tensor, state: State) -> Any:
        """Do one step; what it makes has `h`, `interface` and `state`."""
        ...

    def at_once(self, x: Tensor, state: State) -> Any:
        """Do all steps of x [T, B, I]; nothing, where it returns None; x may have no steps."""
        ...

    def initial_state(self, batch_size: int | None = None) -> State:
        """The state before the first step."""
        ...

    def modules(self) -> Iterator[nn.Module]:
        """The layer and all modules in it."""
        ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """All parameters."""
        ...


class TableSpec(NamedTuple):
    """One table of an interface, as a value."""

    kind: type
    """The NamedTuple that it fills."""
    fields: tuple[tuple[str, Field], ...]
    """The name, shape and range of each field, in order."""


class ControllerSpec(NamedTuple):
    """A controller, as a value."""

    kind: type[nn.Module]
    """Its class; what follows is of a `Controller`, and empty for a module of your own."""
    cells: tuple[type[nn.Module], ...] = ()
    """The class of each cell."""
    hidden_size: int = 0
    skip_connections: bool = False
    residual: bool = False


@dataclass(frozen=True, kw_only=True)
class Spec:
    """All that decides what a layer computes, but for the values of its parameters.

    Two layers with equal specs, parameters and inputs compute the same.

    >>> import memnets
    >>> memnets.NTM(9, 8).spec == memnets.NTM(9, 8).spec
    True
    >>> memnets.NTM(9, 8).spec == memnets.NTM(9, 8, heads=memnets.Heads(read_first=True)).spec
    False
    """

    model: type[nn.Module]
    """The class of the layer."""
    input_size: int
    memory_size: int
    word_size: int
    read_heads: int
    write_heads: int
    controller: ControllerSpec
    parts: tuple[tuple[str, Any], ...]
    """The parts and settings of the model, by the names of the layer's attributes."""
    interface: type[nn.Module]
    """The class of the interface."""
    tables: tuple[TableSpec, ...]
    sizes: tuple[int, ...]
    """How many numbers the interface emits for each field."""

    def part(self, name: str) -> Any:
        """The part of this name; None if the model has none.

        >>> import memnets
        >>> memnets.DNC(9, 8).spec.part("linkage").sharpened
        False
        """
        return dict(self.parts).get(name)


def tables_of(tables: Sequence[Table]) -> tuple[TableSpec, ...]:
    """Tables as values."""
    return tuple(TableSpec(table.kind, tuple(table.fields.items())) for table in tables)


def controller_of(controller: nn.Module) -> ControllerSpec:
    """A controller as a value: what its modules are, not what it was made with."""
    if type(controller) is not Controller:
        return ControllerSpec(type(controller))
    kinds = tuple(type(cell) for cell in controller.cells)
    return ControllerSpec(
        Controller,
        kinds,
        controller.hidden_size,
        controller.skip_connections,
        controller.residual,
    )

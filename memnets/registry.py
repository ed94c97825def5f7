"""The layers and parts that configurations name: each registers itself by one decorator."""

from __future__ import annotations

from typing import Any, TypeVar

from memnets.layer import MemoryLayer
from memnets.parts import registry

LAYERS: dict[str, type[MemoryLayer]] = {}
"""Every registered layer, by the name of its class."""
Kind = TypeVar("Kind", bound=type)


def register(kind: Kind) -> Kind:
    """Register a part (a frozen dataclass) or a layer (a `MemoryLayer`): decorate its class.

    A layer of registered classes has a `config`, and `from_config` and `load` rebuild it.

    Raises:
        TypeError: if the class is neither.
        ValueError: if another class is registered under its name.

    >>> import memnets
    >>> @register
    ... class Deep(memnets.NTM):
    ...     pass
    >>> type(memnets.from_config(Deep(3, 2).config)).__name__
    'Deep'
    """
    added: Any = kind
    if not isinstance(added, type) or not issubclass(added, MemoryLayer):
        registry.register(added)
        return kind
    known = LAYERS.setdefault(added.__name__, added)
    if (known.__module__, known.__qualname__) != (added.__module__, added.__qualname__):
        raise ValueError(
            f"A name is registered once; {added.__name__} is {known.__module__}."
            f"{known.__qualname__}: give yours another name."
        )
    LAYERS[added.__name__] = added
    return kind

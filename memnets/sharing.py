"""A memory that is passed from call to call and changed in place, where copies would cost too much.

Of `memnets.SAM` and other layers whose memory has a method `opened`. Axes: N memory slots.
"""

from __future__ import annotations

from memnets.state import State, detach


def share(state: State, *, restore: bool = False) -> State:
    """A state whose memory is passed from call to call and changed in place.

    This copies the memory once; no call does from then on. The layer takes such a state as any
    other and returns one. A state is spent by the next call, and to use it again is an error.
    `lengths` may be given, `starts` may not, and x has a batch axis.

    Args:
        state: a value, as `initial_state` or a call returns it.
        restore: the backward of a call undoes its writes, bit for bit: the state that it was given
            can then be given again, and the one that it returned is spent. A step of training then
            costs nothing in N. False: states go on, as truncated back-propagation wants it; detach
            them.

    Raises:
        TypeError: if the layer of the state has no such memory.

    >>> import torch, memnets
    >>> layer = memnets.SAM(3, 2, memory_size=10, word_size=4)
    >>> state = share(layer.initial_state(1), restore=True)
    >>> for _ in range(2):
    ...     y, _ = layer(torch.ones(5, 1, 3), state)
    ...     y.sum().backward()
    """
    memory = getattr(state, "memory", state)
    if not hasattr(memory, "opened"):
        raise TypeError(
            "A memory is shared if it is changed in place, as that of memnets.SAM; a "
            f"{type(memory).__name__} is not: pass the state as it is."
        )
    return state._replace(memory=state.memory.opened(shared=True, restores=restore))


def value(state: State) -> State:
    """A copy of a state with a shared memory that is a value, outside of the graph.

    Raises:
        ValueError: if the memory has moved on.
    """
    return detach(state._replace(memory=state.memory.copied()))

# pyright: reportMissingImports=false
# torchrl comes with the extra `rl`, which the checks of types do without. Its TensorDicts are Any:
# an entry of theirs may be of many types.
"""A layer as a module of TorchRL, in the place of its `LSTMModule`; needs torchrl.

Axes: B batch, T time, I input, O output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor
from torchrl.data import Unbounded
from torchrl.envs import TensorDictPrimer
from torchrl.modules import recurrent_mode

from memnets.layer import MemoryLayer
from memnets.state import State, copied, detach, flatten, unflatten


class StatePrimer(TensorDictPrimer):
    """Tells an environment of a state, and fills it at a reset; `make_tensordict_primer` makes it.

    TorchRL's own primer fills an entry with one number, which a state is not: a weighting of an
    NTM begins with all of its weight on one slot.

    Args:
        start: the state of one row, by the keys of its entries.
    """

    def __init__(self, start: Mapping[Any, Tensor]) -> None:
        specs = {
            key: Unbounded(shape=value.shape, dtype=value.dtype, device=value.device)
            for key, value in start.items()
        }
        super().__init__(specs, expand_specs=True)
        self.start: dict[Any, Tensor] = dict(start)

    def _reset(self, tensordict: TensorDictBase, tensordict_reset: TensorDictBase) -> Any:
        filled: Any = super()._reset(tensordict, tensordict_reset)
        for key, value in self.start.items():  # the environment drops rows that are not reset
            filled.set(key, value.to(filled.get(key).device).expand_as(filled.get(key)).clone())
        return filled

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Fill a TensorDict [...] of any batch."""
        for key, value in self.start.items():
            tensordict.set(key, value.expand(*tensordict.shape, *value.shape).clone())
        return tensordict


class MemoryModule(TensorDictModuleBase):
    """A layer that reads one entry of a TensorDict and writes its output to another.

    While an environment is played, a call is one step: any batch shape, the state from the entry
    `state_key`, the state after it to `("next", state_key)`. Under `set_recurrent_mode(True)`, as
    in a loss, a call runs whole sequences: the last axis of the batch is the time, and no states
    are written. A row begins from the state stored at its first step, and begins anew where
    `is_init` is set, from the state stored at that position, as TorchRL's own recurrent modules do.
    At the start of an episode that is `layer.initial_state`, which the primer of the environment
    put there; at that of a slice, of which a `SliceSampler` lays many in one row, it is the state
    in which the slice was played.

    Stored states are data: no gradient goes into them, nor into a learned initial state.

    Args:
        layer: a layer of memnets; `batch_first` may be either.
        in_key: the entry with the inputs, [..., I].
        out_key: the entry for the outputs, [..., O].
        state_key: the entry for the state, a nested TensorDict with the names of
            `memnets.flatten`. Two memories in one policy need two.

    Raises:
        TypeError: if `layer` is none of memnets.

    >>> import memnets
    >>> module = MemoryModule(memnets.NTM(3, 2, memory_size=8, word_size=4), "observation", "y")
    >>> begin = torch.ones(5, 1, dtype=torch.bool)
    >>> rows = TensorDict(observation=torch.zeros(5, 3), is_init=begin, batch_size=[5])
    >>> played = module(module.make_tensordict_primer()(rows))
    >>> played["y"].shape, played["next", "memory", "memory.memory"].shape
    (torch.Size([5, 2]), torch.Size([5, 8, 4]))
    """

    def __init__(
        self, layer: MemoryLayer, in_key: Any, out_key: Any, *, state_key: str = "memory"
    ) -> None:
        super().__init__()
        if not isinstance(layer, MemoryLayer):
            raise TypeError(f"layer must be a layer of memnets; got {type(layer).__name__}.")
        self.layer: MemoryLayer = layer
        self.in_key: Any = in_key
        self.out_key: Any = out_key
        self.state_key: str = state_key
        names = flatten(layer.initial_state())
        self.in_keys: list[Any] = [in_key, "is_init", *((state_key, name) for name in names)]
        self.out_keys: list[Any] = [out_key, *(("next", state_key, name) for name in names)]

    def make_tensordict_primer(self) -> StatePrimer:
        """Return the transform that tells an environment of the state, and fills it at a reset.

        The values are those of `layer.initial_state` when this is called. TorchRL's
        `get_primers_from_module` finds this method, and its collectors call it by themselves.
        """
        start = flatten(copied(self.layer.initial_state()))
        return StatePrimer({(self.state_key, name): value for name, value in start.items()})

    def forward(self, tensordict: Any) -> Any:
        """Run a step, or whole sequences under `set_recurrent_mode(True)`; return `tensordict`.

        Raises:
            KeyError: if `is_init` is missing, or the state is while an environment is played.
            ValueError: if there is no axis of time in recurrent mode.
        """
        if "is_init" not in tensordict:
            raise KeyError(
                "The TensorDict must say where episodes begin, under 'is_init': append torchrl's "
                "InitTracker() to the environment."
            )
        shape = tensordict.shape
        if not recurrent_mode():
            y, after = self._step(tensordict.reshape(-1))
            tensordict["next", self.state_key] = after.reshape(shape)
        elif not shape:
            raise ValueError(
                "In recurrent mode the last axis of the batch is the time; got a TensorDict "
                "without a batch: play steps outside of set_recurrent_mode(True)."
            )
        else:
            y = self._sequences(tensordict.reshape(-1, shape[-1]), flat=len(shape) == 1)
        tensordict[self.out_key] = y.reshape(*shape, -1)
        return tensordict

    def _step(self, rows: Any) -> tuple[Tensor, Any]:
        if self.state_key not in rows:
            raise KeyError(
                f"The TensorDict must have the state of the memory, under {self.state_key!r}: "
                "append make_tensordict_primer() of this module to the environment."
            )
        stored = self._state(rows[self.state_key])
        y, state = self.layer.step(rows[self.in_key], stored)
        return y, TensorDict(flatten(state), batch_size=rows.shape)

    def _sequences(self, rows: Any, *, flat: bool) -> Tensor:
        """Return y [B, T, O] for rows [B, T]."""
        x, starts = rows[self.in_key], rows["is_init"].reshape(rows.shape).clone()
        starts[:, 0] = False
        if self.state_key not in rows:
            return self._run(x, None, starts=starts)
        stored = rows[self.state_key]
        row, time = starts.nonzero(as_tuple=True)
        first = stored[torch.arange(len(x), device=x.device), starts.int().argmax(1)]
        again = stored[row, time] == first[row]
        if flat or not again.all():  # a row has one `restart` for all of its starts
            return self._episodes(x, stored, starts)
        return self._run(x, self._state(stored[:, 0]), starts=starts, restart=self._state(first))

    def _episodes(self, x: Tensor, stored: Any, starts: Tensor) -> Tensor:
        """Run x [B, T, I], a row for each stretch from a start to the next, from what is stored."""
        starts[:, 0] = True
        begins = starts.flatten().nonzero().squeeze(1)
        lengths = begins.diff(append=begins.new_tensor([starts.numel()]))
        steps = torch.arange(int(lengths.max()), device=x.device)
        places = (begins[:, None] + steps).clamp(max=starts.numel() - 1)
        y = self._run(x.flatten(0, 1)[places], self._state(stored.reshape(-1)[begins]), lengths)
        return y[steps < lengths[:, None]].view(*starts.shape, -1)

    def _state(self, stored: Any) -> State:
        """Return the state that is stored in rows [B]."""
        like = self.layer.initial_state(len(stored))
        return detach(unflatten(dict(stored.items()), like=like))

    def _run(
        self,
        x: Tensor,
        state: State | None,
        lengths: Tensor | None = None,
        *,
        starts: Tensor | None = None,
        restart: State | None = None,
    ) -> Tensor:
        """Return y [B, T, O] for x [B, T, I] and starts [B, T]."""
        if self.layer.batch_first:
            return self.layer(x, state, lengths, starts=starts, restart=restart)[0]
        turned = None if starts is None else starts.transpose(0, 1)
        y, _ = self.layer(x.transpose(0, 1), state, lengths, starts=turned, restart=restart)
        return y.transpose(0, 1)

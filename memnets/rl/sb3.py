# pyright: reportMissingImports=false
# sb3-contrib comes with the extra `rl`, which the checks of types do without.
"""A layer as the memory of Stable-Baselines3's RecurrentPPO; needs sb3-contrib.

Axes: B batch, T time, I input, O output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor, nn

from memnets.layer import MemoryLayer
from memnets.ntm import NTM
from memnets.state import State, leaves, map_tensors, select


class Packed(nn.Module):
    """A layer whose state is two tensors, as h and c of an LSTM of one layer are.

    `h` and `c` [1, B, hidden_size] hold, one after the other, all numbers of a row's state and a
    mark, which is 1; the rest is 0. A row without the mark is that of `layer.initial_state`, so
    that the zeros with which RecurrentPPO begins are the beginning.

    Args:
        layer: a layer of memnets, without `batch_first`.

    Raises:
        TypeError: if `layer` is none of memnets.
        ValueError: if it has `batch_first`.

    >>> import memnets
    >>> packed = Packed(memnets.NTM(3, 2, memory_size=8, word_size=4, hidden_size=16))
    >>> zeros = torch.zeros(1, 5, packed.hidden_size)
    >>> y, (h, c) = packed(torch.rand(7, 5, 3), (zeros, zeros), torch.zeros(7, 5) > 0)
    >>> y.shape, h.shape, c.shape
    (torch.Size([7, 5, 2]), torch.Size([1, 5, 43]), torch.Size([1, 5, 43]))
    """

    num_layers: int = 1

    def __init__(self, layer: MemoryLayer) -> None:
        super().__init__()
        if not isinstance(layer, MemoryLayer):
            raise TypeError(
                "memory must make a layer of memnets from two sizes, such as memnets.NTM; it made "
                f"{type(layer).__name__}."
            )
        if layer.batch_first:
            raise ValueError("The layer must have the time first; make it without batch_first.")
        self.layer: MemoryLayer = layer
        self.input_size: int = layer.input_size
        numbers = sum(leaf.numel() for leaf in leaves(layer.initial_state()))
        self.hidden_size: int = (numbers + 2) // 2  # with the mark, half of them, rounded up

    def pack(self, state: State) -> tuple[Tensor, Tensor]:
        """Return h and c of a state of B rows."""
        parts = [leaf.flatten(1).float() for leaf in leaves(state)]
        numbers = torch.cat([torch.ones_like(parts[0][:, :1]), *parts], dim=1)
        numbers = nn.functional.pad(numbers, (0, 2 * self.hidden_size - numbers.shape[1]))
        h, c = numbers[None].chunk(2, dim=-1)
        return h.contiguous(), c.contiguous()

    def unpack(self, states: tuple[Tensor, Tensor]) -> State:
        """Return the state of B rows that is packed in h and c."""
        numbers = torch.cat(states, dim=-1)[0]
        start = self.layer.initial_state(len(numbers))
        sizes = [leaf[0].numel() for leaf in leaves(start)]
        parts = iter(numbers[:, 1 : 1 + sum(sizes)].split(sizes, dim=1))
        kept = map_tensors(lambda leaf: next(parts).view(leaf.shape).to(leaf.dtype), start)
        return select(numbers[:, 0] > 0, kept, start)

    def forward(
        self, x: Tensor, states: tuple[Tensor, Tensor], starts: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map x [T, B, I] to y [T, B, O], rows begun anew where starts [T, B] is True."""
        y, state = self.layer(x, self.unpack(states), starts=starts)
        return y, self.pack(state)


class MemoryPolicy(RecurrentActorCriticPolicy):
    """The policy of RecurrentPPO with a memory in the place of each LSTM.

    `RecurrentPPO(MemoryPolicy, env, policy_kwargs={"memory": memnets.DNC})`; a memory of other
    sizes is a function of two, which one that can be pickled lets `save` keep:
    `functools.partial(memnets.DNC, memory_size=32)`. Episodes begin anew inside of a sequence, in
    one call of the layer. The other arguments are Stable-Baselines3's.

    Args:
        observation_space: of the environment.
        action_space: of the environment.
        lr_schedule: the learning rate over the training.
        memory: makes a layer from the sizes of its input and of its output.
        lstm_hidden_size: outputs of the memory, which policy and value read.
        shared_lstm: whether the value reads the policy's memory, without a gradient to it.
        enable_critic_lstm: whether the value has a memory of its own.
        net_arch: the layers between memory and heads.
        activation_fn: between those.
        ortho_init: whether these layers are drawn orthogonal.
        use_sde: whether exploration depends on the state.
        features_extractor_class: what reads observations.
        features_extractor_kwargs: its arguments.
        normalize_images: whether images are divided by 255.
        optimizer_class: the optimizer.
        optimizer_kwargs: its arguments.

    Raises:
        TypeError, ValueError: as `Packed`.
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        lr_schedule: Callable[[float], float],
        *,
        memory: Callable[[int, int], MemoryLayer] = NTM,
        lstm_hidden_size: int = 64,
        shared_lstm: bool = False,
        enable_critic_lstm: bool = True,
        net_arch: Any = None,
        activation_fn: type[nn.Module] = nn.Tanh,
        ortho_init: bool = True,
        use_sde: bool = False,
        features_extractor_class: Any = FlattenExtractor,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=net_arch,
            activation_fn=activation_fn,
            ortho_init=ortho_init,
            use_sde=use_sde,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=features_extractor_kwargs,
            normalize_images=normalize_images,
            optimizer_class=optimizer_class,  # pyright: ignore[reportArgumentType]
            optimizer_kwargs=optimizer_kwargs,
            lstm_hidden_size=lstm_hidden_size,
            shared_lstm=shared_lstm,
            enable_critic_lstm=enable_critic_lstm,
        )
        self.memory: Callable[[int, int], MemoryLayer] = memory
        self.lstm_actor: Any = Packed(memory(self.features_dim, lstm_hidden_size))
        self.lstm_hidden_state_shape: Any = (1, 1, self.lstm_actor.hidden_size)
        if enable_critic_lstm:
            self.lstm_critic: Any = Packed(memory(self.features_dim, lstm_hidden_size))
        self.optimizer: Any = optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        """What `save` keeps of a policy, and `load` makes it from."""
        kept = super()._get_constructor_parameters()
        for name in ("log_std_init", "squash_output", "full_std", "use_expln"):
            kept.pop(name, None)
        return {
            **kept,
            "memory": self.memory,
            "lstm_hidden_size": self.lstm_output_dim,
            "shared_lstm": self.shared_lstm,
            "enable_critic_lstm": self.enable_critic_lstm,
        }

    @staticmethod
    def _process_sequence(
        features: Tensor, lstm_states: tuple[Tensor, Tensor], episode_starts: Tensor, lstm: Any
    ) -> Any:
        """Run features [B * T, I], row after row, from states of B rows; y is [B * T, O]."""
        rows = lstm_states[0].shape[1]
        x = features.reshape(rows, -1, lstm.input_size).transpose(0, 1)
        starts = episode_starts.reshape(rows, -1).transpose(0, 1) > 0
        y, states = lstm(x, lstm_states, starts)
        return y.transpose(0, 1).flatten(0, 1), states

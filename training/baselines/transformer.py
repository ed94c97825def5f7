"""A causal Transformer as a baseline: each step attends to itself and to all steps before it.

Axes: B batch, T time, S steps that are attended to, H attention heads, D numbers of a head, I
input, O output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnets.checks import (
    check_input,
    check_name,
    check_place,
    check_sizes,
    check_switches,
    check_total_size,
)
from memnets.inspect import palette
from memnets.state import difference
from training.baselines.forms import time_first
from training.baselines.registry import Style, register

POSITIONS = ("sinusoidal", "learned", "rotary", "alibi", "none")
BASE = 10_000.0
NO_STEP = -1


class TransformerState(NamedTuple):
    """What later steps attend to. It grows with every step."""

    keys: tuple[Tensor, ...]
    """[B, S, H, D] of each layer"""
    values: tuple[Tensor, ...]
    """[B, S, H, D] of each layer"""
    positions: Tensor
    """[B, S]: from 0; -1 beyond the length of a row"""


def frequencies(size: int, like: Tensor) -> Tensor:
    """`10000^(-2i / size)` for i = 0, 1, ...: [size / 2], as like is."""
    even = torch.arange(0, size, 2, dtype=like.dtype, device=like.device)
    return BASE ** (-even / size)


def sinusoidal(positions: Tensor, size: int, like: Tensor) -> Tensor:
    """Sines and cosines of the positions [..., T], in turn: [..., T, size].

    `PE(p, 2i) = sin(p / 10000^(2i / size))`, `PE(p, 2i + 1) = cos(p / 10000^(2i / size))` (Vaswani
    et al. 2017, section 3.5).

    >>> sinusoidal(torch.tensor([0]), 4, torch.zeros(1)).tolist()
    [[0.0, 1.0, 0.0, 1.0]]
    """
    angles = positions[..., None] * frequencies(size, like)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def rotated(x: Tensor, positions: Tensor) -> Tensor:
    """Turn each pair of x [B, T, H, D] by an angle that grows with the position [B, T].

    `(a, b) -> (a cos - b sin, a sin + b cos)` of the angle `p / 10000^(2i / D)`: the product of a
    query and a key then depends on their distance alone (Su et al. 2021, equation 34).

    >>> rotated(torch.ones(1, 1, 1, 2), torch.tensor([[0]])).tolist()
    [[[[1.0, 1.0]]]]
    """
    angles = (positions[..., None] * frequencies(x.shape[-1], x))[..., None, :]
    a, b = x[..., 0::2], x[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


def slopes(heads: int, like: Tensor) -> Tensor:
    """The slope of each head, [H]: `2^(-8 h / H)` for h = 1 to H (Press et al. 2022, section 3).

    >>> slopes(2, torch.zeros(1)).tolist()
    [0.0625, 0.00390625]
    """
    numbers = torch.arange(1, heads + 1, dtype=like.dtype, device=like.device)
    return 2.0 ** (-8.0 * numbers / heads)


class Block(nn.Module):
    """Attention, then a layer for each step alone, each added to what it was computed from.

    `h + Attention(Norm(h))`, then `h + FeedForward(Norm(h))`: the norms come first (Xiong et al.
    2020, section 3.2), and the activation is GELU. h [B, T, size] -> [B, T, size].
    """

    def __init__(
        self,
        size: int,
        heads: int,
        inner_size: int,
        *,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        place: Any = {"device": device, "dtype": dtype}
        self.heads = heads
        self.attention_norm = nn.LayerNorm(size, **place)
        self.attention = nn.Linear(size, 3 * size, **place)
        self.attention_output = nn.Linear(size, size, **place)
        self.feedforward_norm = nn.LayerNorm(size, **place)
        self.feedforward = nn.Linear(size, inner_size, **place)
        self.feedforward_output = nn.Linear(inner_size, size, **place)

    def forward(
        self,
        h: Tensor,
        before: Sequence[Tensor],
        rotation: Tensor | None,
        mask: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return h and all keys and values [B, S, H, D], those before included.

        Args:
            h: [B, T, size].
            before: the keys and the values of the steps before.
            rotation: positions [B, T] by which queries and keys are rotated, or None.
            mask: [B, 1, T, S], True where a step attends; or [B, H, T, S], added to the scores.
        """
        split = self.attention(self.attention_norm(h)).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.unbind(2)
        if rotation is not None:
            query, key = rotated(query, rotation), rotated(key, rotation)
        keys, values = (torch.cat(pair, dim=1) for pair in zip(before, (key, value), strict=True))
        read = functional.scaled_dot_product_attention(
            *(part.transpose(1, 2) for part in (query, keys, values)), attn_mask=mask
        )
        h = h + self.attention_output(read.transpose(1, 2).flatten(2))
        inner = functional.gelu(self.feedforward(self.feedforward_norm(h)))
        return h + self.feedforward_output(inner), (keys, values)


@register(
    "transformer",
    Style("Transformer", palette.PINK, "-"),
    family="steady",
    guess={
        "optimizer.learning_rate": 1e-3,
        "optimizer.warmup": 8_000,
        "run.batch_size": 32,
        "run.sequences": 200_000,
    },
)
class Transformer(nn.Module):
    """A causal pre-norm Transformer, called like the memory layers (Vaswani et al. 2017).

    x [T, B, input_size] -> y [T, B, output_size], which are logits: a linear map of the input, the
    blocks, a norm and a linear readout. Step t depends on the steps up to t alone. The state is a
    `TransformerState`: a call that is given one goes on where it ended.

    How a step knows where it is, by `positions`:

    - `sinusoidal`: sines and cosines are added to the input (Vaswani et al. 2017, section 3.5).
    - `learned`: a vector for each position is added to it (Gehring et al. 2017), up to max_length.
    - `rotary`: queries and keys are rotated, so that their distance counts (Su et al. 2021).
    - `alibi`: scores fall with the distance, in each head by another slope (Press et al. 2022).
    - `none`: the order shows in the causal mask alone (Haviv et al. 2022).

    Args:
        input_size: channels of the input (I).
        output_size: channels of the output (O).
        hidden_size: numbers of a step in each block; a multiple of attention_heads
        num_layers: blocks of attention and feed-forward layer
        attention_heads: heads of the attention in each block (H)
        feedforward_size: hidden units of the feed-forward layer in each block
        positions: how a step knows where it is; see training/baselines/transformer.py
        max_length: the most steps of a sequence where positions are learned; no others need it
        batch_first: whether the batch is the first axis of input and output.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        ValueError: a size is less than 1, the heads do not divide hidden_size, or what the chosen
            positions pair up is odd.

    >>> layer = Transformer(10, 9, hidden_size=16, num_layers=1, attention_heads=2)
    >>> y, state = layer(torch.zeros(5, 2, 10))
    >>> y.shape, state.keys[0].shape
    (torch.Size([5, 2, 9]), torch.Size([2, 5, 2, 8]))
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        hidden_size: int = 64,
        num_layers: int = 2,
        attention_heads: int = 4,
        feedforward_size: int = 256,
        positions: Literal["sinusoidal", "learned", "rotary", "alibi", "none"] = "sinusoidal",
        max_length: int = 2048,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        sizes = {
            "input_size": input_size,
            "output_size": output_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "attention_heads": attention_heads,
            "feedforward_size": feedforward_size,
            "max_length": max_length,
        }
        _check(sizes, positions)
        check_switches(batch_first=batch_first)
        check_place(device, dtype)
        arguments = {**sizes, "positions": positions, "batch_first": batch_first}
        self.config: dict[str, Any] = {"name": "Transformer", "arguments": arguments}
        self.input_size, self.output_size, self.batch_first = input_size, output_size, batch_first
        self.heads, self.positions, self.max_length = attention_heads, positions, max_length
        place: Any = {"device": device, "dtype": dtype}
        self.input = nn.Linear(input_size, hidden_size, **place)
        self.blocks = nn.ModuleList(
            Block(hidden_size, attention_heads, feedforward_size, **place)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size, **place)
        self.readout = nn.Linear(hidden_size, output_size, **place)
        if positions == "learned":  # drawn last: all else starts alike whatever the positions
            self.learned = nn.Parameter(0.02 * torch.randn(max_length, hidden_size, **place))

    def initial_state(self, batch_size: int) -> TransformerState:
        """Return the state before the first step, which has nothing to attend to."""
        return self._zeros(batch_size, 0)

    def forward(
        self,
        x: Tensor,
        state: TransformerState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
    ) -> tuple[Tensor, TransformerState]:
        """Map x [T, B, I] (or [T, I]) to logits y [T, B, O] and the state after the last step.

        With lengths, y is 0 past a row's length, and what follows it is never attended to.

        Raises:
            ValueError: the shape of x, of the state or of lengths is not the layer's, or the
                sequence is longer than the learned positions.
            TypeError: x is no tensor, or not of the layer's dtype.
        """
        weight, batch_first = self.readout.weight, self.batch_first
        check_input(x, input_size=self.input_size, batch_first=batch_first, weight=weight)
        return time_first(self._run, x, state, lengths, batch_first=batch_first)

    def _run(
        self, x: Tensor, state: TransformerState | None, lengths: Tensor | None
    ) -> tuple[Tensor, TransformerState]:
        time, batch, _ = x.shape
        state = self.initial_state(batch) if state is None else self._checked(state, batch)
        steps = torch.arange(time, device=x.device)
        begun = state.positions.shape[1] > 0
        first = state.positions.amax(1, keepdim=True) + 1 if begun else steps.new_zeros(1, 1)
        now = first + steps  # [B, T]; [1, T] where all rows begin
        real = steps < (time if lengths is None else lengths.to(x.device)[:, None])
        positions = torch.where(real, now, NO_STEP).expand(batch, -1)
        positions = torch.cat([state.positions, positions], dim=1)  # [B, S]
        self._check_reach(positions)
        # What lies beyond a row's length may be anything, and 0 times a NaN is a NaN.
        h = self.input(torch.where(real[..., None], x.transpose(0, 1), 0.0))
        if self.positions == "sinusoidal":
            h = h + sinusoidal(now, h.shape[-1], x)
        elif self.positions == "learned":
            h = h + self.learned[now.clamp(max=self.max_length - 1)]
        rotation = now if self.positions == "rotary" else None
        # Where all rows begin, only steps beyond a row's length attend to such steps.
        mask = self._mask(now, positions if begun else now, x)
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for block, *before in zip(self.blocks, state.keys, state.values, strict=True):
            h, (key, value) = block(h, before, rotation, mask)
            keys.append(key)
            values.append(value)
        y = self.readout(self.norm(h)).transpose(0, 1)
        return y, TransformerState(tuple(keys), tuple(values), positions)

    def _mask(self, now: Tensor, positions: Tensor, like: Tensor) -> Tensor:
        """What a step [B, T] may attend to among positions [B, S]: see `Block.forward`."""
        distance = (now[:, :, None] - positions[:, None, :])[:, None]  # [B, 1, T, S]
        attends = (distance >= 0) & (positions != NO_STEP)[:, None, None, :]
        if self.positions != "alibi":
            return attends
        scores = -slopes(self.heads, like)[:, None, None] * distance
        return scores.masked_fill(~attends, -torch.inf)

    def _zeros(self, batch: int, steps: int) -> TransformerState:
        """A state of so many steps."""
        size = self.readout.in_features // self.heads
        empty = self.readout.weight.new_zeros(batch, steps, self.heads, size)
        each = (empty,) * len(self.blocks)
        positions = torch.zeros(batch, steps, dtype=torch.int64, device=empty.device)
        return TransformerState(each, each, positions)

    def _checked(self, state: TransformerState, batch: int) -> TransformerState:
        positions = getattr(state, "positions", None)
        steps = positions.shape[1] if isinstance(positions, Tensor) and positions.dim() == 2 else 0
        # Under autocast, keys and values have its dtype.
        if found := difference(self._zeros(batch, steps), state, dtypes=False):
            raise ValueError(f"The state is not of this layer and batch: {found}.")
        return state

    def _check_reach(self, positions: Tensor) -> None:
        """Refuse a sequence that is longer than the learned positions."""
        if self.positions != "learned":
            return
        length = int(positions.amax()) + 1
        if length > self.max_length:
            raise ValueError(
                f"A sequence may have at most max_length={self.max_length} steps where positions "
                f"are learned; got {length}: train with a larger max_length (--model.max-length) "
                "or other positions (--model.positions)."
            )


def _check(sizes: dict[str, int], positions: str) -> None:
    """Refuse sizes that cannot be divided among the heads, or into the pairs of the positions."""
    check_sizes(**sizes)
    check_name("positions", positions, POSITIONS)
    size, heads = sizes["hidden_size"], sizes["attention_heads"]
    if size % heads:
        raise ValueError(f"hidden_size must be a multiple of attention_heads={heads}; got {size}.")
    if positions == "sinusoidal" and size % 2:
        raise ValueError(f"hidden_size must be even with sinusoidal positions; got {size}.")
    if positions == "rotary" and size // heads % 2:
        raise ValueError(
            "hidden_size / attention_heads must be even with rotary positions; got "
            f"{size} / {heads} = {size // heads}."
        )
    widths = sizes["num_layers"] * (4 * size + 2 * sizes["feedforward_size"])
    widths += sizes["input_size"] + sizes["output_size"]
    check_total_size(size * (widths + (sizes["max_length"] if positions == "learned" else 0)))

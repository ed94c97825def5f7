"""Write at every L-th step alone, from the best of the hidden states since the last write.

Le, Tran and Venkatesh 2019, "Learning to Remember More with Less Memorization", arXiv 1901.01347.
Axes: B batch, R read heads, W word; L steps from one write to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memnets.checks import check_sizes, check_switches
from memnets.parts.controllers import Controller
from memnets.parts.registry import register


def attend(cache: Tensor, queries: Tensor, keys: Tensor, scores: Tensor) -> Tensor:
    """The hidden state of the cache that is best to write from (section 2.2.2, eq. 9 and 10).

    `alpha_j = softmax_j(v . tanh(query + key_j))`, and `a = sum_j alpha_j d_j`.

    Args:
        cache: hidden states d, [B, L, hidden].
        queries: W h(t-1) + V r(t-1), [B, hidden].
        keys: U d, [B, L, hidden].
        scores: v, [hidden].

    Returns:
        a, [B, hidden].
    """
    alpha = torch.softmax(torch.tanh(queries[:, None] + keys) @ scores, dim=-1)
    return (alpha[:, None] @ cache).squeeze(1)


class ScheduledState(NamedTuple):
    """What a layer with a schedule carries in place of its controller's state."""

    controller: Any
    """The controller's own."""
    steps: Tensor
    """[B], steps since the last write, from 0 to L - 1."""
    cache: Any
    """[B, L, hidden], the hidden states of the last L steps; the empty tuple without a cache."""


class Schedule(nn.Module):
    """Says at which steps a layer writes, and what its controller goes on from there.

    Args:
        settings: of it.
        hidden_size: of the controller's hidden state.
        read_size: numbers in all read vectors, R*W.
        device, dtype: of the parameters.
    """

    def __init__(
        self,
        settings: UniformWriting,
        hidden_size: int,
        read_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.interval: int = settings.interval
        self.cached: bool = settings.cached
        self.read_between: bool = settings.read_between
        if self.cached:
            place: dict[str, Any] = {"bias": False, "device": device, "dtype": dtype}
            self.from_hidden: nn.Linear = nn.Linear(hidden_size, hidden_size, **place)
            self.from_cache: nn.Linear = nn.Linear(hidden_size, hidden_size, **place)
            self.from_reads: nn.Linear = nn.Linear(read_size, hidden_size, **place)
            self.scores: nn.Linear = nn.Linear(hidden_size, 1, **place)

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as `nn.Linear` does."""
        for linear in self.children():
            linear.reset_parameters()  # pyright: ignore[reportCallIssue]

    def initial_state(self, controller: Any, like: Tensor) -> ScheduledState:
        """No step since the last write, and an empty cache; `like` is [B, R, W]."""
        cache = ()
        if self.cached:
            hidden = controller[-1][0]
            cache = hidden.new_zeros(()).expand(hidden.shape[0], self.interval, hidden.shape[1])
        return ScheduledState(controller, like.new_zeros(like.shape[0]), cache)

    def begin(self, state: ScheduledState, reads: Tensor) -> tuple[Tensor, ScheduledState]:
        """Begin a step (Algorithm 1, lines 2 to 4); `reads` is r(t-1), [B, R*W].

        Returns:
            Which rows write in this step, bool [B], and the state before the controller's step.
        """
        steps = state.steps + 1
        due = steps > self.interval - 0.5  # a number that is counted has no rounding error to meet
        before, cache = state.controller, state.cache
        if self.cached:
            hidden = before[-1][0]
            cache = torch.cat([cache[:, 1:], hidden[:, None]], dim=1)
            queries = self.from_hidden(hidden) + self.from_reads(reads)
            best = attend(cache, queries, self.from_cache(cache), self.scores.weight[0])
            hidden = torch.where(due[:, None], best.to(hidden.dtype), hidden)
            before = (*before[:-1], (hidden, *before[-1][1:]))
        return due, ScheduledState(before, torch.where(due, 0.0, steps), cache)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"interval={self.interval}, cached={self.cached}, read_between={self.read_between}"


@register
@dataclass(frozen=True, kw_only=True)
class UniformWriting:
    """Write at every `interval`-th step (eq. 8), or with a cache: Cached Uniform Writing.

    The cache keeps the controller's hidden state of each step; at a write, the controller goes on
    from what `attend` finds there in place of the last one (section 2.2, Algorithm 1). Between two
    writes the memory stays as it is. The hidden state is the first tensor of the top cell's state.

    Raises:
        ValueError: if a setting is out of its range.
    """

    interval: int = 5
    """from one write to the next, L steps"""
    cached: bool = True
    """write from the best of the hidden states since the last write, else from the last one"""
    read_between: bool = False
    """read at every step; else, as in Algorithm 1, what was read at a write is seen until the
    next"""

    def __post_init__(self) -> None:
        check_sizes(interval=self.interval)
        check_switches(cached=self.cached, read_between=self.read_between)

    def build(
        self,
        controller: Controller,
        read_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Schedule:
        """Return a new schedule for a controller.

        Args:
            controller: of the layer.
            read_size: numbers in all read vectors, R*W.
            device, dtype: of the parameters.

        Raises:
            ValueError: if there is a cache, and the cell has no hidden state for it.
        """
        if self.cached and not controller.state_shape[1]:
            raise ValueError(
                "A cache keeps the hidden state of a recurrent cell; got the cell "
                f"{controller.cell}: take one such as lstm, or UniformWriting(cached=False)."
            )
        return Schedule(self, controller.hidden_size, read_size, device=device, dtype=dtype)

"""The state before the first step (NTM section 3, "bias vectors"; elsewhere a constant)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from memnets.checks import check_epsilons, check_numbers, check_switches
from memnets.parts.registry import register


@register
@dataclass(frozen=True, kw_only=True)
class Start:
    """Where every sequence starts: a constant memory, or a state that is learned.

    Raises:
        ValueError: if a number is out of its range, or `spread` is not 0 and nothing is learned.

    >>> Start(learned=True, spread=0.5)
    Start(memory=None, learned=True, spread=0.5)
    """

    memory: float | None = None
    """every number of the memory before the first step; None: the model's own"""
    learned: bool = False
    """learn the state before the first step: memory, read vectors, an NTM's weightings, controller;
    a DNC's usage, link, precedence and weightings start at 0 all the same"""
    spread: float = 0.0
    """of a learned memory, the standard deviation of the normally distributed numbers that are
    added to it at first: slots that differ can be told apart by content"""

    def __post_init__(self) -> None:
        if self.memory is not None:
            check_numbers(memory=self.memory)
        check_switches(learned=self.learned)
        check_epsilons(spread=self.spread)
        if self.spread and not self.learned:
            raise ValueError(
                "spread must be 0 unless learned is True, because a state dict holds only what is "
                f"learned; got {self.spread!r}: pass learned=True."
            )

    @torch.no_grad()
    def fill(self, memory: Tensor, constant: float) -> None:
        """Give a learned memory [N, W] its first numbers; `constant` is what the model starts with
        where `memory` is None.
        """
        memory.fill_(constant if self.memory is None else self.memory)
        if self.spread:
            memory.add_(self.spread * torch.randn_like(memory))

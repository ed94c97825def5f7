"""Usage as the time of the last access (Rae et al. 2016, section 3.2).

Axes: B batch, N memory slots, H write heads; P positions, the slots that a step looks at.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memnets.parts.search import largest


@torch.no_grad()
def least_recent(accessed: Tensor, end: int, count: int) -> Tensor:
    """The `count` slots that were accessed the longest ago, of equals the lowest first.

    Args:
        accessed: the step of the last access of each slot, [B, N]; 0 for none.
        end: slots at and above it are not looked at.
        count: how many, one for each write head.

    Returns:
        Slots [B, count].

    >>> least_recent(torch.tensor([[3, 1, 0, 0, 2]]), 5, 3)
    tensor([[2, 3, 1]])
    """
    accessed = accessed[:, :end]
    order = accessed * end + torch.arange(end, device=accessed.device)
    return largest(-order, count)[1]


@torch.no_grad()
def total_weights(positions: Tensor, weights: Tensor) -> Tensor:
    """The weight of all accesses of a slot together, [B, P], at each position that has it.

    Args:
        positions: slots [B, P], of which some may be equal.
        weights: [B, P].

    >>> total_weights(torch.tensor([[4, 2, 4]]), torch.tensor([[0.5, 0.25, 0.25]]))
    tensor([[0.7500, 0.2500, 0.7500]])
    """
    same = positions[:, :, None] == positions[:, None, :]
    return (same.to(weights.dtype) @ weights[..., None]).squeeze(-1)

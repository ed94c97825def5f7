"""By the order of writes: the temporal link and the weightings that follow it (DNC Methods).

Axes: B batch, N memory slots, R read heads, H write heads.
"""

from __future__ import annotations

import torch
from torch import Tensor


def update_precedence(precedence: Tensor, write_weights: Tensor) -> Tensor:
    """Precedence p = (1 - sum_N w) p + w: how much each slot was the last written (DNC Methods).

    Both arguments and the result are [B, H, N], each head for itself, summing to at most 1.
    """
    return (1 - write_weights.sum(-1, keepdim=True)) * precedence + write_weights


def update_link(link: Tensor, precedence: Tensor, write_weights: Tensor) -> Tensor:
    """Temporal link L_ij = (1 - w_i - w_j) L_ij + w_i p_j(t-1), with L_ii = 0 (DNC Methods).

    L_ij is how much slot i was written right after slot j.

    Args:
        link: [B, H, N, N] of the step before.
        precedence: [B, H, N] of the step before.
        write_weights: [B, H, N] of this step.

    Returns:
        Link [B, H, N, N] in [0, 1], rows and columns summing to at most 1.
    """
    to, since = write_weights[..., :, None], write_weights[..., None, :]
    link = (1 - to - since) * link + to * precedence[..., None, :]
    diagonal = torch.eye(link.shape[-1], dtype=torch.bool, device=link.device)
    return link.masked_fill(diagonal, 0.0)


def directional_weights(link: Tensor, read_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Backward and forward weightings b = L^T w(t-1), f = L w(t-1) (DNC Methods).

    Args:
        link: [B, H, N, N].
        read_weights: [B, R, N] of the step before.

    Returns:
        (backward, forward), each [B, R, H, N]: what was written before, and after, what was read.
    """
    weights = read_weights[:, None]
    backward, forward = weights @ link, weights @ link.transpose(-1, -2)
    return backward.transpose(1, 2), forward.transpose(1, 2)

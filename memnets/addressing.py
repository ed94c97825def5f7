"""The equations that turn what a controller emits into weightings over memory. Pure functions.

Axes: B batch, N memory slots, W word, R read heads, H write heads, S shifts. Functions that serve
both kinds of head write R; a write head's H may stand in its place.

NTM: Graves, Wayne, Danihelka 2014, arXiv 1410.5401, section 3.3.
DNC: Graves et al., Nature 538, 2016, Methods.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memnets.memory import product

# ---------------------------------------------------------------- by content


def cosine_similarity(memory: Tensor, keys: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Cosine of each key with each slot, `k.m / sqrt(|k|^2 |m|^2 + epsilon)` (NTM eq. 6).

    The epsilon keeps value and gradient finite at an empty slot, whose similarity is 0.

    Args:
        memory: [B, N, W].
        keys: [B, R, W].
        epsilon: added under the root, so that `|k| |m|` much below sqrt(epsilon) counts as 0.

    Returns:
        Similarities [B, R, N] in [-1, 1].

    >>> cosine_similarity(torch.eye(2)[None], torch.tensor([[[0.0, 3.0]]]), epsilon=0.0)
    tensor([[[0., 1.]]])
    """
    squared_keys = torch.linalg.vecdot(keys, keys)[:, :, None]
    squared_slots = torch.linalg.vecdot(memory, memory)[:, None, :]
    products = torch.bmm(keys, memory.transpose(1, 2))
    return products * torch.rsqrt(squared_keys * squared_slots + epsilon)


def content_weights(
    memory: Tensor, keys: Tensor, strengths: Tensor, epsilon: float = 1e-6
) -> Tensor:
    """Content weighting c = softmax_N(strength * cos(key, M_i)) (NTM eq. 5; DNC Methods).

    Args:
        memory: [B, N, W].
        keys: [B, R, W].
        strengths: [B, R], positive (the DNC's are at least 1).
        epsilon: see `cosine_similarity`.

    Returns:
        Weightings [B, R, N] that sum to 1.
    """
    return torch.softmax(strengths[..., None] * cosine_similarity(memory, keys, epsilon), dim=-1)


# --------------------------------------------------------------- by location


def interpolate(content_weights: Tensor, previous_weights: Tensor, gates: Tensor) -> Tensor:
    """Gated weighting g c + (1 - g) w(t-1) (NTM eq. 7).

    The weightings are [B, R, N], the gates [B, R] in [0, 1].
    """
    return torch.lerp(previous_weights, content_weights, gates[..., None])


def shift(weights: Tensor, shifts: Tensor) -> Tensor:
    """Circular shift w(i) = sum_j weights(i - j) shifts(j), j = -k..k (NTM eq. 8).

    Args:
        weights: [B, R, N].
        shifts: [B, R, S] on the simplex, S = 2k + 1 odd; the last entry moves slot i to slot i + k.

    Returns:
        Weightings [B, R, N] of the same sum.

    Raises:
        ValueError: if S is even.

    >>> shift(torch.tensor([[[0.0, 0.0, 1.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]]))
    tensor([[[1., 0., 0.]]])
    """
    if shifts.shape[-1] % 2 == 0:
        raise ValueError(f"shifts must be odd in number, from -k to +k; got {shifts.shape[-1]}.")
    reach = shifts.shape[-1] // 2
    moved = [torch.roll(weights, j, dims=-1) for j in range(-reach, reach + 1)]
    return (shifts[..., None, :] @ torch.stack(moved, dim=-2)).squeeze(-2)


def sharpen(weights: Tensor, sharpenings: Tensor, epsilon: float = 1e-12) -> Tensor:
    """Sharpened weighting w^gamma / sum w^gamma = softmax(gamma log w) (NTM eq. 9).

    Args:
        weights: [B, R, N], not negative.
        sharpenings: gamma [B, R], at least 1.
        epsilon: added to the weights, so that the logarithm of 0 and its gradient are finite.

    Returns:
        Weightings [B, R, N] that sum to 1.
    """
    return torch.softmax(sharpenings[..., None] * torch.log(weights + epsilon), dim=-1)


def focus(
    memory: Tensor,
    previous_weights: Tensor,
    keys: Tensor,
    strengths: Tensor,
    gates: Tensor,
    shifts: Tensor,
    sharpenings: Tensor,
    similarity_epsilon: float = 1e-6,
    sharpen_epsilon: float = 1e-12,
) -> Tensor:
    """The NTM's whole addressing, by content then by location (NTM figure 2, eq. 5 to 9).

    Args:
        memory: [B, N, W].
        previous_weights: the heads' weightings of the step before, [B, R, N].
        keys, strengths, gates, shifts, sharpenings: [B, R, W], [B, R], [B, R], [B, R, S], [B, R].
        similarity_epsilon, sharpen_epsilon: see `cosine_similarity` and `sharpen`.

    Returns:
        Weightings [B, R, N] that sum to 1.
    """
    by_content = content_weights(memory, keys, strengths, similarity_epsilon)
    gated = interpolate(by_content, previous_weights, gates)
    return sharpen(shift(gated, shifts), sharpenings, sharpen_epsilon)


# ------------------------------------------------------------------ by usage


def retention(read_weights: Tensor, free_gates: Tensor) -> Tensor:
    """What the free gates keep of each slot, psi = prod_r (1 - f_r w_r(t-1)) (DNC Methods).

    Args:
        read_weights: [B, R, N] of the step before.
        free_gates: [B, R] in [0, 1].

    Returns:
        Retention [B, N] in [0, 1].
    """
    return product(1 - free_gates[..., None] * read_weights, dim=1)


def update_usage(usage: Tensor, write_weights: Tensor, retention: Tensor) -> Tensor:
    """Usage u = (u + w - u w) psi, with the weightings of the step before (DNC Methods).

    Several write heads act one after another. Computed as u + (1 - u) w, which a full write makes
    exactly 1, and which a write far below the precision of 1 still raises from 0.

    Args:
        usage: [B, N] in [0, 1].
        write_weights: [B, H, N] of the step before.
        retention: [B, N].

    Returns:
        Usage [B, N] in [0, 1].
    """
    for weights in write_weights.unbind(1):
        usage = usage + (1 - usage) * weights
    return usage * retention


def allocation(usage: Tensor, epsilon: float = 1e-6, resolution: float = 2**-16) -> Tensor:
    """Allocation weighting a[phi_j] = (1 - u[phi_j]) prod_{i<j} u[phi_i] (DNC Methods, eq. 1).

    phi lists the slots from the least to the most used; equal usage keeps the order of the slots.
    The product is computed as the exponential of an exclusive cumulative sum of logarithms. The
    order itself has no gradient, as in the paper.

    Args:
        usage: [B, N] in [0, 1].
        epsilon: usage enters the products as epsilon + (1 - epsilon) u, away from log 0.
        resolution: the order is that of usage rounded to multiples of this, so that rounding errors
            do not decide between slots that are used alike; 0 orders by usage as it is.

    Returns:
        Weighting [B, N] that sums to at most 1.

    >>> allocation(torch.tensor([[0.5, 0.0, 1.0]]), epsilon=0.0)
    tensor([[0., 1., 0.]])
    """
    rounded = torch.round(usage / resolution) if resolution else usage
    free_list = torch.argsort(rounded.detach(), dim=-1, stable=True)
    ascending = epsilon + (1 - epsilon) * usage.gather(-1, free_list)
    logarithms = torch.log(ascending[..., :-1])
    before = torch.nn.functional.pad(torch.cumsum(logarithms, dim=-1), (1, 0))
    return torch.zeros_like(usage).scatter(-1, free_list, (1 - ascending) * torch.exp(before))


def allocate(
    usage: Tensor, gates: Tensor, epsilon: float = 1e-6, resolution: float = 2**-16
) -> Tensor:
    """Allocation weightings of several write heads, head after head (as in DeepMind's code).

    Each head's allocation raises the usage that the next head sees by gate * allocation.

    Args:
        usage: [B, N] in [0, 1].
        gates: [B, H] in [0, 1], how much each head will write by allocation: its write gate times
            its allocation gate.
        epsilon, resolution: see `allocation`.

    Returns:
        Weightings [B, H, N].
    """
    weights = []
    for gate in gates.unbind(1):
        weights.append(allocation(usage, epsilon, resolution))
        usage = usage + (1 - usage) * gate[:, None] * weights[-1]
    return torch.stack(weights, dim=1)


def least_used(usage: Tensor, count: int) -> Tensor:
    """One-hot weightings of the `count` least-used slots (Santoro et al. 2016, eq. 22).

    Args:
        usage: [B, N].
        count: how many, one for each head; equal usage goes to the lowest slot first.

    Returns:
        Weightings [B, count, N], without a gradient.

    Raises:
        ValueError: if there are fewer slots than heads.

    >>> least_used(torch.tensor([[0.5, 0.1, 0.0]]), 2)
    tensor([[[0., 0., 1.],
             [0., 1., 0.]]])
    """
    if count > usage.shape[-1]:
        raise ValueError(
            f"Each head needs a slot of its own; got {count} heads and {usage.shape[-1]} slots."
        )
    slots = torch.argsort(usage, dim=-1, stable=True)[:, :count]
    # Not one_hot, for which vmap has no rule.
    return (slots[..., None] == torch.arange(usage.shape[-1], device=usage.device)).to(usage.dtype)


# ------------------------------------------------------ by the order of writes


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

"""Sparse temporal links: of each word, which were written before it and after it (Rae et al. 2016).

The rows and the columns of a DNC's link matrix, each cut to its largest entries (section 4.2 and
supplement; DNC Methods, "Sparse link matrix"). Axes: B batch, N memory slots, R read heads; K words
that a head reads, L links of a word, P positions that a step writes to.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memnets.parts.last_access import total_weights
from memnets.parts.store import InPlace, Words, at

Weighting = tuple[Tensor, Tensor]
"""Slots, and a weight of each."""


class Links(NamedTuple):
    """A link matrix and a precedence, sparse; what has no weight may name any slot."""

    before_slots: Tensor
    """[B, N, L]: the largest of row i of the matrix, the words written before word i."""
    before_weights: Tensor
    """[B, N, L]"""
    after_slots: Tensor
    """[B, N, L]: the largest of column j, the words written after word j."""
    after_weights: Tensor
    """[B, N, L]"""
    precedence_slots: Tensor
    """[B, L]: where was written last."""
    precedence_weights: Tensor
    """[B, L]"""


def merged(slots: Tensor, weights: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` slots with the largest weights, where a slot that is there twice has their sum.

    Args:
        slots: [..., P].
        weights: [..., P], at least 0.
        count: at most P.

    Returns:
        Slots and weights [..., count], the largest first, of equals that which came first; a weight
        of 0 may stand at any slot.

    >>> merged(torch.tensor([3, 1, 3]), torch.tensor([0.25, 0.5, 0.5]), 2)
    (tensor([3, 1]), tensor([0.7500, 0.5000]))
    """
    same = slots[..., :, None] == slots[..., None, :]
    total = (same.to(weights.dtype) @ weights[..., None]).squeeze(-1)
    earlier = torch.ones_like(same[..., 0, :]).cumsum(-1)
    again = (same & (earlier[..., :, None] > earlier[..., None, :])).any(-1)
    total = total.masked_fill(again, 0.0)
    found = total.sort(dim=-1, descending=True, stable=True).indices[..., :count]
    return slots.gather(-1, found), total.gather(-1, found)


def _weights_at(where: Tensor, slots: Tensor, weights: Tensor) -> Tensor:
    """The weight of each slot of `where` [B, ...] among slots and weights [B, P], or 0."""
    flat = where.flatten(1)
    same = (flat[:, :, None] == slots[:, None, :]).to(weights.dtype)
    return (same @ weights[..., None]).view(where.shape)


@torch.no_grad()
def update_links(links: Links, slots: Tensor, weights: Tensor, words: Words | InPlace) -> Links:
    """The links and the precedence after a write (DNC Methods), without a gradient.

    `L_ij = (1 - w_i - w_j) L_ij + w_i p_j` with 0 for i = j, and `p = (1 - sum w) p + w`. Only rows
    and columns of words that are written, or were written last, or are linked to one of these, are
    looked at; each then keeps its L largest.

    Args:
        links: of the step before.
        slots: where is written, [B, P]; a slot may be there twice.
        weights: [B, P].
        words: puts rows into the tables.
    """
    single = merged(slots, weights, slots.shape[1])
    total = total_weights(slots, weights)
    tables = list(links[:4])
    # What links to a written word, and is linked from one, but for links without a weight.
    near = [
        torch.where(at(tables[which + 1], slots) > 0, at(tables[which], slots), slots[..., None])
        for which in (2, 0)
    ]
    for which, more in zip((0, 2), near, strict=True):
        rows = torch.cat([slots, more.flatten(1)], dim=1)
        entries = at(tables[which], rows)
        factor = 1 - _weights_at(rows, *single)[..., None] - _weights_at(entries, *single)
        tables[which + 1] = words.put(tables[which + 1], rows, at(tables[which + 1], rows) * factor)

    last_slots, last = links[4:]
    own = last[:, None] * total[..., None]
    _add(tables, 0, slots, last_slots, own, words)
    lasting = total_weights(last_slots, last)
    _add(tables, 2, last_slots, single[0], lasting[..., None] * single[1][:, None], words)

    left = (1 - weights.sum(1, keepdim=True)) * last
    both = torch.cat([last_slots, slots], dim=1), torch.cat([left, weights], dim=1)
    latest = merged(*both, last.shape[1])
    return Links(tables[0], tables[1], tables[2], tables[3], latest[0], latest[1])


def _add(
    tables: list[Tensor],
    which: int,
    rows: Tensor,
    slots: Tensor,
    weights: Tensor,
    words: Words | InPlace,
) -> None:
    """Add weights [B, rows, P] of slots [B, P] to rows of a table, and keep the largest of each."""
    there = at(tables[which], rows), at(tables[which + 1], rows)
    more = slots[:, None].expand(weights.shape)
    weights = weights.masked_fill(more == rows[..., None], 0.0)
    both = torch.cat([there[0], more], dim=-1), torch.cat([there[1], weights], dim=-1)
    kept_slots, kept = merged(*both, there[0].shape[-1])
    tables[which] = words.put(tables[which], rows, kept_slots)
    tables[which + 1] = words.put(tables[which + 1], rows, kept)


def follow(
    table_slots: Tensor, table_weights: Tensor, slots: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Where the links of the words that were read lead, `L w` or `L^T w` (DNC Methods).

    Args:
        table_slots, table_weights: [B, N, L]; `before` for the backward, `after` for the forward
            weighting.
        slots, weights: of the last read, [B, R, K].

    Returns:
        Slots and weights [B, R, K * L]; a slot may be there several times.
    """
    found = at(table_slots, slots).flatten(2)
    return found, (weights[..., None] * at(table_weights, slots)).flatten(2)


def read_along(
    links: Links, last: Weighting, modes: Tensor, found: Tensor, content: Tensor
) -> Weighting:
    """The K largest of the weighting `pi_1 b + pi_2 f + pi_3 c` of each head (DNC Methods).

    Args:
        links: after the write of this step.
        last: slots and weights of the last read, [B, R, K].
        modes: [B, R, 3]: backward, forward, content.
        found: the slots that were found by content, [B, R, K].
        content: their weights.

    Returns:
        Slots and weights [B, R, K].
    """
    backward, b = follow(links.before_slots, links.before_weights, *last)
    forward, f = follow(links.after_slots, links.after_weights, *last)
    ways = [modes[..., 0:1] * b, modes[..., 1:2] * f, modes[..., 2:3] * content]
    everywhere = torch.cat([backward, forward, found], dim=-1)
    return merged(everywhere, torch.cat(ways, dim=-1), found.shape[-1])

"""Search: which K of the N words are most like a key.

Axes: B batch, N memory slots, W word, R read heads; K words that a head reads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memnets.parts.store import InPlace, Words


def reach(written: Tensor, slots: int, more: int) -> int:
    """How many slots hold all that were written, and `more` that were not: a bound for all rows.

    Where no number can be looked at, as in a graph or in a transform of torch.func: all slots.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return slots
    if written.is_meta:
        return slots
    return min(slots, int(written.max()) + more)


CHUNK = 1000
"""How many numbers `largest` looks at together."""


def largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest numbers of the last axis and where they are, as `Tensor.topk` finds them.

    None of them is outside of the `count` chunks with the largest maxima: of a million numbers that
    takes a tenth of the time.

    >>> largest(torch.arange(30_000), 2)
    (tensor([29999, 29998]), tensor([29999, 29998]))
    """
    size = values.shape[-1]
    chunks = size // CHUNK
    if chunks <= 2 * count:
        found = values.topk(count, dim=-1)
        return found.values, found.indices
    whole = values[..., : chunks * CHUNK].unflatten(-1, (chunks, CHUNK))
    best = whole.amax(-1).topk(count, dim=-1).indices
    place = torch.arange(size, device=values.device)
    inside = (best[..., None] * CHUNK + place[:CHUNK]).flatten(-2)
    rest = place[chunks * CHUNK :].expand(*inside.shape[:-1], -1)
    where = torch.cat([inside, rest], dim=-1)
    found = values.gather(-1, where).topk(count, dim=-1)
    return found.values, where.gather(-1, found.indices)


@torch.no_grad()
def exact(
    words: Words | InPlace, written: Tensor, keys: Tensor, count: int, until: int, epsilon: float
) -> Tensor:
    """The `count` slots whose words are most like each key: the largest cosines of all N.

    What is at `written` and above was never written, so that these words are equal, and the first
    `count` of them stand for all. Of equal words the lowest slot comes first.

    Args:
        words: [B, N, W].
        written: [B]; no slot at or above it was ever written to.
        keys: [B, R, W].
        count: K, at most N.
        until: no slot at or above it is below `written`, or the first that is not.
        epsilon: see `memnets.parts.content.cosine_similarity`.

    Returns:
        Slots [B, R, K] in their order, without a gradient.

    >>> memory = Words(torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, 0.0]]]))
    >>> exact(memory, torch.tensor([3]), torch.tensor([[[0.0, 2.0]]]), 2, 4, 1e-6)
    tensor([[[1, 2]]])
    """
    slots, memory = words.values.shape[1], words.values[:, :until].detach()
    end = memory.shape[1]
    # The cosine of `memnets.parts.content`, by what is faster over many words and has no gradient
    squares = torch.linalg.vector_norm(memory, dim=-1)[:, None].square()
    squares = squares * torch.linalg.vecdot(keys, keys)[..., None]
    products = torch.bmm(keys, memory.transpose(1, 2))
    alike = products * squares.add_(epsilon).rsqrt_()
    place = torch.arange(end, device=memory.device)
    ends = written[:, None, None]
    found, where = largest(alike.masked_fill(place >= ends, -torch.inf), count)
    # Unwritten words are as alike as the first of them, whatever the rounding in a product.
    fresh = ends + torch.arange(count, device=memory.device)
    like = alike.gather(2, ends.clamp(max=end - 1).expand(-1, keys.shape[1], 1))
    like = like.expand(-1, -1, count).masked_fill(fresh >= slots, -torch.inf)
    both = torch.cat([found, like], dim=-1)
    order = both.sort(dim=-1, descending=True, stable=True).indices[..., :count]
    # In the order of the slots: two words that are alike equally do not change places.
    return torch.cat([where, fresh.expand_as(where)], dim=-1).gather(2, order).sort(-1).values

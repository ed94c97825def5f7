"""Search: which K of the N words are most like a key.

Axes: B batch, N memory slots, W word, R read heads; K words that a head reads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memnets.parts.content import cosine_similarity


def reach(written: Tensor, slots: int, more: int) -> int:
    """How many slots hold all that were written, and `more` that were not: a bound for all rows.

    Where no number can be looked at, as in a graph or in a transform of torch.func: all slots.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return slots
    if written.is_meta:
        return slots
    return min(slots, int(written.max()) + more)


@torch.no_grad()
def exact(
    memory: Tensor, written: Tensor, keys: Tensor, count: int, slots: int, epsilon: float
) -> Tensor:
    """The `count` slots whose words are most like each key: the largest cosines of all N.

    What is at `written` and above was never written, so that these words are equal, and the first
    `count` of them stand for all. Of equal words the lowest slot comes first.

    Args:
        memory: the first words, [B, <= N, W]: those below `written`, and one more where there is.
        written: [B]; no slot at or above it was ever written to.
        keys: [B, R, W].
        count: K, at most N.
        slots: N.
        epsilon: see `cosine_similarity`.

    Returns:
        Slots [B, R, K] in their order, without a gradient.

    >>> memory = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, 0.0]]])
    >>> exact(memory, torch.tensor([3]), torch.tensor([[[0.0, 2.0]]]), 2, 4, 1e-6)
    tensor([[[1, 2]]])
    """
    end = memory.shape[1]
    alike = cosine_similarity(memory, keys, epsilon)
    place = torch.arange(end, device=memory.device)
    ends = written[:, None, None]
    found, where = alike.masked_fill(place >= ends, -torch.inf).topk(count, dim=-1)
    # Unwritten words are as alike as the first of them, whatever the rounding in a product.
    fresh = ends + torch.arange(count, device=memory.device)
    like = alike.gather(2, ends.clamp(max=end - 1).expand(-1, keys.shape[1], 1))
    like = like.expand(-1, -1, count).masked_fill(fresh >= slots, -torch.inf)
    both = torch.cat([found, like], dim=-1)
    order = both.sort(dim=-1, descending=True, stable=True).indices[..., :count]
    # In the order of the slots: two words that are alike equally do not change places.
    return torch.cat([where, fresh.expand_as(where)], dim=-1).gather(2, order).sort(-1).values

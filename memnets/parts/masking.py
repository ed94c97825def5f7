"""By a part of the content: the numbers that a mask leaves (Csordas and Schmidhuber 2019).

Axes: B batch, N memory slots, W word, R read heads; a write head's H may stand in place of R.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked_similarity(memory: Tensor, keys: Tensor, masks: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Cosine of the masked key with each masked slot, `cos(mask * k, mask * m)`.

    Csordas and Schmidhuber 2019 (arXiv 1904.10278), section 3.1: a head compares the numbers that
    its mask leaves, so that it can find a slot by a part of its content and read the rest.

    Args:
        memory: [B, N, W].
        keys, masks: [B, R, W]; the masks are in [0, 1].
        epsilon: see `cosine_similarity`.

    Returns:
        Similarities [B, R, N] in [-1, 1].

    >>> key, mask = torch.tensor([[[0.0, 3.0]]]), torch.tensor([[[0.0, 1.0]]])
    >>> masked_similarity(torch.tensor([[[5.0, 1.0], [1.0, 0.0]]]), key, mask, epsilon=1e-12)
    tensor([[[1., 0.]]])
    """
    squared_masks = masks.square()
    squared_keys = torch.linalg.vecdot(keys.square(), squared_masks)[:, :, None]
    squared_slots = torch.bmm(squared_masks, memory.square().transpose(1, 2))
    products = torch.bmm(keys * squared_masks, memory.transpose(1, 2))
    return products / torch.sqrt(squared_keys * squared_slots + epsilon)

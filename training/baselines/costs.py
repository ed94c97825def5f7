"""Cost models of memories: the operations of a step, by what they are for.

Axes: N memory slots, R read heads. One write head.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

SHIFTS = 3


class Sizes(Protocol):
    """What the operations depend on: N, W and R."""

    @property
    def memory_size(self) -> int:
        """Slots."""
        ...

    @property
    def word_size(self) -> int:
        """Numbers in a slot."""
        ...

    @property
    def read_heads(self) -> int:
        """Heads that read."""
        ...


class Costs(NamedTuple):
    """The cost model of a kind of memory: what it adds to what all have, per row of the batch."""

    products: Callable[[Sizes], dict[str, float]]
    """operations of products, by what they are for"""
    elementwise: Callable[[Sizes], dict[str, float]]
    """operations on single numbers, likewise"""
    links: Callable[[Sizes], int] = lambda sizes: 0
    """numbers of the state that grow with the square of the slots"""


def _content_products(sizes: Sizes) -> dict[str, float]:
    """Those of memories that are addressed by content."""
    slots, words, reads = sizes.memory_size, sizes.word_size, sizes.read_heads
    return {
        "content": 2 * (reads + 1) * slots * words,  # of every key with every slot
        "read": 2 * reads * slots * words,
    }


def _content_elementwise(sizes: Sizes) -> dict[str, float]:
    slots, words, heads = sizes.memory_size, sizes.word_size, sizes.read_heads + 1
    return {
        # Norm, strength and softmax (4) for each slot and head; the norms of slots and keys.
        "content": 6 * heads * slots + (slots + heads) * (2 * words + 1),
        # M (1 - w e) + w a
        "write": 5 * slots * words,
    }


def _ntm_products(sizes: Sizes) -> dict[str, float]:
    location = 2 * (sizes.read_heads + 1) * sizes.memory_size * SHIFTS  # the circular convolution
    return {**_content_products(sizes), "location": location}


def _dnc_products(sizes: Sizes) -> dict[str, float]:
    # L w and L^T w for every read head.
    return {**_content_products(sizes), "link": 4 * sizes.read_heads * sizes.memory_size**2}


def _ntm_elementwise(sizes: Sizes) -> dict[str, float]:
    # Interpolation (3), log, power and normalisation (6), per slot.
    location = 9 * (sizes.read_heads + 1) * sizes.memory_size
    return {**_content_elementwise(sizes), "location": location}


def _dnc_elementwise(sizes: Sizes) -> dict[str, float]:
    slots, reads = sizes.memory_size, sizes.read_heads
    retention_and_usage = 3 * reads * slots + 4 * slots
    allocation = slots * (math.log2(slots) + 4)  # comparisons of a sort; log, sum, exp, product
    write_weighting = 4 * slots
    precedence = 3 * slots
    read_weighting = 6 * reads * slots
    location = retention_and_usage + allocation + write_weighting + precedence + read_weighting
    link = 5 * slots**2  # (1 - w_i - w_j) L + w_i p_j
    return {**_content_elementwise(sizes), "location": location, "link": link}


NTM = Costs(_ntm_products, _ntm_elementwise)
DNC = Costs(_dnc_products, _dnc_elementwise, links=lambda sizes: sizes.memory_size**2)

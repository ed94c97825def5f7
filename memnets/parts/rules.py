"""What rules of writing share: the range of their add vectors, and heads one after another.

Axes: B batch, W word, H write heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from memnets.checks import check_name, check_numbers
from memnets.interface import ADD_RANGES, Field


def one_by_one(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """What each write head has of tensors [B, H, ...], head after head: [B, 1, ...].

    Numbers [B, H] come as [B, 1, 1], to go with vectors.

    >>> import torch
    >>> [[part.shape for part in head] for head in one_by_one(torch.ones(3, 2, 4))]
    [[torch.Size([3, 1, 4])], [torch.Size([3, 1, 4])]]
    """
    wide = [tensor[..., None] if tensor.dim() == 2 else tensor for tensor in tensors]
    return zip(*(tensor.split(1, dim=1) for tensor in wide), strict=True)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of writing that adds vectors, and whose other settings are numbers.

    Raises:
        ValueError: if `add_range` is not a known range, or a number is not finite.

    >>> Rule(add_range="real").added(write_heads=2, word_size=4).shape
    (2, 4)
    """

    add_range: Literal["bounded", "real"] = "bounded"
    """range of the add vectors: within [-1, 1] by a tanh, so that a memory grows by at most a
    constant in a step and not with what was read, or any number"""

    def __post_init__(self) -> None:
        check_name("add_range", self.add_range, ADD_RANGES)
        check_numbers(**{n: value for n, value in vars(self).items() if n != "add_range"})

    def added(self, write_heads: int, word_size: int) -> Field:
        """Add vectors [B, H, W] in that range."""
        return Field((write_heads, word_size), ADD_RANGES[self.add_range])

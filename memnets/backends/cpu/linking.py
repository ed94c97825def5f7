"""What a step of a sparse memory does with the words that it found, in C++ and outside of torch.

Each is called as its fellow in `memnets.parts`, computes the same, and hands over to it what the
kernel does not know, as the scans do (`memnets.backends.cpu.scanning`).
Axes: B batch, N memory slots, W word, R read heads; K words that a head reads, L links of a word,
P positions that a step writes to.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from memnets.backends.cpu.library import call
from memnets.backends.cpu.scanning import oldest, scan, serves
from memnets.parts import sparse, sparse_linkage
from memnets.parts.search import Scans
from memnets.parts.sparse_linkage import Links, Weighting
from memnets.parts.store import InPlace, Words, at


def knows(slots: tuple[Tensor, ...], numbers: tuple[Tensor, ...]) -> bool:
    """Whether the kernel knows the slots, and the numbers, which are to be of one dtype."""
    dtype = numbers[0].dtype
    alike = all(one.dtype == dtype for one in numbers)
    return alike and all(s.dtype == torch.int64 for s in slots) and serves(dtype, *slots, *numbers)


@torch.no_grad()
def link(links: Links, slots: Tensor, weights: Tensor, words: Words | InPlace) -> Links:
    """Do what `memnets.parts.sparse_linkage.update_links` does; the tables change in place."""
    tables, last = links[:4], tuple(one.contiguous() for one in links[4:])
    known = knows((tables[0], tables[2], slots), (tables[1], tables[3], last[1], weights))
    in_rows = all(one.is_contiguous() for one in tables)
    if not (isinstance(words, InPlace) and known and in_rows):
        return sparse_linkage.update_links(links, slots, weights, words)
    rows, size, count = tables[0].shape
    slots, weights = slots.contiguous(), weights.contiguous()
    if words.buffer.restores:
        _note(words, links, slots)
    latest = torch.empty_like(last[0]), torch.empty_like(last[1])
    resting = None if words.resting is None else words.resting.contiguous()
    written = slots, weights, resting, *latest
    sizes = rows, size, count, slots.shape[1]
    call("memnets_update_links", weights.dtype, *tables, *last, *written, *sizes)
    return Links(*tables, *latest)


def _note(words: InPlace, links: Links, slots: Tensor) -> None:
    """Keep the rows of the tables that a write to `slots` may change."""
    near = [at(one, slots).flatten(1) for one in (links.before_slots, links.after_slots)]
    places = torch.cat([slots, links.precedence_slots, *near], dim=1)
    for table in links[:4]:
        rows, flat = words.buffer.rows(places, table.shape[1]), table.view(-1, table.shape[-1])
        words.buffer.note(flat, rows, flat.index_select(0, rows))


class _Along(Function):
    """`memnets.parts.sparse_linkage.read_along`, which keeps the links that it followed."""

    @staticmethod
    def forward(
        ctx: Any, links: Links, slots: Tensor, found: Tensor, *numbers: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows, heads, count = found.shape
        weights, content, modes = (one.contiguous() for one in numbers)
        size, wide = links.before_slots.shape[1:]
        read = torch.empty_like(found), torch.empty_like(content)
        followed = content.new_empty(rows, heads, 2 * count * wide)
        kept = torch.empty(rows, heads, count * (2 * wide + 1), dtype=torch.int32)
        given = slots.contiguous(), weights, found.contiguous(), content, modes
        sizes = rows, size, wide, heads, count
        name = "memnets_read_along"
        call(name, content.dtype, *links[:4], *given, *read, followed, kept, *sizes)
        ctx.save_for_backward(weights, content, modes, followed, kept)
        ctx.mark_non_differentiable(read[0])
        return read

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, _: Tensor, d_weights: Tensor
    ) -> tuple[Any, ...]:
        saved = ctx.saved_tensors  # once: a checkpoint refuses to unpack them again
        weights, content, modes, followed, _ = saved
        rows, heads, count = content.shape
        d_last, d_content, d_modes = (torch.empty_like(one) for one in (weights, content, modes))
        arguments = *saved, d_weights.contiguous(), d_last, d_modes, d_content
        sizes = followed.shape[-1] // (2 * count), rows * heads, count
        call("memnets_read_along_backward", content.dtype, *arguments, *sizes)
        return None, None, None, d_last, d_content, d_modes


def along(
    links: Links, last: Weighting, modes: Tensor, found: Tensor, content: Tensor
) -> Weighting:
    """Do what `memnets.parts.sparse_linkage.read_along` does."""
    numbers = last[1], content, modes
    known = knows((last[0], found), (*numbers, links.before_weights, links.after_weights))
    if not (known and all(one.is_contiguous() for one in links[:4])):
        return sparse_linkage.read_along(links, last, modes, found, content)
    return _Along.apply(links, last[0], found, *numbers)


class _Reads(Function):
    """`memnets.parts.sparse.read_words`."""

    @staticmethod
    def forward(
        ctx: Any, words: Tensor, keys: Tensor, strengths: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor]:
        words, keys, strengths = words.contiguous(), keys.contiguous(), strengths.contiguous()
        rows, heads, count, size = words.shape
        weights, vectors = words.new_empty(rows, heads, count), torch.empty_like(keys)
        given = words, keys, strengths, weights, vectors
        call("memnets_read", words.dtype, *given, rows * heads, count, size, epsilon)
        ctx.epsilon = epsilon
        ctx.save_for_backward(words, keys, strengths, weights)
        return weights, vectors

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, d_weights: Tensor, d_vectors: Tensor
    ) -> tuple[Any, ...]:
        saved = ctx.saved_tensors
        words, keys, strengths, _ = saved
        rows, heads, count, size = words.shape
        found = torch.empty_like(words), torch.empty_like(keys), torch.empty_like(strengths)
        arguments = *saved, d_weights.contiguous(), d_vectors.contiguous(), *found
        sizes = rows * heads, count, size, ctx.epsilon
        call("memnets_read_backward", words.dtype, *arguments, *sizes)
        return *found, None


def read(words: Tensor, keys: Tensor, strengths: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Do what `memnets.parts.sparse.read_words` does, without a second derivative."""
    known = knows((), (words, keys, strengths))
    function = _Reads.apply if known else sparse.TORCH.read
    return function(words, keys, strengths, float(epsilon))


SCANS = Scans(scan, oldest, read, link, along)

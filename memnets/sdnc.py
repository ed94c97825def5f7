"""The sparse Differentiable Neural Computer (Rae et al. 2016, 1610.09027, section 4.2).

Axes: B batch, T time, N memory slots, W word, R read heads, I input, O output; K words that a head
reads, L links of a word.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from memnets.arguments import check_positional
from memnets.backends.reference import Unrolled
from memnets.backends.registry import Backend, sparse_step, sparse_steps
from memnets.checks import check_part, check_sizes
from memnets.interface import Field, Table, simplex
from memnets.layer import MemoryLayer
from memnets.panels import Lines, Panel, Shares
from memnets.parts.controllers import Stack
from memnets.parts.sparse import (
    Sparse,
    SparseParameters,
    access_times,
    read_by_content,
    write,
)
from memnets.parts.sparse_linkage import Links, read_along, update_links
from memnets.parts.sparse_memory import SparseMemory
from memnets.parts.start import Start
from memnets.parts.store import InPlace
from memnets.registry import register
from memnets.sam import INITIAL_MEMORY, check_heads, initial_access
from memnets.state import State


class SDNCParameters(NamedTuple):
    """What the heads of an SDNC receive, activated: those of a SAM with one write head, and more.

    The fields before the last are those of `SparseParameters`.
    """

    read_keys: Tensor
    read_strengths: Tensor
    write_gates: Tensor
    reuse_gates: Tensor
    write_vectors: Tensor
    read_modes: Tensor
    """[B, R, 3] on the simplex: backward, forward, content."""

    def panels(self, memory: Any, kind: str, head: int) -> dict[str, Panel]:
        """What a picture shows of a head, `read` or `write`, of a record [T, ...]."""
        found = SparseParameters(*self[:5]).panels(memory, kind, head)
        if kind == "write":
            return found
        backward, forward, content = self.read_modes[:, head].unbind(1)
        shares = {"backward": backward, "forward": forward, "content": content}
        strength = Lines("strength", {"": self.read_strengths[:, head]})
        return {"gates": strength, "usage": Shares("read modes", shares)}


class SDNCFields(NamedTuple):
    """What is in an `SDNCMemory`: that of `memnets.sam.SAMFields`, and the links."""

    memory: Any
    accessed: Tensor
    steps: Tensor
    written: Tensor
    read_slots: Tensor
    read_weights: Tensor
    write_slots: Tensor
    write_weights: Tensor
    before_slots: Tensor
    """[B, N, L] and so on: see `memnets.parts.sparse_linkage.Links`."""
    before_weights: Tensor
    after_slots: Tensor
    after_weights: Tensor
    precedence_slots: Tensor
    precedence_weights: Tensor


class SDNCMemory(SparseMemory, SDNCFields):
    """The memory of an SDNC, and what is known of its words: the fields of `SDNCFields`."""

    __slots__ = ()
    tables: tuple[str, ...] = (
        "accessed",
        "before_slots",
        "before_weights",
        "after_slots",
        "after_weights",
    )


def step(
    parameters: SDNCParameters, state: SDNCMemory, *, addressing: Sparse
) -> tuple[Tensor, SDNCMemory]:
    """One step of the memory: write as a SAM does, link, and read along the links or by content.

    Of the weighting `pi_1 b + pi_2 f + pi_3 c` (DNC Methods) a read head keeps the K largest.

    Args:
        parameters: what the heads receive.
        state: the memory after the step before.
        addressing: K, and the settings of the heads.

    Returns:
        Read vectors [B, R, W], and the memory after the step.
    """
    done = write(parameters, state, addressing)
    found, content, _, words = read_by_content(parameters, done, addressing)
    places = done.slots.flatten(1), done.weights.detach().flatten(1)
    links = update_links(Links(*state[8:]), *places, words)
    last = state.read_slots, state.read_weights
    slots, weights = read_along(links, last, parameters.read_modes, found, content)
    read, words = words.read(slots.flatten(1))
    vectors = (weights[..., None, :] @ read.view(*slots.shape, -1)).squeeze(-2)
    accessed = access_times(state, done, words, slots, weights, addressing.threshold)
    return vectors, SDNCMemory(
        words if isinstance(words, InPlace) else words.values,
        accessed,
        state.steps + 1,
        done.written,
        slots,
        weights,
        done.slots,
        done.weights,
        *links,
    )


@register
class SDNC(MemoryLayer):
    """A sparse Differentiable Neural Computer as a layer that is called as `nn.LSTM` is.

    A `memnets.SAM` with one write head whose read heads can also follow the order of the writes:
    see `step`. The links have no gradient, as in the paper.

    Args:
        input_size: numbers in each input, I.
        output_size: numbers in each output, O; they are logits. None: no readout, and the output
            is h of the controller and what was read, side by side; the attribute says the size.
        memory_size: slots N.
        word_size: numbers in a slot, W.
        read_heads: heads that read, R; the write head writes to what the first of them read.
        links: how many words before and after it a word is linked to, L.
        controller, hidden_size, addressing, batch_first, backend, device, dtype: as `memnets.SAM`
            takes them.

    Raises:
        ValueError: if a size is below 1, a number is out of its range, a head reads or a word is
            linked to more words than there are, its addressing reads first, or a name is not known.
        TypeError: if a part is not of its kind, or lacks a part of its contract.

    >>> layer = SDNC(9, 8, memory_size=1000, word_size=20)
    >>> y, state = layer(torch.zeros(5, 2, 9))
    >>> y.shape, state.memory.after_slots.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 1000, 8]))
    """

    part_names: tuple[str, ...] = ("addressing", "links")

    def __init__(
        self,
        input_size: int,
        output_size: int | None,
        *more: NoReturn,
        memory_size: int = 16_384,
        word_size: int = 20,
        read_heads: int = 1,
        links: int = 8,
        controller: str | Stack | nn.Module = "lstm",
        hidden_size: int = 100,
        addressing: Sparse = Sparse(),
        batch_first: bool = False,
        backend: str | Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_positional("SDNC", more)
        check_sizes(read_heads=read_heads, word_size=word_size, links=links)
        check_part("addressing", addressing, Sparse)
        check_heads(memory_size, read_heads, 1, addressing.top_k)
        if addressing.read_first:
            raise ValueError(
                "An SDNC links what it wrote before it reads along the links, so that read_first "
                "must be False: leave it out, or take a SAM."
            )
        if links > memory_size:
            raise ValueError(
                f"A word is linked to at most all words; links is {links} and memory_size "
                f"{memory_size}: choose fewer links."
            )
        modes = Table(_Modes, {"read_modes": Field((read_heads, 3), simplex)})
        super().__init__(
            input_size=input_size,
            output_size=output_size,
            memory_size=memory_size,
            word_size=word_size,
            read_heads=read_heads,
            controller=controller,
            hidden_size=hidden_size,
            start=Start(),
            constant=INITIAL_MEMORY,
            tables=[addressing.table(read_heads, 1, word_size), modes],
            batch_first=batch_first,
            backend=backend,
            device=device,
            dtype=dtype,
        )
        self.write_heads: int = 1
        self.links = links
        self.addressing = addressing

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that make this layer, backend, device and dtype apart."""
        return {
            "input_size": self.input_size,
            "output_size": self.readout_size,
            "memory_size": self.memory_size,
            "word_size": self.word_size,
            "read_heads": self.read_heads,
            "links": self.links,
            "controller": self.controller_settings,
            "addressing": self.addressing,
            "batch_first": self.batch_first,
        }

    def constant_memory(self, constant: Tensor, slots: tuple[int, int]) -> Tensor:
        """A memory [N, W] of one number, which takes no room."""
        return constant.expand(slots)

    def initial_access(self, memory: Tensor) -> SDNCMemory:
        """Return the memory with nothing read, written or linked yet."""
        rows, slots, _ = memory.shape
        count = self.addressing.top_k
        first = initial_access(memory, self.read_heads, 1, count, count + 1)
        nothing, zero = first.steps[:1].view(()), memory.new_zeros(())
        table = (rows, slots, self.links)
        return SDNCMemory(
            *first,
            before_slots=nothing.expand(table),
            before_weights=zero.expand(table),
            after_slots=nothing.expand(table),
            after_weights=zero.expand(table),
            precedence_slots=nothing.expand(rows, self.links),
            precedence_weights=zero.expand(rows, self.links),
        )

    def at_once(self, x: Tensor, state: State) -> Unrolled | None:
        """Do all steps of x [T, B, I] by the kernel, or nothing, where it returns None."""
        return sparse_steps(self, x, state) if type(self) is SDNC else None

    def access(self, parameters: Any, memory: SDNCMemory) -> tuple[Tensor, SDNCMemory]:
        """Do one step on the memory with this layer's settings."""
        named = self.named(parameters)
        found = sparse_step(self.backend, named, memory, self.addressing)
        return found or step(named, memory, addressing=self.addressing)

    def named(self, parameters: Any) -> SDNCParameters:
        """Return both tables of the interface as one."""
        return SDNCParameters(*parameters[0], *parameters[1])


class _Modes(NamedTuple):
    read_modes: Tensor

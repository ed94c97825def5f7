"""The Differentiable Neural Computer (Graves et al., Nature 538, 2016, Methods).

Axes: B batch, T time, N memory slots, W word, R read heads, H write heads, I input, O output.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from memnets.arguments import check_controller_sizes, check_positional, defaults
from memnets.backends.cpu.written import stock
from memnets.checks import check_epsilons, check_name, check_sizes, check_switches
from memnets.interface import STRENGTHS, Field, Table, real, simplex, unit
from memnets.layer import MemoryLayer
from memnets.parts.content import content_weights
from memnets.parts.linkage import directional_weights, update_link, update_precedence
from memnets.parts.usage import allocate, retention, update_usage
from memnets.parts.writing import read, write


class DNCInterface(NamedTuple):
    """What the controller of a DNC emits, activated (DNC Methods, "Interface parameters")."""

    read_keys: Tensor
    """[B, R, W]"""
    read_strengths: Tensor
    """[B, R], at least 1."""
    write_keys: Tensor
    """[B, H, W]"""
    write_strengths: Tensor
    """[B, H], at least 1."""
    erase_vectors: Tensor
    """[B, H, W] in [0, 1]."""
    write_vectors: Tensor
    """[B, H, W]"""
    free_gates: Tensor
    """[B, R] in [0, 1]: 1 frees what the head read the step before."""
    allocation_gates: Tensor
    """[B, H] in [0, 1]: 1 writes to the least-used slot, 0 by content."""
    write_gates: Tensor
    """[B, H] in [0, 1]: 0 writes nothing."""
    read_modes: Tensor
    """[B, R, 2H + 1] on the simplex: backward of each write head, forward of each, content."""


class DNCMemory(NamedTuple):
    """The memory of a DNC, and what is known of its slots."""

    memory: Tensor
    """[B, N, W]"""
    usage: Tensor
    """[B, N] in [0, 1]."""
    link: Tensor
    """[B, H, N, N]: entry i, j is how much slot i was written right after slot j."""
    precedence: Tensor
    """[B, H, N]: how much each slot was the last written."""
    read_weights: Tensor
    """[B, R, N], each summing to at most 1."""
    write_weights: Tensor
    """[B, H, N], each summing to at most 1."""


def access(
    interface: DNCInterface,
    state: DNCMemory,
    *,
    similarity_epsilon: float = 1e-6,
    allocation_epsilon: float = 1e-6,
    usage_resolution: float = 2**-16,
    stop_usage_gradient: bool = False,
) -> tuple[Tensor, DNCMemory]:
    """One step of the memory: free and allocate, write, link, read (DNC Methods).

    Args:
        interface: activated parameters.
        state: the memory after the step before.
        similarity_epsilon, allocation_epsilon, usage_resolution: see `memnets.parts`, where the
            last is `allocation`'s resolution.
        stop_usage_gradient: let no gradient pass from usage to the write weightings, as DeepMind's
            code does and the paper does not say.

    Returns:
        Read vectors [B, R, W], and the memory after the step.

    >>> B, N, W = 1, 3, 2
    >>> one = torch.ones(B, 1)
    >>> content = torch.tensor([[[0.0, 0.0, 1.0]]])
    >>> state = DNC(1, 1, memory_size=N, word_size=W, read_heads=1).initial_state(B).memory
    >>> word = torch.tensor([[[3.0, 4.0]]])
    >>> interface = DNCInterface(word, 100 * one, word, one, 0 * word, word, one, one, one, content)
    >>> read_vectors, state = access(interface, state)
    >>> read_vectors, state.write_weights.argmax()
    (tensor([[[3.0000, 4.0000]]]), tensor(0))
    """
    weights_before = state.write_weights.detach() if stop_usage_gradient else state.write_weights
    kept = retention(state.read_weights, interface.free_gates)
    usage = update_usage(state.usage, weights_before, kept)

    gates, write_gates = interface.allocation_gates[..., None], interface.write_gates[..., None]
    allocated = allocate(
        usage,
        interface.write_gates * interface.allocation_gates,
        allocation_epsilon,
        usage_resolution,
    )
    by_content = content_weights(
        state.memory, interface.write_keys, interface.write_strengths, similarity_epsilon
    )
    write_weights = write_gates * (gates * allocated + (1 - gates) * by_content)
    memory = write(state.memory, write_weights, interface.erase_vectors, interface.write_vectors)

    link = update_link(state.link, state.precedence, write_weights)
    precedence = update_precedence(state.precedence, write_weights)

    backward, forward = directional_weights(link, state.read_weights)
    by_content = content_weights(
        memory, interface.read_keys, interface.read_strengths, similarity_epsilon
    )
    ways = torch.cat([backward, forward, by_content[:, :, None]], dim=2)
    read_weights = (interface.read_modes[..., None] * ways).sum(2)
    return read(memory, read_weights), DNCMemory(
        memory, usage, link, precedence, read_weights, write_weights
    )


@stock
class DNC(MemoryLayer):
    """A Differentiable Neural Computer as a layer that is called as `nn.LSTM` is.

    Each step, the controller sees the input and what was read the step before, and emits the
    interface; the memory is freed, written, linked and read (`memnets.dnc.access`); the output is
    linear in the controller's output and the read vectors.

    Args:
        input_size: numbers in each input, I.
        output_size: numbers in each output, O; they are logits.
        memory_size: slots N. A step costs N^2 for each write head, for the link.
        word_size: numbers in a slot, W.
        read_heads, write_heads: R and H; the paper has H = 1, more follow DeepMind's code.
        controller: the name of one of `memnets.parts.controllers.CELLS`, or a module with the
            contract of `memnets.parts.controllers`, whose input_size is input_size + read_heads *
            word_size.
        hidden_size, num_layers: of a controller given by name.
        skip_connections: the paper's deep form, every layer sees the input and the readout sees
            every layer.
        initial_memory: what every number of the memory holds before the first step.
        learned_initial_state: learn memory, read vectors and controller state before the first
            step; usage, link, precedence and weightings start at 0 all the same.
        memory_spread: of a learned memory, the standard deviation of the normally distributed
            numbers that are added to it at first: slots that differ can be told apart by content.
        strength: the range of key strengths, `oneplus` (above 1) or `softplus` (above 0).
        similarity_epsilon, allocation_epsilon, usage_resolution, stop_usage_gradient: see
            `memnets.dnc.access`.
        batch_first: x and y are [B, T, ...].
        backend: what runs the steps, `auto`, `reference` or `compiled`: see docs/backends.md.
        checkpoint_every: K, to train in less memory: segments of K steps are computed again in the
            backward. None keeps everything.
        device, dtype: of the parameters.

    Raises:
        ValueError: if a size is below 1, a name is not known, parts do not fit together, or an
            argument has no effect beside another.
        TypeError: if a controller lacks a part of its contract.

    >>> layer = DNC(9, 8, memory_size=16, word_size=20, read_heads=2)
    >>> y, state = layer(torch.zeros(5, 2, 9))
    >>> y.shape, state.memory.link.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 1, 16, 16]))
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *more: NoReturn,
        memory_size: int = 128,
        word_size: int = 20,
        read_heads: int = 4,
        write_heads: int = 1,
        controller: str | nn.Module = "lstm",
        hidden_size: int = 100,
        num_layers: int = 1,
        skip_connections: bool = False,
        initial_memory: float = 0.0,
        learned_initial_state: bool = False,
        memory_spread: float = 0.0,
        strength: str = "oneplus",
        similarity_epsilon: float = 1e-6,
        allocation_epsilon: float = 1e-6,
        usage_resolution: float = 2**-16,
        stop_usage_gradient: bool = False,
        batch_first: bool = False,
        backend: str = "auto",
        checkpoint_every: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name in _DEFAULTS}
        check_positional("DNC", more)
        check_controller_sizes(arguments, _DEFAULTS)
        check_sizes(read_heads=read_heads, write_heads=write_heads, word_size=word_size)
        check_switches(stop_usage_gradient=stop_usage_gradient)
        check_epsilons(
            similarity_epsilon=similarity_epsilon,
            allocation_epsilon=allocation_epsilon,
            usage_resolution=usage_resolution,
        )
        super().__init__(
            input_size=input_size,
            output_size=output_size,
            memory_size=memory_size,
            word_size=word_size,
            read_heads=read_heads,
            controller=controller,
            hidden_size=hidden_size,
            num_layers=num_layers,
            skip_connections=skip_connections,
            initial_memory=initial_memory,
            learned_initial_state=learned_initial_state,
            memory_spread=memory_spread,
            tables=[interface_table(read_heads, write_heads, word_size, strength)],
            arguments=arguments,
            batch_first=batch_first,
            backend=backend,
            checkpoint_every=checkpoint_every,
            device=device,
            dtype=dtype,
        )
        self.write_heads = write_heads
        self.similarity_epsilon = similarity_epsilon
        self.allocation_epsilon = allocation_epsilon
        self.usage_resolution = usage_resolution
        self.stop_usage_gradient = stop_usage_gradient

    def initial_access(self, memory: Tensor) -> DNCMemory:
        """Return the memory with nothing used, written or read yet."""
        rows, slots, _ = memory.shape
        zero = memory.new_zeros(())  # expanded, not filled: the link alone is B * H * N * N
        return DNCMemory(
            memory,
            usage=zero.expand(rows, slots),
            link=zero.expand(rows, self.write_heads, slots, slots),
            precedence=zero.expand(rows, self.write_heads, slots),
            read_weights=zero.expand(rows, self.read_heads, slots),
            write_weights=zero.expand(rows, self.write_heads, slots),
        )

    def gather(self, emitted: tuple[DNCInterface, ...]) -> DNCInterface:
        """Return the one NamedTuple that the interface emits."""
        return emitted[0]

    def access(self, parameters: DNCInterface, memory: DNCMemory) -> tuple[Tensor, DNCMemory]:
        """Do one step on the memory with this layer's settings."""
        return access(
            parameters,
            memory,
            similarity_epsilon=self.similarity_epsilon,
            allocation_epsilon=self.allocation_epsilon,
            usage_resolution=self.usage_resolution,
            stop_usage_gradient=self.stop_usage_gradient,
        )


_DEFAULTS: dict[str, Any] = defaults(DNC)


def interface_table(read_heads: int, write_heads: int, word_size: int, strength: str) -> Table:
    """What the interface of a DNC emits: W*R + 3*W*H + 2*R + 3*H + R*(2H + 1) numbers.

    With one write head these are the paper's W*R + 3*W + 5*R + 3.

    Raises:
        ValueError: if `strength` is not a known range.
    """
    check_name("strength", strength, STRENGTHS)
    fields = {
        "read_keys": Field((read_heads, word_size), real),
        "read_strengths": Field((read_heads,), STRENGTHS[strength]),
        "write_keys": Field((write_heads, word_size), real),
        "write_strengths": Field((write_heads,), STRENGTHS[strength]),
        "erase_vectors": Field((write_heads, word_size), unit),
        "write_vectors": Field((write_heads, word_size), real),
        "free_gates": Field((read_heads,), unit),
        "allocation_gates": Field((write_heads,), unit),
        "write_gates": Field((write_heads,), unit),
        "read_modes": Field((read_heads, 2 * write_heads + 1), simplex),
    }
    return Table(DNCInterface, fields)

"""The contract that all models share: a layer that is called as `nn.LSTM` is, with explicit state.

Axes: B batch, T time, I input, O output, N memory slots, W word, R read heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from memnets.arguments import defaults, in_words, named
from memnets.backends.reference import Unrolled
from memnets.backends.registry import Backend, Choice, choose
from memnets.backends.spec import Spec, controller_of, tables_of
from memnets.calls import call, prepare, step
from memnets.checks import (
    check_part,
    check_place,
    check_sizes,
    check_switches,
    check_total_size,
    checked_parts,
    full_precision,
)
from memnets.interface import Interface, Table
from memnets.parts.controllers import Stack, made_controller
from memnets.parts.registry import as_data
from memnets.parts.start import Start
from memnets.parts.wiring import WiredStack
from memnets.state import State, resting, select, without_batch

NOT_IN_CONFIG = ("hidden_size", "backend", "device", "dtype")
"""Arguments that a config does not have: the first is the controller's."""


class Advanced(NamedTuple):
    """What one step makes."""

    h: Tensor
    """The controller's output, [B, hidden]."""
    interface: Any
    """The activated parameters that the heads received."""
    state: State


class MemoryLayer(nn.Module, ABC):
    """A controller, an interface, a memory and a readout; a model says what its memory does.

    A model names the tables of its interface, and defines `initial_access` (the memory before the
    first step), `access` (what one step does to it) and `arguments` (what its constructor got).
    """

    def __init__(
        self,
        *,
        input_size: int,
        output_size: int | None,
        memory_size: int,
        word_size: int,
        read_heads: int,
        controller: str | Stack | nn.Module,
        hidden_size: int,
        start: Start,
        constant: float,
        tables: Sequence[Table],
        batch_first: bool,
        backend: str | Backend,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        check_sizes(
            input_size=input_size,
            memory_size=memory_size,
            word_size=word_size,
            read_heads=read_heads,
        )
        if output_size is not None:
            check_sizes(output_size=output_size)
        check_part("start", start, Start)
        check_switches(batch_first=batch_first)
        check_place(device, dtype)
        if not isinstance(backend, Backend):
            backend = Backend(backend)
        self.input_size = input_size
        self.memory_size = memory_size
        self.word_size = word_size
        self.read_heads = read_heads
        self.batch_first = batch_first
        self.backend: str = backend.name
        self.checkpoint_every: int | None = backend.checkpoint_every
        self.start = start
        self.wiring: WiredStack | None = None
        if isinstance(controller, WiredStack) and controller.wired:
            self.wiring = controller
        self.constant = constant
        """What each number of the memory starts with where `start.memory` is None."""

        read_size = read_heads * word_size
        check_total_size(memory_size * word_size)
        self.controller: nn.Module = made_controller(
            controller,
            hidden_size,
            input_size + read_size,
            learned_initial_state=start.learned,
            device=device,
            dtype=dtype,
        )
        hidden: int = self.controller.output_size  # pyright: ignore[reportAssignmentType]
        made_by = None if self.wiring is None else self.wiring.interface
        make: Any = Interface if made_by is None else made_by.build
        self.interface: Interface = make(hidden, tables, device=device, dtype=dtype)
        self.output_size: int = hidden + read_size if output_size is None else output_size
        self.readout: nn.Linear | None
        self.register_module("readout", None)
        if output_size is not None:
            self.readout = nn.Linear(hidden + read_size, output_size, device=device, dtype=dtype)
        self.schedule: Any = None
        if self.wiring is not None and self.wiring.schedule is not None:
            self.schedule = self.wiring.schedule.build(
                self.controller, read_size, device=device, dtype=dtype
            )
            if self.schedule.read_between and type(self).look is MemoryLayer.look:
                self.look(None, None)  # refused here, and not at the first step
        self.start_memory: nn.Parameter | None = None
        self.start_read_vectors: nn.Parameter | None = None
        if start.learned:
            memory = torch.empty(memory_size, word_size, device=device, dtype=dtype)
            reads = torch.empty(read_heads, word_size, device=device, dtype=dtype)
            self.start_memory = nn.Parameter(memory)
            self.start_read_vectors = nn.Parameter(reads)
        self._reset_start()

    @property
    def hidden_size(self) -> int | None:
        """Of the controller; None if one of your own has no such attribute."""
        return getattr(self.controller, "hidden_size", None)

    @property
    def num_layers(self) -> int | None:
        """Of the controller; None if one of your own has no such attribute."""
        return getattr(self.controller, "num_layers", None)

    @property
    def some_weight(self) -> Tensor:
        """A weight of the layer, whose dtype and device are the layer's."""
        return next(self.interface.parameters()) if self.readout is None else self.readout.weight

    def reset_parameters(self) -> None:
        """Draw all parameters anew: with the same seed, those of a new layer.

        A layer made with `device="meta"` has its values after `to_empty` and this.

        Raises:
            TypeError: if a part of your own has parameters and no `reset_parameters`; nothing is
                changed then.

        >>> import memnets
        >>> layer = memnets.NTM(9, 8, device="meta").to_empty(device="cpu")
        >>> layer.reset_parameters()
        """
        parts = [part for child in self.children() for part in checked_parts(child)]
        for part in parts:
            part.reset_parameters()
        self._reset_start()

    @torch.no_grad()
    def _reset_start(self) -> None:
        if self.start_memory is None or self.start_read_vectors is None:
            return
        self.start.fill(self.start_memory, self.constant)
        self.start_read_vectors.zero_()

    @abstractmethod
    def initial_access(self, memory: Tensor) -> Any:
        """Return the memory's state before the first step, around its contents [B, N, W]."""

    @abstractmethod
    def access(self, parameters: Any, memory: Any) -> tuple[Tensor, Any]:
        """Do one step on the memory; return the read vectors [B, R, W] and the memory after it.

        `parameters` holds a NamedTuple for each table of the interface.
        """

    def look(self, parameters: Any, memory: Any) -> tuple[Tensor, Any]:
        """Read the memory without a write to it: what a schedule asks for between two writes.

        Raises:
            NotImplementedError: if the model has no reads without a write.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not read without a write: define its method look, or give "
            "its schedule read_between=False."
        )

    @property
    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that make this layer, backend, device and dtype apart."""

    @property
    def readout_size(self) -> int | None:
        """Outputs of the readout, as `output_size` was given; None for a layer without one."""
        return None if self.readout is None else self.output_size

    @property
    def controller_settings(self) -> Any:
        """What the controller was made with; a module of your own is that itself."""
        return self.wiring or getattr(self.controller, "settings", self.controller)

    part_names: tuple[str, ...] = ()
    """The attributes that hold the parts and settings of the model."""

    @property
    def spec(self) -> Spec:
        """What this layer computes, as a value; made anew, as a layer may be changed.

        >>> import memnets
        >>> dict(memnets.NTM(9, 8).spec.parts)["writing"]
        EraseAdd(add_range='bounded')
        """
        return Spec(
            model=type(self),
            input_size=self.input_size,
            memory_size=self.memory_size,
            word_size=self.word_size,
            read_heads=self.read_heads,
            write_heads=getattr(self, "write_heads", 0),
            controller=controller_of(self.controller),
            parts=tuple((n, getattr(self, n)) for n in (*self.part_names, "wiring")),
            interface=type(self.interface),
            tables=tables_of(getattr(self.interface, "tables", ())),
            sizes=tuple(getattr(self.interface, "sizes", ())),
        )

    def named(self, parameters: Any) -> Any:
        """Return what the heads receive as one NamedTuple where the model has one, for a record."""
        return parameters

    def initial_state(self, batch_size: int | None = None) -> State:
        """Return the state before the first step; without a batch size, that of unbatched input.

        The memory and its weightings are float32 or wider whatever the layer's dtype.

        Raises:
            ValueError: if the batch size is not a whole number of at least 1.
        """
        rows = 1 if batch_size is None else batch_size
        check_sizes(batch_size=rows)
        like = self.some_weight
        wide = torch.promote_types(like.dtype, torch.float32)
        if self.start_memory is None or self.start_read_vectors is None:
            # Computed, not kept: a buffer that no checkpoint holds would be left without a value by
            # `to_empty` and `load_state_dict`.
            slots = (self.memory_size, self.word_size)
            constant = self.constant if self.start.memory is None else self.start.memory
            memory = self.constant_memory(like.new_full((), constant, dtype=wide), slots)
            read_vectors = like.new_zeros((self.read_heads, self.word_size), dtype=wide)
        else:
            memory, read_vectors = self.start_memory.to(wide), self.start_read_vectors.to(wide)
        memory = memory.expand(rows, -1, -1)
        read_vectors = read_vectors.expand(rows, -1, -1)
        controller = self.controller.initial_state(rows)  # pyright: ignore[reportCallIssue]
        if self.schedule is not None:
            controller = self.schedule.initial_state(controller, read_vectors)
        state = State(controller, self.initial_access(memory), read_vectors)
        return state if batch_size is not None else without_batch(state)

    def constant_memory(self, constant: Tensor, slots: tuple[int, int]) -> Tensor:
        """A memory [N, W] of one number; a model whose memory is large may expand it instead."""
        return constant.repeat(slots)

    def advance(self, x_t: Tensor, state: State) -> Advanced:
        """Do one step without the readout: x_t [B, I] and a batched state; nothing is checked."""
        reads = state.read_vectors.flatten(1).to(x_t.dtype)  # einops would cost 3 % of a step
        if self.schedule is not None:
            return self._advance_by_schedule(x_t, reads, state)
        h, controller = self.controller(torch.cat([x_t, reads], dim=-1), state.controller)
        parameters = self.interface(h)
        with full_precision(h.device.type):
            read_vectors, memory = self.access(parameters, state.memory)
        return Advanced(h, parameters, State(controller, memory, read_vectors))

    def _advance_by_schedule(self, x_t: Tensor, reads: Tensor, state: State) -> Advanced:
        due, before = self.schedule.begin(state.controller, reads)
        h, controller = self.controller(torch.cat([x_t, reads], dim=-1), before.controller)
        parameters = self.interface(h)
        with full_precision(h.device.type):
            written = self.access(parameters, resting(~due, state.memory))
            held = (state.read_vectors, state.memory)
            if self.schedule.read_between:
                held = self.look(parameters, state.memory)
            read_vectors, memory = select(due, written, held)
        after = before._replace(controller=controller)
        return Advanced(h, parameters, State(after, memory, read_vectors))

    def at_once(self, x: Tensor, state: State) -> Unrolled | None:
        """Do all steps of x [T, B, I] from a batched state at once.

        None, and nothing is done, of no steps, and of a layer that has no kernel for that:
        `advance` does them.
        """
        return None

    def output(self, h: Tensor, read_vectors: Tensor) -> Tensor:
        """Return logits [..., O] for h [..., hidden] and read vectors [..., R, W].

        Without a readout, h and the read vectors side by side, [..., hidden + R * W].
        """
        if self.training and self.wiring is not None:
            h = nn.functional.dropout(h, self.wiring.bypass_dropout)
        seen = torch.cat([h, read_vectors.flatten(-2).to(h.dtype)], dim=-1)
        return seen if self.readout is None else self.readout(seen)

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Do one step.

        Args:
            x_t: [B, I], or [I] with an unbatched state.
            state: from `initial_state` or an earlier call; None starts anew.

        Returns:
            Logits y_t [B, O] (or [O]) and the state after the step.

        Raises:
            ValueError, TypeError: as the call of the layer.
        """
        return step(self, x_t, state)

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        *,
        starts: Tensor | None = None,
        restart: State | None = None,
    ) -> tuple[Any, State]:
        """Run over a sequence.

        Args:
            x: [T, B, I] ([B, T, I] with `batch_first`), [T, I] unbatched, or a PackedSequence.
            state: from `initial_state` or an earlier call; None starts anew.
            lengths: how many steps each row has, B numbers from 1 to T; what x holds past a row's
                length reaches nothing.
            starts: where rows begin anew, a tensor of bool [T, B] ([B, T] with `batch_first`, [T]
                unbatched): the state before that step is no more what the steps before it left,
                but `restart`. What is set past a row's length changes nothing.
            restart: the state to begin anew from, of the form of `state`: a row of it for each
                row of the batch, at all starts of that row. None: `initial_state`. TorchRL begins
                where `is_init` is set from the state that is stored there, which its primer made:
                `restart` is that state, and None serves where the primer's is `initial_state`.

        Returns:
            Logits y of x's form with O in place of I (0 past a row's length; packed if x is), and
            the state after the last step of each row.

        Raises:
            ValueError: if the shape of x, of a state, of lengths or of starts is not the layer's,
                or starts come with a PackedSequence, or `restart` without them.
            TypeError: if x's dtype is not the layer's, a state is not this layer's kind, or starts
                are no tensor of bool.

        >>> import memnets
        >>> layer, x = memnets.NTM(3, 2, memory_size=8, word_size=4), torch.rand(6, 1, 3)
        >>> starts = torch.tensor([False, False, False, True, False, False])
        >>> y, _ = layer(x, starts=starts[:, None])
        >>> torch.allclose(y[3:], layer(x[3:])[0], atol=1e-6)
        True
        """
        return call(self, x, state, lengths, starts, restart)

    def backend_for(self, x: Tensor, state: State | None = None) -> Choice:
        """Say which backend would run this call, and why the fused one would not.

        Args:
            x: as the layer takes it.
            state: as the layer takes it.

        Raises:
            ValueError, TypeError: as the call of the layer.

        >>> import memnets
        >>> layer = memnets.NTM(9, 8, backend="reference")
        >>> layer.backend_for(torch.zeros(5, 2, 9))
        Choice(backend='reference', reason=None)
        """
        return choose(self, *prepare(self, x, state))

    @property
    def config(self) -> dict[str, Any]:
        """The class and the constructor's arguments, as data for JSON: see `memnets.from_config`.

        Raises:
            ValueError: if an argument is an object that is not registered, the class has the name
                of one that it is derived from, or takes an argument that `arguments` lacks.
        """
        arguments, name = self.arguments, type(self).__name__
        if name in [kind.__name__ for kind in type(self).__mro__[1:]]:
            raise ValueError(
                f"A layer is rebuilt by the name of its class, and {name} is also the name of a "
                "class that this one is derived from: give it another name, and @memnets.register."
            )
        lacking = sorted(named(type(self)) - {*arguments, *NOT_IN_CONFIG})
        if lacking:
            raise ValueError(
                f"{name} takes {', '.join(lacking)}, which its `arguments` lacks, so that a layer "
                f"made from its config would have the default: add it to {name}.arguments."
            )
        return {
            "name": name,
            "arguments": {name: as_data(value, name) for name, value in arguments.items()},
        }

    def extra_repr(self) -> str:
        """List the sizes and what differs from the defaults."""
        words = in_words(self.arguments, defaults(type(self)))
        dropout = 0 if self.wiring is None else self.wiring.bypass_dropout
        return f"{words}, bypass_dropout={dropout}" if dropout else words

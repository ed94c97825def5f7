"""PyPI's package `dnc` 1.1.0 (ixaxaar/pytorch-dnc): its class and its calls, on memnets' layers.

    from memnets.compat.dnc import DNC      # was: from dnc import DNC

The constructor, the call and what it returns are those of `dnc`. What is computed is what `dnc`
computes if it is called step by step with the state that it returned, but for epsilons: over a
sequence, `dnc` builds the inputs of all steps from the first read vectors, so that what is read
never reaches the controller. docs/coming-from.md lists what differs.

Axes: B batch, T time, I input, N memory slots, W word, R read heads.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

import memnets.dnc
from memnets.checks import check_input, check_sizes
from memnets.compat.dnc_weights import CELLS, converted
from memnets.compat.hidden import (
    Memory,
    cells_of,
    dictionary_of,
    memory_of,
    read_vectors_of,
    stacked,
)
from memnets.interface import Interface, Table, bounded
from memnets.one_memory import in_turn
from memnets.parts.content import Content
from memnets.parts.controllers import Stack
from memnets.state import State, difference

BOUNDED = ("keys", "add_vectors")
"""What dnc squashes by a tanh, and the paper does not."""


__all__ = ["DNC", "SAM", "SDNC", "DifferenceWarning", "Memory", "converted"]


class DifferenceWarning(UserWarning):
    """A network computes other numbers than the package in whose place it stands."""


@functools.lru_cache(maxsize=8)
def _warn_once(sentence: str, level: int) -> None:
    warnings.warn(sentence, DifferenceWarning, stacklevel=level)


class DNC(nn.Module):
    """The class `DNC` of the package `dnc` 1.1.0: arguments in its order, its defaults.

    Args:
        input_size: numbers in each input, I, and in each output.
        hidden_size: of the controllers.
        rnn_type: `lstm`, `gru` or `rnn`.
        num_layers: controllers, each of which sees what the one below made and read in this step.
        num_hidden_layers: recurrent layers in each controller.
        bias, dropout, bidirectional, nonlinearity: True, 0, False and `tanh`; others are refused.
        batch_first: x and y are [B, T, ...].
        nr_cells, read_heads, cell_size: N, R and W.
        gpu_id: the GPU to begin on; -1 or None: the CPU. `.to(device)` moves the network.
        independent_linears: changes nothing: one linear map makes what ten would.
        share_memory: one memory for all controllers, or one for each.
        debug: a call also returns arrays of all steps of the first row.
        clip: a limit of h, which is within [-1, 1]: 0 or at least 1, and so of no effect.

    Raises:
        ValueError: if a size is below 1, or an argument is refused.

    >>> warnings.simplefilter("ignore", DifferenceWarning)
    >>> network = DNC(64, 128, num_layers=2, nr_cells=100, cell_size=32, read_heads=4)
    >>> y, (controller_hidden, memory, read_vectors) = network(torch.randn(10, 4, 64))
    >>> y.shape, controller_hidden[0][0].shape, memory["memory"].shape, read_vectors.shape
    (torch.Size([10, 4, 64]), torch.Size([2, 10, 128]), torch.Size([10, 100, 32]),
     torch.Size([10, 128]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        rnn_type: str = "lstm",
        num_layers: int = 1,
        num_hidden_layers: int = 2,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0,
        bidirectional: bool = False,
        nr_cells: int = 5,
        read_heads: int = 2,
        cell_size: int = 10,
        nonlinearity: str = "tanh",
        gpu_id: int | None = -1,
        independent_linears: bool = False,
        share_memory: bool = True,
        debug: bool = False,
        clip: float = 20,
    ) -> None:
        super().__init__()
        _refuse(rnn_type, bias, dropout, bidirectional, nonlinearity, clip)
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_sizes(num_hidden_layers=num_hidden_layers, nr_cells=nr_cells)
        check_sizes(read_heads=read_heads, cell_size=cell_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.rnn_type = rnn_type
        self.num_layers = num_layers
        self.num_hidden_layers = num_hidden_layers
        self.nr_cells = nr_cells
        self.read_heads = read_heads
        self.cell_size = cell_size
        self.batch_first = batch_first
        self.debug = debug
        self._shares = share_memory  # nn.Module has a method of the argument's name
        self.layers: nn.ModuleList = nn.ModuleList(
            memnets.dnc.DNC(
                hidden_size if depth else input_size,
                None,
                memory_size=nr_cells,
                word_size=cell_size,
                read_heads=read_heads,
                controller=Stack(
                    cell=CELLS[rnn_type.lower()],
                    hidden_size=hidden_size,
                    num_layers=num_hidden_layers,
                ),
                content=Content(strength="softplus"),
                batch_first=batch_first,
            )
            for depth in range(num_layers)
        )
        for layer in self._layers:
            _squash(layer.interface)
            if share_memory:
                layer.interface = self._layers[0].interface
        self.output: nn.Linear = nn.Linear(self._layers[-1].output_size, input_size)
        nn.init.orthogonal_(self.output.weight)
        self.to(_device(gpu_id))
        _warn_once(
            "memnets.compat.dnc feeds what is read to the controller at the next step, as the "
            "paper does; dnc 1.1.0 did not over a sequence. Other differences are in memnets' "
            "docs/coming-from.md.",
            level=3,
        )

    @property
    def _layers(self) -> list[memnets.dnc.DNC]:
        return list(self.layers)  # pyright: ignore[reportReturnType]

    @property
    def memories(self) -> list[Memory]:
        """The shared memory alone, or that of each controller."""
        return [Memory(layer) for layer in self._layers[: 1 if self._shares else None]]

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002 - dnc's name
        hx: Any = (None, None, None),
        reset_experience: bool = False,
        pass_through_memory: bool = True,
    ) -> Any:
        """Run over a sequence.

        Args:
            input: [B, T, I] ([T, B, I] without `batch_first`); or a PackedSequence, for one layer.
            hx: (controller_hidden, memory, read_vectors) of a call before, any of them None: it
                begins anew.
            reset_experience: begin with an empty memory, whatever hx holds.
            pass_through_memory: False: the controllers run alone, beside the read vectors in hx.

        Returns:
            Outputs of the form of `input`, and (controller_hidden, memory, read_vectors): a list
            of (h, c) or h [num_hidden_layers, B, hidden_size]; a dictionary of tensors, and a list
            of them without `share_memory`; and [B, R * W], None without `pass_through_memory`.
            With `debug`, also a dictionary of arrays [T * num_layers, ...].

        Raises:
            ValueError: if the input or hx is not of this form.
            TypeError: if the input is of another dtype than the network.
        """
        plain = self.num_layers == 1 and pass_through_memory and not self.debug
        if isinstance(input, PackedSequence):
            if not plain:
                raise ValueError(
                    "A PackedSequence is taken by a network of num_layers=1, without debug and with"
                    " pass_through_memory: unpack it by pad_packed_sequence."
                )
            rows = int(input.batch_sizes[0])
        elif not isinstance(input, Tensor) or input.dim() != 3:
            found = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            form = "[B, T, I]" if self.batch_first else "[T, B, I]"
            raise ValueError(f"input must be {form}; got {found}.")
        else:
            sizes = {"input_size": self.input_size, "batch_first": self.batch_first}
            check_input(input, **sizes, weight=self.output.weight)
            rows = input.shape[0 if self.batch_first else 1]
        states = self._states(hx, rows, reset_experience)
        if plain:
            seen, after = self._layers[0](input, states[0])
            if isinstance(seen, PackedSequence):
                y: Any = seen._replace(data=self.output(seen.data))
            else:
                y = self.output(seen)
            return y, self._hidden([after], after.read_vectors)
        assert isinstance(input, Tensor)
        return self._run(input, states, pass_through_memory)

    def _states(self, hx: Any, rows: int, reset_experience: bool) -> list[State]:
        """The state of each layer. All have the same read vectors."""
        hx = (None, None, None) if hx is None else hx
        if not isinstance(hx, list | tuple) or len(hx) != 3:
            raise ValueError(
                "hx must be (controller_hidden, memory, read_vectors), as a call returns; got a "
                f"{type(hx).__name__}."
            )
        controllers, memories, reads = hx
        if memories is not None and self._shares:
            memories = [memories] * self.num_layers
        for name, one in (("controller_hidden", controllers), ("memory", memories)):
            if one is not None and (
                not isinstance(one, list | tuple) or len(one) != self.num_layers
            ):
                raise ValueError(
                    f"hx has in {name} a list of one entry for each of {self.num_layers} layers; "
                    f"got a {type(one).__name__} of {len(one)}."
                )
        states = []
        for depth, layer in enumerate(self._layers):
            state = begun = layer.initial_state(rows)
            if controllers is not None:
                state = state._replace(controller=cells_of(controllers[depth]))
            if memories is not None and not reset_experience:
                state = state._replace(memory=memory_of(memories[depth]))
            if reads is not None:
                split = read_vectors_of(reads, rows, self.read_heads, self.cell_size)
                state = state._replace(read_vectors=split)
            found = difference(begun, state, f"hx of layer {depth}")
            if found:
                raise ValueError(f"hx is not of this network and this input: {found}.")
            states.append(state)
        return states

    def _hidden(self, states: list[State], reads: Tensor | None) -> tuple[Any, Any, Any]:
        """What a call returns beside the outputs."""
        controllers = [stacked(state.controller) for state in states]
        memories = [dictionary_of(state.memory) for state in states]
        flat = None if reads is None else reads.flatten(1)
        return controllers, memories[-1] if self._shares else memories, flat

    def _run(self, x: Tensor, states: list[State], through: bool) -> Any:
        """Run all layers step after step."""
        time = 1 if self.batch_first else 0
        outputs, seen = [], []
        for x_t in x.unbind(time):
            h, states = (self._step if through else self._step_beside)(x_t, states)
            seen += [dictionary_of(state.memory) for state in states]
            outputs.append(self._layers[-1].output(h, states[-1].read_vectors))
        y = self.output(torch.stack(outputs, time))
        hidden = self._hidden(states, states[-1].read_vectors if through else None)
        if not self.debug:
            return y, hidden
        arrays = {
            name: torch.stack([one[name][0].flatten() for one in seen]).detach().cpu().numpy()
            for name in seen[0]
        }
        return y, hidden, arrays

    def _step(self, x_t: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """One step: the layer above takes h and what was read in this step."""
        shared = ("memory", "read_vectors") if self._shares else ("read_vectors",)
        made = in_turn(self._layers, x_t, states, shared=shared, handed=lambda _, one: one.h)
        return made[-1].h, [one.state for one in made]

    def _step_beside(self, h: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """One step of the controllers alone."""
        after = []
        for layer, state in zip(self._layers, states, strict=True):
            inputs = torch.cat([h, state.read_vectors.flatten(1).to(h.dtype)], dim=-1)
            h, controller = layer.controller(inputs, state.controller)
            after.append(state._replace(controller=controller))
        return h, after


def _refuse(
    rnn_type: str,
    bias: bool,
    dropout: float,
    bidirectional: bool,
    nonlinearity: str,
    clip: float,
) -> None:
    if not isinstance(rnn_type, str) or rnn_type.lower() not in CELLS:
        raise ValueError(f"rnn_type must be one of {', '.join(CELLS)}; got {rnn_type!r}.")
    for name, value, served, remedy in (
        ("bias", bias, True, "leave it out"),
        ("dropout", dropout, 0, "put an nn.Dropout before or after the network"),
        ("bidirectional", bidirectional, False, "dnc ignored it; memnets.Bidirectional is so"),
        ("nonlinearity", nonlinearity, "tanh", "give memnets.DNC a controller of your own"),
    ):
        if value != served:
            raise ValueError(f"{name} must be {served!r} here; got {value!r}: {remedy}.")
    if clip != 0 and not clip >= 1:
        raise ValueError(
            f"clip must be 0 or at least 1, as h is within [-1, 1] and is not clipped; got {clip}."
        )


def _squash(interface: Interface) -> None:
    """Give keys and write vectors the range that they have in dnc, [-1, 1].

    The kernel follows the tables; the layer's `config` does not tell of it.
    """
    interface.tables = tuple(
        Table(
            table.kind,
            {
                name: field._replace(activation=bounded) if name in BOUNDED else field
                for name, field in table.fields.items()
            },
        )
        for table in interface.tables
    )


def _device(gpu_id: int | None) -> torch.device:
    if gpu_id is None or gpu_id == -1:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        _warn_once(f"gpu_id={gpu_id}, and torch finds no GPU here: the network is on the CPU.", 4)
        return torch.device("cpu")
    return torch.device("cuda", gpu_id)


class SAM:
    """Refused: the sparse access memory of dnc."""

    def __init__(self, *arguments: object, **settings: object) -> NoReturn:
        _refuse_sparse("SAM")


class SDNC:
    """Refused: the sparse DNC of dnc."""

    def __init__(self, *arguments: object, **settings: object) -> NoReturn:
        _refuse_sparse("SDNC")


def _refuse_sparse(name: str) -> NoReturn:
    raise NotImplementedError(
        f"memnets.compat.dnc has no {name}: dnc finds its neighbours off by one slot and reads "
        "without a strength, so that there is nothing right to be equal to. Use DNC, or "
        f"memnets.{name}, the layer of its paper."
    )

"""Two layers over one sequence, the second from its end to its beginning.

Axes: B batch, T time, I input, O output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from memnets.checks import check_layer, check_name, checked_lengths

MERGES = ("concatenate", "sum")


class BidirectionalState(NamedTuple):
    """The states of both layers."""

    forward: Any
    """Of the layer that reads from the first step on: after the last step of each row."""
    backward: Any
    """Of the layer that reads from the last step on: after the first step of each row."""


def reversed_rows(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Turn each row of x [T, B, ...] around within its length; what is past it stays in its place.

    >>> reversed_rows(torch.tensor([[1, 4], [2, 5], [3, 0]]), torch.tensor([3, 2])).tolist()
    [[3, 5], [2, 4], [1, 0]]
    """
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(len(x), device=x.device)[:, None]
    ends = lengths.to(x.device)
    places = torch.where(steps < ends, ends - 1 - steps, steps)  # [T, B]
    return x[places, torch.arange(x.shape[1], device=x.device)]


class Bidirectional(nn.Module):
    """Two layers as one that sees, at each step, what comes before and after it.

    `y_t = [a_t, b_t]`, where a are the outputs of one layer over x, and b those of another over x
    from its end (Schuster and Paliwal 1997, "Bidirectional Recurrent Neural Networks"); called as
    `nn.LSTM(bidirectional=True)` is, with a state for each direction. What it needs of a layer is
    what `memnets.MemoryLayer` has: the sizes, `batch_first`, `initial_state(batch_size)`, and the
    call `(x, state, lengths=...) -> (y, state)`. The layers may differ in all but that, and be of
    two kinds. As b needs the end of the sequence, there is no step of it alone.

    Args:
        forward: the layer that reads from the first step on.
        backward: the layer that reads from the last step on.
        merge: `concatenate`, as `nn.LSTM` does, or `sum`, for two outputs of one size.

    Raises:
        TypeError: if a layer lacks what is needed of it.
        ValueError: if the layers do not fit together, or merge is none of the two.

    >>> import memnets
    >>> both = Bidirectional(memnets.NTM(3, 2), memnets.DNC(3, 4))
    >>> y, state = both(torch.zeros(5, 2, 3), lengths=[5, 4])
    >>> y.shape, type(state.backward.memory).__name__
    (torch.Size([5, 2, 6]), 'DNCMemory')
    """

    def __init__(self, forward: Any, backward: Any, *, merge: str = "concatenate") -> None:
        super().__init__()
        _check_layers(forward, backward)
        check_name("merge", merge, MERGES)
        sizes = forward.output_size, backward.output_size
        if merge == "sum" and sizes[0] != sizes[1]:
            raise ValueError(
                f"The outputs of both layers must be of one size to be added; got {sizes[0]} and "
                f"{sizes[1]}: make the layers so, or concatenate them."
            )
        self.forward_layer: Any = forward
        self.backward_layer: Any = backward
        self.merge = merge
        self.input_size: int = forward.input_size
        self.output_size: int = sizes[0] if merge == "sum" else sum(sizes)
        self.batch_first: bool = forward.batch_first

    def reset_parameters(self) -> None:
        """Draw the parameters of both layers anew, forward first."""
        self.forward_layer.reset_parameters()
        self.backward_layer.reset_parameters()

    def initial_state(self, batch_size: int | None = None) -> BidirectionalState:
        """Return the state before both passes; without a batch size, that of unbatched input.

        Raises:
            ValueError: as the layers do.
        """
        layers = (self.forward_layer, self.backward_layer)
        return BidirectionalState(*(layer.initial_state(batch_size) for layer in layers))

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: BidirectionalState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
    ) -> tuple[Any, BidirectionalState]:
        """Run both layers over a sequence.

        Args:
            x: [T, B, I] ([B, T, I] with `batch_first`), [T, I] unbatched, or a PackedSequence.
            state: from `initial_state` or an earlier call; None starts anew. That of the backward
                layer is what it starts with at the last step of each row.
            lengths: how many steps each row has; the backward layer starts at the last of them.

        Returns:
            y of x's form with output_size in place of I (0 past a row's length; packed if x is),
            and the states of both layers after their passes.

        Raises:
            ValueError, TypeError: as the layers do, and if the state is no `BidirectionalState`.
        """
        if state is not None and not isinstance(state, BidirectionalState):
            raise TypeError(
                "state must be a BidirectionalState, as initial_state or a call returns; got "
                f"{type(state).__name__}."
            )
        if isinstance(x, PackedSequence):
            return self._run_packed(x, state, lengths)
        before: Any = state or (None, None)
        a, ahead = self.forward_layer(x, before[0], lengths=lengths)  # which also checks all of it
        turn = self.batch_first and x.dim() == 3
        steps = x.transpose(0, 1) if turn else x
        ends = checked_lengths(lengths, steps)
        back = reversed_rows(steps, ends)
        b, behind = self.backward_layer(
            back.transpose(0, 1) if turn else back, before[1], lengths=lengths
        )
        b = reversed_rows(b.transpose(0, 1) if turn else b, ends)
        b = b.transpose(0, 1) if turn else b
        y = a + b if self.merge == "sum" else torch.cat([a, b], dim=-1)
        return y, BidirectionalState(ahead, behind)

    def _run_packed(
        self,
        x: PackedSequence,
        state: BidirectionalState | None,
        lengths: Tensor | Sequence[int] | None,
    ) -> tuple[PackedSequence, BidirectionalState]:
        if lengths is not None:
            raise ValueError("A PackedSequence has its lengths; leave out the argument.")
        padded, ends = pad_packed_sequence(x, batch_first=self.batch_first)
        y, after = self(padded, state, lengths=ends)
        if self.batch_first:
            y = y.transpose(0, 1)
        order = x.sorted_indices
        if order is not None:
            y, ends = y.index_select(1, order), ends[order.cpu()]
        data = pack_padded_sequence(y, ends).data
        return PackedSequence(data, x.batch_sizes, order, x.unsorted_indices), after

    def extra_repr(self) -> str:
        """Show how the outputs are merged."""
        return f"merge={self.merge!r}"


def _check_layers(forward: Any, backward: Any) -> None:
    for name, layer in (("forward", forward), ("backward", backward)):
        check_layer(name, layer)
    for name in ("input_size", "batch_first"):
        values = getattr(forward, name), getattr(backward, name)
        if values[0] != values[1]:
            raise ValueError(
                f"Both layers must have one {name}, as they see one x; got {values[0]} and "
                f"{values[1]}: make them with the same."
            )

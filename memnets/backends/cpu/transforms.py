"""The kernel's sequence inside of transforms of torch.func: its gradients, also under vmap.

A transform works on functions of autograd that say apart what they keep (`setup_context`), which
those that `torch.library` makes of an operator do not. At the bottom these call the operators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from memnets.backends.cpu import again
from memnets.backends.cpu.described import described
from memnets.backends.cpu.operator import (
    call_of,
    forward_again,
    needed,
    sequence,
    sequence_backward,
)
from memnets.backends.cpu.problems import Tensors


def run(
    tensors: Sequence[Tensor],
    lengths: Tensor | None,
    starts: Tensor | None,
    layer: str,
    segment: int,
    training: bool,
    readout: bool,
) -> list[Tensor]:
    """As the operator `memnets::sequence`, inside of transforms."""
    call = layer, segment, training, readout
    return list(_Sequence.apply(call, lengths, starts, *tensors))


def _members(
    function: type[torch.autograd.Function], info: Any, places: Any, arguments: Sequence[Any]
) -> tuple[Any, Any]:
    """The rule under vmap: the function runs once for each member of the batch."""

    def of(argument: Any, place: Any, index: int) -> Any:
        # The place of what is no tensor is no number.
        return argument.select(place, index) if isinstance(place, int) else argument

    made = [
        function.apply(*(of(*pair, index) for pair in zip(arguments, places, strict=True)))
        for index in range(info.batch_size)
    ]
    stacked = tuple(torch.stack(parts) for parts in zip(*made, strict=True))
    return stacked, (0,) * len(stacked)


class _Sequence(torch.autograd.Function):
    """Arguments: (layer, segment, training, readout), lengths, starts, the tensors of
    `Tensors.flat`.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        call: tuple[str, int, bool, bool],
        lengths: Tensor | None,
        starts: Tensor | None,
        *flat: Tensor,
    ) -> tuple[Tensor, ...]:
        return tuple(sequence(list(flat), lengths, starts, *call))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: tuple[Tensor, ...]) -> None:
        ctx.call, lengths, starts, *flat = inputs
        ctx.save_for_backward(lengths, starts, *needed(output, ctx.call[-1]), *flat)
        ctx.mark_non_differentiable(output[-1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *d_outputs: Tensor | None
    ) -> tuple[Any, ...]:
        lengths, starts, *saved = ctx.saved_tensors
        layer, segment, _, readout = ctx.call
        wanted = ctx.needs_input_grad[3:]
        outputs, flat = saved[: 2 + readout], saved[2 + readout :]
        call = layer, segment, wanted, len(d_outputs) - 1, readout
        found = iter(_Backward.apply(call, lengths, starts, *outputs, *d_outputs[:-1], *flat))
        return None, None, None, *(next(found) if want else None for want in wanted)

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: Any, *arguments: Any
    ) -> tuple[Any, Any]:
        # What is kept would be copied, to lie in one tensor: the backward makes it again instead.
        (layer, segment, _, readout), *others = arguments
        call = layer, segment, False, readout
        return _members(_Sequence, info, in_dims, (call, *others))


class _Backward(torch.autograd.Function):
    """Arguments: (layer, segment, wanted, number of gradients given, readout), lengths, starts,
    what is `needed` of the forward, the gradients given, the tensors.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        call: tuple[str, int, tuple[bool, ...], int, bool],
        lengths: Tensor | None,
        starts: Tensor | None,
        *rest: Any,
    ) -> tuple[Tensor, ...]:
        layer, segment, wanted, count, readout = call
        outputs, both = list(rest[: 2 + readout]), rest[2 + readout :]
        d_outputs, flat = list(both[:count]), list(both[count:])
        if not outputs[-1].numel():
            segment, outputs = forward_again(flat, lengths, starts, layer, readout)
        others = outputs[:-1], outputs[-1], lengths, starts, layer, segment, list(wanted)
        return tuple(sequence_backward(flat, d_outputs, *others))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: tuple[Tensor, ...]) -> None:
        ctx.call, lengths, starts, *rest = inputs
        ctx.save_for_backward(lengths, starts, *rest[2 + ctx.call[-1] :])

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *more: Tensor
    ) -> tuple[Any, ...]:
        """The derivative of the backward: that of the reference, as in `again`."""
        lengths, starts, *both = ctx.saved_tensors
        layer, _, wanted, count, readout = ctx.call
        there = [one is not None for one in both]
        function = _reference(layer, lengths, starts, wanted, there[:count], readout)
        pull = torch.func.vjp(function, *(one for one in both if one is not None))[1]
        found = iter(pull(tuple(more)))
        return (None,) * (5 + readout) + tuple(next(found) if one else None for one in there)

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: Any, *arguments: Any
    ) -> tuple[Any, Any]:
        return _members(_Backward, info, in_dims, arguments)


def _reference(
    layer: str,
    lengths: Tensor | None,
    starts: Tensor | None,
    wanted: Sequence[bool],
    there: Sequence[bool],
    readout: bool,
) -> Callable[..., tuple[Tensor, ...]]:
    """What the backward computes, by the reference: a function of the gradients that it was given,
    which are those `there`, and of the tensors.
    """
    known, count = described(layer), sum(there)

    def outputs(*flat: Tensor) -> tuple[Tensor, ...]:
        call = call_of(known, flat, lengths, starts, 1, True, readout)
        made = again.outputs(call, Tensors.of(flat, known.plan, readout))
        return tuple(one for one, is_there in zip(made, there, strict=True) if is_there)

    def function(*both: Tensor) -> tuple[Tensor, ...]:
        pull = torch.func.vjp(outputs, *both[count:])[1]
        found = zip(pull(both[:count]), wanted, strict=True)
        return tuple(one for one, want in found if want)

    return function

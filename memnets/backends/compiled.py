"""The same steps under torch.compile, a few at a time.

A sequence is cut into chunks of `CHUNK` steps, and single steps for the rest, so that two compiled
functions serve every length.

Axes: B batch, T time, I input.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from memnets.backends.reference import (
    Starts,
    Unrolled,
    in_segments,
    joined,
    of_steps,
    reference,
    steps,
)
from memnets.backends.spec import Steps
from memnets.state import State, map_tensors

CHUNK = 4
"""Steps that are compiled together: fewer are slower to run, more are slower to compile."""

COMPILER = "inductor"
"""The backend of torch.compile."""


def compiled(
    layer: Steps,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None = None,
    starts: Starts | None = None,
) -> Unrolled:
    """Run the steps under torch.compile, which compiles at the first call of a kind.

    On CUDA the steps run as CUDA graphs; that has not been run yet.

    Args:
        layer, x, state, lengths, checkpoint_every, starts: as those of
            `memnets.backends.reference.reference`.

    Raises:
        ValueError: inside a transform of torch.func.
        RuntimeError: if there is no C++ compiler.
    """
    if torch.compiler.is_compiling():  # the caller compiles these steps already
        return reference(layer, x, state, lengths, checkpoint_every, starts)
    if torch._C._are_functorch_transforms_active():
        raise ValueError(
            'backend="compiled" cannot run inside vmap, grad and the other transforms of '
            'torch.func, which torch.compile does not support; use backend="reference" there.'
        )
    # A clone has the strides of its shape, whatever x is a view of: strides are compiled in.
    x = x.clone(memory_format=torch.contiguous_format)
    state = _as_carried(layer, state)
    if starts is not None:
        mask = starts.mask.clone(memory_format=torch.contiguous_format)
        starts = Starts(mask, _as_carried(layer, starts.state))
    return in_segments(_in_chunks, layer, x, state, lengths, checkpoint_every, starts)


def _in_chunks(
    layer: Steps,
    x: Tensor,
    state: State,
    remaining: Tensor | None,
    whole: int,
    starts: Starts | None,
) -> Unrolled:
    chunks, rest = divmod(x.shape[0], CHUNK)
    start, parts = 0, []
    for piece in x.split([CHUNK] * chunks + [1] * rest):
        left = None if remaining is None else remaining - start
        inside = slice(start, start + len(piece))
        parts.append(_run(layer, piece, state, left, of_steps(starts, inside)))
        state = parts[-1].state
        start += len(piece)
    return joined(parts)


def _run(
    layer: Steps, x: Tensor, state: State, remaining: Tensor | None, starts: Starts | None
) -> Unrolled:
    absent = (remaining is None, starts is None)
    function = _function(layer, (len(x), *absent, torch.is_grad_enabled(), x.is_cuda))
    try:
        made = function(layer, x, state, remaining, starts)
    except RuntimeError as error:
        if "InvalidCxxCompiler" not in str(error):
            raise
        raise RuntimeError(
            'backend="compiled" needs a C++ compiler, and torch.compile found none that works; '
            "install one (g++ or clang), name it in the environment variable CXX, or use "
            'backend="reference".'
        ) from error
    # A CUDA graph writes its results to the same place every time.
    return map_tensors(Tensor.clone, made) if x.is_cuda else made


def _chunk(
    layer: Steps, x: Tensor, state: State, remaining: Tensor | None, starts: Starts | None
) -> Unrolled:
    """What is compiled: every step masked, as a step's number in the sequence is no input."""
    made = steps(layer, x, state, remaining, 0, starts)
    return made._replace(state=map_tensors(_plain, made.state))


def _plain(tensor: Tensor) -> Tensor:
    # Strides are compiled in, those of axes of length 1 too: let them follow from the shape.
    return tensor.contiguous().flatten().view(tensor.shape)


def _as_carried(layer: Steps, state: State) -> State:
    """Make the first state like those between chunks, which would be compiled for once more."""
    trained = any(parameter.requires_grad for parameter in layer.parameters())

    def carried(tensor: Tensor) -> Tensor:
        tensor = _plain(tensor)
        if tensor.requires_grad or not tensor.is_floating_point():
            return tensor
        return tensor.detach().requires_grad_(trained and torch.is_grad_enabled())

    return map_tensors(carried, state)


Kind = tuple[int, bool, bool, bool, bool]

# Beside the layers, as compiled code is no part of them: not of copies, pickles or checkpoints.
_functions: WeakKeyDictionary[Any, dict[Kind, Callable[..., Unrolled]]]
_functions = WeakKeyDictionary()
_numbers = itertools.count()


def _function(layer: Steps, kind: Kind) -> Callable[..., Unrolled]:
    """Return `_chunk` for calls of one kind: steps, lengths, starts and gradients or none, CUDA.

    torch.compile keeps what it compiled, at most eight times, with the code of the function, and
    takes for dynamic what varies between calls of one name. So each layer and kind has a copy of
    the code, with a name of its own.
    """
    functions = _functions.setdefault(layer, {})
    if kind not in functions:
        code = _chunk.__code__.replace(co_name=f"_chunk_{next(_numbers)}")
        copy = types.FunctionType(code, _chunk.__globals__)
        mode = "reduce-overhead" if kind[-1] else None
        functions[kind] = torch.compile(copy, backend=COMPILER, mode=mode)
    return functions[kind]

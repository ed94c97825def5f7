"""Checks of what a user passes in: each error states what must hold, the value, and the remedy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

LARGEST_SIZE = 2**31 - 1
LARGEST_NUMBER = 3e38
MOST_NUMBERS = 2**36
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_sizes(minimum: int = 1, **sizes: object) -> None:
    """Raise a ValueError for the first size that is not a whole number of at least `minimum`."""
    for name, size in sizes.items():
        if isinstance(size, torch.SymInt):  # any batch size, to torch.export: nothing to check yet
            continue
        if not isinstance(size, int) or isinstance(size, bool) or size < minimum:
            raise ValueError(f"{name} must be a whole number of at least {minimum}; got {size!r}.")
        if size > LARGEST_SIZE:
            raise ValueError(f"{name} must be at most {LARGEST_SIZE}; got {size}.")


def check_room(numbers: int) -> None:
    """Raise a ValueError for a layer of more numbers than any machine holds."""
    if numbers > MOST_NUMBERS:
        raise ValueError(
            f"The sizes make a layer of {4 * numbers:.1e} bytes in float32; choose smaller ones."
        )


def check_numbers(**numbers: object) -> None:
    """Raise a ValueError for the first that is not a finite number in float32."""
    for name, number in numbers.items():
        if not isinstance(number, float | int) or not abs(number) <= LARGEST_NUMBER:
            raise ValueError(f"{name} must be a finite number; got {number!r}.")


def check_limit(name: str, limit: object) -> None:
    """Raise a ValueError unless the limit is None or a finite number above 1."""
    if limit is None:
        return
    if not isinstance(limit, float | int) or not 1 < limit <= LARGEST_NUMBER:
        raise ValueError(f"{name} must be a finite number above 1, or None; got {limit!r}.")


def check_epsilons(**epsilons: object) -> None:
    """Raise a ValueError for the first epsilon that is negative or not finite."""
    for name, epsilon in epsilons.items():
        if not isinstance(epsilon, float | int) or not 0 <= epsilon < math.inf:
            raise ValueError(f"{name} must be at least 0 and finite; got {epsilon!r}.")


def check_spread(spread: object, learned: bool) -> None:
    """Raise a ValueError for a spread of the initial memory that is no number, or is not kept."""
    check_epsilons(memory_spread=spread)
    if spread and not learned:
        raise ValueError(
            "memory_spread must be 0 unless learned_initial_state is True, because a state dict "
            f"holds only what is learned; got {spread!r}: pass learned_initial_state=True."
        )


def check_switches(**switches: object) -> None:
    """Raise a ValueError for the first that is neither True nor False."""
    for name, switch in switches.items():
        if not isinstance(switch, bool):
            raise ValueError(f"{name} must be True or False; got {switch!r}.")


def check_name(name: str, value: object, valid: Iterable[str]) -> None:
    """Raise a ValueError for a value that is none of the valid names."""
    names = list(valid)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}; got {value!r}.")


def check_place(device: object, dtype: object) -> None:
    """Raise a ValueError for a device or a dtype that a layer cannot have; None is the default."""
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(str, DTYPES))}; got {dtype!r}.")
    if device is None:
        return
    try:
        torch.empty(0, device=device)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (TypeError, RuntimeError, AssertionError) as error:
        reason = str(error).split("\n", 1)[0]
        raise ValueError(
            f"device must be one that torch has here, as 'cpu'; got {device!r}: {reason}"
        ) from error


def checked_controller(controller: nn.Module, input_size: int) -> nn.Module:
    """Return a controller of the user's if it fulfils the contract of `memnets.controllers`.

    Raises:
        TypeError: if it is not a module or lacks a part of the contract.
        ValueError: if its input size does not fit the layer.
    """
    needed = ("input_size", "output_size", "initial_state")
    missing = [name for name in needed if not hasattr(controller, name)]
    if missing or not isinstance(controller, nn.Module):
        raise TypeError(
            "controller must be a name or an nn.Module with input_size, output_size and "
            f"initial_state(batch_size) (see memnets.controllers); {type(controller).__name__} "
            + (f"lacks {', '.join(missing)}." if missing else "is not an nn.Module.")
        )
    if controller.input_size != input_size:
        raise ValueError(
            f"controller.input_size must be input_size + read_heads * word_size = {input_size}; "
            f"got {controller.input_size}."
        )
    return controller


def checked_lengths(lengths: Tensor | Sequence[int] | None, x: Tensor) -> Tensor | None:
    """Return the lengths of the rows of x [T, B, I] as a tensor [B] on the CPU.

    Raises:
        ValueError: if they are not B whole numbers from 1 to T.
    """
    if lengths is None:
        return None
    found = _whole_numbers(lengths)
    if found is None or found.shape != (x.shape[1],):
        shown = lengths.tolist() if found is not None and isinstance(lengths, Tensor) else lengths
        raise ValueError(f"lengths must be {x.shape[1]} whole numbers, one a row; got {shown!r}.")
    if int(found.min()) < 1 or int(found.max()) > x.shape[0]:
        raise ValueError(f"lengths must be from 1 to T={x.shape[0]}; got {found.tolist()}.")
    return found


def _whole_numbers(values: object) -> Tensor | None:
    """Values as a tensor of whole numbers on the CPU; None if they are not."""
    try:
        found = torch.as_tensor(values, device="cpu")
    except (TypeError, ValueError, RuntimeError, OverflowError):  # torch raises any, by the kind
        return None
    whole = not (found.is_floating_point() or found.is_complex() or found.dtype is torch.bool)
    return found if whole and found.layout is torch.strided else None


def autocasts(device_type: str) -> bool:
    """Whether autocast is on for a kind of device (it is not to be had on all, meta for one)."""
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)


def check_input(x: object, *, input_size: int, batch_first: bool, weight: Tensor) -> None:
    """Raise for an input that a layer with this input size and this weight cannot take.

    Raises:
        TypeError: if x is no tensor, or of another dtype than the weight (but under autocast).
        ValueError: if its shape or its device is not the layer's.
    """
    form = "[B, T, I]" if batch_first else "[T, B, I]"
    if not isinstance(x, Tensor):
        raise TypeError(
            f"x must be a tensor {form} or [T, I], or in a call of the layer a PackedSequence; "
            f"got {type(x).__name__}."
        )
    if x.layout is not torch.strided:
        raise ValueError(f"x must be a dense tensor; got the layout {x.layout}: use .to_dense().")
    if x.dim() not in (2, 3):
        raise ValueError(f"x must be {form}, or [T, I]; got the shape {tuple(x.shape)}.")
    if x.shape[-1] != input_size:
        raise ValueError(
            f"x must have input_size={input_size} as its last axis; got the shape {tuple(x.shape)}."
        )
    if x.numel() == 0:
        raise ValueError(f"x needs at least one step and one row; got the shape {tuple(x.shape)}.")
    if x.device != weight.device:
        raise ValueError(
            f"x is on {x.device} and the layer on {weight.device}; move one of them with .to()."
        )
    if x.dtype != weight.dtype and not (x.is_floating_point() and autocasts(x.device.type)):
        raise TypeError(
            f"x is {x.dtype} and the layer {weight.dtype}; convert one of them with .to()."
        )

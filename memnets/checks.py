"""Checks of what a user passes in: each error states what must hold, the value, and the remedy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any, TypeGuard

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


def check_total_size(numbers: int) -> None:
    """Raise a ValueError for a layer of more numbers than any machine holds."""
    if numbers > MOST_NUMBERS:
        raise ValueError(
            f"The sizes make a layer of {4 * numbers:.1e} bytes in float32; choose smaller ones."
        )


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number; True and False are none, though Python counts with them."""
    return isinstance(value, float | int) and not isinstance(value, bool)


def check_numbers(**numbers: object) -> None:
    """Raise a ValueError for the first that is not a finite number in float32."""
    for name, number in numbers.items():
        if not _is_number(number) or not abs(number) <= LARGEST_NUMBER:
            raise ValueError(f"{name} must be a finite number; got {number!r}.")


def check_limit(name: str, limit: object) -> None:
    """Raise a ValueError unless the limit is None or a finite number above 1."""
    if limit is None:
        return
    if not _is_number(limit) or not 1 < limit <= LARGEST_NUMBER:
        raise ValueError(f"{name} must be a finite number above 1, or None; got {limit!r}.")


def check_epsilons(**epsilons: object) -> None:
    """Raise a ValueError for the first epsilon that is negative or not finite."""
    for name, epsilon in epsilons.items():
        if not _is_number(epsilon) or not 0 <= epsilon < math.inf:
            raise ValueError(f"{name} must be at least 0 and finite; got {epsilon!r}.")


def check_share(**shares: object) -> None:
    """Raise a ValueError for the first that is not at least 0 and below 1."""
    for name, share in shares.items():
        if not _is_number(share) or not 0 <= share < 1:
            raise ValueError(f"{name} must be at least 0 and below 1; got {share!r}.")


def check_part(name: str, value: object, kind: type) -> None:
    """Raise a TypeError for a value that is not of the class of parts that an argument takes."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{name} must be a {kind.__name__}, such as {kind.__name__}(); got {value!r}."
        )


def check_builders(**parts: object) -> None:
    """Raise a TypeError for the first that is neither None nor a part that builds a module."""
    for name, part in parts.items():
        if part is not None and (isinstance(part, type) or not hasattr(part, "build")):
            raise TypeError(
                f"{name} must be None or a part with a method build, which makes a module; got "
                f"{part!r}."
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


def check_layer(name: str, layer: object) -> None:
    """Raise a TypeError for what lacks a part of what a layer made of layers needs of them."""
    needed = ("input_size", "output_size", "batch_first", "initial_state")
    missing = [one for one in needed if not hasattr(layer, one)]
    if missing or not isinstance(layer, nn.Module):
        raise TypeError(
            f"{name} must be a layer, such as memnets.NTM(9, 8); {type(layer).__name__} "
            + (f"lacks {', '.join(missing)}." if missing else "is not an nn.Module.")
        )


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


def checked_controller(controller: Any, input_size: int) -> nn.Module:
    """Return a controller of the user's if it fulfils the contract of `memnets.parts.controllers`.

    Raises:
        TypeError: if it is not a module or lacks a part of the contract.
        ValueError: if its input size does not fit the layer.
    """
    needed = ("input_size", "output_size", "initial_state")
    missing = [name for name in needed if not hasattr(controller, name)]
    if missing or not isinstance(controller, nn.Module):
        raise TypeError(
            "controller must be a name, a Stack, or an nn.Module with input_size, output_size and "
            f"initial_state(batch_size) (see memnets.parts.controllers); "
            f"{type(controller).__name__} "
            + (f"lacks {', '.join(missing)}." if missing else "is not an nn.Module.")
        )
    if controller.input_size != input_size:
        raise ValueError(
            f"controller.input_size must be input_size + read_heads * word_size = {input_size}; "
            f"got {controller.input_size}."
        )
    return controller


def checked_parts(module: nn.Module) -> list[Any]:
    """The parts of a module, itself at most, whose `reset_parameters` together reset all of it.

    Raises:
        TypeError: if one has parameters and no such method.
    """
    if hasattr(module, "reset_parameters"):
        return [module]
    if next(module.parameters(recurse=False), None) is not None:
        kind = type(module).__name__
        raise TypeError(
            f"Every module with parameters must have reset_parameters(); {kind} has none: define "
            f"{kind}.reset_parameters()."
        )
    return [part for child in module.children() for part in checked_parts(child)]


def checked_lengths(lengths: Tensor | Sequence[int] | None, x: Tensor) -> Tensor | None:
    """Return the lengths of the rows of x [T, B, I] as a tensor [B] on the CPU.

    Raises:
        ValueError: if they are not B whole numbers from 1 to T.
    """
    if lengths is None:
        return None
    steps, rows = x.shape[:2]
    if torch.compiler.is_compiling():  # their values are not there yet
        must = "lengths must be B whole numbers from 1 to T, one a row"
    else:
        must = f"lengths must be {rows} whole numbers from 1 to T={steps}, one a row"
    try:
        found = torch.as_tensor(lengths, device="cpu")
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # any, by the kind
        raise ValueError(f"{must}; got a {type(lengths).__name__} of something else.") from error
    shape = tuple(found.shape)
    if found.dtype is torch.bool or shape in ((steps, rows), (rows, steps)):
        raise ValueError(
            f"{must}; got {found.dtype} of the shape {shape}. Of a mask of the steps that count, "
            "pass the sum over time: lengths=mask.sum(0), or mask.sum(1) if it is [B, T]."
        )
    if found.is_floating_point() or found.is_complex():
        raise ValueError(f"{must}; got {found.dtype}: convert them with .long().")
    if shape != (rows,) or found.layout is not torch.strided:
        raise ValueError(f"{must}; got {found.layout} numbers of the shape {shape}.")
    outside = (found < 1) | (found > steps)
    if torch.compiler.is_compiling():
        torch.ops.aten._assert_async.msg(~outside.any(), must)
        return found
    wrong = outside.nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"{must}; lengths[{row}] is {int(found[row])}.")
    return found


def checked_starts(starts: object, x: Tensor, *, batch_first: bool) -> Tensor:
    """Return starts, given as x [T, B, I], [B, T, I] with `batch_first` or [T, I] is, as [T, B].

    Raises:
        TypeError: if they are no tensor of bool.
        ValueError: if their shape or their device is not that of the steps and rows of x.
    """
    batched = x.dim() == 3
    form = ("[B, T]" if batch_first else "[T, B]") if batched else "[T]"
    must = f"starts must be a tensor of bool {form}, True where the row begins anew before the step"
    if not isinstance(starts, Tensor):
        raise TypeError(f"{must}; got {type(starts).__name__}.")
    if starts.dtype is not torch.bool:
        raise TypeError(f"{must}; got {starts.dtype}: convert it with .bool().")
    wanted, shape = tuple(x.shape[:-1]), tuple(starts.shape)
    if shape != wanted or starts.layout is not torch.strided:
        hint = ": transpose it" if shape == wanted[::-1] else ""
        hint = ": drop its last axis with .squeeze(-1)" if shape == (*wanted, 1) else hint
        raise ValueError(
            f"{must}, which for this x is {wanted}; got {starts.layout} of the shape {shape}{hint}."
        )
    if starts.device != x.device:
        raise ValueError(
            f"{must}; it is on {starts.device} and x on {x.device}: move it with .to()."
        )
    if not batched:
        return starts.unsqueeze(1)
    return starts.T if batch_first else starts


def autocasts(device_type: str) -> bool:
    """Whether autocast is on for a kind of device (it is not to be had on all, meta for one)."""
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)


def full_precision(device_type: str) -> Any:
    """A context without autocast on a kind of device."""
    return torch.autocast(device_type, enabled=False) if autocasts(device_type) else nullcontext()


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

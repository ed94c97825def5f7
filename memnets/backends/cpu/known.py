"""What the kernel knows for certain of a layer, and the sentence that says what it does not.

The kernel computes the equations of the classes in stock, whatever a layer has in their place. So a
layer is served only if each of its parts is exactly of such a class, with the methods, parameters
and fields that the class was written with; each call looks at all of it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils._device import DeviceContext

from memnets.backends.cpu.plan import CELLS
from memnets.backends.cpu.specs import SLOTS, reason_in_model, reason_in_spec
from memnets.backends.cpu.written import rewritten
from memnets.backends.spec import Steps
from memnets.interface import Interface
from memnets.parts.controllers import Cell, Controller

REPLACED = frozenset({"advance", "access"})
"""The methods of a layer that the kernel runs in place of."""
INITIAL = frozenset({"initial_state", "initial_access"})
"""Those that say what form its states have."""
SETTINGS = ("input_size", "memory_size", "word_size", "read_heads", "write_heads", "read_first")
WATCHED = (*SETTINGS, "constant", *sorted(INITIAL))
PLAIN = (Tensor, nn.Parameter)
RECURRENT = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
LINEAR = ("linear.weight", "linear.bias")
"""The names of a cell's parameters, in the order of `products.parameters_of`."""


# ------------------------------------------------------------------------ the layer


_names: dict[type, frozenset[str]] = {}


def _shadows(module: nn.Module) -> bool:
    """Whether an object has an attribute of its own in place of one of its class, as a method."""
    kind = type(module)
    names = _names.get(kind)
    if names is None:
        names = _names[kind] = frozenset(dir(kind))
    own = module.__dict__
    return not (names.isdisjoint(own) and own.keys().isdisjoint(module._parameters))


def evidence(layer: Any, modules: Sequence[nn.Module]) -> tuple[Any, ...]:
    """All that `reason_against` and a plan look at: two of them are equal if nothing changed.

    `modules` are the layer's `inner_modules`.
    """
    attributes = layer.__dict__
    found = [
        type(layer),
        rewritten(),
        REPLACED.isdisjoint(attributes),
        *map(attributes.get, WATCHED),
        _as_found(attributes.get("start")),
        _as_found(attributes.get("wiring")),
        [None if p is None else p.shape for p in layer._parameters.values()],
    ]
    heads_there = attributes.get("heads", ())
    found += [(type(head), head.count, *_as_found(head.addressing)) for head in heads_there]
    found += [_as_found(attributes[name]) for name in SLOTS if name in attributes]
    for module in modules:
        parameters = module._parameters
        shapes = [None if p is None else p.shape for p in parameters.values()]
        # An attribute that hides one of the class is a new name.
        found += (module, type(module), tuple(module.__dict__), tuple(parameters.keys()), shapes)
        found.append(_hooked(module))
        if type(module) is Interface:
            fields = [(table.kind, dict(table.fields)) for table in module.tables]
            found += (list(module.sizes), fields)
        elif type(module) is Controller:
            found += (module.hidden_size, module.skip_connections, module.residual)
            found.append(module.state_shape)
    return tuple(found)


def _as_found(part: Any) -> tuple[Any, ...]:
    """A part's class and its settings: a copy, also of none, which may become some."""
    settings = getattr(part, "__dict__", None)
    return type(part), None if settings is None else dict(settings)


def inner_modules(layer: Steps) -> list[nn.Module]:
    """The modules that the kernel runs in place of: all in the layer but its readout."""
    readout = layer._modules["readout"]
    found = [m for m in layer._modules.values() if m is not None and m is not readout]
    for module in found:
        found.extend(child for child in module._modules.values() if child is not None)
    return found


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def reason_against(layer: Any) -> str | None:
    """Say in a sentence what of a layer the kernel does not know; None if it knows all of it."""
    reason = reason_in_model(type(layer))
    if reason is not None:
        return reason
    replaced = rewritten()
    if replaced is not None:
        return f"It computes what {replaced} did before it was replaced."
    own = sorted(REPLACED & layer.__dict__.keys())
    if own:
        return f"It computes what the class does; this layer has a method {own[0]} of its own."
    return reason_in_spec(layer.spec) or reason_in_modules(layer)


def reason_in_modules(layer: Any) -> str | None:
    """Say what of the modules that the kernel runs in place of it does not know."""
    reason = _first(_reason_in_module(module) for module in inner_modules(layer))
    return reason or _reason_in_shapes(layer)


OUTER = ("forward", "step", "output", "__call__")
"""Methods of a layer that a `Stepper` runs in place of, besides its steps."""


def reason_against_readout(layer: Any) -> str | None:
    """Say why the kernel cannot compute a layer's output too; None if it can, or has none to."""
    reason, readout = reason_against_output(layer), layer.readout
    if reason is not None or readout is None:
        return reason
    return reason_in_tensors([readout.weight, readout.bias], readout.weight.dtype)


def reason_against_output(layer: Any) -> str | None:
    """As `reason_against_readout`, whatever the readout's numbers are."""
    own = sorted(set(OUTER) & layer.__dict__.keys())
    if own:
        return f"It computes what the class does; this layer has a method {own[0]} of its own."
    if layer.training and getattr(layer.wiring, "bypass_dropout", 0):
        return "It has no dropout; this layer is in training, and its bypass_dropout is above 0."
    readout = layer._modules["readout"]
    if readout is None:
        return "The hooks of the layer would not be called." if _hooked(layer) else None
    if _hooked(layer) or _hooked(readout):
        return "The hooks of the layer and of its readout would not be called."
    if type(readout) is not nn.Linear or _shadows(readout):
        return f"It knows a readout that is an nn.Linear; this one is a {type(readout).__name__}."
    seen = layer.interface.linear.weight.shape[1] + layer.read_heads * layer.word_size
    shapes = {n: None if p is None else tuple(p.shape) for n, p in readout._parameters.items()}
    outputs = readout.weight.shape[0]
    wanted = {"weight": (outputs, seen), "bias": (outputs,)}
    if shapes != wanted:
        return f"The parameters of its readout must have the shapes {wanted}, not {shapes}."
    return None


def _first(reasons: Iterable[str | None]) -> str | None:
    return next((reason for reason in reasons if reason is not None), None)


def _reason_in_module(module: nn.Module) -> str | None:
    """What is wrong with a module that the kernel runs in place of."""
    name = type(module).__name__
    if type(module) not in (Controller, Interface, nn.Linear, nn.ModuleList, *CELLS):
        return f"It knows the modules of memnets; {_named(module)} is another class."
    if _hooked(module):
        return f"The hooks of its {name} would not be called: it runs all steps at once."
    if _shadows(module):
        own = sorted(set(module.__dict__) & (_names[type(module)] | set(module._parameters)))[0]
        return f"It computes what the class does; the {name} has an attribute {own} of its own."
    return None


def _named(module: object) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _reason_in_shapes(layer: Any) -> str | None:
    for module, wanted in _expected_shapes(layer).items():
        shapes = {n: p if p is None else tuple(p.shape) for n, p in module._parameters.items()}
        if shapes != wanted:
            name = type(module).__name__
            return f"The parameters of its {name} must have the shapes {wanted}, not {shapes}."
    return None


def _expected_shapes(layer: Any) -> dict[nn.Module, dict[str, tuple[int, ...]]]:
    """The names and shapes of the parameters of each module that has any."""
    controller, found = layer.controller, {}
    hidden, inputs = controller.hidden_size, layer.input_size + layer.read_heads * layer.word_size
    outputs = hidden * (len(controller.cells) if controller.skip_connections else 1)
    numbers = sum(layer.interface.sizes)
    found[layer.interface] = {}
    found[layer.interface.linear] = {"weight": (numbers, outputs), "bias": (numbers,)}
    for depth, cell in enumerate(controller.cells):
        seen = inputs if depth == 0 else hidden + inputs * controller.skip_connections
        if isinstance(cell, Cell):
            rows = cell.gates * hidden
            shapes = ((rows, seen), (rows, hidden), (rows,), (rows,))
            found[cell] = dict(zip(RECURRENT, shapes, strict=True))
        else:
            found[cell] = {}
            found[cell.linear] = {"weight": (hidden, seen), "bias": (hidden,)}
    return found


# ----------------------------------------------------------------------- the tensors


def reason_in_tensors(
    tensors: Iterable[Tensor], dtype: torch.dtype | None = None, device: torch.device | None = None
) -> str | None:
    """Say what the kernel cannot take of tensors, which it takes by their address; else None.

    `device` is where all must be; None is the CPU.
    """
    strided, has_storage = torch.strided, torch._C._has_storage
    for tensor in tensors:
        if type(tensor) not in PLAIN:
            return f"It takes plain tensors; one is a {type(tensor).__name__}."
        if tensor.layout is not strided or not has_storage(tensor):
            return "It takes tensors that hold their numbers; one is sparse or of a transform."
        if tensor.is_neg() or tensor._is_zerotensor():
            return "It takes tensors that hold their numbers; one is a lazy view."
        if not tensor.data_ptr() and tensor.is_cpu and tensor.numel():
            return "It takes tensors that hold their numbers; the storage of one is freed."
        if not (tensor.is_cpu if device is None else tensor.device == device):
            place = "the CPU" if device is None else device
            return f"It runs on {place}; the layer, its input or its state is on {tensor.device}."
        if dtype is not None and tensor.dtype is not dtype:
            return f"All parameters must be of one dtype; one is {tensor.dtype}, another {dtype}."
    return None


def reason_in_modes() -> str | None:
    """Say what of torch's modes at this moment must see each operation; None if nothing must."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return "torch is tracing the layer."
    if torch._C._are_functorch_transforms_active():
        return "A transform of torch.func is at work."
    if torch.autograd.forward_ad._current_level >= 0:
        return "It has no forward-mode derivative."
    if torch_module._has_any_global_hook():
        return "The hooks of all modules would not be called: it runs all steps at once."
    if torch._C._len_torch_dispatch_stack() or function_modes():
        return "A mode is active that sees or replaces every operation of torch."
    return None


def function_modes() -> list[Any]:
    """The modes of torch functions that are active, other than that of the default device."""
    depth = torch._C._len_torch_function_stack()
    if not depth:
        return []
    modes = (torch._C._get_function_stack_at(index) for index in range(depth))
    return [mode for mode in modes if type(mode) is not DeviceContext]

"""What the kernel knows for certain of a layer, and the sentence that says what it does not.

The kernel computes the equations of the classes in stock, whatever a layer has in their place. So a
layer is served only if each of its parts is exactly of such a class, with the methods, parameters
and fields that the class was written with; each call looks at all of it anew.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils._device import DeviceContext

from memnets.backends.cpu.plan import ADDRESSINGS, CELLS, RANGES
from memnets.backends.cpu.written import LAYERS, rewritten
from memnets.interface import Field, Interface, Table, bounded, real, simplex
from memnets.parts import heads
from memnets.parts.content import Content
from memnets.parts.controllers import Cell, Controller
from memnets.parts.heads import ReadHead, WriteHead
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.usage import Allocation
from memnets.parts.writing import EraseAdd

REPLACED = frozenset({"advance", "access"})
"""The methods of a layer that the kernel runs in place of."""
INITIAL = frozenset({"initial_state", "initial_access"})
"""Those that say what form its states have."""
SETTINGS = ("input_size", "memory_size", "word_size", "read_heads", "write_heads", "read_first")
START = ("start", "constant")
"""Those that say what the first state holds."""
WATCHED = (*SETTINGS, *START, *sorted(INITIAL))
SLOTS: dict[str, type] = {
    "writing": EraseAdd,
    "content": Content,
    "allocation": Allocation,
    "linkage": Linkage,
}
"""The attributes of a layer that hold one part, and the one class that the kernel knows."""
HONOURED: dict[type, frozenset[str]] = {
    Content: frozenset({"strength", "similarity_epsilon", "sharpness_limit"}),
    Location: frozenset({"shift_range", "sharpen_epsilon", "sharpening_bias", "sharpness_limit"}),
    ContentAndLocation: frozenset(
        {
            *("shift_range", "strength", "gate_bias", "sharpening_bias", "sharpness_limit"),
            *("similarity_epsilon", "sharpen_epsilon"),
        }
    ),
    EraseAdd: frozenset({"add_range"}),
    Allocation: frozenset({"epsilon", "resolution", "stop_gradient"}),
    Linkage: frozenset(),
}
"""The settings of each part that the kernel follows: one that is added to a part is refused until
it is here, or has the value in `NEUTRAL`."""
NEUTRAL: dict[type, dict[str, object]] = {Content: {"masked": False}}
"""Settings that the kernel does not follow, and the value with which they change nothing."""
SHARPNESS = ("strengths", "sharpenings")
"""Fields that multiply what a softmax is taken of."""
SWITCHES = ("read_first", "stop_gradient")
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
        [None if p is None else p.shape for p in layer._parameters.values()],
    ]
    heads_there = attributes.get("heads", ())
    found += [(type(head), head.count, *_as_found(head.addressing)) for head in heads_there]
    found += [_as_found(attributes[name]) for name in SLOTS if name in attributes]
    for module in modules:
        parameters = module._parameters
        shapes = [None if p is None else p.shape for p in parameters.values()]
        # An attribute that hides one of the class is a new name.
        found += (module, type(module), tuple(module.__dict__), tuple(parameters), shapes)
        found.append(_hooked(module))
        if type(module) is Interface:
            fields = [(table.kind, dict(table.fields)) for table in module.tables]
            found += (list(module.sizes), fields)
        elif type(module) is Controller:
            found += (module.hidden_size, module.skip_connections, module.state_shape)
    return tuple(found)


def _as_found(part: Any) -> tuple[Any, ...]:
    """A part's class and its settings: a copy, also of none, which may become some."""
    settings = getattr(part, "__dict__", None)
    return type(part), None if settings is None else dict(settings)


def parts_of(layer: Any) -> list[Any]:
    """The parts that a layer is made of, of whatever class."""
    found = [head.addressing for head in getattr(layer, "heads", ())]
    return found + [getattr(layer, name) for name in SLOTS if hasattr(layer, name)]


def inner_modules(layer: nn.Module) -> list[nn.Module]:
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
    if type(layer) not in LAYERS:
        names = " and ".join(f"memnets.{kind.__name__}" for kind in LAYERS)
        return f"It knows {names}; {type(layer).__name__} is another class."
    replaced = rewritten()
    if replaced is not None:
        return f"It computes what {replaced} did before it was replaced."
    own = sorted(REPLACED & layer.__dict__.keys())
    if own:
        return f"It computes what the class does; this layer has a method {own[0]} of its own."
    return (
        _reason_in_parts(layer)
        or _reason_in_heads(layer)
        or _reason_in_controller(layer.controller)
        or _reason_in_interface(layer)
        or _reason_in_settings(layer)
        or _first(_reason_in_module(module) for module in inner_modules(layer))
        or _reason_in_shapes(layer)
    )


def _first(reasons: Iterable[str | None]) -> str | None:
    return next((reason for reason in reasons if reason is not None), None)


def _reason_in_parts(layer: Any) -> str | None:
    for name, kind in SLOTS.items():
        part = getattr(layer, name, None)
        if hasattr(layer, name) and type(part) is not kind:
            return f"It knows {kind.__name__} as {name}; this layer has {part!r}."
    return None


def _reason_in_heads(layer: Any) -> str | None:
    for head in getattr(layer, "heads", ()):
        part = head.addressing
        if type(head) not in (ReadHead, WriteHead) or type(part) not in ADDRESSINGS:
            return f"It knows content and location addressing; a head has {part!r}."
    if hasattr(layer, "heads"):
        readers = [head.count for head in layer.heads if type(head) is ReadHead]
        writers = [head.count for head in layer.heads if type(head) is WriteHead]
        heads_first = [type(head) for head in layer.heads[: len(readers)]]
        counts = sum(readers), sum(writers)
        if counts != (layer.read_heads, layer.write_heads) or WriteHead in heads_first:
            return f"Its heads must be {counts} for read_heads and write_heads, reads first."
    return None


def _reason_in_settings(layer: Any) -> str | None:
    """What is wrong with the settings: a tensor may be learned, and changes in place."""
    settings = [(name, getattr(layer, name, None)) for name in SETTINGS]
    for part in parts_of(layer):
        kind, neutral = type(part), NEUTRAL.get(type(part), {})
        for name, value in vars(part).items():
            known = name in HONOURED[kind] or (name in neutral and value is neutral[name])
            if not known:
                return f"It knows {kind.__name__} without the setting {name}={value!r}."
        settings += vars(part).items()
    for table in layer.interface.tables:
        settings += [(f"the limit of {name}", f.limit) for name, f in table.fields.items()]
    for name, value in settings:
        if type(value) not in (bool, int, float, str, NoneType):
            return f"It knows settings that are plain numbers; {name} is {value!r}."
        if name in SWITCHES and type(value) not in (bool, NoneType):
            return f"It knows switches that are True or False; {name} is {value!r}."
        if name in ("similarity_epsilon", "sharpen_epsilon") and value == 0:
            return f"It pads the memory with empty slots, which {name}=0 makes infinite."
    return None


def _reason_in_controller(controller: nn.Module) -> str | None:
    if type(controller) is not Controller:
        return f"It knows the controllers of memnets; this one is a {type(controller).__name__}."
    kinds = [type(cell) for cell in controller.cells]
    for kind, cell in zip(kinds, controller.cells, strict=True):
        if kind not in CELLS:
            names = ", ".join(known.__name__ for known in CELLS)
            return f"It knows the cells {names}; the controller has a {_named(cell)}."
    if len(set(kinds)) > 1:
        names = ", ".join(kind.__name__ for kind in kinds)
        return f"It knows controllers with cells of one kind; this one has {names}."
    return None


def _reason_in_interface(layer: Any) -> str | None:
    if type(layer.interface) is not Interface:
        return f"It knows memnets.interface.Interface; this one is {_named(layer.interface)}."
    tables, wanted = layer.interface.tables, _expected_tables(layer)
    if len(tables) != len(wanted):
        return f"It knows an interface of {len(wanted)} tables; this one has {len(tables)}."
    for table, expected in zip(tables, wanted, strict=True):
        if table.kind is not expected.kind:
            return f"It knows a table of {expected.kind.__name__}; this one is {table.kind!r}."
        shapes = [(name, field.shape) for name, field in table.fields.items()]
        expected_shapes = [(name, field.shape) for name, field in expected.fields.items()]
        if shapes != expected_shapes:
            return f"It knows a table with the shapes {expected_shapes}; this one has {shapes}."
        for name, field in table.fields.items():
            if type(field) is not Field or field.activation not in RANGES:
                return f"It knows the ranges of memnets.interface; {name} has another range."
            if name.endswith(SHARPNESS) and field.activation in (real, bounded):
                return f"It knows strengths and sharpenings of at least 0; {name} can be below."
            if field.activation is simplex and field.limit is not None:
                return f"It knows limits of single numbers; {name} is on the simplex and has one."
    fields = (field for table in wanted for field in table.fields.values())
    sizes = [math.prod(field.shape) for field in fields]
    if list(layer.interface.sizes) != sizes:
        return f"Its interface must be split into {sizes}; it is into {layer.interface.sizes}."
    return None


def _expected_tables(layer: Any) -> list[Table]:
    """The tables that the parts of a layer in stock take, whatever ranges their fields have."""
    if hasattr(layer, "heads"):
        return heads.tables(layer.heads, layer.word_size, layer.writing)
    # The DNC's own module makes its table; its class comes with the module that defined it.
    make = sys.modules[type(layer).__module__].tables
    parts = (layer.content, layer.allocation, layer.linkage)
    return make(layer.read_heads, layer.write_heads, layer.word_size, *parts)


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


def reason_in_tensors(tensors: Iterable[Tensor], dtype: torch.dtype | None = None) -> str | None:
    """Say what the kernel cannot take of tensors, which it takes by their address; else None."""
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
        if not tensor.is_cpu:
            return f"It runs on the CPU; the layer, its input or its state is on {tensor.device}."
        if dtype is not None and tensor.dtype is not dtype:
            return f"All parameters must be of one dtype; one is {tensor.dtype}, another {dtype}."
    return None


def reason_in_surroundings() -> str | None:
    """Say what of torch's modes at this moment must see each operation; None if nothing must."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return "torch is tracing the layer."
    if torch._C._are_functorch_transforms_active():
        return "A transform of torch.func is at work."
    if torch.autograd.forward_ad._current_level >= 0:
        return "It has no forward-mode derivative."
    if torch_module._has_any_global_hook():
        return "The hooks of all modules would not be called: it runs all steps at once."
    if torch._C._len_torch_dispatch_stack() or _function_mode():
        return "A mode is active that sees or replaces every operation of torch."
    return None


def _function_mode() -> bool:
    """Whether a mode of torch functions is active, other than that of the default device."""
    depth = torch._C._len_torch_function_stack()
    if not depth:
        return False
    modes = (torch._C._get_function_stack_at(index) for index in range(depth))
    return any(type(mode) is not DeviceContext for mode in modes)

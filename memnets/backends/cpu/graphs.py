"""A call inside of somebody's graph: what is seen of the layer there, and the kernel as operator.

torch.compile follows this module's Python to make its graph; what it cannot follow stands in
functions whose result it takes for constant, and beside them what it must watch for that.

Axes: B batch, T time, I input, R read heads, W word.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.modules import module as torch_module

from memnets.backends.cpu import transforms
from memnets.backends.cpu.described import DescriptionError, described, text_of
from memnets.backends.cpu.division import segment_in_graph
from memnets.backends.cpu.engines import ENGINES
from memnets.backends.cpu.known import (
    INITIAL,
    PLAIN,
    function_modes,
    inner_modules,
    reason_against_output,
)
from memnets.backends.cpu.library import NUMBERS
from memnets.backends.cpu.operator import sequence
from memnets.backends.cpu.planned import BEGINNINGS, makes_constants, planned
from memnets.backends.cpu.problems import READOUT, Tensors, tensors_of
from memnets.backends.cpu.specs import SLOTS
from memnets.backends.reference import Starts, Unrolled
from memnets.backends.spec import Steps
from memnets.state import State, leaves, map_tensors

MODES = frozenset(
    {
        "torch._subclasses.fake_tensor.FakeTensorMode",
        "torch._subclasses.functional_tensor.FunctionalTensorMode",
        "torch.fx.experimental.proxy_tensor.ProxyTorchDispatchMode",
    }
)
"""The modes of torch that make graphs; by name, as to import them all takes more than a second."""
Function = TypeVar("Function", bound=Callable[..., Any])
TRACERS = ("torch.fx.", "torch.export.", "torch._export.")
"""Where its modes for functions of torch are defined."""


def _constant(function: Function) -> Function:
    """As `torch.compiler.assume_constant_result`, which would import the whole compiler."""
    function._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]
    return function


def in_graph() -> bool:
    """Whether a call at this moment is seen by what makes graphs or transforms functions."""
    return torch.compiler.is_compiling() or bool(
        torch._C._are_functorch_transforms_active() or torch._C._len_torch_dispatch_stack()
    )


def supports(
    layer: Steps, x: Tensor, state: State, starts: Starts | None, engine: str
) -> str | None:
    """Say in a sentence why the operator cannot serve this call; None where it can.

    Args:
        layer: as the class has it, or changed.
        x: [T, B, I], checked.
        state: with the batch axis, of the layer's own form.
        starts: where rows begin anew, and from what, of that form too.
        engine: the name of one of `engines.ENGINES`.
    """
    reason = _reason_in_layer(layer, engine)
    if reason is not None:
        return reason
    if torch.compiler.is_dynamo_compiling():
        if _transformed():
            return "A transform of torch.func is at work inside of torch.compile."
        _watch(layer, *_watched(layer))
    shown = [x, *leaves(state)]
    if starts is not None:
        shown += leaves(starts.state)
    return _reason_in_tensors(shown, layer.some_weight)


def _reason_in_tensors(tensors: Iterable[Tensor], weight: Tensor) -> str | None:
    """What is wrong with tensors that must be as a weight of the layer."""
    dtype, device = weight.dtype, weight.device
    casts = torch.is_autocast_enabled(device.type)
    for tensor in tensors:
        if type(tensor) not in (*PLAIN, FakeTensor):
            return f"It takes plain tensors; one is a {type(tensor).__name__}."
        if tensor.layout is not torch.strided or tensor.device != device:
            return f"It takes dense tensors on {device}; one is not."
        if tensor.dtype is not dtype and not casts:
            return f"All tensors must be of one dtype; one is {tensor.dtype}, another {dtype}."
    return None


@_constant
def _reason_in_layer(layer: Any, engine: str) -> str | None:
    """What the kernel does not know of the layer, or of what is at work around the call."""
    known = planned(layer, inner_modules(layer))
    reason = known.reason or _reason_in_modes()
    if reason is not None:
        return reason
    if not INITIAL.isdisjoint(layer.__dict__):
        return "It knows in a graph the states of the class; this layer makes its own."
    dtype = layer.some_weight.dtype
    if dtype not in NUMBERS:
        return f"It computes in float32 and float64; the layer is {dtype}."
    reason = _reason_in_parameters(inner_modules(layer), dtype)
    reason = reason or ENGINES[engine].reason_against(layer.some_weight.device, dtype, known.plan)
    if reason is not None:
        return reason
    try:
        text_of(layer, engine)
    except DescriptionError as error:
        return str(error)
    return None


def _reason_in_parameters(modules: Iterable[torch.nn.Module], dtype: torch.dtype) -> str | None:
    for module in modules:
        for parameter in module._parameters.values():
            if parameter is not None and type(parameter) not in (*PLAIN, FakeTensor):
                return f"It takes plain tensors; one is a {type(parameter).__name__}."
            if parameter is not None and parameter.dtype is not dtype:
                found = parameter.dtype
                return f"All parameters must be of one dtype; one is {found}, another {dtype}."
    return None


@_constant
def _knows_output(layer: Any, engine: str) -> bool:
    """Whether the kernel can compute the layer's output too."""
    if not ENGINES[engine].logits or reason_against_output(layer) is not None:
        return False
    return not _reason_in_parameters([layer.readout], layer.some_weight.dtype)


def _reason_in_modes() -> str | None:
    """As `known.reason_in_modes`, but for what operators are made for."""
    if torch._C._get_tracing_state() is not None:
        return "torch.jit is tracing the layer."
    if "torch.onnx" in sys.modules and sys.modules["torch.onnx"].is_in_onnx_export():
        return "ONNX has no such operator."
    if _forward_mode():
        return "It has no forward-mode derivative."
    if torch_module._has_any_global_hook():
        return "The hooks of all modules would not be called: it runs all steps at once."
    depth = torch._C._len_torch_dispatch_stack()
    modes = [torch._C._get_dispatch_stack_at(index) for index in range(depth)]
    others = [one for one in function_modes() if not type(one).__module__.startswith(TRACERS)]
    if others or any(_named(type(mode)) not in MODES for mode in modes):
        return "A mode is active that sees or replaces every operation of torch."
    return None


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _forward_mode() -> bool:
    jvp = any(one.key() == TransformType.Jvp for one in get_interpreter_stack() or ())
    return jvp or torch.autograd.forward_ad._current_level >= 0


_held: weakref.WeakKeyDictionary[Any, dict[int, Any]] = weakref.WeakKeyDictionary()
"""The fields that guards know by their address, which no other may have while the layer lives."""


@_constant
def _watch(layer: Any, *seen: Any) -> bool:
    """To torch.compile a constant as long as `seen` is the same, for which it makes guards."""
    held = _held.setdefault(layer, {})
    held.update((id(one), one) for table in layer.interface.tables for one in table.fields.values())
    return True


def _watched(layer: Any) -> list[Any]:
    """What makes a plan, read so that torch.compile sees it: compare `known.evidence`.

    Parameters are not here, as they are inputs of the graph.
    """
    modules = [layer.controller, layer.interface, layer.interface.linear]
    modules += [] if layer.readout is None else [layer.readout]
    found = [type(layer), layer.input_size, layer.memory_size, layer.word_size, layer.read_heads]
    found.append(layer.write_heads)
    _look_at_methods(layer)
    parts = []
    for name in type(layer).part_names:
        if name in SLOTS and getattr(layer, name) is not None:
            parts.append(getattr(layer, name))
        elif name == "heads":
            parts += [head.addressing for head in layer.heads]
            found += [(type(head), head.count) for head in layer.heads]
        else:
            found.append(getattr(layer, name))
    for part in parts:
        # A hash, because torch.compile lets a float that changed vary from then on.
        found += [part, tuple([(name, hash(value)) for name, value in part.__dict__.items()])]
    for module in (*modules, *layer.controller.cells):
        _look_at_methods(module)
        found += [module, type(module), tuple(module._parameters.keys())]
    found += [layer.training, hash(getattr(layer.wiring, "bypass_dropout", 0))]
    found += [layer.controller.hidden_size, layer.controller.skip_connections]
    found.append(layer.controller.residual)
    found.append(tuple(layer.interface.sizes))
    for table in layer.interface.tables:
        # A field is a tuple, and never changes itself: one guard is as good as one for each part.
        found += [table.kind, *((name, id(field)) for name, field in table.fields.items())]
    return found


def _look_at_methods(module: Any) -> None:
    """Ask for each method, so that torch.compile sees if an object gets one of its own."""
    for name in _methods(type(module)):
        getattr(module, name)


@_constant
def _methods(kind: type) -> tuple[str, ...]:
    of_modules = set(dir(torch.nn.Module)) - {"forward"}
    names = [name for name in dir(kind) if isinstance(getattr(kind, name), FunctionType)]
    return tuple(name for name in names if name not in of_modules)


def run(
    layer: Steps,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    checkpoint_every: int | None,
    starts: Starts | None,
    *,
    engine: str,
    anew: bool,
) -> Unrolled:
    """Run a sequence x [T, B, I] that `supports` has nothing against; see `reference`.

    `anew` says that the state is the layer's `initial_state`: the operator makes one that is
    constant itself, which costs less than to compute it in each run of a graph.
    """
    dtype = layer.some_weight.dtype

    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype)  # under autocast; else it is that

    x, state = cast(x), map_tensors(cast, state)
    restart = None if starts is None else map_tensors(cast, starts.state)
    tensors = tensors_of(layer, x, state, restart)
    readout = _readout(layer, engine, tensors.flat())
    tensors = tensors._replace(readout=readout)
    flat = tensors.flat()
    if anew and torch.compiler.is_compiling() and _begins_constant(layer, engine):
        cells = [one for cell in tensors.cells for one in cell]
        flat = [*flat[:3], *cells, *tensors.restart, *readout]
    training = _trains(flat)
    step = x.shape[1] * _numbers_a_step(layer, engine) * x.element_size()
    operator = transforms.run if _transformed() else sequence
    outputs = operator(
        flat,
        None if lengths is None else lengths.to(torch.int64, copy=True),
        None if starts is None else starts.mask,
        _text(layer, engine),
        segment_in_graph(x.shape[0], step, checkpoint_every) if training else 1,
        training,
        bool(readout),
    )
    return _named_outputs(outputs, tensors, state)


def _readout(layer: Any, engine: str, tensors: Iterable[Tensor]) -> list[Tensor]:
    """The weight and the bias of the readout, where the operator makes the logits too: on the same
    terms as in eager mode.

    `tensors` are the others that the operator is given.
    """
    module = layer.readout
    if module is None or module.weight.numel() > READOUT or torch.is_autocast_enabled("cpu"):
        return []
    if not _knows_output(layer, engine):
        return []
    found = [module.weight, module.bias]
    alone = any(one.requires_grad for one in found) and not any(o.requires_grad for o in tensors)
    # A readout that is trained alone needs no backward of the kernel.
    return [] if alone and torch.is_grad_enabled() and not _transformed() else found


def _named_outputs(outputs: Sequence[Tensor], tensors: Tensors, state: State) -> Unrolled:
    """What the operator returned for its tensors, with a final state of the form of `state`."""
    h, read_vectors, reads = outputs[:3]
    ends = iter(outputs[3:-1])
    last = tuple(tuple(next(ends) for _ in one) for one in tensors.controller)
    # Behind the tensors comes what addressings carry, which is nothing of those in the kernel.
    memory = [next(ends) if isinstance(part, Tensor) else part for part in state.memory]
    form = state.read_vectors.shape
    after = State(last, type(state.memory)(*memory), reads.view(form))
    y = next(ends) if tensors.readout else None
    return Unrolled(h, read_vectors.view(h.shape[0], *form), after, y)


def _begins_constant(layer: Any, engine: str) -> bool:
    """Whether the layer begins as one that is made of its config does, with nothing learned, and
    the kernel makes such a state.
    """
    known = _makes_constants(layer, engine)
    if known and torch.compiler.is_dynamo_compiling():
        start = layer.start
        settings = [hash(value) for value in (start.memory, start.learned, layer.constant)]
        learned = [getattr(layer, name, None) is None for name in BEGINNINGS]
        _watch(layer, start, *settings, *learned, layer.controller.start is None)
    return known


@_constant
def _makes_constants(layer: Any, engine: str) -> bool:
    made: Any = described(text_of(layer, engine)).layer
    same = (made.constant, made.start) == (layer.constant, layer.start)
    return ENGINES[engine].begins and makes_constants(layer) and same


def _trains(tensors: Iterable[Tensor]) -> bool:
    """Whether a backward may follow: then the forward keeps what that needs.

    A program that is exported keeps nothing; its backward runs the forward again.
    """
    if not torch.is_grad_enabled():
        return False
    if torch.compiler.is_compiling() and torch.compiler.is_exporting():
        return False
    # Under vmap a tensor does not say whether a level below needs its gradient.
    return _transformed() or any(tensor.requires_grad for tensor in tensors)


@_constant
def _transformed() -> bool:
    return torch._C._are_functorch_transforms_active()


@_constant
def _text(layer: Any, engine: str) -> str:
    return text_of(layer, engine)


@_constant
def _numbers_a_step(layer: Any, engine: str) -> int:
    return ENGINES[engine].numbers_a_step(described(text_of(layer, engine)).plan)

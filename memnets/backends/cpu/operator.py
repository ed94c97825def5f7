"""The kernel's sequence as an operator of torch: what stands in a graph for a layer's steps.

`torch.compile`, `torch.export`, fake tensors and the transforms of torch.func see operators, and
know of each what its results look like (`register_fake`), its gradients and its rule under vmap. A
call in plain eager mode does not come here: it runs `node.Sequences`, which costs less.

The registrations are at import: who loads an exported program has nothing but `import memnets`.

Axes: B batch, T time, I input, R read heads, W word.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from memnets.backends.cpu import again, node
from memnets.backends.cpu.described import Described, check_functions, check_tensors, described
from memnets.backends.cpu.division import segment_in_graph
from memnets.backends.cpu.engines import engine_of
from memnets.backends.cpu.problems import Call, Tensors
from memnets.checks import full_precision
from memnets.state import leaves

# Both are given the tensors of `problems.Tensors.flat`, and the layer as text.
FORWARD = (
    "(Tensor[] tensors, Tensor? lengths, Tensor? starts, str layer, SymInt segment, "
    "bool training, bool readout) -> Tensor[]"
)
BACKWARD = (
    "(Tensor[] tensors, Tensor?[] d_outputs, Tensor[] outputs, Tensor kept, Tensor? lengths, "
    "Tensor? starts, str layer, SymInt segment, bool[] wanted) -> Tensor[]"
)
torch.library.define("memnets::sequence", FORWARD)
torch.library.define("memnets::sequence_backward", BACKWARD)
sequence: Callable[..., list[Tensor]] = torch.ops.memnets.sequence.default
sequence_backward: Callable[..., list[Tensor]] = torch.ops.memnets.sequence_backward.default


def call_of(
    known: Described,
    tensors: Sequence[Tensor],
    lengths: Tensor | None,
    starts: Tensor | None,
    segment: int,
    training: bool,
    readout: bool,
) -> Call:
    """What the kernel is told of a call of either operator."""
    return Call(
        known.plan,
        lengths,
        starts,
        segment,
        engine_of(tensors[0].device).threads(tensors[0].shape[1]),
        training,
        readout,
        again.Again(known.layer, known.memory),
    )


def _made_state(layer: str, device: torch.device, dtype: torch.dtype, batch: int) -> list[Tensor]:
    """The read vectors and the other tensors of a first state that is constant."""
    with torch.inference_mode(False), torch.no_grad():
        known: Any = described(layer).layer
        state = copy.deepcopy(known).to_empty(device=device).to(dtype).initial_state(batch)
    *others, reads = leaves(state)
    return [reads.flatten(1), *others]


@functools.lru_cache(maxsize=16)
def _first_state(layer: str, dtype: torch.dtype, batch: int) -> list[Tensor]:
    """As `_made_state`, on the CPU, and kept."""
    # One zero that is expanded is for the kernel no memory to read.
    made = _made_state(layer, torch.device("cpu"), dtype, batch)
    return [one if node.is_zero(one) else one.contiguous() for one in made]


def _whole(layer: str, tensors: Sequence[Any], state: Sequence[Any]) -> list[Any]:
    """What is given for each tensor, and for a first state that is not among them `state`."""
    count = len(described(layer).parameters) + 1
    return [*tensors[:3], state[0], *tensors[3:count], *state[1:], *tensors[count:]]


def _with_state(
    layer: str, tensors: Sequence[Tensor], starts: Tensor | None, readout: bool
) -> tuple[Sequence[Tensor], int]:
    """The tensors of `problems.Tensors.flat`, and how many of them are of a state made here.

    A call from a constant first state comes without it: a graph that makes it costs more.
    """
    states = len(described(layer).plan.shapes(1))
    rest = len(tensors) - len(described(layer).parameters) - 1 - 2 * readout
    if rest != (0 if starts is None else states):
        return tensors, 0
    x = tensors[0]
    if x.is_cpu:
        return _whole(layer, tensors, _first_state(layer, x.dtype, x.shape[1])), states
    # Made anew on a GPU: what is made while a graph of CUDA is captured belongs to that graph.
    return _whole(layer, tensors, _made_state(layer, x.device, x.dtype, x.shape[1])), states


# ----------------------------------------------------------------------- forward


def _forward(
    tensors: Sequence[Tensor],
    lengths: Tensor | None,
    starts: Tensor | None,
    layer: str,
    segment: int,
    training: bool,
    readout: bool,
) -> list[Tensor]:
    """Return what the kernel does, and last what a backward needs; empty without training."""
    known = described(layer)
    tensors, _ = _with_state(layer, tensors, starts, readout)
    check_functions()
    check_tensors(known, tensors, lengths, starts, readout)
    call = call_of(known, tensors, lengths, starts, segment, training, readout)
    x = tensors[0]
    engine, least = engine_of(x.device), 0
    if training:
        time, batch = x.shape[:2]
        least = engine.kept_numbers(known.plan, x.dtype, time, batch, segment, starts is not None)
    with full_precision(x.device.type):
        outputs, kept = engine.forward(call, Tensors.of(tensors, known.plan, readout), least)
    return [*outputs, kept]


def _forward_fake(
    tensors: Sequence[Tensor],
    lengths: Tensor | None,
    starts: Tensor | None,
    layer: str,
    segment: int,
    training: bool,
    readout: bool,
) -> list[Tensor]:
    known, x, size = described(layer), tensors[0], 0
    time, batch = x.shape[:2]
    if training:
        engine, starting = engine_of(x.device), starts is not None
        size = engine.kept_numbers(known.plan, x.dtype, time, batch, segment, starting)
    *ends, (_, heads, word) = known.plan.shapes(batch)
    reads = heads * word
    shapes = [(time, batch, tensors[1].shape[1]), (time, batch, reads), (batch, reads), *ends]
    if readout:
        shapes.append((time, batch, tensors[-1].shape[0]))
    return [x.new_empty(shape) for shape in (*shapes, (size,))]


# ----------------------------------------------------------------------- backward


def _backward(
    tensors: Sequence[Tensor],
    d_outputs: Sequence[Tensor | None],
    outputs: Sequence[Tensor],
    kept: Tensor,
    lengths: Tensor | None,
    starts: Tensor | None,
    layer: str,
    segment: int,
    wanted: Sequence[bool],
) -> list[Tensor]:
    """Return the gradients of those of the tensors that are wanted, in order.

    `outputs` are h and, where the forward made logits, the read vectors.
    """
    known, readout = described(layer), len(outputs) > 1
    tensors, made = _with_state(layer, tensors, starts, readout)
    if made:
        wanted = _whole(layer, wanted, [False] * made)
    check_tensors(known, tensors, lengths, starts, readout)
    x, plan = tensors[0], known.plan
    time, batch = x.shape[:2]
    engine = engine_of(x.device)
    size = engine.kept_numbers(plan, x.dtype, time, batch, segment, starts is not None)
    if kept.shape != (size,) or kept.dtype is not x.dtype or kept.device != x.device:
        raise ValueError(
            f"memnets::sequence_backward takes {size} numbers of {x.dtype} on {x.device} that the "
            f"forward kept; got {kept.dtype} of the shape {tuple(kept.shape)} on {kept.device}."
        )
    call = call_of(known, tensors, lengths, starts, segment, True, readout)
    named, uses = Tensors.of(tensors, plan, readout), Tensors.of(wanted, plan, readout)
    with full_precision(x.device.type):
        found = engine.backward(call, named, uses, d_outputs, outputs, kept)
    if readout and d_outputs[-1] is None:
        found[-2:] = map(torch.zeros_like, named.readout)
    return _apart([one for one, want in zip(found, wanted, strict=True) if want])


def _apart(found: Sequence[Tensor | None]) -> list[Tensor]:
    """Give each result memory of its own, as an operator must."""
    seen: set[int] = set()
    results = []
    for one in found:
        assert one is not None
        address = one.data_ptr()  # two biases have one gradient
        own = one.is_contiguous() and address not in seen
        seen.add(address)
        results.append(one if own else one.clone(memory_format=torch.contiguous_format))
    return results


def _backward_fake(
    tensors: Sequence[Tensor],
    d_outputs: Sequence[Tensor | None],
    outputs: Sequence[Tensor],
    kept: Tensor,
    lengths: Tensor | None,
    starts: Tensor | None,
    layer: str,
    segment: int,
    wanted: Sequence[bool],
) -> list[Tensor]:
    return [one.new_empty(one.shape) for one, want in zip(tensors, wanted, strict=True) if want]


# ----------------------------------------------------------------------- derivatives


def needed(outputs: Sequence[Tensor], readout: bool) -> list[Tensor]:
    """What a backward takes of what the forward returned: the last is what is kept."""
    return [*outputs[: 1 + readout], outputs[-1]]


def forward_again(
    tensors: Sequence[Tensor],
    lengths: Tensor | None,
    starts: Tensor | None,
    layer: str,
    readout: bool,
) -> tuple[int, list[Tensor]]:
    """Run the forward once more for its backward: the segment, and what is `needed`."""
    x, plan = tensors[0], described(layer).plan
    time, batch = x.shape[:2]
    step = batch * engine_of(x.device).numbers_a_step(plan) * x.element_size()
    segment = segment_in_graph(time, step, None)
    with torch.no_grad():
        outputs = sequence(list(tensors), lengths, starts, layer, segment, True, readout)
    return segment, needed(outputs, readout)


def _keep(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    tensors, lengths, starts, ctx.layer, ctx.segment, ctx.training, ctx.readout = inputs
    ctx.count, ctx.has = len(tensors), (lengths is not None, starts is not None)
    others = [one for one in (lengths, starts) if one is not None]
    ctx.save_for_backward(*tensors, *needed(output, ctx.readout), *others)
    ctx.mark_non_differentiable(output[-1])
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """The gradients of the forward's tensors, by the operator for the backward."""
    saved = list(ctx.saved_tensors)
    starts = saved.pop() if ctx.has[1] else None
    lengths = saved.pop() if ctx.has[0] else None
    tensors, outputs = saved[: ctx.count], saved[ctx.count :]
    segment, wanted = ctx.segment, list(ctx.needs_input_grad[0])
    if not ctx.training:
        segment, outputs = forward_again(tensors, lengths, starts, ctx.layer, ctx.readout)
    call = outputs[:-1], outputs[-1], lengths, starts, ctx.layer, segment, wanted
    found = iter(sequence_backward(tensors, list(d_outputs[:-1]), *call))
    return [next(found) if want else None for want in wanted], *[None] * 6


def _no_graph(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    """Nothing is kept: there is no second derivative."""


def _second_derivative(ctx: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
    raise RuntimeError(
        "The kernel's operator has no second derivative: its gradients have no gradient inside of "
        'torch.compile and in an exported program. Build the layer with backend="reference" there.'
    )


for kind in ("CPU", "CUDA"):
    torch.library.impl("memnets::sequence", kind, _forward)
    torch.library.impl("memnets::sequence_backward", kind, _backward)
torch.library.register_fake("memnets::sequence", _forward_fake)
torch.library.register_fake("memnets::sequence_backward", _backward_fake)
torch.library.register_autograd("memnets::sequence", _gradients, setup_context=_keep)
torch.library.register_autograd(
    "memnets::sequence_backward", _second_derivative, setup_context=_no_graph
)

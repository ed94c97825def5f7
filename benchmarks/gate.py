"""No speed without agreement: what must hold before a time is printed.

Two ways of computing the same thing (memnets' backends) must have equal outputs, final states and
gradients. A peer computes other equations; it must only be at work: the right shape, and a finite
gradient in every parameter that is not zero.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import memnets
from benchmarks import limits, machine
from benchmarks.cases import Case
from benchmarks.contestants import REFUSALS, Contestant, inputs, layer, own_name
from memnets.backends.registry import BACKENDS

TOLERANCES = {torch.float64: 1e-10, torch.float32: 2e-5}
"""How far a number may be from the reference's, relative to the largest of its tensor."""


class Disagreement(Exception):  # noqa: N818 - it is the gate's verdict
    """Two contestants that claim to compute the same thing do not."""


@dataclass(frozen=True)
class Verdict:
    """What was compared, in sentences, and the backends that cannot serve, with their reasons."""

    sentences: tuple[str, ...]
    absent: Mapping[str, str]


def results(model: memnets.MemoryLayer, x: Tensor) -> dict[str, Tensor]:
    """Output, final state, and the gradients of the input and of every parameter, by name."""
    x = x.clone().requires_grad_()
    y, state = model(x)
    leaves = {f"state {name}": leaf for name, leaf in _leaves(state)}
    # Every output and every number of the state gets a weight of its own in the loss.
    made = (y, *leaves.values())
    weights = [
        torch.linspace(-1, 1, tensor.numel(), dtype=tensor.dtype).view_as(tensor) for tensor in made
    ]
    wanted = {"x": x, **dict(model.named_parameters())}
    gradients = torch.autograd.grad(made, list(wanted.values()), weights)
    named = zip(wanted, gradients, strict=True)
    found = {"output": y, **leaves, **{f"gradient of {name}": one for name, one in named}}
    return {name: tensor.detach() for name, tensor in found.items()}


def agree(name: str, actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise unless all of `actual` is `expected`, within the tolerance of its dtype.

    Raises:
        Disagreement: with the name of the first tensor that differs, and by how much.
    """
    if list(actual) != list(expected):
        raise Disagreement(f"{name} returns {list(actual)}, the reference {list(expected)}.")
    for part, wanted in expected.items():
        got = actual[part]
        if got.shape != wanted.shape or got.dtype != wanted.dtype:
            raise Disagreement(
                f"{name}: {part} is {got.dtype} {tuple(got.shape)}, in the reference "
                f"{wanted.dtype} {tuple(wanted.shape)}."
            )
        found = _difference(got, wanted)
        # Not `>`: a NaN must not pass.
        if not found <= TOLERANCES[wanted.dtype]:
            raise Disagreement(
                f"{name}: {part} differs from the reference's by {found:.1e} of its largest "
                f"number; {TOLERANCES[wanted.dtype]:.0e} is allowed. No speed is printed."
            )


def _difference(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))


def check_backends(case: Case, backends: Collection[str] | None = None) -> Verdict:
    """Compare memnets' backends (all, or those named) with the reference, at the sizes of a case.

    float64 is compared over all steps, or as many as memory has room for. float32 likewise; where
    a backend is not within the tolerance and the reference's own rounding explains it (see
    `rounding`), over half the steps, and so on. The sentences say over how many.

    Raises:
        Disagreement: if a backend's outputs, states or gradients are not the reference's.
    """
    fitting = replace(case, steps=steps_in_memory(case))
    wide = _expected(fitting, torch.float64)
    sentences, absent = [], {}
    for name, run in BACKENDS.items():
        if run is BACKENDS["reference"] or (backends is not None and name not in backends):
            continue
        title = own_name(case.kind, name)
        try:
            found = _actual(fitting, name, torch.float64)
        except REFUSALS as reason:
            absent[name] = f"{title} is left out: {type(reason).__name__}: {_first_line(reason)}"
            continue
        agree(title, found, wide)
        steps = _agreeing_steps(title, fitting, name)
        sentences.append(_sentence(title, case, fitting.steps, steps))
    return Verdict(tuple(sentences), absent)


def _sentence(title: str, case: Case, wide_steps: int, steps: int) -> str:
    said = (
        f"{title}: outputs, states and gradients are the reference's within "
        f"{TOLERANCES[torch.float64]:.0e} (float64) and {TOLERANCES[torch.float32]:.0e} (float32)."
    )
    if wide_steps < case.steps:
        said += f" Compared over {wide_steps} of {case.steps} steps, which memory has room for."
    if steps < wide_steps:
        said += (
            f" float32 over {steps} steps: past them the reference's own rounding is over "
            f"{TOLERANCES[torch.float32] / 2:.0e}."
        )
    return said


def _agreeing_steps(title: str, case: Case, backend: str) -> int:
    """The longest of T, T/2, T/4, ... over which a backend agrees in float32."""
    try:
        agree(title, _actual(case, backend, torch.float32), _expected(case, torch.float32))
    except Disagreement:
        if case.steps == 1 or rounding(case) <= TOLERANCES[torch.float32] / 2:
            raise
        return _agreeing_steps(title, replace(case, steps=case.steps // 2), backend)
    return case.steps


def rounding(case: Case) -> float:
    """How far the reference in float32 is from itself in float64, relative as in `agree`.

    Two ways of rounding that are each this far from the truth may be twice as far from each other.
    """
    narrow = _seeded(case, "reference", torch.float32)
    wide = layer(case, "reference", dtype=torch.float64)
    wide.load_state_dict(narrow.state_dict())
    x = inputs(case)
    pairs = zip(results(narrow, x).values(), results(wide, x.double()).values(), strict=True)
    return max(_difference(one.double(), other) for one, other in pairs)


def steps_in_memory(case: Case) -> int:
    """The most of T, T/2, T/4, ... steps whose comparison in float64 fits in half the memory."""
    steps = case.steps
    free = machine.free_memory() / 2
    while steps > 1 and limits.kept_by_autograd(replace(case, steps=steps), 8) > free:
        steps //= 2
    return steps


def _seeded(case: Case, backend: str, dtype: torch.dtype) -> memnets.MemoryLayer:
    torch.manual_seed(0)
    return layer(case, backend, dtype=dtype)


def _expected(case: Case, dtype: torch.dtype) -> dict[str, Tensor]:
    return results(_seeded(case, "reference", dtype), inputs(case, dtype))


def _actual(case: Case, backend: str, dtype: torch.dtype) -> dict[str, Tensor]:
    return results(_seeded(case, backend, dtype), inputs(case, dtype))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


def check_at_work(contestant: Contestant, case: Case) -> None:
    """Raise unless the output has its shape and every parameter a finite gradient, not all zero.

    Raises:
        Disagreement: with what is wrong.
    """
    y = contestant.run(inputs(case))
    wanted = (case.steps, case.batch, contestant.outputs)
    if tuple(y.shape) != wanted:
        raise Disagreement(f"{contestant.name} returns {tuple(y.shape)}, not {wanted}.")
    contestant.model.zero_grad()
    y.square().mean().backward()
    for name, parameter in contestant.model.named_parameters():
        gradient = parameter.grad
        if gradient is None or not bool(gradient.any()) or not bool(gradient.isfinite().all()):
            raise Disagreement(
                f"{contestant.name}: the gradient of {name} is missing, zero or not finite."
            )


def _leaves(state: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        yield path, state
        return
    names = getattr(state, "_fields", range(len(state)))
    for name, part in zip(names, state, strict=True):
        yield from _leaves(part, f"{path}.{name}" if path else str(name))

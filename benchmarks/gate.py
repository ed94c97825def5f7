"""No speed without agreement: what must hold before a time is printed.

Two ways of computing the same thing (memnets' backends) must have equal outputs, final states and
gradients. A peer computes other equations; it must only be at work: the right shape, and a finite
gradient in every parameter that is not zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

import memnets
from benchmarks.contestants import Contestant, Sizes, layer
from memnets.unroll import BACKENDS

TOLERANCES = {torch.float64: 1e-10, torch.float32: 2e-5}
"""How far a number may be from the reference's, relative to the largest of its tensor."""


class Disagreement(Exception):  # noqa: N818 - it is the gate's verdict
    """Two contestants that claim to compute the same thing do not."""


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
        difference = float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))
        # Not `>`: a NaN must not pass.
        if not difference <= TOLERANCES[wanted.dtype]:
            raise Disagreement(
                f"{name}: {part} differs from the reference's by {difference:.1e} of its largest "
                f"number; {TOLERANCES[wanted.dtype]:.0e} is allowed. No speed is printed."
            )


def check_backends(kind: str, sizes: Sizes) -> list[str]:
    """Compare every backend of memnets.NTM or memnets.DNC with the reference.

    Returns:
        One sentence for each comparison made.

    Raises:
        Disagreement: if a backend's outputs, states or gradients are not the reference's.
    """
    made = []
    for dtype in TOLERANCES:
        torch.manual_seed(0)
        reference = layer(kind, "reference", sizes, dtype=dtype)
        x = torch.randn(sizes.steps, sizes.batch, sizes.input_size, dtype=dtype)
        expected = results(reference, x)
        for backend in BACKENDS:
            if backend == "reference":
                continue
            other = layer(kind, backend, sizes, dtype=dtype)
            other.load_state_dict(reference.state_dict())
            agree(f"memnets.{kind} {backend}", results(other, x), expected)
            made.append(
                f"memnets.{kind} {backend}: outputs, states and gradients are the reference's "
                f"within {TOLERANCES[dtype]:.0e} ({dtype})."
            )
    return made


def check_at_work(contestant: Contestant, sizes: Sizes) -> None:
    """Raise unless the output has its shape and every parameter a finite gradient, not all zero.

    Raises:
        Disagreement: with what is wrong.
    """
    torch.manual_seed(0)
    y = contestant.run(torch.randn(sizes.steps, sizes.batch, sizes.input_size))
    wanted = (sizes.steps, sizes.batch, contestant.outputs)
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

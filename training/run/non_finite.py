"""A step whose loss or gradient is not finite: caught before it changes a weight, named, saved."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import memnets
from tasks.base import Batch
from tasks.costs import Cost
from training.evaluate.evaluation import answer
from training.files import checkpoint
from training.options.models import with_memory

MOST_IN_A_ROW = 20
"""steps that may be skipped one after another: a run that skips every step trains nothing"""
MOST_SAVED = 5
"""faults of a run that are saved for replay, so that skipping for days fills no disk"""
HELP = "a smaller --optimizer.learning-rate or --optimizer.clip-norm usually helps"


class NonFiniteError(ArithmeticError):
    """The loss or the gradient became infinite or NaN."""


class NonFiniteStepError(NonFiniteError):
    """One step's loss or gradient is not finite; the weights and the optimiser are as before it."""

    def __init__(self, batch: Batch, loss: float, gradient_norm: float) -> None:
        self.batch, self.loss, self.gradient_norm = batch, loss, gradient_norm
        name, value = ("loss", loss) if not math.isfinite(loss) else ("gradient", gradient_norm)
        super().__init__(f"the {name} became {value}")


def check(batch: Batch, loss: Tensor, gradient_norm: Tensor) -> None:
    """Refuse a step before the optimiser makes it; on a GPU this waits for the backward.

    Raises:
        NonFiniteStepError: the loss or the norm of the gradient is infinite or NaN.
    """
    values = torch.stack([loss.detach().float(), gradient_norm.float()]).tolist()
    if not all(map(math.isfinite, values)):
        raise NonFiniteStepError(batch, *values)


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all gradients as one vector.

    torch.nn.utils has it too, at three times the price for a model this small.

    >>> total_norm([torch.tensor([3.0]), torch.tensor([[4.0]])])
    tensor(5.)
    """
    return torch.linalg.vector_norm(torch.cat([one.flatten() for one in gradients]))


def describe(values: Tensor) -> str:
    """How many of the values are not finite, and of what kind.

    >>> describe(torch.tensor([1.0, math.nan, math.inf]))
    '1 NaN and 1 infinite of 3'
    """
    nan, infinite = int(values.isnan().sum()), int(values.isinf().sum())
    found = [f"{nan} NaN"] * (nan > 0) + [f"{infinite} infinite"] * (infinite > 0)
    return f"{' and '.join(found) or 'none'} of {values.numel()}"


def diagnose(layer: nn.Module, batch: Batch, cost: Cost) -> list[str]:
    """Say where non-finite values are, in the order of the computation: the first is the cause.

    Looks at the weights, the batch, then every tensor of every time step (on the reference path,
    for a memory layer), then the outputs, the loss, and the gradient of every weight.

    Args:
        layer: the layer as it was before the step; its .grad is not used.
        batch: the batch of the step.
        cost: the task's.

    Returns:
        One sentence a finding; empty if all is finite.

    >>> from tasks import Copy
    >>> layer, task = memnets.NTM(9, 8), Copy(max_length=3)
    >>> batch = task.sample(2, torch.Generator().manual_seed(0))
    >>> diagnose(layer, batch, task.cost)
    []
    >>> batch.inputs[1, 0, 4] = torch.nan
    >>> diagnose(layer, batch, task.cost)[:2]
    ['inputs, time step 1: 1 NaN of 18', 'h, time step 1: 100 NaN of 200']
    """
    found = [
        f"weight {name}: {describe(weight)}"
        for name, weight in layer.state_dict().items()
        if not weight.isfinite().all()
    ]
    found += list(_over_time("inputs", batch.inputs))
    memory = with_memory(layer)
    if memory is not None:
        found += list(_first_in_the_steps(memory, batch.inputs))
    return found + list(_forward_and_backward(layer, batch, cost))


def _over_time(name: str, values: Tensor) -> Iterator[str]:
    for index, value in enumerate(values):
        if not value.isfinite().all():
            yield f"{name}, time step {index}: {describe(value)}"
            return


@torch.no_grad()
def _first_in_the_steps(layer: memnets.MemoryLayer, x: Tensor) -> Iterator[str]:
    """The tensors that are not finite at the first time step that has one."""
    time_first = x.transpose(0, 1) if layer.batch_first else x
    state = layer.initial_state(time_first.shape[1])
    for index, x_t in enumerate(time_first):
        advanced = layer.advance(x_t, state)
        state = advanced.state
        found = [
            f"{name}, time step {index}: {describe(tensor)}"
            for name, tensor in _named(advanced, "")
            if not tensor.isfinite().all()
        ]
        if found:
            yield from found
            return


def _named(values: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested (named) tuples, by their path."""
    if isinstance(values, Tensor):
        yield prefix, values
        return
    names = getattr(values, "_fields", map(str, range(len(values))))
    for name, value in zip(names, values, strict=True):
        yield from _named(value, f"{prefix}.{name}" if prefix else name)


def _forward_and_backward(layer: nn.Module, batch: Batch, cost: Cost) -> Iterator[str]:
    """What the layer's own backend makes of the batch: outputs, loss, gradients."""
    weights = {
        name: weight
        for name, weight in layer.named_parameters()
        # The learned start of a controller without a state has no elements.
        if weight.requires_grad and weight.numel()
    }
    x = batch.inputs.detach().clone().requires_grad_()
    outputs = answer(layer, batch._replace(inputs=x))
    yield from _over_time("outputs", outputs)
    loss = cost.loss(cost.per_sequence(outputs, batch), batch)
    if not loss.isfinite():
        yield f"loss: {float(loss.detach())}"
    wanted = [x, *weights.values()]
    gradients = torch.autograd.grad(loss, wanted, materialize_grads=True)
    broken = [index for index, part in enumerate(gradients[0]) if not part.isfinite().all()]
    if broken:
        yield f"gradient of the inputs: not finite from time step {broken[-1]} backwards"
    named = dict(zip(weights, gradients[1:], strict=True))
    finite = True
    for name, gradient in named.items():
        if not gradient.isfinite().all():
            finite = False
            yield f"gradient of {name}: {describe(gradient)}"
    norm = total_norm(gradients[1:])
    if finite and not norm.isfinite():
        name, largest = max(
            ((name, float(gradient.abs().max())) for name, gradient in named.items()),
            key=lambda item: item[1],
        )
        yield f"gradient norm: squares overflow; the largest gradient is {largest:.3g}, of {name}"


def fault_file(folder: Path, step: int) -> Path:
    """Where the fault of a step (counted from 1) is saved."""
    return folder / "faults" / f"step_{step}.pt"


def report(
    fault: NonFiniteStepError, layer: nn.Module, cost: Cost, snapshot: dict[str, Any], folder: Path
) -> str:
    """Say what is not finite in a refused step, and save it for replay.

    Args:
        fault: the refused step.
        layer: as it was before the step.
        cost: the task's.
        snapshot: the checkpoint before the step; the file is this and the batch.
        folder: of the run.
    """
    findings = diagnose(layer, fault.batch, cost)
    path = fault_file(folder, snapshot["step"] + 1)
    content = {
        **snapshot,
        "batch": {
            name: part.cpu() for name, part in fault.batch._asdict().items() if part is not None
        },
        "fault": {
            "loss": fault.loss,
            "gradient_norm": fault.gradient_norm,
            "findings": findings,
        },
    }
    first = f" ({findings[0]})" if findings else " (computed again, it is finite)"
    try:
        checkpoint.save(path, content)
    except OSError as error:  # a full disk must not hide what happened
        return f"{first}; it could not be saved for replay: {error}"
    return f"{first}; to see more: python -m training.run.replay {path}"


def reason_to_stop(choice: str, text: str, counts: dict[str, int], step: int) -> str | None:
    """Why the run ends here: steps are not to be skipped, or too many were, one after another.

    >>> reason_to_stop("skip", "the loss became nan at step 9", {"steps": 50, "in_a_row": 19}, 9)
    """
    if choice == "stop":
        return f"{text}; {HELP}; --resume with --run.non-finite skip leaves such steps out"
    if counts["in_a_row"] < MOST_IN_A_ROW:
        return None
    return (
        f"the loss or the gradient was not finite in {counts['in_a_row']} steps in a row, the last "
        f"of them step {step}: skipping more would train nothing; {HELP}"
    )


def warn(text: str, counts: dict[str, int]) -> None:
    """Say that a step is skipped: of the first each, then whenever their number has doubled."""
    steps = counts["steps"]
    if steps <= MOST_SAVED or steps & (steps - 1) == 0:
        print(f"skipped: {text} ({steps} skipped so far)", file=sys.stderr, flush=True)

"""Run a saved step again: `python -m training.run.replay runs/NAME/faults/step_123.pt`.

The file is a checkpoint of the weights before the step, with the batch whose loss or gradient was
not finite. `memnets.load` takes it too.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import tyro

from tasks.base import Batch
from training.evaluate.evaluation import answer
from training.files import checkpoint
from training.options.config import Config, from_json
from training.run.non_finite import diagnose, total_norm
from training.run.state import Training, restore


class Fault(NamedTuple):
    """A step that was refused, and everything to compute it again."""

    config: Config
    training: Training
    """as it was before the step"""
    batch: Batch
    loss: float
    gradient_norm: float
    findings: list[str]
    """what `training.run.non_finite.diagnose` said when it happened"""


def read_fault(path: Path, device: str | None = None) -> Fault:
    """Read the file of a fault; only tensors and plain data are read from it, never code.

    Args:
        path: runs/NAME/faults/step_NUMBER.pt.
        device: where to compute; None is the run's own.

    Raises:
        ValueError: the file is damaged, of another version, or a checkpoint without a fault.
        OSError: there is no such file, or it cannot be read.
    """
    saved = checkpoint.load(path)
    if "batch" not in saved or "fault" not in saved:
        raise ValueError(
            f"{path} is a checkpoint and has no batch: give one of the files in a run's faults/"
        )
    config = from_json(saved["config"])
    if device is not None:
        config = dataclasses.replace(config, device=device)
    batch = Batch(**saved["batch"]).to(config.device)
    return Fault(config, restore(config, saved), batch, **saved["fault"])


def replay(fault: Fault) -> tuple[float, float]:
    """The loss and the norm of the gradient, computed again."""
    layer, cost = fault.training.layer, fault.training.task.cost
    outputs = answer(layer, fault.batch)
    loss = cost.loss(cost.per_sequence(outputs, fault.batch), fault.batch)
    weights = [weight for weight in layer.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
    return float(loss.detach()), float(total_norm(gradients))


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def main(file: Annotated[Path, tyro.conf.Positional], device: str | None = None) -> int:
    """Run a step whose loss or gradient was not finite again, and say where it breaks.

    Args:
        file: runs/NAME/faults/step_NUMBER.pt.
        device: where to compute; the run's own if left out.
    """
    try:
        fault = read_fault(file, device)
    except (ValueError, OSError) as error:
        print(f"replay: error: {error}", file=sys.stderr)
        return 2
    torch.set_num_threads(fault.config.threads)
    config, inputs = fault.config, fault.batch.inputs
    print(f"{config.task} with {config.model}, step {fault.training.step + 1}: ", end="")
    print(f"{inputs.shape[1]} sequences of {inputs.shape[0]} steps")
    loss, norm = replay(fault)
    print(f"loss           was {fault.loss}, is {loss}")
    print(f"gradient norm  was {fault.gradient_norm}, is {norm}")
    findings = diagnose(fault.training.layer, fault.batch, fault.training.task.cost)
    print("\n".join(findings or ["everything is finite here"]))
    if _same(loss, fault.loss) and _same(norm, fault.gradient_norm):
        return 0
    print("the step came out differently: it depends on the machine, the device or the version")
    return 1


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="python -m training.run.replay"))

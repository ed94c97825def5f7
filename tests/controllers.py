"""What the tests of all controllers ask of one."""

from typing import Any

import torch
from torch import Tensor

from memnets.parts.controllers import Stack


def gradient_is_right(stack: Stack, *, learned: bool = True) -> bool:
    """Compare the gradient of four steps, in x and every parameter, with finite differences."""
    torch.manual_seed(0)
    controller = stack.build(3, learned_initial_state=learned, dtype=torch.float64)
    names = [name for name, _ in controller.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        values = dict(zip(names, parameters, strict=True))
        state: Any = controller.initial_state(2)
        outputs = []
        for x_t in x:
            h, state = torch.func.functional_call(controller, values, (x_t, state))
            outputs.append(h)
        return torch.stack(outputs)

    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    return torch.autograd.gradcheck(run, (x, *controller.parameters()))

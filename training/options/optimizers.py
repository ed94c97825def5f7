"""The RMSProp of Graves 2013, which the NTM and DNC papers train with, and Adam at a low price."""

# torch has no public names for its operations on lists of tensors.
# pyright: reportPrivateImportUsage=false

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def take_step(optimizer: torch.optim.Optimizer) -> None:
    """Call ``optimizer.step()``, of Adam as `make_optimizer` makes it at half the price.

    What ``Adam.step`` does around the update, for hooks, profilers, closures and graphs of a GPU,
    takes as long as the update of a model this small.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.Adam([weight], lr=0.1, fused=True)
    >>> for _ in range(2):  # the first makes the moments
    ...     weight.grad = torch.tensor([1.0])
    ...     take_step(optimizer)
    >>> round(weight.item(), 4)
    0.8
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    trained = [p for p in parameters if p.grad is not None]
    states = [optimizer.state.get(p, {}) for p in trained]
    if not _plain(optimizer) or not states or not all(states):
        optimizer.step()
        return
    group = optimizer.param_groups[0]
    steps = _counted(states)
    torch._fused_adam_(
        trained,
        [p.grad for p in trained if p.grad is not None],
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        steps,
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=group["maximize"],
    )


def _counted(states: list[dict[str, Tensor]]) -> list[Tensor]:
    """Add 1 to the step of each state, by one operation: each is made a view of one tensor."""
    steps = [state["step"] for state in states]
    whole = steps[0]._base
    if whole is None or whole.numel() != len(steps) or any(one._base is not whole for one in steps):
        whole = torch.stack(steps)
        steps = [whole[index] for index in range(len(steps))]
        for state, step in zip(states, steps, strict=True):
            state["step"] = step
    whole.add_(1)
    return steps


def _plain(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it is Adam that updates its parameters, all in one group, with one call."""
    if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) > 1:
        return False
    group = optimizer.param_groups[0]
    other = ("amsgrad", "capturable", "differentiable", "decoupled_weight_decay")
    # torch 2.6 has no decoupled_weight_decay
    return bool(group["fused"]) and not any(group.get(name) for name in other)


class GravesRMSProp(torch.optim.Optimizer):
    """RMSProp with a centred second moment and momentum, as in Graves 2013 (1308.0850), eq. 38-41.

    For every weight w with gradient g:
    ``n = decay n + (1 - decay) g^2``; ``m = decay m + (1 - decay) g``;
    ``step = momentum step - lr g / sqrt(n - m^2 + epsilon)``; ``w = w + step``.
    ``torch.optim.RMSprop(centered=True)`` is not the same: it adds epsilon outside the root.

    Raises:
        ValueError: lr or epsilon is not positive, or decay or momentum is not in [0, 1).

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = GravesRMSProp([weight], lr=0.1)
    >>> weight.grad = torch.tensor([1.0])
    >>> optimizer.step()
    >>> round(weight.item(), 4)
    0.5417
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-4,
        *,
        decay: float = 0.95,
        momentum: float = 0.9,
        epsilon: float = 1e-4,
    ) -> None:
        if lr <= 0 or epsilon <= 0:
            raise ValueError(f"lr and epsilon must be positive, got lr={lr}, epsilon={epsilon}")
        if not (0 <= decay < 1 and 0 <= momentum < 1):
            raise ValueError(
                f"decay and momentum must be in [0, 1), got decay={decay}, momentum={momentum}"
            )
        settings = {"lr": lr, "decay": decay, "momentum": momentum, "epsilon": epsilon}
        super().__init__(parameters, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every parameter that has a gradient; return the loss of a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._update(parameters, group)
        return loss

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        states: list[dict[str, Tensor]] = [self.state[p] for p in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if not state:
                for name in ("square", "mean", "update"):
                    state[name] = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        squares = [state["square"] for state in states]
        means = [state["mean"] for state in states]
        updates = [state["update"] for state in states]
        fresh = 1 - group["decay"]
        # The _foreach calls handle all parameters at once: a loop costs a tenth of a training step.
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, gradients, gradients, fresh)
        torch._foreach_mul_(means, group["decay"])
        torch._foreach_add_(means, gradients, alpha=fresh)
        roots = torch._foreach_addcmul(squares, means, means, -1.0)
        # n - m^2 is never negative, except by rounding.
        torch._foreach_clamp_min_(roots, 0.0)
        torch._foreach_add_(roots, group["epsilon"])
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(updates, group["momentum"])
        torch._foreach_addcdiv_(updates, gradients, roots, -group["lr"])
        torch._foreach_add_(parameters, updates)

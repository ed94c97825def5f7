"""GravesRMSProp against a plain NumPy loop; a cheap step of Adam against Adam's own."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.options.optimizers import GravesRMSProp, take_step


def numpy_graves(weights, gradients, lr, decay, momentum, epsilon):
    n = np.zeros_like(weights)
    m = np.zeros_like(weights)
    delta = np.zeros_like(weights)
    for g in gradients:
        n = decay * n + (1 - decay) * g**2
        m = decay * m + (1 - decay) * g
        delta = momentum * delta - lr * g / np.sqrt(n - m**2 + epsilon)
        weights = weights + delta
    return weights


@pytest.mark.parametrize("settings", [(1e-2, 0.95, 0.9, 1e-4), (0.3, 0.5, 0.0, 1e-2)])
def test_matches_a_numpy_loop(settings):
    lr, decay, momentum, epsilon = settings
    random = np.random.default_rng(0)
    shapes = [(3, 4), (5,)]
    weights = [random.normal(size=shape) for shape in shapes]
    gradients = [[random.normal(size=shape) for shape in shapes] for _ in range(50)]
    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
    unused = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = GravesRMSProp(
        [*parameters, unused], lr, decay=decay, momentum=momentum, epsilon=epsilon
    )
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    for index, parameter in enumerate(parameters):
        wanted = numpy_graves(weights[index], [step[index] for step in gradients], *settings)
        np.testing.assert_allclose(parameter.detach().numpy(), wanted, rtol=1e-10)
    assert unused.tolist() == [1.0, 1.0]


def test_state_survives_saving(tmp_path):
    def steps(parameter, optimizer, count):
        for index in range(count):
            optimizer.zero_grad()
            ((parameter - index) ** 2).sum().backward()
            optimizer.step()

    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = GravesRMSProp([parameter], 0.01)
    steps(parameter, optimizer, 3)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    other = copy.deepcopy(parameter)
    restored = GravesRMSProp([other], 0.5)
    restored.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    steps(parameter, optimizer, 3)
    steps(other, restored, 3)
    assert torch.equal(parameter, other)


def test_closure_gives_the_loss():
    parameter = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = GravesRMSProp([parameter], 0.01)

    def closure():
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4.0
    assert parameter.item() < 2.0


def test_constant_gradients_stay_finite():
    # n - m^2 is 0 in the limit, and can be slightly negative in float32
    parameter = torch.nn.Parameter(torch.ones(1000))
    optimizer = GravesRMSProp([parameter], 1e-4, epsilon=1e-12)
    for _ in range(300):
        parameter.grad = torch.linspace(100, 200, 1000)
        optimizer.step()
    assert parameter.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, "must be positive, got lr=0.0"),
        ({"epsilon": -1.0}, "epsilon=-1.0"),
        ({"decay": 1.0}, r"must be in \[0, 1\), got decay=1.0"),
        ({"momentum": -0.1}, "momentum=-0.1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        GravesRMSProp([torch.nn.Parameter(torch.ones(1))], **settings)


Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def weights_after(take: Callable[[torch.optim.Optimizer], object], make: Make) -> list[Tensor]:
    """Of five steps, in which one weight gets its first gradient late and another none at all."""
    generator = torch.Generator().manual_seed(0)
    weights = [nn.Parameter(torch.randn(3, 5, generator=generator)) for _ in range(4)]
    optimizer = make(weights)
    for step in range(5):
        for weight in weights[: 2 if step < 3 else 3]:
            weight.grad = torch.randn(3, 5, generator=generator)
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        take(optimizer)
    return weights


MAKERS: dict[str, Make] = {
    "as make_optimizer makes it": lambda w: torch.optim.Adam(w, betas=(0.8, 0.99), fused=True),
    "weight decay": lambda w: torch.optim.Adam(w, weight_decay=0.1, fused=True),
    "amsgrad": lambda w: torch.optim.Adam(w, amsgrad=True, fused=True),
    "decoupled": lambda w: torch.optim.AdamW(w, weight_decay=0.1, fused=True),
    "one by one": lambda w: torch.optim.Adam(w, foreach=False),
    "two groups": lambda w: torch.optim.Adam([{"params": w[:1]}, {"params": w[1:]}], fused=True),
    "RMSProp": lambda w: GravesRMSProp(w),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_a_cheap_step_is_the_step_of_the_optimiser(make: Make) -> None:
    found, wanted = weights_after(take_step, make), weights_after(lambda one: one.step(), make)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_a_cheap_step_of_an_older_adam() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.1, fused=True)
    for _ in range(2):  # the first makes the moments
        weight.grad = torch.ones(3)
        take_step(optimizer)
        optimizer.param_groups[0].pop("decoupled_weight_decay", None)  # as torch 2.6 has it
    assert torch.allclose(weight, torch.full((3,), 0.8))


def test_a_cheap_step_without_a_gradient_changes_nothing() -> None:
    weight = nn.Parameter(torch.ones(3))
    take_step(torch.optim.Adam([weight], fused=True))
    assert torch.equal(weight, torch.ones(3))


def test_each_parameter_counts_its_own_steps() -> None:
    """A cheap step adds to the counts of all that it updates at once, and to no other's."""
    weights = [nn.Parameter(torch.ones(2)) for _ in range(3)]
    optimizer = torch.optim.Adam(weights, fused=True)
    trained = [(0, 1, 2), (0, 1, 2), (0, 1), (0, 2), (1, 2), (0, 1, 2), (2,), (0, 1, 2)]
    for turn, which in enumerate(trained):
        for index, weight in enumerate(weights):
            weight.grad = torch.ones(2) if index in which else None
        take_step(optimizer)
        if turn == 5:  # as a run that goes on
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    counts = [float(optimizer.state[weight]["step"]) for weight in weights]
    assert counts == [sum(index in which for which in trained) for index in range(3)]

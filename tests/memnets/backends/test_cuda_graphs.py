"""The kernel for a GPU as an operator in graphs, on an emulator: against the reference."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.utils.checkpoint import checkpoint

import memnets
from memnets import Backend
from memnets.backends.cpu import division
from memnets.backends.cpu.engines import ENGINES
from memnets.backends.cpu.plan import Plan, Problem
from memnets.backends.cuda.node import Launch
from memnets.backends.cuda.sizes import divide
from tests.emulator import emulated
from tests.graphs import OPERATOR, Graphs, Model, assert_trains_as, exported
from tests.layers import BY_NAME, assert_same, inputs, leaves
from tests.memnets.backends.test_fused import TOLERANCES

SERVED = ["ntm_lstm", "dnc_lstm"]


@pytest.fixture(autouse=True)
def launched() -> Iterator[list[Launch]]:
    """What the emulator ran; each test says that something was, else the reference could pass."""
    with emulated() as found:
        yield found
    assert found


def trained(layer: nn.Module, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """The outputs, the final state, and the gradients of a loss over both."""
    y, state = call(*given, **named)
    made = [y, *leaves(state)]
    loss = torch.stack([part.square().mean() for part in made]).sum()
    return *made, *torch.autograd.grad(loss, list(layer.parameters()), materialize_grads=True)


def assert_trains_as_the_reference(layer: Any, call: Any, *given: Any, **named: Any) -> None:
    backend, every = layer.backend, layer.checkpoint_every
    found = trained(layer, call, *given, **named)
    layer.backend, layer.checkpoint_every = "reference", None
    expected = trained(layer, layer, *given, **named)
    layer.backend, layer.checkpoint_every = backend, every
    assert_same(found, expected, tolerance=TOLERANCES[layer.some_weight.dtype])


def compiled(layer: Any) -> Any:
    return torch.compile(layer, backend="aot_eager", fullgraph=True)


# ----------------------------------------------------------------------- torch.compile


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
@pytest.mark.parametrize("name", SERVED)
def test_any_number_of_rows_and_steps(name: str, dtype: torch.dtype) -> None:
    layer = BY_NAME[name].build(backend="cuda", dtype=dtype)
    call = compiled(layer)
    for steps, rows in ((5, 2), (5, 3), (7, 4)):
        assert_trains_as_the_reference(layer, call, inputs(steps=steps, batch=rows, dtype=dtype))


OTHERS = ("dnc_gru", "ntm_lstm_2_layers", "ntm_learned_initial_state", "dnc_several_heads")


@pytest.mark.parametrize("name", OTHERS)
def test_other_layers(name: str) -> None:
    layer = BY_NAME[name].build(backend="cuda")
    assert_trains_as_the_reference(layer, compiled(layer), inputs())


@pytest.mark.parametrize("name", SERVED)
def test_lengths_starts_and_a_carried_state(name: str) -> None:
    layer, x = BY_NAME[name].build(backend="cuda"), inputs()
    state = memnets.detach(layer(x)[1])
    mask = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    call = compiled(layer)
    given = {"lengths": torch.tensor([3, 5, 1]), "starts": mask}
    given["starts"] = mask & (torch.arange(5).unsqueeze(1) < given["lengths"])
    assert_trains_as_the_reference(layer, call, x, state, **given)
    more = inputs(steps=7, batch=4)
    given = {"lengths": torch.tensor([7, 2, 4, 1]), "starts": torch.zeros(7, 4, dtype=torch.bool)}
    assert_trains_as_the_reference(layer, call, more, layer.initial_state(4), **given)


@pytest.mark.parametrize("name", SERVED)
def test_segments(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a layer asks for, and those of a sequence for which memory is short."""
    layer = BY_NAME[name].build(backend=Backend("cuda", checkpoint_every=2))
    assert_trains_as_the_reference(layer, compiled(layer), inputs())
    layer = BY_NAME[name].build(backend="cuda")
    monkeypatch.setattr(division, "RECORD_BUDGET", 20000)
    call = compiled(layer)
    for steps, rows in ((2, 1), (9, 5)):
        assert_trains_as_the_reference(layer, call, inputs(steps=steps, batch=rows))


@pytest.mark.parametrize("every", [None, 2])
def test_two_backwards_of_one_forward(every: int | None) -> None:
    layer = BY_NAME["dnc_lstm"].build(backend=Backend("cuda", checkpoint_every=every))
    wanted = list(layer.parameters())
    loss = torch.compile(layer, backend="eager", fullgraph=True)(inputs())[0].square().sum()
    first = torch.autograd.grad(loss, wanted, retain_graph=True)
    assert_same(torch.autograd.grad(loss, wanted), first, tolerance=0)


def test_without_gradients_nothing_is_kept(launched: list[Launch]) -> None:
    layer, x = BY_NAME["dnc_lstm"].build(backend="cuda"), inputs()
    with torch.no_grad():
        assert_same(compiled(layer)(x), layer(x), tolerance=1e-14)
    assert [one.problem.times_kept for one in launched] == [0, 0]


def test_activation_checkpointing() -> None:
    layer, x = BY_NAME["ntm_lstm"].build(backend="cuda"), inputs()

    def run(x: Tensor) -> Any:
        return checkpoint(layer, x, use_reentrant=False)

    for call in (run, torch.compile(run, backend="aot_eager", fullgraph=True)):
        assert_trains_as_the_reference(layer, call, x)


def test_the_steps_are_one_operator() -> None:
    seen, layer = Graphs(), BY_NAME["ntm_lstm"].build(backend="cuda")
    call = torch.compile(layer, backend=seen, fullgraph=True)
    for steps in (4, 8, 12):
        call(inputs(steps=steps))
    assert [names.count(OPERATOR) for names in seen.found] == [1, 1]  # of 4 steps, then of any


# ----------------------------------------------------------------------- torch.export


@pytest.mark.parametrize(("name", "strict"), [("ntm_lstm", True), ("dnc_lstm", False)])
def test_export(name: str, strict: bool) -> None:
    """For any number of rows and steps; what is exported can be saved, loaded, and trained."""
    layer = BY_NAME[name].build(backend="cuda")
    model = Model(layer)
    loaded = exported(model, inputs(), strict)
    layer.backend = "reference"
    assert_trains_as(loaded, model, tolerance=1e-10)


# ----------------------------------------------------------------------- torch.func


@pytest.mark.parametrize("name", SERVED)
def test_an_ensemble_is_a_loop_over_its_members(name: str) -> None:
    """Vmap over parameters, by the rule of the CPU: a launch for each member."""
    members = [BY_NAME[name].build(seed=seed, backend="cuda") for seed in range(3)]
    parameters, buffers = stack_module_state(members)
    x = inputs()

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        y, state = functional_call(members[0], (parameters, buffers), (x,))
        return y.square().sum() + state.memory.memory.sum()

    found, losses = torch.func.vmap(torch.func.grad_and_value(loss))(parameters, buffers)
    for index, alone in enumerate(members):
        alone.backend = "reference"
        y, state = alone(x)
        expected = y.square().sum() + state.memory.memory.sum()
        expected.backward()
        assert_same(losses[index], expected.detach(), tolerance=1e-10)
        for key, parameter in alone.named_parameters():
            assert_same(found[key][index], parameter.grad, tolerance=1e-10)


def test_a_second_order_in_a_transform() -> None:
    layer, x, found = BY_NAME["ntm_lstm"].build(), inputs(steps=3), []

    def penalty(x: Tensor) -> Tensor:
        return torch.func.grad(lambda x: layer(x)[0].square().sum())(x).square().sum()

    for backend in ("reference", "cuda"):
        layer.backend = backend
        found.append(torch.func.grad(penalty)(x))
    assert_same(found[1], found[0], tolerance=1e-9)


# ----------------------------------------------------------------------- the sizes


@pytest.mark.parametrize("name", ["ntm_lstm_2_layers", "dnc_several_heads"])
def test_a_graph_keeps_enough(name: str) -> None:
    """A graph knows the size of what is kept before the kernel divides it."""
    layer = BY_NAME[name].build(backend="cuda")
    layer(inputs())
    plan = Plan(layer.spec)
    cases = itertools.product([1, 4, 65], [1, 9], [1, 3, 65], [False, True])
    for (time, rows, segment, starts), dtype in itertools.product(cases, TOLERANCES):
        problem = Problem.from_buffer_copy(plan.problem)
        problem.time, problem.batch, problem.segment = time, rows, min(segment, time)
        problem.times_kept, problem.starts = 1, 64 if starts else None
        used = divide(problem, plan.layers, None, dtype.itemsize)
        call = plan, dtype, time, rows, problem.segment, starts
        assert used <= ENGINES["cuda"].kept_numbers(*call) <= used + 64 * 32

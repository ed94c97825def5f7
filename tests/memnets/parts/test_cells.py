"""Cells: what each that is registered must keep, what the registry refuses, and `Stack`."""

import copy
import dataclasses
import importlib
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memnets.parts import controllers
from memnets.parts.controllers import CELLS, Controller, ElmanCell, Stack, register
from tests.layers import assert_same

B, I, HIDDEN = 3, 4, 6  # noqa: E741
EVERY = pytest.mark.parametrize("name", list(CELLS))


def build(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    kind: Any = CELLS[name]
    return kind(I, HIDDEN, **{"dtype": torch.float64, **options})


def lived(cell: Any, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """A state that is not zero, as a step leaves it."""
    start = tuple(torch.zeros(B, HIDDEN, dtype=dtype) for _ in range(cell.state_tensors))
    with torch.no_grad():
        return cell(torch.ones(B, I, dtype=dtype), start)[1]


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The registry, which is as it was after the test."""
    for name, kind in CELLS.items():
        monkeypatch.setitem(CELLS, name, kind)  # put back at the end
    before = dict(CELLS)
    yield CELLS
    CELLS.clear()
    CELLS.update(before)


# ------------------------------------------------------------------------ every cell


def test_the_names() -> None:
    """What is registered besides is another file's: these are in checkpoints and in recipes."""
    assert {"lstm", "gru", "elman", "feedforward", "feedforward_tanh"} <= set(CELLS)


@EVERY
def test_a_file_and_the_package_have_the_class(name: str) -> None:
    """Pickles hold the place of a class: that of its file, and before there were files, this."""
    kind = CELLS[name]
    assert kind.__module__.startswith("memnets.parts.controllers.")
    assert getattr(controllers, kind.__name__) is kind
    assert getattr(importlib.import_module(kind.__module__), kind.__name__) is kind
    cell = build(name)
    assert_same(tuple(pickle.loads(pickle.dumps(cell)).parameters()), tuple(cell.parameters()), 0)


@EVERY
def test_what_a_step_returns(name: str) -> None:
    cell = build(name)
    state = lived(cell)
    h, after = cell(torch.randn(B, I, dtype=torch.float64), state)
    assert h.shape == (B, HIDDEN)
    assert isinstance(after, tuple)
    assert [one.shape for one in after] == [(B, HIDDEN)] * cell.state_tensors
    assert all(not torch.equal(one, before) for one, before in zip(after, state, strict=True))


@EVERY
def test_rows_do_not_see_each_other(name: str) -> None:
    cell = build(name)
    x, state = torch.randn(B, I, dtype=torch.float64), lived(cell)
    h, after = cell(x, state)
    for row in range(B):
        alone = cell(x[row : row + 1], tuple(one[row : row + 1] for one in state))
        assert_same(alone, (h[row : row + 1], tuple(one[row : row + 1] for one in after)))


@EVERY
def test_the_gradient(name: str) -> None:
    cell = build(name)
    x = torch.randn(B, I, dtype=torch.float64)
    names = [key for key, _ in cell.named_parameters()]
    count = cell.state_tensors

    def step(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        parameters = dict(zip(names, tensors[count:], strict=True))
        h, after = torch.func.functional_call(cell, parameters, (x, tensors[:count]))
        return (h, *after)

    arguments = [one.detach().requires_grad_() for one in (x, *lived(cell), *cell.parameters())]
    assert torch.autograd.gradcheck(step, arguments)


@EVERY
def test_reset_parameters_draws_what_a_new_cell_has(name: str) -> None:
    cell = build(name)
    new = copy.deepcopy(tuple(cell.parameters()))
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.fill_(torch.nan)
    torch.manual_seed(0)
    cell.reset_parameters()
    assert_same(tuple(cell.parameters()), new, tolerance=0)


@EVERY
def test_the_state_keeps_its_dtype_under_autocast(name: str) -> None:
    cell = build(name, dtype=torch.float32)
    state = lived(cell, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h, after = cell(torch.randn(B, I), state)
    assert all(one.dtype == torch.float32 for one in after)
    assert not after or h.dtype == torch.float32


@EVERY
def test_device_and_dtype(name: str) -> None:
    cell = build(name, device="meta", dtype=torch.float16)
    assert {(p.device.type, p.dtype) for p in cell.parameters()} == {("meta", torch.float16)}


# ---------------------------------------------------------------------- the registry


class Plain(nn.Module):
    """A cell in as few lines as there can be: a running mean of W x."""

    state_tensors = 1

    def __init__(
        self, input_size: int, hidden_size: int, *, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, hidden_size, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h = (self.linear(x) + state[0]) / 2
        return h, (h,)


@pytest.mark.parametrize("learned_initial_state", [False, True])
def test_a_cell_of_ones_own(cells: dict[str, Any], learned_initial_state: bool) -> None:
    """Its parameters need not have the names of torch's."""
    assert register("running_mean")(Plain) is Plain
    assert cells["running_mean"] is Plain
    stack = Stack(cell="running_mean", hidden_size=2, num_layers=3)
    controller = stack.build(I, learned_initial_state=learned_initial_state, dtype=torch.float64)
    state = controller.initial_state(B)
    assert_same(state, ((torch.zeros(B, 2, dtype=torch.float64),),) * 3)
    first = controller.cells[0].linear
    x = torch.randn(B, I, dtype=torch.float64)
    assert_same(controller(x, state)[1][0][0], (x @ first.weight.T + first.bias) / 2)


def test_a_class_that_is_defined_again_replaces_its_former_self(cells: dict[str, Any]) -> None:
    again = type("Plain", (Plain,), {"__module__": __name__, "__qualname__": "Plain"})
    register("running_mean")(Plain)
    assert register("running_mean")(again) is again
    assert cells["running_mean"] is again


@pytest.mark.parametrize("name", ["", "Own", "my-cell", "1st", "own_", "two words", None, Plain])
def test_a_name_that_is_none(name: Any) -> None:
    before = dict(CELLS)
    with pytest.raises(ValueError, match="the name of a cell must be words in lower case joined"):
        register(name)(Plain)
    assert before == CELLS


def test_a_name_that_is_taken() -> None:
    with pytest.raises(
        ValueError,
        match=r"'elman' is both memnets\.parts\.controllers\.elman\.ElmanCell and .*\.Plain: rena",
    ):
        register("elman")(Plain)
    assert CELLS["elman"] is ElmanCell


def test_a_class_with_two_names() -> None:
    with pytest.raises(ValueError, match=r"must have one name, but .*ElmanCell has another than"):
        register("simple")(ElmanCell)
    assert "simple" not in CELLS


class NoModule:
    state_tensors = 0


class NoConstructor(nn.Module):
    state_tensors = 0


class NoPlace(Plain):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)


class MoreNeeded(Plain):
    def __init__(
        self, input_size: int, hidden_size: int, *, rate: float, device: Any, dtype: Any
    ) -> None:
        super().__init__(input_size, hidden_size, device=device, dtype=dtype)


class NoCount(Plain):
    state_tensors = None


class Negative(Plain):
    state_tensors = -1


class Switch(Plain):
    state_tensors = True


class NoReset(Plain):
    reset_parameters = None


class NoForward(Plain):
    forward = nn.Module.forward


class NoState(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NoModule, r"class NoModule\) must be a class derived from torch\.nn\.Module, got <class"),
        (Plain(1, 1), r"must be a class derived from torch\.nn\.Module, got Plain\("),
        (NoConstructor, r"must be made by \(input_size, hidden_size, \*, device, dtype\)"),
        (NoPlace, r"need no more, got \(input_size: int, hidden_size: int\) -> None$"),
        (MoreNeeded, "need no more, got .*rate: float"),
        (NoCount, "state_tensors, a whole number of at least 0, got None"),
        (Negative, "state_tensors, a whole number of at least 0, got -1"),
        (Switch, "state_tensors, a whole number of at least 0, got True"),
        (NoReset, r"have reset_parameters\(\), which draws the parameters anew: define it"),
        (NoForward, r"have forward\(x, state\), which returns \(h, state\): define it"),
        (NoState, r"have forward\(x, state\), which returns \(h, state\): define it"),
    ],
)
def test_a_class_that_is_no_cell(kind: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"the cell 'own' .*{message}"):
        register("own")(kind)
    assert "own" not in CELLS


# ----------------------------------------------------------------------------- Stack


@EVERY
@pytest.mark.parametrize("skip_connections", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_a_stack_builds_the_controller(name: str, skip_connections: bool, residual: bool) -> None:
    """The same draws, names and numbers as the constructor with these arguments."""
    settings = {"num_layers": 2, "skip_connections": skip_connections, "residual": residual}
    stack = Stack(cell=name, hidden_size=5, **settings)
    for learned in (False, True):
        torch.manual_seed(1)
        built = stack.build(I, learned_initial_state=learned, dtype=torch.float64)
        torch.manual_seed(1)
        expected = Controller(
            name, I, 5, learned_initial_state=learned, dtype=torch.float64, **settings
        )
        assert type(built) is Controller
        assert list(built.state_dict()) == list(expected.state_dict())
        assert_same(tuple(built.parameters()), tuple(expected.parameters()), tolerance=0)
        x, state = torch.randn(B, I, dtype=torch.float64), expected.initial_state(B)
        assert_same(built(x, built.initial_state(B)), expected(x, state), tolerance=0)


def test_the_defaults_of_a_stack() -> None:
    controller = Stack().build(I, device="meta", dtype=torch.float16)
    assert set(controller.state_dict()) == {
        f"cells.0.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    assert controller.state_shape == (1, 2, 100)
    assert not controller.skip_connections
    weight = controller.get_parameter("cells.0.weight_hh")
    assert (weight.shape, weight.device.type, weight.dtype) == ((400, 100), "meta", torch.float16)


def test_a_stack_is_a_value() -> None:
    stack = Stack(cell="gru", num_layers=2)
    assert stack == Stack(cell="gru", num_layers=2)
    assert stack != Stack(cell="gru")
    assert {stack: 1}[pickle.loads(pickle.dumps(stack))] == 1
    assert Stack(**dataclasses.asdict(stack)) == stack
    with pytest.raises(dataclasses.FrozenInstanceError):
        stack.cell = "lstm"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "rnn"}, f"cell must be one of {', '.join(CELLS)}; got 'rnn'"),
        ({"cell": ElmanCell}, "cell must be one of .*got <class"),
        ({"hidden_size": 0}, "hidden_size must be a whole number of at least 1; got 0"),
        ({"num_layers": 1.5}, r"num_layers must be a whole number of at least 1; got 1\.5"),
        ({"skip_connections": 1}, "skip_connections must be True or False; got 1"),
        ({"residual": "yes"}, "residual must be True or False; got 'yes'"),
    ],
)
def test_a_setting_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stack(**settings)


def test_a_stack_of_no_input() -> None:
    with pytest.raises(ValueError, match="input_size must be a whole number of at least 1; got 0"):
        Stack().build(0)

"""The kernel inside of the graphs of torch.compile: it gives what it gives in eager mode.

Each test says that the operator is there, else the reference could pass in its place.
"""

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._functorch.config as functorch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.parametrizations import orthogonal
from torch.utils.checkpoint import checkpoint

import memnets
from memnets import Backend
from memnets.backends.cpu import division, graphs
from memnets.parts.content import Content
from memnets.parts.wiring import WiredStack
from memnets.state import leaves
from tests.graphs import OPERATOR, Graphs
from tests.layers import BY_NAME, assert_same, inputs

SERVED = ["ntm_lstm", "dnc_lstm"]


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def training(layer: nn.Module, call: Callable[..., Any], *given: Any, **named: Any) -> list[Tensor]:
    """The outputs, the final state, and all gradients of a loss over both."""
    y, state = call(*given, **named)
    made = [y, *leaves(state)]
    loss = torch.stack([part.square().mean() for part in made]).sum()
    return [*made, *torch.autograd.grad(loss, list(layer.parameters()), materialize_grads=True)]


def assert_trains_alike(layer: Any, compiled: Any, *given: Any, **named: Any) -> None:
    assert layer.backend == "fused"
    found = training(layer, compiled, *given, **named)
    assert_same(tuple(found), tuple(training(layer, layer, *given, **named)), tolerance=1e-12)


# ----------------------------------------------------------------------- torch.compile


@pytest.mark.parametrize("name", SERVED)
def test_training_for_any_number_of_rows_and_steps(name: str) -> None:
    layer = BY_NAME[name].build(backend="fused")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for steps, rows in ((5, 2), (5, 3), (7, 4)):
        assert_trains_alike(layer, compiled, inputs(steps=steps, batch=rows))


def test_the_steps_are_one_operator() -> None:
    """Of any length: the graph of the reference has the operations of each step."""
    seen = Graphs()
    layer = BY_NAME["ntm_lstm"].build()
    compiled = torch.compile(layer, backend=seen, fullgraph=True)
    for steps in (4, 8, 12):
        compiled(inputs(steps=steps))
    assert [names.count(OPERATOR) for names in seen.found] == [1, 1]  # of 4 steps, then of any
    assert max(len(names) for names in seen.found) < 60


OTHERS = [
    "dnc_gru",
    "ntm_lstm_2_layers",
    "ntm_read_first",
    "ntm_learned_initial_state",
    "ntm_feedforward",
    "dnc_several_heads",
    "dnc_masked_content_only",
]


@pytest.mark.parametrize("name", OTHERS)
def test_other_layers(name: str) -> None:
    layer = BY_NAME[name].build(backend="fused")
    assert_trains_alike(layer, torch.compile(layer, backend="aot_eager", fullgraph=True), inputs())


def test_the_inductor() -> None:
    layer = BY_NAME["ntm_lstm"].build(backend="fused", dtype=torch.float32)
    x = inputs(dtype=torch.float32)
    found = training(layer, torch.compile(layer, fullgraph=True), x)
    assert_same(tuple(found), tuple(training(layer, layer, x)), tolerance=1e-5)


@pytest.mark.parametrize("grad", ["no_grad", "inference_mode"])
def test_without_gradients(grad: str) -> None:
    layer, x = BY_NAME["dnc_lstm"].build(backend="fused"), inputs()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    with getattr(torch, grad)():
        assert_same(compiled(x), layer(x), tolerance=0)


READOUTS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "as it is": (lambda layer: None, True),
    "none": (lambda layer: layer.register_module("readout", None), False),
    "alone": (lambda layer: layer.requires_grad_(False).readout.requires_grad_(), False),
    "frozen": (lambda layer: layer.readout.requires_grad_(False), True),
    "with a hook": (lambda layer: layer.readout.register_forward_hook(_double), False),
    "of another class": (lambda layer: setattr(layer, "readout", Doubled(layer.readout)), False),
    "large": (lambda layer: None, False),
}


def _double(module: nn.Module, given: Any, made: Tensor) -> Tensor:
    return 2 * made


class Doubled(nn.Module):
    """A readout of a user's own."""

    def __init__(self, readout: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = readout.weight, readout.bias

    def forward(self, seen: Tensor) -> Tensor:
        return 2 * nn.functional.linear(seen, self.weight, self.bias)


@pytest.mark.parametrize("name", READOUTS)
def test_the_logits_are_the_operators_as_in_eager_mode(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel makes them in eager mode, the operator does, with the same gradients."""
    change, made = READOUTS[name]
    layer, x, seen = BY_NAME["ntm_lstm"].build(backend="fused"), inputs(), Graphs()
    change(layer)
    if name == "large":
        for module in (memnets.backends.cpu, graphs):
            monkeypatch.setattr(module, "READOUT", 1)
    torch.compile(layer, backend=seen, fullgraph=True)(x)
    (names,) = seen.found
    assert seen.served == [True]
    assert any("linear" in name or "cat" in name for name in names) is not made
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    wanted = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    found, expected = compiled(x)[0], layer(x)[0]
    assert_same(found, expected, tolerance=0 if made else 1e-14)
    loss = [torch.autograd.grad(one.square().sum(), wanted) for one in (found, expected)]
    assert_same(*loss, tolerance=1e-12)


def test_carried_state() -> None:
    layer, x = BY_NAME["ntm_lstm"].build(backend="fused"), inputs()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    _, state = layer(x)
    assert_trains_alike(layer, compiled, x, memnets.detach(state))
    _, after = compiled(x, state)
    assert_same(after, layer(x, state)[1], tolerance=1e-12)


@pytest.mark.parametrize("name", SERVED)
def test_starts(name: str) -> None:
    layer = BY_NAME[name].build(backend="fused")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    mask = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    assert_trains_alike(layer, compiled, inputs(), starts=mask)


def test_lengths() -> None:
    layer = BY_NAME["ntm_lstm"].build(backend="fused")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for steps, lengths in ((5, [3, 5, 1]), (6, [6, 2, 4, 1])):
        x = inputs(steps=steps, batch=len(lengths))
        assert_trains_alike(layer, compiled, x, lengths=torch.tensor(lengths))


@pytest.mark.parametrize("backend", ["reference", "fused"])
def test_wrong_lengths_are_an_error_when_the_graph_runs(backend: str) -> None:
    layer = BY_NAME["ntm_lstm"].build(backend=backend)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = inputs(steps=2)
    assert_same(compiled(x, lengths=torch.tensor([2, 2, 1])), layer(x, lengths=[2, 2, 1]))
    for wrong in ([0, 2, 1], [2, 3, 1]):
        with pytest.raises(RuntimeError, match="lengths must be B whole numbers from 1 to T"):
            compiled(x, lengths=torch.tensor(wrong))


def test_segments() -> None:
    layer = BY_NAME["dnc_lstm"].build(backend=Backend("fused", checkpoint_every=2))
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert_trains_alike(layer, compiled, inputs())


def test_more_than_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = BY_NAME["ntm_lstm"].build(backend="fused")
    monkeypatch.setattr(division, "RECORD_BUDGET", 3000)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for steps, rows in ((2, 1), (5, 3), (6, 4), (9, 5)):
        assert_trains_alike(layer, compiled, inputs(steps=steps, batch=rows))


@pytest.mark.parametrize("every", [None, 2])
def test_two_backwards_of_one_forward(every: int | None) -> None:
    layer = BY_NAME["ntm_lstm"].build(backend=Backend("fused", checkpoint_every=every))
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    wanted = list(layer.parameters())
    with functorch.patch(donated_buffer=False):
        loss = compiled(inputs())[0].square().sum()
        first = torch.autograd.grad(loss, wanted, retain_graph=True)
        assert_same(torch.autograd.grad(loss, wanted), first, tolerance=1e-14)


def test_autocast() -> None:
    """The kernel computes in the layer's dtype; the readout follows autocast."""
    layer = BY_NAME["ntm_lstm"].build(backend="fused", dtype=torch.float32)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = inputs(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        (y, state), expected = compiled(x), layer(x)
        assert y.dtype is torch.bfloat16
        assert_same((y, state), expected, tolerance=0)
        y.float().sum().backward()
    assert layer.readout.weight.grad is not None


# ------------------------------------------------------------ a layer changed after that


def _limit(layer: Any) -> None:
    fields = layer.interface.tables[0].fields
    fields["strengths"] = fields["strengths"]._replace(limit=1.2)


def _twice(module: Any, name: str) -> None:
    """Give an object a method of its own, which doubles the first of what the class's returns."""
    method = getattr(module, name)

    def own(*given: Any) -> Any:
        first, *others = method(*given)
        return (2 * first, *others)

    setattr(module, name, own)


def _other_head(layer: Any) -> None:
    head = copy.deepcopy(layer.heads[0])
    object.__setattr__(head.addressing, "sharpen_epsilon", 0.2)
    layer.heads = (head, *layer.heads[1:])


def _other_setting(layer: Any) -> None:
    object.__setattr__(layer.heads[0].addressing, "similarity_epsilon", 0.3)


class Changed(memnets.NTM):
    """Another class of layers."""

    def initial_access(self, memory: Tensor) -> Any:
        return super().initial_access(memory + 1)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a setting": lambda layer: setattr(layer, "read_first", not layer.read_first),
    "a setting of a part": _other_setting,
    "a head": _other_head,
    "a limit": _limit,
    "the start": lambda layer: setattr(layer, "start", memnets.Start(memory=0.5)),
    "the constant": lambda layer: setattr(layer, "constant", 0.5),
    "the step": lambda layer: _twice(layer, "access"),
    "the controller's forward": lambda layer: _twice(layer.controller, "forward"),
    "a parametrization": lambda layer: orthogonal(layer.controller.cells[0], "weight_ih"),
    "the class": lambda layer: setattr(layer, "__class__", Changed),
    "the readout": lambda layer: setattr(layer, "readout", Doubled(layer.readout)),
    "the output": lambda layer: setattr(layer, "output", lambda h, reads: 2 * h[..., :2]),
    "a parameter": lambda layer: setattr(
        layer.interface.linear, "bias", nn.Parameter(layer.interface.linear.bias.detach() + 1)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_layer_is_not_computed_as_it_was(change: str) -> None:
    """torch.compile must see what eager mode looks at in each call, and make another graph."""
    seen, layer, x = Graphs(), BY_NAME["ntm_lstm"].build(), inputs(steps=3)
    layer.heads = copy.deepcopy(layer.heads)  # the defaults are shared by all layers
    compiled = torch.compile(layer, backend=seen, fullgraph=True)
    before, _ = compiled(x)
    assert seen.served == [True]
    CHANGES[change](layer)
    after, _ = compiled(x)
    assert (after - before).abs().max() > 1e-6
    assert_same(after, layer(x)[0], tolerance=1e-9)


def test_a_residual_stack_is_not_computed_as_it_was() -> None:
    layer, x = BY_NAME["ntm_lstm_2_layers"].build(), inputs(steps=3)
    compiled = torch.compile(layer, backend="aot_eager")
    before, _ = compiled(x)
    layer.controller.residual = True
    after, _ = compiled(x)
    assert (after - before).abs().max() > 1e-6
    assert_same(after, layer(x)[0], tolerance=1e-9)


def test_a_dropout_beside_the_readout_begins_with_training() -> None:
    wired = WiredStack(bypass_dropout=0.999)
    layer, x = BY_NAME["ntm_lstm"].build(controller=wired).eval(), inputs(steps=3)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    before, _ = compiled(x)
    assert_same(before, layer(x)[0], tolerance=0)
    layer.train()
    assert (compiled(x)[0] - before).abs().max() > 1e-3


@pytest.mark.parametrize("exported", [False, True])
def test_a_second_derivative_is_an_error_there(exported: bool) -> None:
    """And not a gradient that lacks a term."""
    layer, x = BY_NAME["ntm_lstm"].build(), inputs(steps=3).requires_grad_()
    program: Any = torch.compile(layer, backend="eager")
    if exported:
        program = torch.export.export(layer, (x.detach(),)).module()
    y, _ = program(x)
    (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="has no second derivative"):
        gradient.square().sum().backward()


def test_a_replaced_function_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = BY_NAME["ntm_lstm"].build(), inputs()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    compiled(x)
    weigh = Content.weigh
    monkeypatch.setattr(Content, "weigh", lambda *given: weigh(*given))
    with pytest.raises(ValueError, match=r"Content\.weigh did before.*backend=\"reference\""):
        compiled(x)


# ------------------------------------------------------- checkpoints, threads, processes


def test_activation_checkpointing() -> None:
    layer, x = BY_NAME["ntm_lstm"].build(backend="fused"), inputs()

    def run(x: Tensor) -> Any:
        return checkpoint(lambda x: layer(x)[0], x, use_reentrant=False)

    wanted = list(layer.parameters())
    expected = torch.autograd.grad(layer(x)[0].square().sum(), wanted)
    for call in (run, torch.compile(run, backend="aot_eager", fullgraph=True)):
        assert_same(torch.autograd.grad(call(x).square().sum(), wanted), expected, 1e-12)


def test_threads() -> None:
    layer, x = BY_NAME["ntm_lstm"].build(backend="fused"), inputs()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    expected, found = tuple(training(layer, compiled, x)), []

    def work() -> None:
        found.extend(tuple(training(layer, compiled, x)) for _ in range(5))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 20
    for one in found:
        assert_same(one, expected, tolerance=0)


def _of_a_process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/m", rank=rank, world_size=2)
    layer = BY_NAME["ntm_lstm"].build(backend="fused")
    module = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for model in (layer, module):
        layer.zero_grad()
        parallel = DistributedDataParallel(model)  # pyright: ignore[reportArgumentType]
        parallel(inputs(batch=4)[:, 2 * rank : 2 * rank + 2])[0].square().sum().backward()
        alone = BY_NAME["ntm_lstm"].build(backend="fused")
        alone(inputs(batch=4))[0].square().sum().div(2).backward()
        for one, other in zip(layer.parameters(), alone.parameters(), strict=True):
            assert_same(one.grad, other.grad, tolerance=1e-12)
    dist.destroy_process_group()


def test_processes(tmp_path: Any) -> None:
    """DistributedDataParallel around the layer, and around one that is compiled."""
    spawn(_of_a_process, args=(str(tmp_path),), nprocs=2)

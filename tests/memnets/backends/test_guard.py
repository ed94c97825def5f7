"""The kernel serves what it can prove it knows: each change of a layer is followed, or refused.

One thing at a time is changed in every layer of the table that the kernel serves. After it, `auto`
must compute what the reference computes, and `fused` that or an error with the reason.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import memnets
from memnets import dnc, interface, ntm, parts
from memnets.backends import cpu as fused
from memnets.backends.cpu import plan, specs
from memnets.backends.cpu.specs import SLOTS
from memnets.interface import Field, Interface
from memnets.parts import masking
from memnets.parts.content import Content
from memnets.parts.controllers import CELLS, Controller, ElmanCell
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation
from memnets.parts.start import Start
from memnets.parts.usage import Allocation
from tests.layers import BY_NAME, B, inputs, leaves, stack

NAMES = [
    "ntm_lstm",
    "ntm_lstm_skip_connections",
    "ntm_gru",
    "ntm_elman",
    "ntm_feedforward",
    "ntm_several_heads",
    "ntm_bounded",
    "ntm_content",
    "ntm_location",
    "dnc_lstm",
    "dnc_gru",
    "dnc_feedforward",
    "dnc_several_heads",
]


def results(layer: Any, backend: str) -> list[Tensor]:
    """Output, final state, and the gradients of x and of every parameter."""
    layer.backend = backend
    x = inputs().requires_grad_()
    y, state = layer(x)
    made = [y, *leaves(state)]
    weights = [torch.linspace(-1, 1, one.numel(), dtype=one.dtype).view_as(one) for one in made]
    wanted = [x, *layer.parameters()]
    return [y, *leaves(state), *torch.autograd.grad(made, wanted, weights, materialize_grads=True)]


def follows_or_refuses(layer: Any) -> str | None:
    """Check that `auto` and `fused` do what the reference does, or `fused` says why it cannot."""
    expected = results(layer, "reference")
    for one, other in zip(results(layer, "auto"), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    x = inputs()
    reason = fused.supports(layer, x, layer.initial_state(B))
    layer.backend = "fused"
    if reason is not None:
        with pytest.raises(ValueError, match='backend="fused" cannot serve this call'):
            layer(x)
    return reason


def shrunk(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose first tensors are a little smaller than the original's."""

    def smaller(part: Any) -> Any:
        if isinstance(part, Tensor):
            return 0.9 * part
        return type(part)(*(0.9 * one for one in part))

    def shrinking(*given: Any, **named: Any) -> Any:
        found = function(*given, **named)
        if isinstance(found, Tensor):
            return 0.9 * found
        parts = [smaller(found[0]), *found[1:]]
        return type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)

    return shrinking


def inner(layer: nn.Module) -> dict[str, nn.Module]:
    """The modules that the kernel runs for the layer, by name."""
    return {name: module for name, module in layer.named_modules() if name not in ("", "readout")}


def called(layer: nn.Module) -> dict[str, nn.Module]:
    """Those of them that are called, which a list of modules is not."""
    found = inner(layer).items()
    return {name: module for name, module in found if not isinstance(module, nn.ModuleList)}


# What is changed in place: the kernel must see it at the next call, so each layer has run before.
def subclass(module: nn.Module) -> None:
    forward = type(module).forward
    own = type("Own", (type(module),), {"forward": shrunk(forward)})
    module.__class__ = own


def own_forward(module: nn.Module) -> None:
    module.forward = shrunk(module.forward)


def forward_hook(module: nn.Module) -> None:
    module.register_forward_hook(lambda module, given, made: shrunk(lambda: made)())


def forward_pre_hook(module: nn.Module) -> None:
    module.register_forward_pre_hook(lambda module, given: (0.9 * given[0], *given[1:]))


def backward_pre_hook(module: nn.Module) -> None:
    module.register_full_backward_pre_hook(lambda module, given: tuple(0.9 * one for one in given))


CHANGES = [subclass, own_forward, forward_hook, forward_pre_hook]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_changed_modules(name, change):
    for part in called(BY_NAME[name].build()):
        layer = BY_NAME[name].build()
        stock = results(layer, "auto")[0]
        change(layer.get_submodule(part))
        assert not torch.equal(results(layer, "reference")[0], stock)
        assert follows_or_refuses(layer) is not None


def test_backward_hooks():
    for part in ("interface", "interface.linear"):
        layer = BY_NAME["dnc_lstm"].build()
        results(layer, "auto")
        backward_pre_hook(layer.get_submodule(part))
        assert "hooks of its" in follows_or_refuses(layer)


def test_hooks_of_all_modules():
    layer = BY_NAME["ntm_lstm"].build()
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, given, made: 2 * made if isinstance(module, nn.Linear) else None
    )
    try:
        assert "hooks of all modules" in follows_or_refuses(layer)
    finally:
        handle.remove()
    assert follows_or_refuses(layer) is None


METHODS = ["from_input", "from_hidden", "activation"]


@pytest.mark.parametrize("name", NAMES)
def test_changed_methods_of_a_cell(name):
    for method in METHODS:
        layer = BY_NAME[name].build()
        stock = results(layer, "auto")[0]
        cell = layer.controller.cells[0]
        if not hasattr(cell, method):
            continue
        setattr(cell, method, shrunk(getattr(cell, method)))
        assert not torch.equal(results(layer, "reference")[0], stock)
        assert method in follows_or_refuses(layer)


@pytest.mark.parametrize("method", ["access", "advance"])
@pytest.mark.parametrize("name", NAMES)
def test_changed_methods_of_the_layer(name, method):
    layer = BY_NAME[name].build()
    stock = results(layer, "auto")[0]
    own = {
        "access": shrunk(layer.access),
        "advance": lambda x, state: type(layer).advance(layer, 2 * x, state),
    }
    setattr(layer, method, own[method])
    assert not torch.equal(results(layer, "reference")[0], stock)
    assert method in follows_or_refuses(layer)


@pytest.mark.parametrize("method", ["initial_state", "output", "forward"])
def test_methods_that_the_kernel_does_not_replace_may_be_changed(method):
    layer = BY_NAME["ntm_lstm"].build()
    before = getattr(layer, method)
    setattr(layer, method, lambda *given, **named: before(*given, **named))
    assert follows_or_refuses(layer) is None


def classes(layer: Any) -> list[type]:
    found = [
        type(layer),
        memnets.MemoryLayer,
        Controller,
        Interface,
        Field,
        type(layer.controller.cells[0]),
    ]
    return [*found, *{type(part) for part in specs.parts_of(layer.spec)}]


METHODS_OF_CLASSES = ["forward", "access", "advance", "from_input", "values", "__call__"]
METHODS_OF_CLASSES += ["weigh", "allocate", "update", "write"]


@pytest.mark.parametrize("name", NAMES)
def test_methods_changed_for_all_objects_of_a_class(name, monkeypatch):
    """What they compute is not compared: it is enough that none is missed."""
    for kind in classes(BY_NAME[name].build()):
        for method in METHODS_OF_CLASSES:
            if method not in vars(kind):
                continue
            layer = BY_NAME[name].build()
            results(layer, "auto")
            with monkeypatch.context() as patched:
                patched.setattr(kind, method, shrunk(vars(kind)[method]))
                assert method in fused.supports(layer, inputs(), layer.initial_state(B))
            assert follows_or_refuses(layer) is None


def test_what_a_class_inherits_may_not_be_hidden(monkeypatch):
    """A name that a class had from its base, and gets of its own."""
    layer = BY_NAME["ntm_gru"].build()
    results(layer, "auto")
    cell = type(layer.controller.cells[0])
    for kind, name, value in (
        (cell, "from_hidden", shrunk(cell.from_hidden)),
        (Controller, "__call__", shrunk(nn.Module.__call__)),
        (Controller, "skip_connections", property(lambda _: True)),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(kind, name, value, raising=False)
            assert name in fused.supports(layer, inputs(), layer.initial_state(B))
        assert follows_or_refuses(layer) is None


class Halved(ElmanCell):
    """A cell that is registered, and that the kernel was not written for."""

    def forward(self, x: Tensor, state: Any) -> Any:
        h, after = super().forward(x, state)
        return h / 2, after


def test_the_kernel_has_a_list_of_cells_of_its_own():
    assert [CELLS[name] for name in plan.CELL_NAMES] == list(plan.CELLS)
    assert list(plan.CELLS.values()) == list(range(len(plan.CELL_NAMES)))


@pytest.mark.parametrize("name", ["ntm_elman", "dnc_elman"])
def test_a_cell_that_was_registered_since_is_refused_by_its_name(name, monkeypatch):
    monkeypatch.setitem(CELLS, "halved", Halved)
    layer = BY_NAME[name].build(controller=stack(cell="halved", num_layers=2))
    assert type(layer.controller.cells[1]) is Halved
    reason = follows_or_refuses(layer)
    assert "It knows the cells LSTMCell, GRUCell, ElmanCell, FeedforwardCell, Tanh" in reason
    assert f"the controller has a {__name__}.Halved" in reason


def test_cells_of_two_kinds():
    layer = BY_NAME["ntm_lstm_2_layers"].build()
    results(layer, "auto")
    layer.controller.cells[1] = ElmanCell(6, 6, dtype=torch.float64)
    reason = fused.supports(layer, inputs(), layer.initial_state(B))
    assert "cells of one kind; this one has LSTMCell, ElmanCell" in reason


def test_a_controller_that_becomes_residual():
    layer = BY_NAME["ntm_lstm_2_layers"].build()
    results(layer, "auto")
    layer.controller.residual = True
    assert "without the setting residual=True" in follows_or_refuses(layer)


FUNCTIONS = [
    (parts.content, "content_weights"),
    (parts.content, "cosine_similarity"),
    (parts.content, "masked_similarity"),
    (masking, "masked_similarity"),
    (parts.location, "sharpen"),
    (parts.location, "content_weights"),
    *((parts.usage, n) for n in ("retention", "update_usage", "allocate", "product")),
    *((parts.linkage, n) for n in ("update_link", "update_precedence", "directional_weights")),
    *((parts.writing, n) for n in ("read", "write")),
    *((parts.heads, n) for n in ("read", "access")),
    (interface, "shaped"),
    *((dnc, n) for n in ("access", "step", "read")),
    (ntm, "access"),
]


@pytest.mark.parametrize(
    ("space", "name"), FUNCTIONS, ids=lambda one: getattr(one, "__name__", one)
)
def test_functions_changed_in_their_module(space, name, monkeypatch):
    for case in ("ntm_lstm", "dnc_lstm"):
        layer = BY_NAME[case].build()
        results(layer, "auto")
        with monkeypatch.context() as patched:
            patched.setattr(space, name, shrunk(getattr(space, name)))
            assert name in fused.supports(layer, inputs(), layer.initial_state(B))
        assert follows_or_refuses(layer) is None


def gelu_cell(layer: Any) -> None:
    layer.controller.cells[0].activation = nn.functional.gelu


def parametrized(layer: Any) -> None:
    parametrize.register_parametrization(layer.interface.linear, "weight", nn.Tanh())


def spectral(layer: Any) -> None:
    parametrizations.spectral_norm(layer.interface.linear)
    layer.eval()  # in training each call moves it on


def pruned(layer: Any) -> None:
    prune.l1_unstructured(layer.interface.linear, "weight", amount=0.5)


class Wrapped(Tensor):
    """A subclass that computes what a tensor computes."""


def wrapped_parameter(layer: Any) -> None:
    weight = layer.interface.linear.weight.detach().as_subclass(Wrapped)
    layer.interface.linear.weight = nn.Parameter(weight)


def no_bias(layer: Any) -> None:
    layer.interface.linear.bias = None


def own_linear(layer: Any) -> None:
    layer.interface.linear = nn.Sequential(layer.interface.linear, nn.Tanh())


def last_field(layer: Any, **changes: Any) -> None:
    table = layer.interface.tables[-1]
    name = list(table.fields)[-1]
    table.fields[name] = table.fields[name]._replace(**changes)


def own_range(layer: Any) -> None:
    last_field(layer, activation=nn.functional.gelu)


def other_range(layer: Any) -> None:
    last_field(layer, activation=interface.unit)


def other_limit(layer: Any) -> None:
    last_field(layer, limit=0.1)


def negative_strengths(layer: Any) -> None:
    for table in layer.interface.tables:
        for name, field in table.fields.items():
            if name.endswith(("strengths", "sharpenings")):
                table.fields[name] = field._replace(activation=interface.real)


def own_table(layer: Any) -> None:
    table = layer.interface.tables[0]
    own = type("Own", (table.kind,), {"__slots__": ()})
    layer.interface.tables = (table._replace(kind=own), *layer.interface.tables[1:])


def other_controller(layer: Any) -> None:
    old = layer.controller
    layer.controller = Controller(
        "gru", old.input_size, old.output_size, dtype=layer.readout.weight.dtype
    )


def twice_the_cell(layer: Any) -> None:
    if not layer.controller.skip_connections:
        cell, hidden = layer.controller.cells[0], layer.controller.hidden_size
        layer.controller.cells.append(type(cell)(hidden, hidden, dtype=torch.float64))
        layer.controller.state_shape = (2, *layer.controller.state_shape[1:])


def read_first(layer: Any) -> None:
    if hasattr(layer, "read_first"):
        layer.read_first = not layer.read_first


def epsilons(layer: Any) -> None:
    if hasattr(layer, "allocation"):
        layer.content = Content(similarity_epsilon=1e-2)
        layer.allocation = Allocation(epsilon=1e-2, resolution=2**-3, stop_gradient=True)


def parts_of_its_own(layer: Any) -> None:
    """Copies, as the defaults are shared by all layers."""
    if hasattr(layer, "heads"):
        layer.heads = tuple(
            dataclasses.replace(head, addressing=dataclasses.replace(head.addressing))
            for head in layer.heads
        )
    for name in SLOTS:
        if hasattr(layer, name):
            setattr(layer, name, dataclasses.replace(getattr(layer, name)))


def mutated_parts(layer: Any) -> None:
    """Settings changed in place, after the layer has run with them."""
    parts_of_its_own(layer)
    results(layer, "auto")
    changes = {"similarity_epsilon": 1e-2, "epsilon": 1e-2, "stop_gradient": True}
    for part in specs.parts_of(layer.spec):
        for name in changes.keys() & vars(part).keys():
            object.__setattr__(part, name, changes[name])


def own_addressing(layer: Any) -> None:
    class Own(ContentAndLocation):
        def __call__(self, *given: Any) -> Any:
            weights, state = super().__call__(*given)
            return weights.roll(1, -1), state

    if hasattr(layer, "heads") and isinstance(layer.heads[0].addressing, ContentAndLocation):
        layer.heads = tuple(
            dataclasses.replace(head, addressing=Own(**vars(head.addressing)))
            for head in layer.heads
        )


def own_initial_memory(layer: Any) -> None:
    layer.start = Start(memory=0.7)


def attribute(layer: Any) -> None:
    layer.note = layer.controller.note = "what a user keeps there"


def evaluating(layer: Any) -> None:
    layer.eval()


REFUSED = {
    gelu_cell: "activation",
    parametrized: "Linear",
    spectral: "Linear",
    pruned: "hooks",
    wrapped_parameter: "Wrapped",
    no_bias: "bias",
    own_linear: "Sequential",
    own_range: "range",
    negative_strengths: "at least 0",
    own_table: "Own",
}
FOLLOWED = [
    other_range,
    other_limit,
    other_controller,
    twice_the_cell,
    read_first,
    epsilons,
    mutated_parts,
    own_initial_memory,
    attribute,
    evaluating,
]


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_refused(name, change):
    layer = BY_NAME[name].build()
    results(layer, "auto")
    if change is gelu_cell and "feedforward" not in name:
        return
    change(layer)
    assert REFUSED[change] in follows_or_refuses(layer)


@pytest.mark.parametrize("change", FOLLOWED, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_followed(name, change):
    layer = BY_NAME[name].build()
    results(layer, "auto")
    change(layer)
    reason = follows_or_refuses(layer)
    assert reason is None or (change is other_limit and "simplex" in reason)


@pytest.mark.parametrize("name", NAMES)
def test_own_addressing(name):
    layer = BY_NAME[name].build()
    results(layer, "auto")
    own_addressing(layer)
    if hasattr(layer, "heads") and isinstance(layer.heads[0].addressing, ContentAndLocation):
        assert "Own" in follows_or_refuses(layer)


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize("name", NAMES)
def test_own_parts(name, slot):
    """Of a class of the user's: even one that computes what its base computes."""
    layer = BY_NAME[name].build()
    if not hasattr(layer, slot):
        return
    results(layer, "auto")
    kind = type(getattr(layer, slot))
    settings = {one.name: getattr(getattr(layer, slot), one.name) for one in fields(kind)}
    setattr(layer, slot, type("Own", (kind,), {})(**settings))
    assert f"It knows {kind.__name__} as {slot}; this layer has Own" in follows_or_refuses(layer)


@pytest.mark.parametrize("method", ["weigh", "allocate", "update", "write"])
@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_own_methods_of_a_part(name, method):
    """A method that one part alone has, in place of its class's."""
    layer = BY_NAME[name].build()
    parts_of_its_own(layer)
    stock = results(layer, "auto")[0]
    for slot in SLOTS:
        part = getattr(layer, slot, None)
        if hasattr(part, method):
            object.__setattr__(part, method, shrunk(getattr(part, method)))
            assert not torch.equal(results(layer, "reference")[0], stock)
            assert f"without the setting {method}=<func" in follows_or_refuses(layer)
            object.__delattr__(part, method)


class Chain(Linkage):
    """A linkage of the user's, who changed nothing yet."""


def test_parts_that_it_does_not_know():
    own_linkage = BY_NAME["dnc_lstm"].build(linkage=Chain())
    for layer, known in (
        (BY_NAME["ntm_own_writing"].build(), "EraseAdd as writing"),
        (own_linkage, "Linkage as linkage"),
    ):
        assert f"It knows {known}; this layer has" in follows_or_refuses(layer)


@pytest.mark.parametrize("name", ["content", "allocation"])
def test_parts_without_which_it_knows_no_layer(name):
    layer = BY_NAME["dnc_lstm"].build()
    setattr(layer, name, None)
    reason = fused.supports(layer, inputs(), BY_NAME["dnc_lstm"].build().initial_state(B))
    assert f"as {name}; this layer has None" in (reason or "")


def test_a_linkage_that_is_taken_away():
    layer = BY_NAME["dnc_lstm"].build()
    results(layer, "auto")
    layer.linkage = None
    state = BY_NAME["dnc_content_only"].build().initial_state(B)
    reason = fused.supports(layer, inputs(), state)
    assert "It knows an interface of 4 tables; this one has 5" in (reason or "")


def outputs(layer: Any, x: Tensor, backend: str) -> list[Tensor]:
    """What a layer returns from its own first state."""
    layer.backend = backend
    with torch.no_grad():
        return leaves(layer(x))


@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_the_first_state_follows_the_layer(name: str) -> None:
    """The kernel keeps a constant first state: what makes it may change, and so may the batch."""
    layer, x = BY_NAME[name].build(), inputs()
    seen = []
    for change in (
        lambda: None,
        lambda: setattr(layer, "start", Start(memory=0.25)),
        lambda: setattr(layer, "start", Start()),
        lambda: setattr(layer, "constant", 0.5),
        lambda: setattr(layer, "start", Start(memory=0.25)),
        lambda: object.__setattr__(layer.start, "memory", 0.75),
    ):
        change()
        for rows in (B, 1, B):
            found = outputs(layer, x[:, :rows], "auto")
            for one, wanted in zip(found, outputs(layer, x[:, :rows], "reference"), strict=True):
                torch.testing.assert_close(one, wanted, rtol=1e-9, atol=1e-9)
        seen.append(found[0])
    assert torch.equal(seen[0], seen[2])
    assert not torch.allclose(seen[0], seen[1])
    assert not torch.allclose(seen[0], seen[3])
    assert not torch.allclose(seen[1], seen[5])
    layer.float()
    assert {tensor.dtype for tensor in outputs(layer, x.float(), "auto")} == {torch.float32}


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("place", ["start_weights", "start"])
def test_a_beginning_that_is_given_to_a_layer(place: str, learned: bool) -> None:
    """A tensor that a first state begins with is read in each call, also if it is no parameter."""
    layer = BY_NAME["ntm_lstm"].build()
    outputs(layer, inputs(), "auto")
    owner: Any = layer if place == "start_weights" else layer.controller
    heads = layer.read_heads + layer.write_heads
    size = (heads, layer.memory_size) if owner is layer else owner.state_shape
    tensor = torch.randn(size, dtype=layer.readout.weight.dtype)
    setattr(owner, place, nn.Parameter(tensor) if learned else tensor)
    for _ in range(2):
        outputs(layer, inputs(), "auto")
        assert follows_or_refuses(layer) is None
        with torch.no_grad():
            getattr(owner, place).mul_(-1)


def test_a_property_in_place_of_a_setting(monkeypatch) -> None:
    layer = BY_NAME["dnc_lstm"].build()
    results(layer, "auto")
    monkeypatch.setattr(Content, "similarity_epsilon", property(lambda _: 0.5))
    assert "Content.similarity_epsilon" in (follows_or_refuses(layer) or "")


def test_a_constant_that_is_a_tensor() -> None:
    layer = BY_NAME["ntm_lstm"].build()
    layer.constant = torch.tensor(0.25)
    outputs(layer, inputs(), "auto")
    layer.constant.fill_(0.75)
    assert follows_or_refuses(layer) is None


def test_the_part_by_which_every_dnc_writes(monkeypatch) -> None:
    layer = BY_NAME["dnc_lstm"].build()
    results(layer, "auto")

    class Own(parts.writing.EraseAdd):
        write = shrunk(parts.writing.EraseAdd.write)

    with monkeypatch.context() as patched:
        patched.setattr(dnc, "WRITING", Own(add_range="real"))
        assert "memnets.dnc.WRITING" in (follows_or_refuses(layer) or "")
    object.__setattr__(dnc.WRITING, "write", shrunk(dnc.WRITING.write))
    try:
        assert "memnets.dnc.WRITING" in (follows_or_refuses(layer) or "")
    finally:
        object.__delattr__(dnc.WRITING, "write")
    assert follows_or_refuses(layer) is None


@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_several_heads"])
def test_nobody_can_write_to_the_first_state(name: str) -> None:
    layer, x = BY_NAME[name].build(backend="fused"), inputs()
    with torch.inference_mode():
        expected, _ = layer(x)
    with torch.no_grad():
        for tensor in leaves(layer(x[:1])[1]):
            tensor.add_(7.0)
    with torch.no_grad():
        assert torch.equal(layer(x)[0], expected)
    layer(x)[0].square().sum().backward()  # the state was first made in inference mode


class Scripted(nn.Module):
    """A controller that TorchScript can take."""

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, 4, dtype=torch.float64)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        return self.linear(x).tanh(), state

    @torch.jit.export
    def initial_state(self, batch_size: int) -> tuple[Tensor]:
        return (torch.zeros(batch_size, 1, dtype=torch.float64),)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_controller_is_refused() -> None:
    """Its parameters are in no dictionary, but in something like one."""
    layer = BY_NAME["ntm_lstm"].build()
    layer.interface = Interface(4, layer.interface.tables, dtype=torch.float64)
    layer.readout = nn.Linear(4 + layer.read_heads * layer.word_size, 2, dtype=torch.float64)
    layer.controller = torch.jit.script(Scripted(layer.controller.input_size))
    found = outputs(layer, inputs(), "auto")
    assert torch.equal(found[0], outputs(layer, inputs(), "reference")[0])
    reason = fused.supports(layer, inputs(), layer.initial_state(B))
    assert "this one is a RecursiveScriptModule" in (reason or "")

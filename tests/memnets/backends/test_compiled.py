"""The compiled backend gives what the reference gives, and compiles few times.

Most tests stop after torch's tracer (the compiler `eager` runs what it traced), as making machine
code takes half a minute; two tests make some.
"""

import copy
import gc
import pickle
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import memnets
from memnets.backends import compiled
from memnets.parts.content import Content
from memnets.parts.heads import ReadHead, WriteHead
from tests.layers import (
    BY_NAME,
    TABLE,
    Case,
    DotProduct,
    I,
    N,
    O,
    Query,
    W,
    assert_same,
    inputs,
    leaves,
    results,
)


@pytest.fixture(autouse=True)
def _traced_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In chunks of two steps, which are traced twice as fast as those of four."""
    monkeypatch.setattr(compiled, "COMPILER", "eager")
    monkeypatch.setattr(compiled, "CHUNK", 2)
    yield
    torch.compiler.reset()


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """What was compiled, one entry each time."""
    made = []

    def compiler(graph: torch.fx.GraphModule, _: Any) -> Any:
        made.append(graph)
        return graph.forward

    monkeypatch.setattr(compiled, "COMPILER", compiler)
    return made


def small(**options: Any) -> memnets.NTM:
    """Quick to trace."""
    sizes = {"memory_size": N, "word_size": W, "hidden_size": 6}
    heads = [ReadHead(Content()), WriteHead(Content())]
    return memnets.NTM(I, O, **{**sizes, "heads": heads, "backend": "compiled", **options})


def assert_all_same(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-12) -> None:
    assert_same(tuple(found), tuple(expected), tolerance)


# A case takes seconds to trace. What is left out is the same code as a case that is traced: the
# other model's controllers, a second layer beside the deep form that has one too.
LEFT_OUT = {"ntm_lstm_2_layers", "ntm_gru", "ntm_feedforward", "dnc_lstm_2_layers", "dnc_elman"}
LEFT_OUT |= {"dnc_lstm_skip_connections", "dnc_learned_initial_state", "dnc_one_read_head"}
LEFT_OUT |= {"ntm_feedforward_tanh"}
IN_CHUNKS = {"ntm_lstm", "ntm_mixed_heads", "dnc_several_heads", "dnc_wiped", "sdnc"}


@pytest.mark.parametrize("case", [case for case in TABLE if case.name not in LEFT_OUT], ids=str)
def test_the_references_results(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, final state and every gradient; rows end inside of chunks and between them.

    How steps are put into chunks is the same for all layers: most are traced for one step alone.
    """
    monkeypatch.setattr(compiled, "CHUNK", 2 if case.name in IN_CHUNKS else 1)
    lengths = [2, 4, 1]
    expected = results(case.build(), steps=4, lengths=lengths)
    assert_all_same(
        results(case.build(backend="compiled"), steps=4, lengths=lengths), expected, 1e-10
    )


@pytest.mark.parametrize("name", ["ntm_mixed_heads", "dnc_several_heads"])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_references_results_without_lengths(name: str, steps: int) -> None:
    expected = results(BY_NAME[name].build(), steps=steps)
    assert_all_same(results(BY_NAME[name].build(backend="compiled"), steps=steps), expected, 1e-10)


@pytest.mark.parametrize("name", ["ntm_mixed_heads", "dnc_learned_initial_state"])
@pytest.mark.parametrize("every", [None, 3])
def test_the_references_results_with_starts(name: str, every: int | None) -> None:
    """In a chunk of two steps and a single one, also from a state that is passed."""
    mask = torch.tensor([[1, 0, 0], [0, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0]]).bool()
    found = []
    for backend in ("reference", "compiled"):
        layer = BY_NAME[name].build(backend=memnets.Backend(backend, checkpoint_every=every))
        x = inputs().requires_grad_()
        fresh = memnets.detach(BY_NAME[name].build()(inputs(steps=2, seed=3))[1])
        fresh = memnets.map_tensors(Tensor.requires_grad_, fresh)
        first, state = layer(x, lengths=[5, 2, 4], starts=mask)
        second, end = layer(x, state, starts=mask, restart=fresh)
        total = first.square().sum() + second.sum() + sum(leaf.sum() for leaf in leaves(end))
        wanted = [x, *leaves(fresh), *layer.parameters()]
        gradients = torch.autograd.grad(total, wanted, materialize_grads=True)
        found.append([first, second, *leaves(end), *gradients])
    assert_all_same(found[1], found[0], 1e-10)


def test_no_starts_are_compiled_for(graphs: list) -> None:
    """Nor where they are, nor whether they come as [B, T]."""
    layer, turned = small(), small(batch_first=True)
    turned.load_state_dict(layer.state_dict())
    for seed in range(3):
        mask = torch.rand(4, 3, generator=torch.Generator().manual_seed(seed)) < 0.5
        x = inputs(steps=4, dtype=torch.float32)
        y, state = layer(x, starts=mask)
        layer(x, state, starts=mask, restart=memnets.detach(state))
        assert len(graphs) == 1
    for _ in range(2):
        assert_same(turned(x.transpose(0, 1), starts=mask.T)[0].transpose(0, 1), y, 1e-6)
        assert len(graphs) == 2


@pytest.mark.parametrize("name", ["ntm_content", "dnc_lstm"])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_no_length_is_compiled_for(
    name: str, with_lengths: bool, graphs: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One chunk and one step, in the real chunks of four."""
    monkeypatch.setattr(compiled, "CHUNK", 4)
    layer, reference = BY_NAME[name].build(backend="compiled"), BY_NAME[name].build()
    for steps, expected in ((3, 1), (4, 2), (7, 2), (9, 2), (40, 2), (4, 2)):
        x = inputs(steps=steps)
        for lengths in ([steps, 1, 1 + steps // 2], [1, steps, 2]) if with_lengths else (None,):
            assert_same(layer(x, lengths=lengths), reference(x, lengths=lengths), 1e-10)
        assert len(graphs) == expected


def test_no_layout_is_compiled_for(graphs: list) -> None:
    """Not batch_first with rows of any length, not a detached state; a batch size only once."""
    layer = small(batch_first=True)
    for steps in (4, 6, 8):
        _, state = layer(torch.randn(1, steps, I))
        layer(torch.randn(1, steps, I), state)
        layer(torch.randn(1, steps, I), memnets.detach(state))
        layer(torch.randn(steps, I))
    assert len(graphs) == 1
    for rows in (3, 4, 5, 6):
        layer(torch.randn(rows, 4, I))
    assert len(graphs) == 2  # for one row, and for any number


def test_layers_do_not_spend_each_others_compilations(graphs: list) -> None:
    """torch compiles a function eight times and then no more; it takes sizes that vary for
    dynamic.
    """
    for size in range(2, 12):
        layer = small(memory_size=size)
        layer(inputs(steps=2, dtype=torch.float32))
        assert len(graphs) == size - 1
        assert not [
            node
            for node in graphs[-1].graph.nodes
            if isinstance(node.meta.get("example_value"), torch.SymInt)
        ]


def test_new_values_of_parameters_are_used(graphs: list) -> None:
    layer, x = small(), inputs(steps=2, dtype=torch.float32)
    twin = small(backend="reference")
    for rate in (0.1, 0.2):
        layer(x)[0].square().sum().backward()
        torch.optim.SGD(layer.parameters(), rate).step()
        layer.zero_grad()
        twin.load_state_dict(layer.state_dict())
        assert_same(layer(x), twin(x), 1e-5)
    other = small(backend="reference")
    layer.load_state_dict(other.state_dict())
    assert_same(layer(x), other(x), 1e-5)
    layer.load_state_dict(twin.state_dict(), assign=True)
    assert_same(layer(x), twin(x), 1e-5)
    assert len(graphs) == 1
    assert_same(layer.double()(x.double()), twin.double()(x.double()), 1e-10)


def test_compiled_code_is_no_part_of_a_layer() -> None:
    layer, x = small(), inputs(steps=2, dtype=torch.float32)
    attributes = {name: set(vars(module)) for name, module in layer.named_modules()}
    expected = layer(x)
    assert {name: set(vars(module)) for name, module in layer.named_modules()} == attributes
    assert set(layer.state_dict()) == {name for name, _ in layer.named_parameters()}
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_same(twin(x), expected, 1e-6)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.zero_()
        assert not torch.equal(twin(x)[0], expected[0])
    assert_same(layer(x), expected, 1e-6)


def test_a_layer_that_is_gone_leaves_nothing_behind() -> None:
    layer = small()
    layer(inputs(steps=2, dtype=torch.float32))[0].sum().backward()
    gone, count = weakref.ref(layer), len(compiled._functions)
    del layer
    gc.collect()
    assert gone() is None
    assert len(compiled._functions) == count - 1


def test_what_wants_a_gradient() -> None:
    layer, x = small(), inputs(steps=2, dtype=torch.float32)
    with torch.no_grad():
        y, state = layer(x)
    assert not any(leaf.requires_grad for leaf in (y, *leaves(state)))
    expected = small(backend="reference")
    expected.load_state_dict(layer.state_dict())
    assert_same((y, state), expected(x), 1e-5)
    layer.requires_grad_(False)
    y, state = layer(x)
    assert not any(leaf.requires_grad for leaf in (y, *leaves(state)))
    assert layer(x.clone().requires_grad_())[0].requires_grad


def test_under_autocast() -> None:
    found = []
    for backend in ("compiled", "reference"):
        torch.manual_seed(0)
        layer = small(backend=backend)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y, state = layer(inputs(steps=4, dtype=torch.float32))
        y.float().square().sum().backward()
        found.append((y, state, tuple(parameter.grad for parameter in layer.parameters())))
    assert found[0][0].dtype == torch.bfloat16
    assert_same(found[0], found[1], 1e-4)


@pytest.mark.parametrize("compiler", ["eager", "aot_eager"])
def test_checkpoint_every(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of three steps: a chunk of two and a step."""
    monkeypatch.setattr(compiled, "COMPILER", compiler)
    layers = [small(backend=name, dtype=torch.float64) for name in ("reference", "compiled")]
    layers[1].load_state_dict(layers[0].state_dict())
    layers[1].checkpoint_every = 3
    expected, found = (results(layer, steps=7, lengths=[2, 7, 4]) for layer in layers)
    assert_all_same(found, expected, 1e-10)


def test_an_addressing_that_cannot_be_traced_whole() -> None:
    class Breaking(DotProduct):
        def __call__(
            self, parameters: Query, previous_weights: Tensor, memory: Any, state: Any
        ) -> tuple[Tensor, Any]:
            torch._dynamo.graph_break()
            return super().__call__(parameters, previous_weights, memory, state)

    heads = [ReadHead(Breaking()), WriteHead(DotProduct())]
    layer, x = small(heads=heads), inputs(steps=2, dtype=torch.float32)
    expected = small(heads=heads, backend="reference")
    expected.load_state_dict(layer.state_dict())
    assert_all_same(results(layer, steps=2), results(expected, steps=2), 1e-4)
    assert layer(x)[0].isfinite().all()


def test_inside_a_compiled_model() -> None:
    """The steps of the layer become a part of the model's own graph."""
    layer, x = small(), inputs(steps=2, dtype=torch.float32)
    model = nn.Sequential()
    model.add_module("layer", layer)
    whole = torch.compile(lambda x: model(x)[0].sin(), backend="eager", fullgraph=True)
    assert_same(whole(x), layer(x)[0].sin(), 1e-6)


def test_inside_a_transform_of_torch_func() -> None:
    layer, x = small(), inputs(steps=2, dtype=torch.float32)
    with pytest.raises(ValueError, match=r'"compiled".*torch\.func.*backend="reference"'):
        torch.func.vmap(lambda x: layer(x)[0])(x[None])


def test_an_error_in_a_head_is_not_taken_for_a_missing_compiler() -> None:
    class Wrong(DotProduct):
        def __call__(self, *_: Any) -> tuple[Tensor, Any]:
            raise RuntimeError("the head's own error")

    layer = small(heads=[ReadHead(Wrong()), WriteHead(DotProduct())])
    with pytest.raises(Exception, match="the head's own error"):
        layer(inputs(steps=1, dtype=torch.float32))


def test_the_inductor_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COMPILER", "inductor")
    torch.manual_seed(0)
    layers = [small(backend=name) for name in ("reference", "compiled")]
    layers[1].load_state_dict(layers[0].state_dict())
    expected, found = (results(layer, steps=4) for layer in layers)
    assert_all_same(found, expected, 2e-5)


def test_the_inductor_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COMPILER", "inductor")
    x, lengths = inputs(steps=3), [1, 3, 2]
    with torch.no_grad():
        expected = BY_NAME["dnc_lstm"].build()(x, lengths=lengths)
        monkeypatch.setattr(compiled, "CHUNK", 5)
        found = BY_NAME["dnc_lstm"].build(backend="compiled")(x, lengths=lengths)
    assert_same(found, expected, 1e-10)


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COMPILER", "inductor")
    # By torch's own means: it hides a setting that monkeypatch has put back.
    with (
        torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(RuntimeError, match=r'C\+\+ compiler.*install one.*backend="reference"'),
    ):
        small()(inputs(steps=1, dtype=torch.float32))

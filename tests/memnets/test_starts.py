"""`starts`: rows that begin anew inside a sequence, as if it had been cut there and run apart."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.utils.rnn import pack_sequence

import memnets
from tests.layers import (
    BY_NAME,
    TABLE,
    WITH_STACKS,
    B,
    Case,
    I,
    T,
    assert_same,
    inputs,
    leaves,
    numbers,
    rows,
    wanting,
)

over_the_table = pytest.mark.parametrize("case", TABLE, ids=str)
# What neither the kernel serves nor its searches is the reference under either name.
over_the_backends = pytest.mark.parametrize(
    ("case", "backend"),
    [
        pytest.param(case, backend, id=f"{backend}-{case}")
        for case in WITH_STACKS
        for backend in ("reference", "auto")
        if backend == "reference" or case.kernel or case.name.startswith(("sam", "sdnc"))
    ],
)
on_both_backends = pytest.mark.parametrize("backend", ["reference", "auto"])
SOME = torch.tensor([[1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
MASKS = {
    "some": SOME,
    "nowhere": torch.zeros(T, B, dtype=torch.bool),
    "everywhere": torch.ones(T, B, dtype=torch.bool),
}
LENGTHS = [2, 5, 1]


def in_pieces(layer: Any, x: Tensor, state: Any, mask: Tensor, restart: Any, lengths: Any) -> Any:
    """Each row alone, a call of the layer for each piece of it; padded with 0."""
    outputs, ends = [], []
    for b in range(x.shape[1]):
        row, length = slice(b, b + 1), len(x) if lengths is None else lengths[b]
        cuts = sorted({0, *mask[:length, b].nonzero().flatten().tolist(), length})
        carried, made = rows(state, row), []
        for first, end in pairwise(cuts):
            if mask[first, b]:
                carried = rows(restart, row)
            y, carried = layer(x[first:end, row], carried)
            made.append(y)
        made.append(x.new_zeros(len(x) - length, 1, y.shape[-1]))
        outputs.append(torch.cat(made))
        ends.append(carried)
    return torch.cat(outputs, 1), memnets.map_tensors(lambda *parts: torch.cat(parts), *ends)


def lived(layer: Any, seed: int, batch: int = B) -> Any:
    """A state that a layer has left, whose tensors want a gradient."""
    with torch.no_grad():
        _, state = layer(inputs(steps=2, batch=batch, seed=seed))
    return wanting(state)


def with_gradients(layer: Any, run: Any, x: Tensor, *states: Any) -> list[Tensor]:
    """What `run` of x and states returns, and the gradients of them and of every parameter."""
    x = x.clone().requires_grad_()
    y, state = run(x, *states)
    total = y.square().sum() + sum(leaf.square().sum() for leaf in leaves(state))
    wanted = [x, *(leaf for one in states for leaf in numbers(one)), *layer.parameters()]
    gradients = torch.autograd.grad(total, wanted, materialize_grads=True)
    return [y, *leaves(state), *gradients]


def assert_all_same(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-10) -> None:
    assert_same(tuple(found), tuple(expected), tolerance)


@over_the_backends
@pytest.mark.parametrize(
    ("name", "lengths"), [("some", None), ("some", LENGTHS), ("everywhere", LENGTHS)]
)
def test_a_sequence_cut_into_separate_runs(
    case: Case, backend: str, name: str, lengths: Any
) -> None:
    """Outputs, final state, and every gradient: of both states and of every parameter."""
    layer, mask = case.build(backend=backend), MASKS[name]
    states = lived(layer, 3), lived(layer, 4)

    def at_once(x: Tensor, state: Any, restart: Any) -> Any:
        return layer(x, state, lengths, starts=mask, restart=restart)

    def apart(x: Tensor, state: Any, restart: Any) -> Any:
        return in_pieces(layer, x, state, mask, restart, lengths)

    found = with_gradients(layer, at_once, inputs(), *states)
    assert_all_same(found, with_gradients(layer, apart, inputs(), *states))


@over_the_backends
def test_the_initial_state_is_what_rows_begin_from(case: Case, backend: str) -> None:
    """With the gradient of one that is learned, also where the layer begins with it."""
    layer = case.build(backend=backend)

    def apart(x: Tensor, *state: Any) -> Any:
        fresh = layer.initial_state(B)
        return in_pieces(layer, x, *(state or (fresh,)), SOME, fresh, None)

    for states in ((), (lived(layer, 3),)):
        found = with_gradients(layer, lambda x, *s: layer(x, *s, starts=SOME), inputs(), *states)
        assert_all_same(found, with_gradients(layer, apart, inputs(), *states))


@over_the_backends
@pytest.mark.parametrize("every", [1, 2, 3])
def test_in_segments(case: Case, backend: str, every: int) -> None:
    """Starts at the beginning of a segment, inside of it and at its end."""
    results = []
    for segment in (None, every):
        layer = case.build(backend=memnets.Backend(backend, checkpoint_every=segment))
        states = lived(layer, 3), lived(layer, 4)

        def run(x: Tensor, state: Any, restart: Any, layer: Any = layer) -> Any:
            return layer(x, state, starts=SOME, restart=restart)

        results.append(with_gradients(layer, run, inputs(), *states))
    assert_all_same(results[1], results[0])


@over_the_backends
def test_without_gradients(case: Case, backend: str) -> None:
    """The kernel keeps nothing then."""
    layer = case.build(backend=backend)
    state, restart = lived(layer, 3), lived(layer, 4)
    expected = layer(inputs(), state, starts=SOME, restart=restart)
    with torch.no_grad():
        found = layer(inputs(), state, starts=SOME, restart=restart)
        assert_same(found, expected)
        assert_same(found, in_pieces(layer, inputs(), state, SOME, restart, None))


@over_the_backends
def test_no_starts_change_nothing(case: Case, backend: str) -> None:
    layer = case.build(backend=backend)
    state, restart = lived(layer, 3), lived(layer, 4)
    nowhere = MASKS["nowhere"]
    found = layer(inputs(), state, starts=nowhere, restart=restart)
    assert_same(found, layer(inputs(), state), tolerance=0)
    for gradient in torch.autograd.grad(found[0].sum(), numbers(restart), materialize_grads=True):
        assert (gradient == 0).all()


@on_both_backends
@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_gru"])
def test_a_start_past_a_rows_length_changes_nothing(name: str, backend: str) -> None:
    """At the length itself and after it."""
    layer = BY_NAME[name].build(backend=backend)
    past = torch.arange(T)[:, None] >= torch.tensor(LENGTHS)
    restart = lived(layer, 4)

    def run(x: Tensor, restart: Any, starts: Tensor) -> Any:
        return layer(x, None, LENGTHS, starts=starts, restart=restart)

    found = with_gradients(layer, lambda x, one: run(x, one, past), inputs(), restart)
    expected = with_gradients(layer, lambda x, one: run(x, one, past & False), inputs(), restart)
    assert_all_same(found, expected, tolerance=0)
    both = with_gradients(layer, lambda x, one: run(x, one, past | SOME), inputs(), restart)
    alone = with_gradients(layer, lambda x, one: run(x, one, SOME), inputs(), restart)
    assert_all_same(both, alone, tolerance=0)


@over_the_backends
def test_nothing_from_before_a_start_is_left(case: Case, backend: str) -> None:
    """Not even NaN; and a state that is carried in has no gradient where its row starts at once."""
    layer = case.build(backend=backend)
    state, x = lived(layer, 3), inputs()
    x[:2] = torch.nan
    mask = MASKS["nowhere"].clone()
    mask[2] = True
    y, end = layer(x, state, starts=mask)
    assert_same((y[2:], end), layer(x[2:]))
    y, end = layer(inputs(), state, starts=SOME)
    total = y.square().sum() + sum(leaf.square().sum() for leaf in leaves(end))
    gradients = torch.autograd.grad(total, numbers(state), materialize_grads=True)
    assert all((gradient[0] == 0).all() for gradient in gradients)  # SOME[0] is of row 0 alone
    assert any((gradient[1] != 0).any() for gradient in gradients)


@over_the_backends
def test_one_step(case: Case, backend: str) -> None:
    layer, x = case.build(backend=backend), inputs(steps=1)
    state, restart = lived(layer, 3), lived(layer, 4)
    mask = torch.tensor([[True, False, True]])
    found = layer(x, state, starts=mask, restart=restart)
    mixed = memnets.map_tensors(
        lambda one, other: torch.stack([one[0], other[1], one[2]]), restart, state
    )
    assert_same(found, layer(x, mixed))


@on_both_backends
@pytest.mark.parametrize("name", ["ntm_learned_initial_state", "dnc_several_heads"])
def test_batch_first_and_unbatched(name: str, backend: str) -> None:
    layer = BY_NAME[name].build(backend=backend)
    turned = BY_NAME[name].build(backend=backend, batch_first=True)
    state, restart = lived(layer, 3), lived(layer, 4)
    y, end = layer(inputs(), state, starts=SOME, restart=restart)
    x = inputs().transpose(0, 1)
    assert_same(turned(x, state, starts=SOME.T, restart=restart), (y.transpose(0, 1), end))
    for one in (layer, turned):
        given = inputs()[:, 1], rows(state, 1)
        alone = one(*given, starts=SOME[:, 1], restart=rows(restart, 1))
        assert_same(alone, (y[:, 1], rows(end, 1)))
        assert_same(one(*given, starts=SOME[:, 1])[0], layer(inputs(), state, starts=SOME)[0][:, 1])


@on_both_backends
@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_gru"])
def test_gradcheck(name: str, backend: str) -> None:
    layer = BY_NAME[name].build(backend=backend)
    x, restart = inputs(steps=3, batch=2).requires_grad_(), lived(layer, 4, batch=2)
    mask = torch.tensor([[0, 1], [1, 0], [0, 1]]).bool()

    def run(x: Tensor, *tensors: Tensor) -> Any:
        given = memnets.unflatten(
            dict(zip(memnets.flatten(restart), tensors, strict=True)), restart
        )
        y, state = layer(x, starts=mask, restart=given)
        return y, *leaves(state)

    assert gradcheck(run, (x, *leaves(restart)))


def test_the_same_at_every_backward() -> None:
    """A mask that is changed in between counts as it was."""
    layer = BY_NAME["dnc_lstm"].build(backend=memnets.Backend(checkpoint_every=2))
    mask, restart = SOME.clone(), lived(layer, 4)
    loss = layer(inputs(), starts=mask, restart=restart)[0].square().sum()
    wanted = [*layer.parameters(), *leaves(restart)]
    first = torch.autograd.grad(loss, wanted, retain_graph=True)
    mask.logical_not_()
    assert all(map(torch.equal, first, torch.autograd.grad(loss, wanted)))


def test_inside_transforms_of_torch_func() -> None:
    layer = BY_NAME["ntm_lstm"].build()
    x, masks = torch.stack([inputs(), inputs(seed=2)]), torch.stack([SOME, ~SOME])
    found = torch.func.vmap(lambda x, mask: layer(x, starts=mask)[0])(x, masks)
    for one, x_one, mask in zip(found, x, masks, strict=True):
        assert_same(one, layer(x_one, starts=mask)[0])


def test_inside_a_compiled_model() -> None:
    layer = BY_NAME["ntm_content"].build()
    model = torch.compile(
        lambda x, mask: layer(x, starts=mask)[0].sin(), backend="eager", fullgraph=True
    )
    assert_same(model(inputs(), SOME), layer(inputs(), starts=SOME)[0].sin())


@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_under_autocast(name: str) -> None:
    found = []
    for backend in ("fused", "reference"):
        layer = BY_NAME[name].build(backend=backend, dtype=torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y, state = layer(inputs(dtype=torch.float32), starts=SOME)
        assert state.memory.memory.dtype == torch.float32
        found.append(y.float())
    torch.testing.assert_close(*found, rtol=0.1, atol=0.1)


@over_the_table
def test_a_record_of_it(case: Case) -> None:
    layer = case.build()
    state, restart = lived(layer, 3), lived(layer, 4)
    trace = memnets.record(layer, inputs(), state, starts=SOME, restart=restart)
    y, end = layer(inputs(), state, starts=SOME, restart=restart)
    assert_same(trace.outputs, y.detach(), 1e-10)
    assert_same(trace.read_vectors[-1], end.read_vectors.detach(), 1e-10)
    fresh = memnets.record(layer, inputs(), state, starts=SOME).outputs
    assert_same(fresh, layer(inputs(), state, starts=SOME)[0].detach(), 1e-10)


FORM = r"starts must be a tensor of bool \[T, B\], True where the row begins anew before the step"


@pytest.mark.parametrize(
    ("starts", "error", "message"),
    [
        (SOME.tolist(), TypeError, rf"{FORM}; got list"),
        (SOME.long(), TypeError, rf"{FORM}; got torch\.int64: convert it with \.bool\(\)"),
        (SOME.double(), TypeError, r"got torch\.float64: convert it"),
        (SOME[:-1], ValueError, r"which for this x is \(5, 3\); got .* shape \(4, 3\)\."),
        (SOME[:, 0], ValueError, r"which for this x is \(5, 3\); got .* shape \(5,\)\."),
        (SOME.T, ValueError, r"is \(5, 3\); got .* of the shape \(3, 5\): transpose it\."),
        (SOME[..., None], ValueError, r"got .* \(5, 3, 1\): drop its last axis with \.squeeze"),
        (SOME.to_sparse(), ValueError, r"is \(5, 3\); got torch\.sparse_coo of the shape \(5, 3\)"),
        (SOME.to("meta"), ValueError, r"it is on meta and x on cpu: move it with \.to\(\)"),
    ],
)
def test_wrong_starts(starts: Any, error: type[Exception], message: str) -> None:
    layer = BY_NAME["ntm_lstm"].build()
    with pytest.raises(error, match=message):
        layer(inputs(), starts=starts)
    with pytest.raises(error, match=message):
        memnets.record(layer, inputs(), starts=starts)


def test_starts_of_the_other_layout() -> None:
    layer = BY_NAME["ntm_lstm"].build(batch_first=True)
    with pytest.raises(ValueError, match=r"bool \[B, T\], .* is \(3, 5\); got .* \(5, 3\): transp"):
        layer(inputs().transpose(0, 1), starts=SOME)
    with pytest.raises(ValueError, match=r"bool \[T\], .* is \(5,\); got .* shape \(5, 3\)\."):
        layer(inputs()[:, 0], starts=SOME)


def test_a_packed_sequence_takes_no_starts() -> None:
    layer, packed = BY_NAME["ntm_lstm"].build(), pack_sequence([inputs()[:, 0]])
    for given in ({"starts": SOME[:, :1]}, {"restart": layer.initial_state(1)}):
        with pytest.raises(ValueError, match=r"starts and restart need a padded x.*pad_packed_seq"):
            layer(packed, **given)


def test_a_restart_that_serves_nothing() -> None:
    layer = BY_NAME["ntm_lstm"].build()
    with pytest.raises(ValueError, match=r"restart is what rows begin .* no starts: pass starts"):
        layer(inputs(), restart=layer.initial_state(B))


@pytest.mark.parametrize(
    ("restart", "error", "message"),
    [
        (lambda layer: tuple(layer.initial_state(B)), TypeError, "restart must be a memnets.State"),
        (
            lambda layer: layer.initial_state(1),
            ValueError,
            r"restart is not of this layer and batch: restart\.controller.* \(3, 6\), and is one "
            r"of \(1, 6\)\. Make it with initial_state\(3\)",
        ),
        (
            lambda layer: memnets.map_tensors(Tensor.float, layer.initial_state(B)),
            ValueError,
            r"restart\.controller.*float64, and is one of torch\.float32",
        ),
        (
            lambda layer: memnets.map_tensors(lambda one: one.to("meta"), layer.initial_state(B)),
            ValueError,
            r"restart\.controller.* on cpu, and is one on meta",
        ),
        (
            lambda layer: BY_NAME["dnc_lstm"].build().initial_state(B),
            ValueError,
            r"restart\.memory must be a NTMMemory, and is a DNCMemory",
        ),
    ],
)
def test_a_wrong_restart(restart: Any, error: type[Exception], message: str) -> None:
    layer = BY_NAME["ntm_lstm"].build()
    with pytest.raises(error, match=message):
        layer(inputs(), starts=SOME, restart=restart(layer))


def test_an_unbatched_restart() -> None:
    layer = BY_NAME["ntm_lstm"].build()
    x, mask = torch.zeros(T, I, dtype=torch.float64), SOME[:, 0]
    with pytest.raises(ValueError, match=r"restart.*Make it with initial_state\(\)"):
        layer(x, starts=mask, restart=layer.initial_state(1))

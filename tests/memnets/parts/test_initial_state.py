"""What a layer starts from, and the arguments that choose between the papers' and our ways."""

import pytest
import torch

import memnets
from memnets.parts.content import Content
from memnets.parts.heads import Heads, ReadHead, WriteHead
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.start import Start
from memnets.parts.usage import Allocation
from memnets.parts.writing import EraseAdd


def small_ntm(**options):
    torch.manual_seed(0)
    sizes = {"memory_size": 5, "word_size": 4, "hidden_size": 6}
    return memnets.NTM(3, 2, **(sizes | options))


def small_dnc(**options):
    torch.manual_seed(0)
    sizes = {"memory_size": 5, "word_size": 4, "hidden_size": 6}
    return memnets.DNC(3, 2, **(sizes | options))


@pytest.mark.parametrize("make", [small_ntm, small_dnc])
@pytest.mark.parametrize("contents", [0.0, 0.25])
def test_initial_memory_is_the_constant(make, contents):
    state = make(start=Start(memory=contents)).initial_state(2)
    assert torch.equal(state.memory.memory, torch.full((2, 5, 4), contents))
    assert not state.read_vectors.any()
    assert not state.controller[0][0].any()


@pytest.mark.parametrize("make", [small_ntm, small_dnc])
def test_memory_spread_tells_the_slots_of_a_learned_memory_apart(make):
    learned = make(memory_size=400, start=Start(learned=True, memory=1.0, spread=2))
    contents = learned.initial_state(1).memory.memory[0].detach()
    assert contents.mean().item() == pytest.approx(1.0, abs=0.2)
    assert contents.std().item() == pytest.approx(2.0, rel=0.1)
    assert len(contents.unique(dim=0)) == 400
    with pytest.raises(ValueError, match=r"spread must be 0 .* got 0.5: pass learned=True"):
        make(start=Start(spread=0.5))


def test_the_defaults_of_initial_memory():
    assert small_ntm().initial_state(1).memory.memory.unique().item() == pytest.approx(1e-6)
    assert not small_dnc().initial_state(1).memory.memory.any()


def test_an_ntm_starts_on_slot_0():
    memory = small_ntm(read_heads=2).initial_state(3).memory
    first = torch.tensor([1.0, 0, 0, 0, 0])
    assert torch.equal(memory.read_weights, first.expand(3, 2, 5))
    assert torch.equal(memory.write_weights, first.expand(3, 1, 5))


def test_a_dnc_starts_with_nothing_used_written_or_read():
    memory = small_dnc().initial_state(2).memory
    for part in (memory.usage, memory.link, memory.precedence, *memory[4:]):
        assert not part.any()


@pytest.mark.parametrize("make", [small_ntm, small_dnc])
def test_a_learned_initial_state_is_made_of_parameters_that_learn(make):
    layer = make(start=Start(learned=True))
    learned = {name for name, _ in layer.named_parameters() if "start" in name}
    plain = {name for name, _ in make().named_parameters() if "start" in name}
    assert not plain
    assert {"start_memory", "start_read_vectors", "controller.start"} <= learned
    assert ("start_weights" in learned) == (make is small_ntm)
    torch.nn.init.normal_(layer.start_memory)
    y, _ = layer(torch.ones(3, 2, 3))
    y.square().sum().backward()
    for name, parameter in layer.named_parameters():
        if name in learned:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
    state = layer.initial_state(2)
    assert torch.equal(state.memory.memory[1], layer.start_memory)
    if make is small_ntm:
        sums = state.memory.read_weights.sum(-1)
        torch.testing.assert_close(sums, torch.ones(2, 1))


PLAIN = {"gate_bias": 0.0, "sharpening_bias": 0.0}
REAL = EraseAdd(add_range="real")


def focusing(**settings):
    """An NTM whose heads have these settings."""
    return small_ntm(heads=Heads(read=ContentAndLocation(**settings)))


def test_gate_bias_is_added_to_the_initial_bias_of_the_gates():
    biased, plain = focusing(gate_bias=-2.0), focusing(gate_bias=0.0)
    added = biased.interface.linear.bias - plain.interface.linear.bias
    expected = torch.zeros_like(added)
    # For each head: key [4], strength, gate, shifts [3], sharpening; the read head comes first.
    expected[[5, 15]] = -2.0
    torch.testing.assert_close(added, expected)
    assert torch.equal(biased.interface.linear.weight, plain.interface.linear.weight)


def test_write_heads_can_have_a_gate_bias_of_their_own():
    plain = focusing(**PLAIN)
    read, write = (ContentAndLocation(**PLAIN | {"gate_bias": bias}) for bias in (2.0, -3.0))
    biased = small_ntm(heads=Heads(read=read, write=write))
    added = biased.interface.linear.bias - plain.interface.linear.bias
    torch.testing.assert_close(added[[5, 15]], torch.tensor([2.0, -3.0]))
    assert added.count_nonzero() == 2
    read, write = (ContentAndLocation(gate_bias=bias, sharpening_bias=-4.0) for bias in (2.0, 0.0))
    both = small_ntm(heads=Heads(read=read, write=write), writing=REAL)
    added = both.interface.linear.bias - plain.interface.linear.bias
    torch.testing.assert_close(added[[5, 9, 15, 19]], torch.tensor([2.0, -4.0, 0.0, -4.0]))
    with pytest.raises(ValueError, match="gate_bias must be a finite number; got nan"):
        small_ntm(heads=Heads(write=ContentAndLocation(gate_bias=float("nan"))))


def test_sharpening_bias_is_added_to_the_initial_bias_of_the_sharpenings():
    biased, plain = (focusing(**PLAIN | {"sharpening_bias": bias}) for bias in (-4.0, 0.0))
    added = biased.interface.linear.bias - plain.interface.linear.bias
    torch.testing.assert_close(added[[9, 19]], torch.tensor([-4.0, -4.0]))
    assert added.count_nonzero() == 2


def test_a_head_by_location_alone_has_a_sharpening_bias_too():
    plain, biased = (
        small_ntm(heads=[ReadHead(Location(sharpening_bias=bias)), WriteHead(Location())])
        for bias in (0.0, -4.0)
    )
    added = biased.interface.linear.bias - plain.interface.linear.bias
    torch.testing.assert_close(added[3], torch.tensor(-4.0))  # after the shifts [3]
    assert added.count_nonzero() == 1


def test_strength_chooses_the_range_of_strengths():
    x = torch.randn(20, 8, 3) * 30
    for make in (focusing, lambda **settings: small_dnc(content=Content(**settings))):
        above_one = memnets.record(make(strength="oneplus"), x).interface
        above_zero = memnets.record(make(strength="softplus"), x).interface
        assert above_one.read_strengths.min() > 1
        assert 0 < above_zero.read_strengths.min() < 1
        assert above_one.write_strengths.min() > 1
        assert 0 < above_zero.write_strengths.min() < 1


def emitted(**options):
    """What an NTM emits that has large weights."""
    layer = small_ntm(**options)
    torch.nn.init.normal_(layer.interface.linear.weight, std=30)
    return memnets.record(layer, torch.randn(20, 8, 3)).interface


def test_sharpness_limit_bounds_strengths_and_sharpenings():
    limit = ContentAndLocation(sharpness_limit=2.5)
    free, limited = emitted(), emitted(heads=Heads(read=limit))
    for name in ("read_strengths", "read_sharpenings", "write_strengths", "write_sharpenings"):
        assert getattr(free, name).max() > 2.5
        assert getattr(limited, name).max() == 2.5
    # The first step has seen nothing that was limited, so that what is below is as it was.
    expected = free.read_strengths[0].clamp(max=2.5)
    assert 1 < expected.min() < 2.5
    torch.testing.assert_close(limited.read_strengths[0], expected)
    with pytest.raises(ValueError, match="sharpness_limit must be a finite number above 1, or Non"):
        focusing(sharpness_limit=1.0)


def test_sharpness_limit_bounds_the_strengths_of_a_dnc():
    layers = [small_dnc(content=Content(sharpness_limit=limit)) for limit in (None, 2.5)]
    for layer in layers:
        torch.nn.init.normal_(layer.interface.linear.weight, std=30)
    free, limited = (memnets.record(layer, torch.randn(20, 8, 3)).interface for layer in layers)
    for name in ("read_strengths", "write_strengths"):
        assert getattr(free, name).max() > 2.5
        assert getattr(limited, name).max() == 2.5


@pytest.mark.parametrize("kind", [Content, Location, ContentAndLocation])
def test_an_addressing_has_a_sharpness_limit_of_its_own(kind):
    heads = [ReadHead(kind(sharpness_limit=2.5)), WriteHead(kind())]
    made = emitted(heads=heads)
    if kind is ContentAndLocation:
        names = ("strengths", "sharpenings")
        read, write = ({n: getattr(made, f"{k}_{n}") for n in names} for k in ("read", "write"))
    else:
        read, write = (one._asdict() for one in made[:2])
    limited = {"strengths", "sharpenings"} & set(read)
    assert limited
    for name in limited:
        assert read[name].max() == 2.5
        assert write[name].max() > 2.5
    with pytest.raises(ValueError, match="a finite number above 1, or None; got nan"):
        kind(sharpness_limit=float("nan"))


def test_a_bounded_add_range_adds_at_most_one():
    rules = [EraseAdd(add_range=name) for name in ("real", "bounded")]
    free, bounded = (emitted(writing=rule).add_vectors for rule in rules)
    assert free.abs().max() > 1.5
    assert bounded.abs().max() <= 1
    torch.testing.assert_close(bounded[0], free[0].tanh())  # nothing bounded was read before


def test_read_first_reads_the_memory_as_the_step_before_left_it():
    layer = small_ntm(heads=Heads(read_first=True))
    trace = memnets.record(layer, torch.randn(4, 2, 3))
    before = trace.memory.memory[1]
    expected = trace.memory.read_weights[2] @ before
    torch.testing.assert_close(trace.read_vectors[2], expected)
    assert not torch.allclose(trace.memory.read_weights[2] @ trace.memory.memory[2], expected)


def test_stop_usage_gradient_cuts_usage_from_the_write_weightings():
    gradients = {}
    for stop in (False, True):
        layer = small_dnc(allocation=Allocation(stop_gradient=stop)).double()
        memory = layer.initial_state(1).memory
        weights = torch.full((1, 1, 5), 0.1, dtype=torch.float64, requires_grad=True)
        memory = memory._replace(write_weights=weights)
        parameters = layer.interface(torch.ones(1, 6, dtype=torch.float64))
        _, after = layer.access(parameters, memory)
        (gradients[stop],) = torch.autograd.grad(after.usage.sum(), weights, allow_unused=True)
    assert gradients[True] is None
    assert gradients[False].abs().sum() > 0

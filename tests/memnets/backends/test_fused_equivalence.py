"""A share of the random grid of tests.stress.equivalence, and that its judgement is right."""

import dataclasses

import pytest
import torch

import memnets
from memnets import arguments
from memnets.backends.cpu.specs import HONOURED, NEUTRAL
from memnets.backends.registry import Backend
from memnets.parts import registry
from memnets.parts.content import Content
from memnets.parts.controllers import Stack
from memnets.parts.heads import Heads, ReadHead, WriteHead
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.start import Start
from memnets.parts.usage import Allocation, LeastRecentlyUsed
from memnets.parts.writing import EraseAdd
from tests.stress import equivalence
from tests.stress.cases import KINDS, Case, build, draw
from tests.stress.equivalence import difference, examine, results

SHARE = 20
PARTS_OF_BOTH = (Backend, Stack, Start, Content)
PARTS_OF_AN_NTM = (Heads, ReadHead, WriteHead, ContentAndLocation, Location, LeastRecentlyUsed)
PARTS_OF_AN_NTM += (EraseAdd,)
PARTS_OF_A_DNC = (Allocation, Linkage)


@pytest.mark.parametrize("seed", [2, 3])
def test_a_share_of_the_random_grid(seed, capsys):
    assert equivalence.run(seed, 0, SHARE // 2) == 0, capsys.readouterr().out


PARTS = {"NTM": {*PARTS_OF_BOTH, *PARTS_OF_AN_NTM}, "DNC": {*PARTS_OF_BOTH, *PARTS_OF_A_DNC}}


def test_every_part_that_the_kernel_knows_is_drawn():
    drawn = PARTS["NTM"] | PARTS["DNC"]
    assert drawn >= set(HONOURED)
    assert drawn - set(HONOURED) <= {*registry.PARTS.values(), Backend}


def settings_in(value):
    """The settings of a part, and of the parts in it: pairs of (class, name) and a value."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from settings_in(one)
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            one = getattr(value, field.name)
            yield (type(value), field.name), repr(one)
            yield from settings_in(one)


@pytest.mark.parametrize("kind", KINDS)
def test_the_grid_draws_every_setting_of_a_layer(kind):
    """A new argument, or setting of a part, fails this test until `tests.stress.cases` draws it."""
    cases = [case for case in (draw(0, index) for index in range(300)) if case.kind == kind]
    names = set(arguments.defaults(KINDS[kind])) - {"device"}
    assert {name for case in cases for name in case.options} == names
    for name in names:
        assert len({repr(case.options.get(name)) for case in cases}) > 1, name
    drawn = {}
    for case in cases:
        for setting, value in settings_in(list(case.options.values())):
            drawn.setdefault(setting, set()).add(value)
    wanted = {
        (part, field.name)
        for part in PARTS[kind]
        for field in dataclasses.fields(part)
        if field.name not in NEUTRAL.get(part, {})
    }
    drawn = {one: values for one, values in drawn.items() if one[1] not in NEUTRAL.get(one[0], {})}
    assert set(drawn) == wanted
    # Of a backend, the tests compare all of them: the name is not drawn.
    assert [one for one, values in drawn.items() if len(values) < 2] == [(Backend, "name")]


@pytest.mark.parametrize("name", ["y", "end.memory.link", "d interface.linear.weight", "d x"])
def test_an_error_of_the_kernel_is_a_disagreement(name, monkeypatch, capsys):
    """And the command of the case is printed, which shows it."""
    index = next(n for n in range(200) if plain(draw(0, n)))

    def wrong(call, backend):
        found = results(call, backend)
        if backend == "fused":
            found[name] = found[name] * (1 + 1e-9)
        return found

    assert equivalence.run(0, index, 1) == 0
    monkeypatch.setattr(equivalence, "results", wrong)
    assert equivalence.run(0, index, 1) == 1
    printed = capsys.readouterr().out
    assert f"python -m tests.stress.equivalence --seed 0 --case {index}\n" in printed
    assert equivalence.show(0, index) == 1
    assert f"\n{name} " in capsys.readouterr().out


def plain(case):
    """Whether a case is quick, has a gradient of everything, and a link that is not 0."""
    exact = case.kind == "DNC" and case.options["dtype"] == torch.float64
    linked = case.carried in ("lived", "random") and case.options["memory_size"] > 1
    linked = linked and case.options.get("linkage") is not None
    return exact and linked and case.given == "all" and case.steps == 1 and case.frozen == 0


def test_a_number_that_is_not_finite_in_the_kernel_alone_is_a_difference():
    finite = torch.tensor([1.0, 2.0])
    for broken in (torch.tensor([1.0, torch.nan]), torch.tensor([torch.inf, 2.0])):
        assert difference(broken, finite) > 1e300
    assert difference(torch.tensor([1.0, 2.5]), finite) == 0.5


def test_a_number_that_is_not_finite_in_the_reference():
    """Where the reference has no number the kernel must have none; what overflows may differ."""
    finite, nan = torch.tensor([1.0, 2.0]), torch.tensor([1.0, torch.nan])
    assert difference(finite, nan) > 1e300
    assert difference(nan, nan) == 0
    assert difference(finite, torch.tensor([torch.inf, 2.0])) == 0


def test_a_kernel_that_hides_a_nan_of_the_reference_disagrees(monkeypatch):
    index = next(n for n in range(200) if plain(draw(0, n)))

    def hiding(call, backend):
        found = results(call, backend)
        if backend == "reference":
            found["d x"] = found["d x"].fill_(torch.nan)
        return found

    monkeypatch.setattr(equivalence, "results", hiding)
    assert examine(draw(0, index)).verdict == "disagree"


def test_what_the_kernel_does_not_know_is_refused():
    drawn = (draw(0, index) for index in range(400))
    outcome = examine(next(one for one in drawn if equivalence.refused_ones(one)))
    assert outcome.verdict == "refused"
    assert "content and location addressing" in outcome.rows[0]


EQUAL_SLOTS = {
    "input_size": 4,
    "output_size": 2,
    "memory_size": 2,
    "word_size": 20,
    "read_heads": 5,
    "controller": "elman",
    "hidden_size": 16,
    "start": Start(memory=0.3),
    "heads": Heads(
        read=ContentAndLocation(similarity_epsilon=1e-3, sharpening_bias=2.0),
        read_first=True,
    ),
    "dtype": torch.float64,
}


def test_what_is_read_from_equal_slots_has_no_gradient():
    """Reading a memory of equal slots gives that slot, wherever the heads look: both gradients are
    rounding errors around 0, which no tolerance relative to their size can compare.
    """
    case = Case("NTM", EQUAL_SLOTS, 0, 1, 5, None, "none", "all", 0.0, 1.0, 1.0)
    call = build(case)
    call = call._replace(gradients={"end.read_vectors": call.gradients["end.read_vectors"]})
    for backend in ("reference", "fused"):
        found = results(call, backend)
        sizes = {name: float(one.abs().max()) for name, one in found.items() if name[:2] == "d "}
        assert len(sizes) == 9
        assert max(sizes.values()) < 1e-14
        assert (found["end.read_vectors"] - 0.3).abs().max() < 1e-15


def test_numbers_too_small_to_be_normal_are_0():
    """Without a resolution even they order the slots: the reference that takes them as 0 agrees."""
    torch.manual_seed(0)
    sizes = {"memory_size": 33, "word_size": 20, "write_heads": 2, "hidden_size": 21}
    layer = memnets.DNC(3, 1, **sizes, allocation=Allocation(resolution=0.0))
    x = torch.randn(3, 2, 3)
    layer.backend = "fused"
    actual = layer(x)[1].memory
    layer.backend = "reference"
    assert not torch.allclose(layer(x)[1].memory.usage, actual.usage, atol=1e-3)
    torch.set_flush_denormal(True)
    try:
        expected = layer(x)[1].memory
    finally:
        torch.set_flush_denormal(False)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6)

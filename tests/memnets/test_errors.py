"""What a user gets wrong gets an error that names the argument, what it must be and what it was."""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import memnets
from memnets.arguments import defaults
from memnets.interface import Field, Interface, Table, real
from memnets.parts.content import Content
from memnets.parts.controllers import CELLS
from memnets.parts.heads import Heads, ReadHead, WriteHead
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.start import Start
from memnets.parts.usage import Allocation, LeastRecentlyUsed
from memnets.parts.writing import EraseAdd
from tests.layers import BY_NAME, B, DotProduct, I, N, O, T, W, inputs, rows

FLOAT = {"dtype": torch.float32}


def ntm(**options: Any) -> memnets.NTM:
    return memnets.NTM(I, O, **{"memory_size": N, "word_size": W, **small(options), **options})


def dnc(**options: Any) -> memnets.DNC:
    sizes = {"memory_size": N, "word_size": W, "read_heads": 1, **small(options)}
    return memnets.DNC(I, O, **{**sizes, **options})


def small(options: dict[str, Any]) -> dict[str, int]:
    return {"hidden_size": 6} if isinstance(options.get("controller", ""), str) else {}


MODELS = pytest.mark.parametrize("model", [ntm, dnc])
SIZES = ("memory_size", "word_size", "read_heads", "write_heads", "hidden_size")


@MODELS
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one(model: Callable[..., Any], name: str, size: int) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be .*at least 1; got {size}"):
        model(**{name: size})
    for field in ("hidden_size", "num_layers"):
        with pytest.raises(ValueError, match=rf"{field} must be .*at least 1; got {size}"):
            model(controller=memnets.Stack(**{field: size}))


@MODELS
@pytest.mark.parametrize("name", SIZES[:4])
def test_a_size_that_is_no_whole_number(model: Callable[..., Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be a whole number of at least 1; got 2\.5"):
        model(**{name: 2.5})


@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_input_and_output_sizes(kind: Any) -> None:
    with pytest.raises(ValueError, match="input_size must be a whole number of at least 1; got 0"):
        kind(0, 1)
    with pytest.raises(ValueError, match="output_size must be a whole number of at least 1; got 0"):
        kind(1, 0)


@MODELS
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"controller": "rnn"}, f"controller must be one of {', '.join(CELLS)}; got 'rnn'"),
        ({"backend": "magic"}, "backend must be one of .*reference.*; got 'magic'"),
    ],
)
def test_a_name_that_is_not_known(model: Callable[..., Any], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**options)


def test_a_name_in_a_part_that_is_not_known() -> None:
    for part in (Content, ContentAndLocation):
        with pytest.raises(ValueError, match="strength must be one of oneplus, softplus; got 'exp"):
            part(strength="exp")
    with pytest.raises(ValueError, match="add_range must be one of real, bounded; got 'exp'"):
        EraseAdd(add_range="exp")
    with pytest.raises(ValueError, match=rf"cell must be one of {', '.join(CELLS)}; got 'rnn'"):
        memnets.Stack(cell="rnn")


def test_an_argument_that_is_not_known() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        ntm(read_head=3)


def test_settings_by_position() -> None:
    """A part is read by the names of its settings."""
    for part in (Content, ContentAndLocation, LeastRecentlyUsed, EraseAdd, Heads, Start):
        with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
            part(0.5)


@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_a_constructor_has_at_most_sixteen_arguments(kind: type) -> None:
    """What is more belongs into a part."""
    assert len(defaults(kind)) <= 16
    parameters = inspect.signature(kind).parameters.values()
    more = [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]
    assert more == ["input_size", "output_size", "more"]


@MODELS
def test_a_third_argument_by_position(model: Callable[..., Any]) -> None:
    kind: Any = type(model())
    with pytest.raises(
        TypeError, match=rf"{kind.__name__} takes two .*by name, as in memory_size="
    ):
        kind(9, 8, 128)


@MODELS
@pytest.mark.parametrize("make", [memnets.Controller, lambda *sizes: memnets.Stack(hidden_size=6)])
def test_a_size_of_the_controller_beside_one(model: Callable[..., Any], make: Any) -> None:
    controller = make("gru", I + W, 6)
    sizes = {"memory_size": N, "word_size": W, "read_heads": 1, "controller": controller}
    kind: Any = type(model())
    with pytest.raises(
        ValueError, match=r"hidden_size=50 has no effect beside a controller .*leave it out, and m"
    ):
        kind(I, O, hidden_size=50, **sizes)
    layer = kind(I, O, hidden_size=defaults(kind)["hidden_size"], **sizes)
    assert (layer.hidden_size, layer.num_layers) == (6, 1)


@pytest.mark.parametrize(("name", "value"), [("read_heads", 4), ("write_heads", 2)])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_count_beside_heads(name: str, value: int, wrapped: bool) -> None:
    entries = [ReadHead(Content(), 2), WriteHead(Content(), 3)]
    heads: Any = Heads(entries=tuple(entries)) if wrapped else entries
    with pytest.raises(
        ValueError, match=rf"{name}={value!r} has no effect beside heads.*, and give.* as in"
    ):
        ntm(heads=heads, **{name: value})
    counts = {"read_heads": 2, "write_heads": 3}
    for same in (defaults(memnets.NTM)[name], counts[name]):
        layer = ntm(heads=heads, **{name: same})
        assert (layer.read_heads, layer.write_heads) == (2, 3)


@pytest.mark.parametrize("field", dataclasses.fields(ContentAndLocation), ids=lambda f: f.name)
def test_a_setting_of_the_stock_heads_beside_entries(field: Any) -> None:
    """What would say how heads address that are listed one by one."""
    values = {"strength": "softplus", "shift_range": 2, "sharpness_limit": 10.0}
    other = ContentAndLocation(**{field.name: values.get(field.name, 0.5)})
    assert other != ContentAndLocation()
    entries = (ReadHead(Content(), 2), WriteHead(Content()))
    with pytest.raises(ValueError, match=r"read=Con.* has no effect beside entries: .*, and give"):
        Heads(read=other, entries=entries)
    with pytest.raises(ValueError, match=r"write=Con.* has no effect beside entries: .*, and give"):
        Heads(write=other, entries=entries)
    assert ntm(heads=Heads(read=ContentAndLocation(), entries=entries)).read_heads == 2


def test_numbers_that_are_true_or_false() -> None:
    for part, name in (
        (Start, "memory"),
        (Start, "spread"),
        (Content, "sharpness_limit"),
        (Content, "similarity_epsilon"),
        (Location, "sharpening_bias"),
        (ContentAndLocation, "sharpness_limit"),
        (ContentAndLocation, "gate_bias"),
        (ContentAndLocation, "similarity_epsilon"),
        (Allocation, "epsilon"),
        (Allocation, "resolution"),
    ):
        with pytest.raises(ValueError, match=rf"{name} must be .*; got True"):
            part(**{name: True})


@pytest.mark.parametrize("part", [Location, ContentAndLocation])
def test_a_negative_shift_range(part: Any) -> None:
    with pytest.raises(
        ValueError, match="shift_range must be a whole number of at least 0; got -1"
    ):
        part(shift_range=-1)


@MODELS
def test_a_controller_without_the_contract(model: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="LSTMCell lacks output_size, initial_state"):
        model(controller=nn.LSTMCell(I + W, 4))
    functional = SimpleNamespace(input_size=I + W, output_size=4, initial_state=None)
    with pytest.raises(TypeError, match=r"SimpleNamespace is not an nn\.Module"):
        model(controller=functional)


@MODELS
def test_a_controller_of_another_input_size(model: Callable[..., Any]) -> None:
    with pytest.raises(
        ValueError, match=rf"input_size \+ read_heads \* word_size = {I + W}; got 4"
    ):
        model(controller=memnets.Controller("gru", 4, 4))


@pytest.mark.parametrize(
    ("heads", "error", "message"),
    [
        ([], ValueError, "at least one ReadHead and one WriteHead; got 0 and 0"),
        ([ReadHead(Content())], ValueError, "at least one ReadHead and one WriteHead; got 1 and 0"),
        ([WriteHead(Content())], ValueError, "got 0 and 1"),
        ([Content()], TypeError, r"heads lists ReadHead.*and WriteHead.*got Content"),
        (ReadHead(Content()), TypeError, r"heads is a list; got ReadHead\(.*put it into one"),
        (Content(), TypeError, r"heads is a list of heads; got Content\("),
    ],
)
def test_heads(heads: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ntm(heads=heads)
    if heads != []:  # which is to list none
        with pytest.raises(error, match=message.replace("heads", "entries", 1)):
            Heads(entries=heads)


@pytest.mark.parametrize("addressing", ["content", Content, None, 3])
def test_heads_of_what_is_no_addressing(addressing: Any) -> None:
    with pytest.raises(TypeError, match=r"An addressing is an object with table.*got read="):
        Heads(read=addressing)
    if addressing is not None:
        with pytest.raises(TypeError, match=r"An addressing is an object with table.*got write="):
            Heads(write=addressing)


@pytest.mark.parametrize("part", ["erase", EraseAdd, None, 3, Content()])
def test_a_writing_without_the_contract(part: Any) -> None:
    with pytest.raises(TypeError, match=r"writing is an object with table\(.*EraseAdd\(\); got"):
        ntm(writing=part)


@pytest.mark.parametrize("name", ["content", "allocation", "linkage"])
def test_a_part_of_a_dnc_without_the_contract(name: str) -> None:
    kind: Any = {"content": Content, "allocation": Allocation, "linkage": Linkage}[name]
    for part, said in ((kind, "is a class"), (3, "3 lacks table"), (EraseAdd(), "lacks")):
        with pytest.raises(
            TypeError, match=rf"{name} is an object with the methods table,.*{said}"
        ):
            dnc(**{name: part})
    if name != "linkage":  # without which heads read by content alone
        with pytest.raises(TypeError, match=rf"{name} is an object .*None lacks table"):
            dnc(**{name: None})


@MODELS
@pytest.mark.parametrize("start", [None, 0.5, {"learned": True}, Start])
def test_a_start_that_is_none(model: Callable[..., Any], start: Any) -> None:
    with pytest.raises(TypeError, match=r"start must be a Start, such as Start\(\); got"):
        model(start=start)


@pytest.mark.parametrize("decay", [1.0, -0.1, 2.0])
def test_a_decay_out_of_range(decay: float) -> None:
    with pytest.raises(ValueError, match=rf"decay must be in \[0, 1\); got {decay}"):
        LeastRecentlyUsed(decay=decay)


def test_a_table_that_is_not_of_its_named_tuple() -> None:
    class Keys(NamedTuple):
        keys: Tensor

    table = Table(Keys, {"key": Field((2,), real)})
    with pytest.raises(ValueError, match=r"Keys has \('keys',\), the table \('key',\)"):
        Interface(3, [table])


@MODELS
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((I,), r"x must be \[T, B, I\], or \[T, I\]; got the shape \(3,\)"),
        ((1, 2, 3, I), r"x must be \[T, B, I\], or \[T, I\]; got the shape"),
        ((4, B, I + 1), r"input_size=3 as its last axis; got the shape \(4, 3, 4\)"),
        ((4, I + 1), r"input_size=3 as its last axis; got the shape \(4, 4\)"),
        ((0, B, I), "x needs at least one step"),
        ((0, I), "x needs at least one step"),
    ],
)
def test_an_input_of_the_wrong_shape(model: Callable[..., Any], shape: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model()(torch.zeros(shape))
    with pytest.raises(ValueError, match=message):
        memnets.record(model(), torch.zeros(shape))


@MODELS
def test_batch_first_errors_name_their_own_layout(model: Callable[..., Any]) -> None:
    layer = model(batch_first=True)
    with pytest.raises(ValueError, match=r"x must be \[B, T, I\], or \[T, I\]"):
        layer(torch.zeros(1))
    with pytest.raises(ValueError, match="x needs at least one step"):
        layer(torch.zeros(B, 0, I))


@MODELS
def test_an_input_of_another_dtype_or_device(model: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"x is torch.float64 and the layer torch.float32"):
        model()(inputs())
    with pytest.raises(TypeError, match=r"x is torch.int64 and the layer torch.float32"):
        model()(torch.zeros(4, B, I, dtype=torch.long))
    with pytest.raises(ValueError, match="x is on meta and the layer on cpu"):
        model()(torch.zeros(4, B, I, device="meta"))


@MODELS
@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([0, 1, 2], r"from 1 to T=5, one a row; lengths\[0\] is 0"),
        ([1, 2, 6], r"from 1 to T=5, one a row; lengths\[2\] is 6"),
        ([1, 2], r"lengths must be 3 whole numbers .*; got .* numbers of the shape \(2,\)"),
        ([[1, 2, 3]], r"lengths must be 3 whole numbers .*; got .* numbers of the shape \(1, 3\)"),
        (3, r"lengths must be 3 whole numbers .*; got .* numbers of the shape \(\)"),
        ([1.0, 2.0, 3.0], r"lengths must be .*; got torch\.float32: convert them with \.long"),
        (torch.ones(B).double(), r"got torch\.float64: convert them with \.long"),
        ([True, False, True], r"got torch\.bool of the shape \(3,\)\. Of a mask .*mask\.sum\(0\)"),
        (torch.ones(T, B, dtype=torch.bool), r"torch\.bool of the shape \(5, 3\)\. Of a mask"),
        (torch.ones(B, T, dtype=torch.long), r"int64 of the shape \(3, 5\)\. Of a mask .*sum\(1\)"),
        (torch.ones(T, B), r"float32 of the shape \(5, 3\)\. Of a mask .*lengths=mask\.sum"),
        ("abc", "lengths must be 3 whole numbers .*; got a str of something else"),
        ([1, None, 2], "lengths must be 3 whole numbers .*; got a list of something else"),
    ],
)
def test_wrong_lengths(model: Callable[..., Any], lengths: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model()(inputs(**FLOAT), lengths=lengths)


def test_wrong_lengths_are_not_printed_in_full() -> None:
    lengths = torch.ones(1000, dtype=torch.long)
    lengths[700] = 7
    with pytest.raises(ValueError, match=r"lengths\[700\] is 7") as raised:
        ntm()(torch.zeros(6, 1000, I), lengths=lengths)
    assert len(str(raised.value)) < 100


@MODELS
def test_lengths_where_they_do_not_belong(model: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"lengths needs a batch; x is unbatched"):
        model()(torch.zeros(4, I), lengths=[4])
    with pytest.raises(ValueError, match="A PackedSequence has its lengths"):
        model()(pack_sequence([torch.zeros(4, I)]), lengths=[4])


@MODELS
def test_a_packed_sequence_of_another_input_size(model: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="input_size=3 as its last axis"):
        model()(pack_sequence([torch.zeros(4, I + 1)]))


@MODELS
def test_a_step_of_the_wrong_shape(model: Callable[..., Any]) -> None:
    layer = model()
    with pytest.raises(ValueError, match=r"x_t must be \[B, I\] or \[I\]; got the shape"):
        layer.step(torch.zeros(1, B, I), layer.initial_state(B))
    with pytest.raises(ValueError, match="input_size=3 as its last axis"):
        layer.step(torch.zeros(B, I + 1), layer.initial_state(B))


@MODELS
@pytest.mark.parametrize("state", [(), [], torch.zeros(1), (1, 2, 3), "state"])
def test_a_state_that_is_none(model: Callable[..., Any], state: Any) -> None:
    with pytest.raises(TypeError, match=r"state must be a memnets.State, .*; got"):
        model()(inputs(**FLOAT), state)


@MODELS
def test_a_state_of_another_batch(model: Callable[..., Any]) -> None:
    layer, x = model(), inputs(**FLOAT)
    with pytest.raises(ValueError, match=r"state.*initial_state\(3\)"):
        layer(x, layer.initial_state(2))
    with pytest.raises(ValueError, match=r"state.*initial_state\(3\)"):
        layer(x, layer.initial_state())
    with pytest.raises(ValueError, match=r"state.*initial_state\(\)"):
        layer(x[:, 0], layer.initial_state(2))
    with pytest.raises(ValueError, match=r"state.*initial_state\(2\)"):
        layer.step(x[0, :2], layer.initial_state(3))
    with pytest.raises(ValueError, match=r"state.*initial_state\(3\)"):
        memnets.record(layer, x, rows(layer.initial_state(3), slice(1)))


@pytest.mark.parametrize(
    ("layer", "other"),
    [
        (ntm, lambda: ntm(memory_size=N + 1)),
        (ntm, lambda: ntm(word_size=W + 1)),
        (ntm, lambda: ntm(read_heads=2)),
        (ntm, lambda: ntm(write_heads=2)),
        (ntm, lambda: ntm(hidden_size=7)),
        (ntm, lambda: ntm(controller=memnets.Stack(hidden_size=6, num_layers=2))),
        (ntm, lambda: ntm(controller="gru")),
        (ntm, lambda: ntm(heads=[ReadHead(Content()), WriteHead(LeastRecentlyUsed())])),
        (lambda: ntm(heads=[ReadHead(Content()), WriteHead(LeastRecentlyUsed())]), ntm),
        (ntm, dnc),
        (dnc, ntm),
        (dnc, lambda: dnc(write_heads=2)),
        (lambda: dnc(write_heads=2), dnc),
        (dnc, lambda: dnc(read_heads=2)),
        (dnc, lambda: dnc(controller="feedforward")),
        (dnc, lambda: dnc(hidden_size=1)),
        (dnc, lambda: dnc(linkage=None)),
        (lambda: dnc(linkage=None), dnc),
    ],
)
def test_a_state_of_another_layer(layer: Callable[..., Any], other: Callable[..., Any]) -> None:
    """Every part of the state is checked: a state that would broadcast is not taken."""
    with pytest.raises((ValueError, TypeError), match=r"state.*initial_state\(3\)"):
        layer()(inputs(**FLOAT), other().initial_state(B))


def test_map_tensors_of_what_is_no_state() -> None:
    with pytest.raises(TypeError, match=r"made of tensors and \(named\) tuples; got list"):
        memnets.map_tensors(torch.neg, [torch.zeros(1)])
    with pytest.raises(TypeError, match="got NoneType"):
        memnets.detach(None)


def test_config_of_what_is_no_data() -> None:
    for name, said in (
        ("ntm_own_addressing", r"heads\.read is an object of the class DotProduct and"),
        ("ntm_own_addressing_module", r"heads\.read is an object of the class Momentum and"),
        ("ntm_own_writing", "writing is an object of the class Fading and"),
        ("dnc_own_controller", "controller is an object of the class OwnGRU and"),
    ):
        with pytest.raises(ValueError, match=rf"{said} cannot be written as data: make it a"):
            _ = BY_NAME[name].build().config
    heads = [ReadHead(Content()), ReadHead(DotProduct()), WriteHead(Content())]
    with pytest.raises(ValueError, match=r"heads\.entries\[1\]\.addressing is .* DotProduct and"):
        _ = ntm(heads=heads).config


def test_loading_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nowhere"):
        memnets.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*last\.pt"):
        memnets.load(tmp_path)
    file = tmp_path / "other.pt"
    torch.save({"weights": {}}, file)
    with pytest.raises(ValueError, match=r"other\.pt is no checkpoint"):
        memnets.load(file)
    torch.save({"layer": {"name": "LSTM", "arguments": {}}, "weights": {}}, file)
    with pytest.raises(ValueError, match=r"other\.pt cannot .* LSTM.*registered are DNC, .*NTM"):
        memnets.load(file)


@pytest.mark.parametrize("kind", [ReadHead, WriteHead])
def test_what_is_no_head(kind: Callable[..., Any]) -> None:
    for addressing in ("content", Content, object()):
        with pytest.raises(TypeError, match=r"An addressing is an object with table.*got"):
            kind(addressing)
    for count in (0, 1.5, True):
        with pytest.raises(ValueError, match=rf"count must be a whole number .* got {count}"):
            kind(Content(), count)


@pytest.mark.parametrize("size", [4.5, "5", True, None])
def test_sizes_that_are_not_whole_numbers(size: Any) -> None:
    for part, name in (
        (lambda **sizes: memnets.NTM(3, 2, **sizes), "hidden_size"),
        (lambda **sizes: memnets.NTM(3, 2, **sizes), "memory_size"),
        (memnets.Stack, "hidden_size"),
        (memnets.Stack, "num_layers"),
    ):
        with pytest.raises(ValueError, match=rf"{name} must be a whole number of at least 1; got"):
            part(**{name: size})
    for kind in (Location, ContentAndLocation):
        with pytest.raises(ValueError, match="shift_range must be a whole number of at least 0; g"):
            kind(shift_range=0.5 if size is True else size)


@pytest.mark.parametrize("epsilon", [-1.0, float("nan"), float("inf")])
def test_epsilons_out_of_range(epsilon: float) -> None:
    for part, names in (
        (Content, ("similarity_epsilon",)),
        (Location, ("sharpen_epsilon",)),
        (ContentAndLocation, ("similarity_epsilon", "sharpen_epsilon")),
        (Allocation, ("epsilon", "resolution")),
        (Start, ("spread",)),
    ):
        for name in names:
            with pytest.raises(ValueError, match=rf"{name} must be at least 0 and finite; got"):
                part(**{name: epsilon})


@MODELS
def test_an_input_that_is_no_tensor(model: Callable[..., Any]) -> None:
    for x in (torch.zeros(4, B, I).numpy(), [[0.0] * I], None):
        with pytest.raises(TypeError, match=r"x must be a tensor .* got (ndarray|list|NoneType)"):
            model()(x)
        with pytest.raises(TypeError, match=r"x must be a tensor"):
            memnets.record(model(), x)
        with pytest.raises(ValueError, match=r"x_t must be \[B, I\] or \[I\]; got"):
            model().step(x)
    packed = torch.nn.utils.rnn.pack_sequence([torch.zeros(4, I)])
    with pytest.raises(TypeError, match="got PackedSequence"):
        memnets.record(model(), packed)


@MODELS
@pytest.mark.parametrize("rows", [0, -1, 1.5])
def test_batches_of_no_rows(model: Callable[..., Any], rows: Any) -> None:
    with pytest.raises(ValueError, match=rf"batch_size must be a whole number .* got {rows}"):
        model().initial_state(rows)
    if rows == 0:
        with pytest.raises(ValueError, match=r"x needs at least one step and one row; got"):
            model()(torch.zeros(4, 0, I), lengths=[])


@MODELS
def test_a_state_of_another_dtype_or_device(model: Callable[..., Any]) -> None:
    state = model().initial_state(B)
    double = memnets.map_tensors(torch.Tensor.double, state)
    with pytest.raises(ValueError, match=r"float32, and is one of torch\.float64.*initial_state"):
        model()(torch.zeros(4, B, I), double)
    elsewhere = memnets.map_tensors(lambda tensor: tensor.to("meta"), state)
    with pytest.raises(ValueError, match=r"must be a tensor on cpu, and is one on meta"):
        model()(torch.zeros(4, B, I), elsewhere)


def test_shifts_and_slots_that_cannot_be() -> None:
    weights = torch.ones(1, 1, 4) / 4
    with pytest.raises(ValueError, match=r"odd in number, from -k to \+k; got 2"):
        memnets.parts.location.shift(weights, torch.ones(1, 1, 2) / 2)
    with pytest.raises(ValueError, match="a slot of its own; got 3 heads and 2 slots"):
        memnets.parts.usage.least_used(torch.zeros(1, 2), 3)


def test_load_of_rubbish(tmp_path) -> None:
    file = tmp_path / "rubbish.pt"
    for content in (b"", b"rubbish", b"PK\x03\x04 cut off"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"rubbish\.pt is no checkpoint"):
            memnets.load(file)
    torch.save({"layer": {}, "weights": {}}, file)
    with pytest.raises(ValueError, match=r"rubbish\.pt is no checkpoint"):
        memnets.load(file)

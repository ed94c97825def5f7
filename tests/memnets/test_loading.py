"""A layer rebuilt from its configuration, or from what a run saved, gives what the layer gave."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import memnets
from memnets import registry as layers
from memnets.interface import Field, Table, real
from memnets.parts import registry
from memnets.parts.content import Content, ContentParameters
from memnets.parts.heads import Heads, ReadHead, WriteHead
from memnets.parts.normalised_interface import NormalisedInterface
from memnets.parts.stored_programs import StoredPrograms
from memnets.parts.wiring import WiredStack
from tests.layers import TABLE, Case, I, O, Query, assert_same, inputs

OWN = {"ntm_own_addressing", "ntm_own_addressing_module", "ntm_own_writing"}
AS_DATA = [case for case in TABLE if not case.own_controller and case.name not in OWN]


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


def saved(layer: Any, path: Path) -> Path:
    """Write a layer as the trainer does."""
    torch.save({"layer": through_json(layer.config), "weights": layer.state_dict()}, path)
    return path


@pytest.fixture(autouse=True)
def _registered_here_only() -> Iterator[None]:
    """What a test registers is gone after it."""
    with mock.patch.dict(registry.PARTS), mock.patch.dict(layers.LAYERS):
        yield


def test_all_but_the_users_own_parts_are_data() -> None:
    """Of every kind of addressing, lists of heads and the linkage of a DNC included."""
    names = {case.name for case in AS_DATA}
    assert {"ntm_mixed_heads", "ntm_content", "ntm_least_recently_used"} <= names
    assert {"ntm_location", "dnc_lstm_skip_connections", "dnc_content_only"} <= names
    own = {case.name for case in TABLE} - names
    assert own == {*OWN, "ntm_own_controller", "dnc_own_controller"}


@pytest.mark.parametrize("case", AS_DATA, ids=str)
def test_a_configuration_rebuilds_the_layer(case: Case) -> None:
    """Through JSON: the same configuration and words, and with the parameters the same numbers."""
    layer, x = case.build(), inputs()
    config = through_json(layer.config)
    twin = memnets.from_config(config, dtype=torch.float64)
    assert type(twin) is type(layer)
    assert twin.config == layer.config == config
    assert repr(twin) == repr(layer)
    twin.load_state_dict(layer.state_dict())
    assert_same(twin(x), layer(x), tolerance=0)


@pytest.mark.parametrize("case", AS_DATA, ids=str)
def test_a_checkpoint_rebuilds_the_layer(case: Case, tmp_path: Path) -> None:
    """From a file and from a run's folder; the configuration survives JSON."""
    layer, x = case.build(dtype=torch.float32), inputs(dtype=torch.float32)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    file = saved(layer, folder / "last.pt")
    for path in (tmp_path, str(tmp_path), file):
        assert_same(memnets.load(path)(x), layer(x), tolerance=0)


@pytest.mark.parametrize("case", AS_DATA, ids=str)
def test_a_saved_layer_is_loaded_again(case: Case, tmp_path: Path) -> None:
    """The same class, words and numbers; others read the file by safetensors alone."""
    layer, x = case.build(dtype=torch.float32), inputs(dtype=torch.float32)
    path = tmp_path / "layer.safetensors"
    memnets.save(layer, str(path))
    loaded = memnets.load(path)
    assert repr(loaded) == repr(layer)
    assert_same(loaded(x), layer(x), tolerance=0)
    tensors = safetensors.torch.load_file(path)
    assert_same(tuple(tensors.values()), tuple(layer.state_dict()[name] for name in tensors))
    with safetensors.safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["layer"]) == layer.config


def test_a_saved_layer_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    for size in (4, 3):
        memnets.save(memnets.NTM(2, 2, memory_size=size), path)
    assert memnets.load(path).memory_size == 3


def test_a_write_that_fails_leaves_the_file_that_is_there(tmp_path: Path) -> None:
    path, full = tmp_path / "layer.safetensors", OSError("no space left")
    memnets.save(memnets.NTM(2, 2, memory_size=4), path)
    real_write = Path.write_bytes

    def half(file: Path, content: bytes) -> None:
        real_write(file, content[: len(content) // 2])
        raise full

    with mock.patch.object(Path, "write_bytes", half), pytest.raises(OSError, match="no space"):
        memnets.save(memnets.NTM(2, 2, memory_size=8), path)
    assert memnets.load(path).memory_size == 4


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    layer = memnets.NTM(2, 2)
    with pytest.raises(TypeError, match=r"layer must be a layer of memnets; got Linear\."):
        memnets.save(nn.Linear(2, 2), tmp_path / "a.safetensors")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must end in \.safetensors, by .* file; got .*a\.pt\."):
        memnets.save(layer, tmp_path / "a.pt")
    own = memnets.NTM(I, O, heads=[ReadHead(Scaled()), WriteHead(Content())])
    with pytest.raises(ValueError, match="class Scaled and cannot be written as data"):
        memnets.save(own, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"layer": "{"}, {"layer": "3"}, {"layer": "{}"}, {"layer": '{"name": "NTM"}'}],
    ids=str,
)
def test_a_safetensors_file_of_something_else(metadata: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path, metadata)
    with pytest.raises(ValueError, match=r"other\.safetensors must be what memnets\.save wrote"):
        memnets.load(path)


def test_a_saved_layer_whose_weights_are_of_another(tmp_path: Path) -> None:
    path, layer = tmp_path / "other.safetensors", memnets.NTM(2, 2)
    metadata = {"layer": json.dumps(layer.config)}
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path, metadata)
    with pytest.raises(ValueError, match=r"other\.safetensors cannot be rebuilt as a NTM: Error"):
        memnets.load(path)


def test_a_saved_layer_cut_off_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    memnets.save(memnets.NTM(2, 2, memory_size=4, hidden_size=3), path)
    content = path.read_bytes()
    for size in range(0, len(content), len(content) // 40):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"layer\.safetensors must be what memnets\.save wr"):
            memnets.load(path)


@pytest.mark.parametrize("interface", [None, NormalisedInterface(), StoredPrograms()])
@pytest.mark.parametrize("output_size", [None, 2])
def test_a_checkpoint_keeps_its_dtype(interface: Any, output_size: Any, tmp_path: Path) -> None:
    controller = WiredStack(hidden_size=4, interface=interface)
    sizes = {"memory_size": 5, "word_size": 3, "dtype": torch.float64}
    layer = memnets.NTM(I, output_size, controller=controller, **sizes)
    memnets.save(layer, tmp_path / "layer.safetensors")
    for path in (saved(layer, tmp_path / "last.pt"), tmp_path / "layer.safetensors"):
        assert_same(memnets.load(path)(inputs()), layer(inputs()), tolerance=0)


@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_the_configuration_rebuilds_every_option(kind: Any) -> None:
    layer = kind(3, 2, memory_size=7, word_size=5, controller="gru", batch_first=True)
    config = layer.config
    assert config["name"] == kind.__name__
    options = {"device": "meta", "dtype": torch.float64, "backend": "reference"}
    twin = memnets.from_config(config, **options)
    assert twin.config == config
    assert repr(twin) == repr(layer)
    assert (twin.readout.weight.device.type, twin.readout.weight.dtype) == ("meta", torch.float64)
    assert twin.backend == "reference"


def test_heads_listed_one_by_one_are_joined_where_they_can_be() -> None:
    """Two ways of writing the same heads are one configuration."""
    listed = [WriteHead(Content(), 3), ReadHead(Content(), 2)]
    layer = memnets.NTM(3, 2, heads=listed)
    joined = memnets.NTM(3, 2, heads=Heads(read=Content()), read_heads=2, write_heads=3)
    assert layer.config == joined.config
    assert layer.config["arguments"]["heads"]["entries"] == []
    more = [*listed, ReadHead(Content())]
    entries = memnets.NTM(3, 2, heads=more).config["arguments"]["heads"]["entries"]
    assert [(one["part"], one["count"]) for one in entries] == [
        ("ReadHead", 2),
        ("ReadHead", 1),
        ("WriteHead", 3),
    ]


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """A user's own addressing: the softmax of dot products with a setting."""

    factor: float = 1.0

    def table(self, count: int, word_size: int) -> Table:
        return Table(Query, {"keys": Field((count, word_size), real)})

    def __call__(
        self, parameters: Query, previous_weights: Tensor, memory: Any, state: Any
    ) -> tuple[Tensor, Any]:
        scores = parameters.keys @ memory.memory.transpose(1, 2)
        return torch.softmax(self.factor * scores, dim=-1), state


@dataclass(frozen=True, kw_only=True)
class Products:
    """A user's own content rule of a DNC: dot products in place of cosines."""

    strength: float = 2.0

    def table(self, count: int, word_size: int) -> Table:
        fields = {"keys": Field((count, word_size), real), "strengths": Field((count,), real)}
        return Table(ContentParameters, fields)

    def weigh(self, memory: Tensor, parameters: ContentParameters) -> Tensor:
        return torch.softmax(self.strength * parameters.keys @ memory.transpose(1, 2), dim=-1)


@dataclass(frozen=True, kw_only=True)
class Doubled:
    """A user's own controller as a part: a GRU cell of any size."""

    size: int = 3

    def build(self, input_size: int, *, learned_initial_state: bool, **factory: Any) -> nn.Module:
        return memnets.Controller("gru", input_size, 2 * self.size, **factory)


class Gated(memnets.NTM):
    """A user's own layer: what the heads read is damped."""

    def access(self, parameters: Any, memory: Any) -> tuple[Tensor, Any]:
        read_vectors, memory = super().access(parameters, memory)
        return 0.5 * read_vectors, memory


def own_layers() -> dict[str, Any]:
    sizes = {"memory_size": 5, "word_size": 4}
    heads = [
        ReadHead(Scaled(factor=3.0)),
        ReadHead(Content(), 2),
        WriteHead(Scaled(factor=0.5), 2),
    ]
    mixed = Heads(read=Scaled(factor=3.0), write=Content(), read_first=True)
    return {
        "addressing": memnets.NTM(I, O, heads=mixed, **sizes),
        "entries": memnets.NTM(I, O, heads=heads, **sizes),
        "content": memnets.DNC(I, O, content=Products(strength=3.0), **sizes),
        "layer": Gated(I, O, start=memnets.Start(learned=True, spread=0.5), **sizes),
    }


@pytest.mark.parametrize("name", own_layers())
def test_what_a_user_registers_is_loaded_again(name: str, tmp_path: Path) -> None:
    for kind in (Scaled, Products, Gated):
        assert memnets.register(kind) is kind
    layer, x = own_layers()[name], inputs(dtype=torch.float32)
    loaded = memnets.load(saved(layer, tmp_path / "file.pt"))
    assert type(loaded) is type(layer)
    assert loaded.config == layer.config
    assert_same(loaded(x), layer(x), tolerance=0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("addressing", r"heads\.read is an object of the class Scaled and cannot be .*register"),
        ("entries", r"heads\.entries\[0\]\.addressing is an object of the class Scaled and"),
        ("content", r"content is an object of the class Products and cannot be written as data"),
    ],
)
def test_a_part_that_is_not_registered_is_no_data(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _ = own_layers()[name].config


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("addressing", r"There is no part 'Scaled'; registered are .*Import the module that def"),
        ("entries", r"There is no part 'Scaled'; registered are .*Import the module that def"),
        ("content", r"There is no part 'Products'; registered are .*Import the module that def"),
        (
            "layer",
            r"There is no layer 'Gated'; registered are DNC, .*NTM, .*SDNC.*\. Import the module",
        ),
    ],
)
def test_what_is_registered_where_it_was_saved_alone(name: str, said: str, tmp_path: Path) -> None:
    """A program that has not imported the user's module says what is missing."""
    with mock.patch.dict(registry.PARTS), mock.patch.dict(layers.LAYERS):
        for kind in (Scaled, Products, Gated):
            memnets.register(kind)
        layer = own_layers()[name]
        file, config = saved(layer, tmp_path / "file.pt"), layer.config
    with pytest.raises(ValueError, match=said):
        memnets.from_config(config)
    with pytest.raises(ValueError, match=rf"file\.pt cannot be rebuilt as a .*: {said}"):
        memnets.load(file)


def test_a_layer_that_is_not_registered_names_itself() -> None:
    """Not its base, which would be rebuilt in its place without a word."""
    config = own_layers()["layer"].config
    assert config["name"] == "Gated"
    with pytest.raises(ValueError, match="There is no layer 'Gated'"):
        memnets.from_config(config)


def test_a_layer_under_the_name_of_another_is_refused() -> None:
    own = type("NTM", (memnets.NTM,), {})
    with pytest.raises(ValueError, match=r"registered once; NTM is memnets\.ntm\.NTM: give yours"):
        memnets.register(own)
    assert layers.LAYERS["NTM"] is memnets.NTM


def test_a_layer_under_the_name_of_its_base_is_no_data() -> None:
    own = type("NTM", (memnets.NTM,), {})
    with pytest.raises(ValueError, match="NTM is also the name of a class that this one is deri"):
        _ = own(3, 2).config


class Decaying(memnets.NTM):
    """A layer of the user's, with an argument that it does not list."""

    def __init__(self, input_size: int, output_size: int, *, decay: float = 0.5) -> None:
        super().__init__(input_size, output_size, memory_size=4)
        self.decay = decay


def test_an_argument_that_a_layer_does_not_list() -> None:
    said = r"Decaying takes decay, which its `arguments` lacks.*: add it to Decaying\.arguments"
    with pytest.raises(ValueError, match=said):
        _ = Decaying(3, 2, decay=0.9).config


@pytest.mark.parametrize("config", [None, 3, "NTM", [], {}, {"name": "NTM"}, {"arguments": {}}])
def test_what_is_no_configuration(config: Any) -> None:
    with pytest.raises(ValueError, match="A config has a name and arguments; got"):
        memnets.from_config(config)


@pytest.mark.parametrize("name", ["LSTM", "", None, 3, []])
def test_a_configuration_of_no_layer(name: Any) -> None:
    with pytest.raises(
        ValueError, match=r"There is no layer .*; registered are DNC, .*NTM, .*SDNC.*\."
    ):
        memnets.from_config({"name": name, "arguments": {}})


@pytest.mark.parametrize(
    "arguments",
    [{"input_size": 3}, {"gate_bias": 0.0}, {"backend": "fused"}, {"dtype": "float32"}],
    ids=str,
)
def test_a_configuration_with_other_arguments(arguments: dict[str, Any]) -> None:
    """Too few, of before the parts, or what is no part of a layer."""
    sizes = {} if "input_size" in arguments else {"input_size": 3, "output_size": 2}
    with pytest.raises(ValueError, match=r"NTM cannot be made from this config: .*argument"):
        memnets.from_config({"name": "NTM", "arguments": {**sizes, **arguments}})


def test_a_controller_that_is_a_part_of_the_users() -> None:
    """A part with `build` is data where the controller that it makes says what it was made from."""
    layer = memnets.NTM(I, O, controller=Doubled(size=4))
    assert layer.hidden_size == 8
    twin = memnets.from_config(through_json(layer.config))
    assert twin.hidden_size == 8
    assert twin.config == layer.config

"""A layer rebuilt from what a run saved gives what the layer gave."""

import json
from pathlib import Path

import pytest
import torch

import memnets
from tests.layers import TABLE, Case, assert_same, inputs

AS_DATA = [
    case
    for case in TABLE
    if not case.own_controller
    and not any(
        kind in case.name for kind in ("addressing", "content", "location", "mixed", "used")
    )
]


@pytest.mark.parametrize("case", AS_DATA, ids=str)
def test_a_checkpoint_rebuilds_the_layer(case: Case, tmp_path: Path) -> None:
    """From a file and from a run's folder; the configuration survives JSON."""
    layer, x = case.build(dtype=torch.float32), inputs(dtype=torch.float32)
    saved = {"layer": json.loads(json.dumps(layer.config)), "weights": layer.state_dict()}
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.save(saved, folder / "last.pt")
    for path in (tmp_path, str(tmp_path), folder / "last.pt"):
        assert_same(memnets.load(path)(x), layer(x), tolerance=0)


@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_the_configuration_rebuilds_every_option(kind: type) -> None:
    layer = kind(3, 2, memory_size=7, word_size=5, controller="gru", batch_first=True)
    config = layer.config
    assert config["name"] == kind.__name__
    twin = kind(**config["arguments"])
    assert twin.config == config
    assert repr(twin) == repr(layer)


def test_a_checkpoint_from_before_an_argument_is_the_layer_that_it_was(tmp_path: Path) -> None:
    """Defaults may change: an argument that a configuration does not name has its old value."""
    plain = {"gate_bias": 0.0, "sharpening_bias": 0.0, "add_range": "real"}
    layer = memnets.NTM(3, 2, memory_size=7, word_size=5, **plain)
    torch.nn.init.normal_(layer.interface.linear.weight)
    config = layer.config
    for name in plain:
        del config["arguments"][name]
    torch.save({"layer": config, "weights": layer.state_dict()}, tmp_path / "old.pt")
    loaded, x = memnets.load(tmp_path / "old.pt"), torch.randn(4, 2, 3)
    assert loaded.config["arguments"].items() >= plain.items()
    assert_same(loaded(x), layer(x), tolerance=0)

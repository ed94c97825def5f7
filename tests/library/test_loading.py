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

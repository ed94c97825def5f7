"""The NTM with its paper's settings, beside the one with the defaults that train."""

from typing import Any

import pytest
import torch

import memnets


def test_the_settings_of_the_paper() -> None:
    options = {"memory_size": 6, "word_size": 4, "read_heads": 2, "write_heads": 3}
    layer = memnets.paper.ntm(3, 2, **options, controller="gru", hidden_size=5)
    settings, usual = layer.config["arguments"], memnets.NTM(3, 2).config["arguments"]
    assert {name: settings[name] for name in options} == options
    stack = {"part": "Stack", "cell": "gru", "hidden_size": 5}
    assert settings["controller"] == usual["controller"] | stack
    departures = {
        ("start", "learned"): (True, False),
        ("heads", "read", "strength"): ("softplus", "oneplus"),
        ("heads", "read", "gate_bias"): (0.0, -2.0),
        ("heads", "read", "sharpening_bias"): (0.0, -4.0),
        ("writing", "add_range"): ("real", "bounded"),
    }
    for path, expected in departures.items():
        assert (taken(settings, path), taken(usual, path)) == expected
    for name in (*options, "controller"):  # as chosen above
        del settings[name], usual[name]
    assert settings == usual


def taken(settings: Any, path: tuple[str, ...]) -> Any:
    """Take a setting out of a nested configuration."""
    for name in path[:-1]:
        settings = settings[name]
    return settings.pop(path[-1])


def test_a_deep_controller_is_a_stack() -> None:
    stack = memnets.Stack(cell="gru", hidden_size=5, num_layers=2)
    layer = memnets.paper.ntm(3, 2, controller=stack)
    assert (layer.hidden_size, layer.num_layers) == (5, 2)
    assert layer.controller.start is not None  # learned, as all of the state


def test_its_other_arguments_reach_the_layer() -> None:
    layer = memnets.paper.ntm(3, 2, batch_first=True, dtype=torch.float64, device="meta")
    assert layer.batch_first
    assert (layer.readout.weight.dtype, layer.readout.weight.device.type) == (torch.float64, "meta")
    with pytest.raises(ValueError, match="memory_size must be a whole number of at least 1; got 0"):
        memnets.paper.ntm(3, 2, memory_size=0)

"""The NTM with its paper's settings, beside the one with the defaults that train."""

import pytest
import torch

import memnets


def test_the_settings_of_the_paper() -> None:
    options = {"memory_size": 6, "word_size": 4, "read_heads": 2, "write_heads": 3}
    layer = memnets.paper.ntm(3, 2, **options, controller="gru", hidden_size=5, num_layers=2)
    settings = layer.config["arguments"]
    assert {name: settings[name] for name in options} == options
    assert (settings["controller"], layer.hidden_size, layer.num_layers) == ("gru", 5, 2)
    departures = {
        "learned_initial_state": (True, False),
        "strength": ("softplus", "oneplus"),
        "gate_bias": (0.0, -2.0),
        "sharpening_bias": (0.0, -4.0),
        "add_range": ("real", "bounded"),
    }
    usual = memnets.NTM(3, 2).config["arguments"]
    for name, expected in departures.items():
        assert (settings[name], usual[name]) == expected
    same = {"input_size", "output_size", "controller", "hidden_size", "num_layers", *options}
    rest = usual.keys() - departures.keys() - same
    assert {name: settings[name] for name in rest} == {name: usual[name] for name in rest}


def test_its_other_arguments_reach_the_layer() -> None:
    layer = memnets.paper.ntm(3, 2, batch_first=True, dtype=torch.float64, device="meta")
    assert layer.batch_first
    assert (layer.readout.weight.dtype, layer.readout.weight.device.type) == (torch.float64, "meta")
    with pytest.raises(ValueError, match="memory_size must be a whole number of at least 1; got 0"):
        memnets.paper.ntm(3, 2, memory_size=0)

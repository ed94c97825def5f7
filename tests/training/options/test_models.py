"""The registry of models: a baseline of one's own is trained with no other file edited."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import train
from tests.training.tiny import MODEL_SIZES, arguments, assert_same_run
from training.baselines import lstm
from training.baselines.registry import Style, register, styles, with_memory
from training.command_line.parser import parse
from training.options.config import OPTIMIZERS
from training.options.models import MODELS, argument_texts, options_class
from training.options.recipes import FAMILIES, GUESSES, guess, is_guess, recipe
from training.run import messages

MEMORYLESS = Style("Memoryless", "#999999", "-")


class Memoryless(nn.Module):
    """A network that sees one step at a time.

    Args:
        width: hidden units, in the one layer
            that there is
        tanh: whether they are tanh and not ReLU

    Raises:
        ValueError: never.
    """

    def __init__(self, input_size, output_size, *, width: int = 8, tanh: bool = True, device=None):
        super().__init__()
        self.config = {"name": "Memoryless", "arguments": {"width": width, "tanh": tanh}}
        self.below = nn.Linear(input_size, width, device=device)
        self.readout = nn.Linear(width, output_size, device=device)
        self.tanh = tanh

    def forward(self, x):
        hidden = self.below(x)
        return self.readout(hidden.tanh() if self.tanh else hidden.relu()), ()


@pytest.fixture
def memoryless(monkeypatch):
    before = dict(MODELS)
    register("memoryless", MEMORYLESS, guess={"model.width": 5, "run.sequences": 900})(Memoryless)
    monkeypatch.setitem(GUESSES, "memoryless", guess("memoryless"))
    monkeypatch.setitem(MODEL_SIZES, "memoryless", ["--model.width", "3"])
    yield
    MODELS.clear()
    MODELS.update(before)
    options_class.cache_clear()


def test_a_registered_baseline_has_flags_and_a_first_guess(memoryless, capsys):
    config = recipe("copy", "memoryless")
    assert vars(config.model_options) == {"width": 5, "tanh": True}
    assert config.run.sequences == 900
    assert config.optimizer_options.clip_norm == FAMILIES["baseline"]["optimizer.clip_norm"]
    assert is_guess("copy", "memoryless")
    assert parse(["--model", "memoryless", "--model.tanh", "False"]).model_options.tanh is False
    for help_ in ("--help", "--help-all"):
        with pytest.raises(SystemExit):
            parse(["--model", "memoryless", help_])
        text = re.sub(r"[│\s]+", " ", capsys.readouterr().out)
        assert "--model.width" in text
        assert "hidden units, in the one layer that there is" in text


def test_a_registered_baseline_is_trained_resumed_and_evaluated(memoryless, capsys):
    more = ["--run.pictures", "True", "--name"]
    assert train.main(arguments("copy", "memoryless", steps=8, more=[*more, "whole"])) == 0
    said = capsys.readouterr().out
    assert "copy: Memoryless, 20 weights" in said  # (3 + 1) * 3 + (3 + 1) * 2
    words = arguments("copy", "memoryless", steps=6, more=[*more, "parts"])
    assert train.main(words) == 0
    resume = ["--resume", "runs/parts", "--run.sequences", "32", "--wandb", "disabled"]
    assert train.main(resume) == 0
    assert_same_run(Path("runs/whole"), Path("runs/parts"))
    assert list(Path("runs/whole/pictures").iterdir())
    assert train.main(["--evaluate", "runs/whole", "--sequences", "8"]) == 0


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_what_the_trainer_asks_of_it(model):
    entry = MODELS[model]
    assert entry.family in FAMILIES
    config = recipe("copy", model)
    assert config.optimizer in OPTIMIZERS
    layer = entry.constructor(9, 8, **vars(config.model_options))
    assert (with_memory(layer) is layer) == entry.memory
    assert layer.config["name"].lower() in entry.style.label.lower().replace(" ", "")
    text = messages.introduction(
        config, Path("runs/a"), weights=1234, sequences=0, backend=None, watch=[]
    )
    assert text.splitlines()[0] == f"copy: {entry.style.label}, 1,234 weights"


def test_every_look_is_told_apart_by_its_label_its_colour_and_its_line():
    shown = list(styles().values())
    assert len(shown) == len(MODELS) + sum(len(entry.variants) for entry in MODELS.values())
    assert len({style.colour for style in shown}) == len(shown)
    assert all(re.fullmatch(r"#[0-9a-f]{6}", style.colour) for style in shown)


def test_a_name_or_a_label_is_registered_once():
    with pytest.raises(ValueError, match="a model is registered once; there is a 'lstm': take"):
        register("lstm", MEMORYLESS)(Memoryless)
    with pytest.raises(ValueError, match="labels differ, got 'LSTM' again: take another for 'mi"):
        register("mine", Style("LSTM", "#999999", "-"))(Memoryless)
    assert "mine" not in MODELS


def test_an_argument_without_a_text_is_named(memoryless, monkeypatch):
    monkeypatch.setattr(Memoryless, "__doc__", "A network.\n\n    Args:\n        width: units\n")
    with pytest.raises(ValueError, match="docstring of Memoryless must explain tanh under `Args:`"):
        options_class("memoryless")


def test_the_texts_of_arguments_end_with_their_section():
    text = (
        "Args:\n    a: first: of two,\n        on two lines\n\n    b: second\n\nRaises:\n    c: no"
    )
    assert argument_texts(f"One.\n\n{text}") == {"a": "first: of two, on two lines", "b": "second"}
    assert argument_texts("No arguments.") == {}


def test_a_model_says_what_it_computes_otherwise(monkeypatch):
    monkeypatch.setattr(lstm, "cpu_trains_lstm", lambda dtype: dtype != torch.bfloat16)
    assert "in bfloat16" in MODELS["lstm"].notes("cpu", "bf16")[0]
    assert MODELS["lstm"].notes("cpu", "float32") == MODELS["ntm"].notes("cpu", "bf16") == []

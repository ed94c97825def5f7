"""What a recipe must say itself, so that a change of the layers' defaults does not change a row."""

import pytest

from experiments.table import ROWS, command
from training.command_line.parser import parse
from training.options.config import flat, make_layer
from training.options.recipes import RECIPES

# Found with other defaults than those of today: docs/deviations.md.
STATED = ("heads.read.gate_bias", "heads.read.sharpening_bias", "writing.add_range")
# What the layers of the table of results were trained with, and what results/ was made from.
TRAINED = {
    "copy-ntm": (-2.0, -4.0, "bounded"),
    "copy-ntm-feedforward": (0.0, -4.0, "real"),
    "repeat-copy-ntm": (-2.0, -4.0, "bounded"),
    "repeat-copy-ntm-feedforward": (0.0, -4.0, "real"),
    "associative-recall-ntm": (0.0, 0.0, "real"),
    "associative-recall-ntm-feedforward": (0.0, -4.0, "real"),
    "dynamic-ngram-ntm": (3.0, 0.0, "real"),
    "dynamic-ngram-ntm-feedforward": (3.0, -4.0, "bounded"),
    "priority-sort-ntm": (2.0, -4.0, "real"),
    "priority-sort-ntm-feedforward": (2.0, -4.0, "bounded"),
}


@pytest.mark.parametrize("task", [task for task, model in RECIPES if model == "ntm"])
def test_every_recipe_of_an_ntm_states_what_its_defaults_were(task: str) -> None:
    assert {f"model.{name}" for name in STATED} <= RECIPES[task, "ntm"].keys()


def test_the_rows_of_the_table_are_the_layers_that_were_trained() -> None:
    found = {}
    for row in ROWS:
        if row.model == "ntm":
            arguments = flat(make_layer(parse(command(row, 0)[2:])).config["arguments"])
            found[row.name] = tuple(arguments[name] for name in STATED)
    assert found == TRAINED

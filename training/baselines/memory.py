"""The memory layers, as the trainer knows them: name, style, first guess and cost model of each."""

from __future__ import annotations

from typing import Any

import memnets
from memnets.inspect import palette
from memnets.parts.wiring import WiredStack
from training.baselines import costs
from training.baselines.registry import Style, Variant, register

PARTS: dict[str, Any] = {"controller": WiredStack(), "backend": memnets.Backend()}
"""what every memory layer takes by a name, or as a part"""
HIDDEN_SIZE = ("hidden_size",)
"""the argument that the controller has too"""
SEQUENCES = {"run.sequences": 100_000}

FEEDFORWARD = Variant(
    Style("NTM, feed-forward", palette.ORANGE, "--"),
    "controller.cell",
    ("feedforward", "feedforward_tanh"),
)

register(
    "ntm",
    Style("NTM", palette.BLUE, "-"),
    family="steady",
    # What an NTM had before its defaults became those that train copy.
    guess={
        "model.heads.read.gate_bias": 0.0,
        "model.heads.read.sharpening_bias": 0.0,
        "model.writing.add_range": "real",
        **SEQUENCES,
    },
    variants=(FEEDFORWARD,),
    parts=PARTS,
    not_flags=HIDDEN_SIZE,
    costs=costs.NTM,
)(memnets.NTM)

register(
    "dnc",
    Style("DNC", palette.GREEN, "-."),
    family="steady",
    guess={"model.read_heads": 1, **SEQUENCES},
    parts=PARTS,
    not_flags=HIDDEN_SIZE,
    costs=costs.DNC,
)(memnets.DNC)

register(
    "neural_stack",
    Style("Neural stack", palette.BROWN, "--"),
    family="steady",
    guess=SEQUENCES,
    parts=PARTS,
    not_flags=HIDDEN_SIZE,
    costs=costs.Costs(
        lambda sizes: {"read": 2 * sizes.memory_size * sizes.word_size},
        # Two running sums; of each slot a difference and a maximum twice to pop, the same to read.
        lambda sizes: {"location": 10 * sizes.memory_size},
    ),
)(memnets.NeuralStack)

# What a sparse memory costs does not follow from its sizes alone (docs/sparse.md).
register(
    "sam",
    Style("SAM", palette.PURPLE, ":"),
    family="steady",
    guess=SEQUENCES,
    parts=PARTS,
    not_flags=HIDDEN_SIZE,
)(memnets.SAM)

register(
    "sdnc",
    Style("SDNC", palette.GREY, "-."),
    family="steady",
    guess=SEQUENCES,
    parts=PARTS,
    not_flags=HIDDEN_SIZE,
)(memnets.SDNC)

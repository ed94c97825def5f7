"""The flags of a model: its constructor's arguments, with a type and a help text each."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import tyro
from torch import nn

import memnets
from training.baselines.lstm import LSTM

MODELS: dict[str, Callable[..., nn.Module]] = {
    "ntm": memnets.NTM,
    "dnc": memnets.DNC,
    "lstm": LSTM,
}

# The constructor arguments that become flags: type and help text. Defaults are the constructors'.
MODEL_FIELDS: dict[str, tuple[Any, str]] = {
    "memory_size": (int, "memory slots (N)"),
    "word_size": (int, "numbers in each memory slot (W)"),
    "read_heads": (int, "heads that read (R)"),
    "write_heads": (int, "heads that write (H)"),
    "controller": (
        Literal["lstm", "gru", "elman", "feedforward", "feedforward_tanh"],
        "the controller network",
    ),
    "hidden_size": (int, "hidden units in each layer of the controller (or of the LSTM baseline)"),
    "num_layers": (int, "layers of the controller (or of the LSTM baseline)"),
    "skip_connections": (
        bool,
        "the papers' deep form: every layer sees the input, the readout sees every layer",
    ),
    "shift_range": (int, "how many slots a head can shift its weighting by, to either side"),
    "initial_memory": (float, "what every number of the memory is before the first step"),
    "learned_initial_state": (bool, "learn the state that every sequence starts from"),
    "memory_spread": (float, "how much the slots of a learned initial memory differ at first"),
    "gate_bias": (float, "added to the initial bias of the gates between content and location"),
    "write_gate_bias": (float | None, "the same for the write heads alone; None: gate_bias"),
    "sharpening_bias": (float, "added to the initial bias of the sharpenings of the weightings"),
    "sharpness_limit": (float | None, "no strength and no sharpening is above it; None: no limit"),
    "add_range": (
        Literal["real", "bounded"],
        "what a head adds to a number: anything, or within [-1, 1]",
    ),
    "read_first": (bool, "read before writing in each step (the default writes first)"),
    "strength": (Literal["oneplus", "softplus"], "how key strengths are made positive"),
    "similarity_epsilon": (float, "keeps the cosine similarity of a zero vector finite"),
    "sharpen_epsilon": (float, "keeps the logarithm in the sharpening finite"),
    "allocation_epsilon": (float, "keeps the gradient of the allocation finite at usage 0"),
    "usage_resolution": (float, "usage nearer than this counts as equal in the free list"),
    "stop_usage_gradient": (bool, "no gradient through the usage (as in DeepMind's code)"),
    "backend": (
        Literal["auto", "reference", "compiled", "fused"],
        "what runs the steps (docs/backends.md)",
    ),
    "checkpoint_every": (
        int | None,
        "to save memory, compute segments of this many steps again in the backward; None: none",
    ),
}


@functools.cache  # one class a model: its instances are compared
def options_class(name: str) -> type:
    """A dataclass of the fields that the constructor of this model takes, with its defaults."""
    parameters = inspect.signature(MODELS[name]).parameters
    found = [
        (key, Annotated[kind, tyro.conf.arg(help=text)], parameters[key].default)
        for key, (kind, text) in MODEL_FIELDS.items()
        if key in parameters
    ]
    return dataclasses.make_dataclass(f"{name.upper()}Options", found, frozen=True)

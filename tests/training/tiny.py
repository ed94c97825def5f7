"""Runs so small that they take a moment, and what to compare of two runs."""

import json

import torch

from tests.tasks.table import TABLE

MEMORY_SIZES = ["--model.memory-size", "4", "--model.word-size", "3", "--model.hidden-size", "5"]
MODEL_SIZES = {
    "ntm": MEMORY_SIZES,
    "dnc": MEMORY_SIZES,
    "neural_stack": MEMORY_SIZES,
    "sam": [*MEMORY_SIZES, "--model.addressing.top-k", "4"],
    "sdnc": [*MEMORY_SIZES, "--model.links", "2"],
    "lstm": ["--model.hidden-size", "4"],
    "rnn": ["--model.controller.hidden-size", "4"],
    "transformer": ["--model.hidden-size", "8", "--model.num-layers", "1"],
}


def arguments(task="associative_recall", model="lstm", *, steps=20, more=()):
    """The command line of a run of so many steps of 4 sequences, without pictures and W&B.

    Associative recall, because its evaluations are short; the LSTM, because it is fast.
    """
    run = {
        "sequences": 4 * steps,
        "batch-size": 4,
        "log-every": 3,
        "evaluate-every": 5,
        "evaluation-sequences": 4,
        "checkpoint-every": 4,
        "pictures": False,
    }
    flags = ["--task", task, "--model", model, "--wandb", "disabled"]
    flags += MODEL_SIZES[model]
    for group, options in (("task", TABLE[task].tiny), ("run", run)):
        for name, value in options.items():
            flags += [f"--{group}.{name}", str(value)]
    return [*flags, *more]


def rows(folder):
    """metrics.jsonl without what the clock decides."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    clock = ("seconds", "core_seconds", "sequences_per_second")
    return [{name: row[name] for name in row if name not in clock} for row in found]


def assert_same_run(folder, other):
    """Every number that the two runs left behind is the same, bit for bit."""
    assert rows(folder) == rows(other)
    for name in ("last.pt", "best.pt"):
        one, two = (
            torch.load(run / "checkpoints" / name, weights_only=True) for run in (folder, other)
        )
        for content in (one, two):
            for changing in ("seconds", "core_seconds", "config", "wandb_id"):
                del content[changing]
        assert_same(one, two, name)
    assert (folder / "evaluation.json").read_bytes() == (other / "evaluation.json").read_bytes()


def assert_same(one, two, where):
    assert type(one) is type(two), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            assert_same(one[key], two[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for index, (left, right) in enumerate(zip(one, two, strict=True)):
            assert_same(left, right, f"{where}/{index}")
    else:
        assert one == two, where

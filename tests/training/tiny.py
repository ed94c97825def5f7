"""Runs so small that they take a moment, and what to compare of two runs."""

import json

import torch

from tasks import TASKS

TASK_SIZES = {
    "copy": ["--task.bits", "2", "--task.max-length", "3"],
    "repeat_copy": ["--task.bits", "2", "--task.max-length", "2", "--task.max-repeats", "2"],
    "associative_recall": ["--task.bits", "2", "--task.item-length", "1", "--task.max-items", "3"],
    "dynamic_ngram": ["--task.length", "8", "--task.context", "2"],
    "priority_sort": ["--task.bits", "2", "--task.length", "4", "--task.answer-length", "3"],
    "reverse": ["--task.max-length", "3"],
    "duplicated": ["--task.max-length", "3"],
    "odds_first": ["--task.max-length", "3"],
    "binary_addition": ["--task.max-length", "3"],
    "dyck": ["--task.max-pairs", "3"],
    "key_value_recall": ["--task.keys", "3", "--task.values", "3", "--task.max-pairs", "2"],
    "nth_farthest": ["--task.dimensions", "2", "--task.vectors", "3", "--task.labels", "3"],
    "interference_copy": ["--task.max-length", "2", "--task.max-distractors", "3"],
    "adding": ["--task.min-length", "6", "--task.max-length", "8"],
}
MEMORY_SIZES = ["--model.memory-size", "4", "--model.word-size", "3", "--model.hidden-size", "5"]
MODEL_SIZES = {"ntm": MEMORY_SIZES, "dnc": MEMORY_SIZES, "lstm": ["--model.hidden-size", "4"]}


def arguments(task="associative_recall", model="lstm", *, steps=20, more=()):
    """The command line of a run of so many steps of 4 sequences, without pictures and W&B.

    Associative recall, because its evaluations are short; the LSTM, because it is fast.
    """
    assert set(TASK_SIZES) == set(TASKS)
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
    flags += [*TASK_SIZES[task], *MODEL_SIZES[model]]
    for name, value in run.items():
        flags += [f"--run.{name}", str(value)]
    return [*flags, *more]


def rows(folder):
    """metrics.jsonl without what the clock decides."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    clock = ("seconds", "sequences_per_second")
    return [{name: row[name] for name in row if name not in clock} for row in found]


def assert_same_run(folder, other):
    """Every number that the two runs left behind is the same, bit for bit."""
    assert rows(folder) == rows(other)
    for name in ("last.pt", "best.pt"):
        one, two = (
            torch.load(run / "checkpoints" / name, weights_only=True) for run in (folder, other)
        )
        for content in (one, two):
            for changing in ("seconds", "config", "wandb_id"):
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

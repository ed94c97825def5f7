"""The algorithmic tasks of the papers: sampled on the fly, each with its cost and its solver.

>>> import torch
>>> task = make("copy", max_length=5)
>>> batch = task.sample(batch_size=16, generator=torch.Generator().manual_seed(0))
>>> logits = torch.zeros_like(batch.targets)  # a network's answer goes here
>>> bits_per_sequence(logits, batch).mean()  # the loss; here 5 vectors of 8 bits, all guessed
tensor(40.)
>>> task.chance_cost()  # what guessing costs on average over all lengths
24.0
"""

from __future__ import annotations

from dataclasses import fields

from tasks.adding import Adding
from tasks.associative_recall import AssociativeRecall
from tasks.base import Axis, Batch, Rows, Task, bits_per_sequence, draw, exact_match, wrong_bits
from tasks.binary_addition import BinaryAddition
from tasks.copy import Copy
from tasks.costs import BITS, SYMBOLS, Cost, squared_error
from tasks.duplicated import Duplicated
from tasks.dyck import Dyck
from tasks.dynamic_ngram import DynamicNGram
from tasks.interference_copy import InterferenceCopy
from tasks.key_value_recall import KeyValueRecall
from tasks.nth_farthest import NthFarthest
from tasks.odds_first import OddsFirst
from tasks.priority_sort import PrioritySort
from tasks.repeat_copy import RepeatCopy
from tasks.reverse import Reverse

__all__ = [
    "BITS",
    "SYMBOLS",
    "TASKS",
    "Adding",
    "AssociativeRecall",
    "Axis",
    "Batch",
    "BinaryAddition",
    "Copy",
    "Cost",
    "Duplicated",
    "Dyck",
    "DynamicNGram",
    "InterferenceCopy",
    "KeyValueRecall",
    "NthFarthest",
    "OddsFirst",
    "PrioritySort",
    "RepeatCopy",
    "Reverse",
    "Rows",
    "Task",
    "bits_per_sequence",
    "draw",
    "exact_match",
    "make",
    "squared_error",
    "wrong_bits",
]

TASKS: dict[str, type[Task]] = {
    "copy": Copy,
    "repeat_copy": RepeatCopy,
    "associative_recall": AssociativeRecall,
    "dynamic_ngram": DynamicNGram,
    "priority_sort": PrioritySort,
    "reverse": Reverse,
    "duplicated": Duplicated,
    "odds_first": OddsFirst,
    "binary_addition": BinaryAddition,
    "dyck": Dyck,
    "key_value_recall": KeyValueRecall,
    "nth_farthest": NthFarthest,
    "interference_copy": InterferenceCopy,
    "adding": Adding,
}


def make(name: str, **options: int) -> Task:
    """A task by its name in `TASKS`, with the given fields instead of its defaults.

    Raises:
        ValueError: there is no such task or no such field (the message lists those that
            there are), or the task refuses a value.

    >>> make("priority_sort", bits=4)
    PrioritySort(bits=4, length=20, answer_length=16)
    """
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r}: choose one of {', '.join(TASKS)}")
    known = [field.name for field in fields(TASKS[name])]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(
            f"the task {name} has no option {', '.join(unknown)}: it has {', '.join(known)}"
        )
    return TASKS[name](**options)

"""The algorithmic tasks of the papers: sampled on the fly, each with its cost and its solver.

A task registers itself in its own file; it is there once this file imports it.

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

from tasks.adding import Adding
from tasks.associative_recall import AssociativeRecall
from tasks.babi import Babi
from tasks.base import Axis, Batch, Rows, Task, bits_per_sequence, draw, exact_match, wrong_bits
from tasks.binary_addition import BinaryAddition
from tasks.binary_multiplication import BinaryMultiplication
from tasks.binary_sum import BinarySum
from tasks.bucket_sort import BucketSort
from tasks.compute_sqrt import ComputeSqrt
from tasks.copy import Copy
from tasks.copy_or_reverse import CopyOrReverse
from tasks.costs import BITS, SYMBOLS, Cost, squared_error
from tasks.cycle_navigation import CycleNavigation
from tasks.duplicate_string import DuplicateString
from tasks.duplicated import Duplicated
from tasks.dyck import Dyck
from tasks.dynamic_ngram import DynamicNGram
from tasks.even_pairs import EvenPairs
from tasks.few_shot import FewShot
from tasks.graph_inference import GraphInference
from tasks.graph_shortest_path import GraphShortestPath
from tasks.graph_traversal import GraphTraversal
from tasks.interference_copy import InterferenceCopy
from tasks.key_value_recall import KeyValueRecall
from tasks.missing_duplicate_string import MissingDuplicateString
from tasks.modular_arithmetic import ModularArithmetic
from tasks.modular_arithmetic_brackets import ModularArithmeticBrackets
from tasks.nth_farthest import NthFarthest
from tasks.odds_first import OddsFirst
from tasks.pair_recall import PairRecall
from tasks.parity_check import ParityCheck
from tasks.priority_sort import PrioritySort
from tasks.registry import TASKS, find, make, register
from tasks.repeat_copy import RepeatCopy
from tasks.reverse import Reverse
from tasks.solve_equation import SolveEquation
from tasks.stack_manipulation import StackManipulation

__all__ = [
    "BITS",
    "SYMBOLS",
    "TASKS",
    "Adding",
    "AssociativeRecall",
    "Axis",
    "Babi",
    "Batch",
    "BinaryAddition",
    "BinaryMultiplication",
    "BinarySum",
    "BucketSort",
    "ComputeSqrt",
    "Copy",
    "CopyOrReverse",
    "Cost",
    "CycleNavigation",
    "DuplicateString",
    "Duplicated",
    "Dyck",
    "DynamicNGram",
    "EvenPairs",
    "FewShot",
    "GraphInference",
    "GraphShortestPath",
    "GraphTraversal",
    "InterferenceCopy",
    "KeyValueRecall",
    "MissingDuplicateString",
    "ModularArithmetic",
    "ModularArithmeticBrackets",
    "NthFarthest",
    "OddsFirst",
    "PairRecall",
    "ParityCheck",
    "PrioritySort",
    "RepeatCopy",
    "Reverse",
    "Rows",
    "SolveEquation",
    "StackManipulation",
    "Task",
    "bits_per_sequence",
    "draw",
    "exact_match",
    "find",
    "make",
    "register",
    "squared_error",
    "wrong_bits",
]

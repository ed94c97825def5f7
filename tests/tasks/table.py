"""The table of all tasks: a new one enters the tests by one row of it.

tests/tasks holds it to the contract, and tests/training trains it at its `tiny` sizes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st

import tasks
from tasks import Batch
from tasks.binary_addition import carry_probability
from tasks.graph_inference import digit_odds
from tasks.transduction import StringTask
from tasks.triples import decode, phases


def size_range(draw, low: str, high: str, minimum: int, maximum: int) -> dict[str, int]:
    first, second = draw(st.integers(minimum, maximum)), draw(st.integers(minimum, maximum))
    return {low: min(first, second), high: max(first, second)}


@st.composite
def copy_sizes(draw):
    return {"bits": draw(st.integers(1, 9)), **size_range(draw, "min_length", "max_length", 1, 12)}


@st.composite
def repeat_copy_sizes(draw):
    normalise = draw(st.integers(1, 5))
    return {
        **draw(copy_sizes()),
        **size_range(draw, "min_repeats", "max_repeats", 1, 25),
        "normalise_min_repeats": normalise,
        "normalise_max_repeats": normalise + draw(st.integers(1, 20)),
    }


@st.composite
def recall_sizes(draw):
    sizes = {"bits": draw(st.integers(1, 7)), "item_length": draw(st.integers(1, 4))}
    most = min(12, 2 ** (sizes["bits"] * sizes["item_length"]))
    return {**sizes, **size_range(draw, "min_items", "max_items", 2, most)}


@st.composite
def ngram_sizes(draw):
    return {"length": draw(st.integers(1, 40)), "context": draw(st.integers(1, 7))}


@st.composite
def sort_sizes(draw):
    return {"bits": draw(st.integers(1, 9)), **size_range(draw, "answer_length", "length", 1, 25)}


@st.composite
def addition_sizes(draw):
    return size_range(draw, "min_length", "max_length", 1, 12)


@st.composite
def dyck_sizes(draw):
    kinds, depth = draw(st.integers(2, 5)), draw(st.integers(1, 6))
    return {"kinds": kinds, "depth": depth, **size_range(draw, "min_pairs", "max_pairs", 1, 12)}


@st.composite
def key_value_sizes(draw):
    sizes = size_range(draw, "min_pairs", "max_pairs", 1, 6)
    enough = st.integers(max(sizes["max_pairs"], 2), 12)
    return {**sizes, "keys": draw(enough), "values": draw(enough), "slots": draw(st.integers(1, 4))}


@st.composite
def pair_sizes(draw):
    sizes = {"key_bits": draw(st.integers(1, 9)), "value_bits": draw(st.integers(1, 9))}
    most = min(12, 2 ** sizes["key_bits"])
    return {**sizes, **size_range(draw, "min_pairs", "max_pairs", 1, most)}


@st.composite
def farthest_sizes(draw):
    labels = draw(st.integers(2, 9))
    vectors, dimensions = draw(st.integers(1, labels)), draw(st.integers(1, 17))
    return {"dimensions": dimensions, "vectors": vectors, "labels": labels}


@st.composite
def few_shot_sizes(draw):
    dimensions = draw(st.integers(1, 9))
    return {
        "dimensions": dimensions,
        "classes": draw(st.integers(2, min(6, 2**dimensions))),
        "shots": draw(st.integers(2, 5)),
        "noise_percent": draw(st.integers(1, 99)),
    }


@st.composite
def interference_sizes(draw):
    return {**draw(copy_sizes()), **size_range(draw, "min_distractors", "max_distractors", 1, 12)}


@st.composite
def adding_sizes(draw):
    return size_range(draw, "min_length", "max_length", 6, 40)


@st.composite
def string_sizes(draw, least: int):
    low = draw(st.integers(1, 12))
    return {"min_length": low, "max_length": draw(st.integers(max(low, least), 14))}


@st.composite
def traversal_sizes(draw):
    nodes = draw(st.sampled_from([0, 2, 3, 5, 9]))
    return {
        "lesson": draw(st.integers(1, 14)),
        "nodes": nodes,
        "degree": draw(st.integers(0, (nodes or 3) - 1)),
        "path": draw(st.integers(0, 4)),
    }


@st.composite
def shortest_path_sizes(draw):
    return {
        "lesson": draw(st.integers(1, 15)),
        "planning_steps": draw(st.integers(0, 3)),
        "planner_percent": draw(st.integers(0, 100)),
        "path": draw(st.integers(0, 3)),
    }


@st.composite
def inference_sizes(draw):
    return {
        "lesson": draw(st.integers(1, 17)),
        "queries": draw(st.integers(1, 3)),
        "planning_steps": draw(st.integers(0, 3)),
        "path": draw(st.sampled_from([0, 2, 3])),
    }


def repeat_copy_size(batch: Batch) -> tuple[int, ...]:
    length = int((batch.inputs[:, 0, -2] == 1).nonzero())
    answer = int(batch.mask[:, 0].sum()) - 1  # without the end marker
    return length, answer // length


def addition_size(batch: Batch) -> tuple[int, ...]:
    plus, equals = (int(batch.inputs[:, 0, channel].nonzero()) for channel in (1, 2))
    return plus, equals - plus - 1


def interference_size(batch: Batch) -> tuple[int, ...]:
    length, recall = (int((batch.inputs[:, 0, -i] == 1).nonzero()) for i in (2, 1))
    return length, recall - length - 1


def tape_size(batch: Batch) -> tuple[int, ...]:
    return (int(batch.inputs[:, 0, -1].argmax()),)  # the first empty token


def nodes(batch: Batch) -> int:
    return len(batch.inputs[phases(batch.inputs)[0], 0, :30].unique(dim=0))


def traversal_size(batch: Batch) -> tuple[int, ...]:
    return nodes(batch), int(batch.mask[:, 0].sum()) - 1  # without the end


def shortest_path_size(batch: Batch) -> tuple[int, ...]:
    return nodes(batch), int(batch.mask[:, 0].sum())


def inference_size(batch: Batch) -> tuple[int, ...]:
    first = int(batch.mask[:, 0].argmax())
    relation = int(decode(batch.targets[first, 0])[1])
    return nodes(batch), 2 + (relation - 10) // 100


def all_alike(batch: Batch) -> torch.Tensor:
    return torch.zeros_like(batch.targets)


def knows_the_end_marker(batch: Batch) -> torch.Tensor:
    logits = torch.zeros_like(batch.targets)
    logits[..., -1] = -50  # the marker comes with the last step,
    logits[-1] = 100 * batch.targets[-1] - 50  # which holds nothing else
    return logits


def knows_how_often_there_is_a_carry(batch: Batch) -> torch.Tensor:
    logits = torch.zeros_like(batch.targets)
    logits[-1] = torch.logit(torch.tensor(carry_probability(*addition_size(batch))))
    return logits


def knows_where_the_stack_ends(batch: Batch) -> torch.Tensor:
    logits = torch.zeros_like(batch.targets)
    logits[..., -1] = 100 * batch.targets[..., -1] - 50
    return logits


def knows_the_last_step(batch: Batch) -> torch.Tensor:
    logits = torch.zeros_like(batch.targets)
    logits[-1] = 100 * batch.targets[-1] - 50
    return logits


def knows_how_often_relations_are_asked_for(batch: Batch) -> torch.Tensor:
    logits = torch.zeros_like(batch.targets)
    logits[..., 30:60] = digit_odds((2, 5)).clamp(min=1e-20).log().flatten()
    return logits


def knows_where_the_number_ends(batch: Batch) -> torch.Tensor:
    end = batch.targets[..., -1]
    after = end.cumsum(0)
    highest = end.roll(-1, 0)  # a one, or the only symbol there is before the end marker
    sure = (after + highest + 1 - batch.mask).clamp(max=1).unsqueeze(-1)
    logits = torch.zeros_like(batch.targets)
    logits[..., -1] = -50
    return torch.where(sure == 1, 100 * batch.targets - 50, logits)


def knows_the_length(task: StringTask) -> Callable[[Batch], torch.Tensor]:
    def guess(batch: Batch) -> torch.Tensor:
        odds = task.odds(*tape_size(batch)).clamp(min=1e-20)
        logits = torch.zeros_like(batch.targets)
        logits[-len(odds) :] = odds.log().unsqueeze(1)
        return logits

    return guess


def says_the_mean(batch: Batch) -> torch.Tensor:
    return torch.full_like(batch.targets, 0.5)


class Row(NamedTuple):
    """One task: what it is, how its batches are read, and what it must come to."""

    task: tasks.Task  # the defaults
    size: Callable[[Batch], tuple[int, ...]]  # the sizes that a batch was drawn with
    sizes: list[tuple[int, ...]]  # all that the defaults may draw, equally likely
    options: Any  # a strategy of constructor arguments
    tiny: dict[str, int]  # sizes at which a training run takes a moment
    evaluations: dict[str, int]  # name -> T
    guess: Callable[[Batch], torch.Tensor] = all_alike
    # the best outputs [T, B, O] of one who knows the layout, but nothing of the inputs
    exact: bool = True  # whether the inputs tell the targets
    rows: int | None = None  # how many sequences to average where guessing costs them unequally
    other: dict[str, int] = {"bits": 3}  # noqa: RUF012  # options that evaluations must keep


TABLE = {
    "copy": Row(
        tasks.Copy(),
        lambda batch: ((len(batch.mask) - 1) // 2,),
        [(length,) for length in range(1, 21)],
        copy_sizes(),
        tiny={"bits": 2, "max_length": 3},
        evaluations={f"length_{length}": 2 * length + 1 for length in (10, 20, 30, 50, 120)},
    ),
    "repeat_copy": Row(
        tasks.RepeatCopy(),
        repeat_copy_size,
        [(length, repeats) for length in range(1, 11) for repeats in range(1, 11)],
        repeat_copy_sizes(),
        tiny={"bits": 2, "max_length": 2, "max_repeats": 2},
        evaluations={
            "length_10_repeats_10": 10 + 1 + 100 + 1,
            "length_20_repeats_10": 20 + 1 + 200 + 1,
            "length_10_repeats_20": 10 + 1 + 200 + 1,
        },
        guess=knows_the_end_marker,
    ),
    "associative_recall": Row(
        tasks.AssociativeRecall(),
        lambda batch: ((len(batch.mask) - 8) // 4,),
        [(items,) for items in range(2, 7)],
        recall_sizes(),
        tiny={"bits": 2, "item_length": 1, "max_items": 3},
        evaluations={f"items_{items}": 4 * items + 8 for items in (6, 8, 10, 12, 15, 20)},
    ),
    "dynamic_ngram": Row(
        tasks.DynamicNGram(),
        lambda batch: (len(batch.mask),),
        [(200,)],
        ngram_sizes(),
        tiny={"length": 8, "context": 2},
        evaluations={"length_200": 200},
        exact=False,
        other={"context": 3},
    ),
    "priority_sort": Row(
        tasks.PrioritySort(),
        lambda batch: (int((batch.inputs[:, 0, -1] == 1).nonzero()),),
        [(20,)],
        sort_sizes(),
        tiny={"bits": 2, "length": 4, "answer_length": 3},
        evaluations={"length_20": 20 + 1 + 16, "length_10": 10 + 1 + 8, "length_30": 30 + 1 + 24},
    ),
    "reverse": Row(
        tasks.Reverse(),
        lambda batch: ((len(batch.mask) - 1) // 2,),
        [(length,) for length in range(1, 41)],
        copy_sizes(),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": 2 * length + 1 for length in (40, 100, 500)},
    ),
    "duplicated": Row(
        tasks.Duplicated(),
        lambda batch: ((len(batch.mask) - 1) // 3,),
        [(length,) for length in range(1, 41)],
        copy_sizes(),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": 3 * length + 1 for length in (40, 100, 500)},
    ),
    "copy_or_reverse": Row(
        tasks.CopyOrReverse(),
        lambda batch: ((len(batch.mask) - 1) // 2,),
        [(length,) for length in range(1, 11)],
        copy_sizes(),
        tiny={"bits": 2, "max_length": 3},
        evaluations={f"length_{length}": 2 * length + 1 for length in (10, 20, 50)},
    ),
    "odds_first": Row(
        tasks.OddsFirst(),
        lambda batch: ((len(batch.mask) - 1) // 2,),
        [(length,) for length in range(1, 41)],
        copy_sizes(),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": 2 * length + 1 for length in (40, 100, 500)},
    ),
    "binary_addition": Row(
        tasks.BinaryAddition(),
        addition_size,
        [(first, second) for first in range(1, 21) for second in range(1, 21)],
        addition_sizes(),
        tiny={"max_length": 3},
        evaluations={f"lengths_{length}_{length}": 3 * length + 3 for length in (20, 40, 100)},
        guess=knows_how_often_there_is_a_carry,
        rows=1,
        other={},
    ),
    "dyck": Row(
        tasks.Dyck(),
        lambda batch: ((len(batch.mask) + 1) // 2,),
        [(pairs,) for pairs in range(1, 21)],
        dyck_sizes(),
        tiny={"max_pairs": 3},
        evaluations={f"pairs_{pairs}": 2 * pairs - 1 for pairs in (20, 50, 100)},
        other={"kinds": 3, "depth": 2},
    ),
    "key_value_recall": Row(
        tasks.KeyValueRecall(),
        lambda batch: (int(batch.mask[:, 0].sum()),),
        [(pairs,) for pairs in range(1, 9)],
        key_value_sizes(),
        tiny={"keys": 3, "values": 3, "max_pairs": 2},
        evaluations={f"pairs_{pairs}": 2 * pairs * (1 + 3) for pairs in (8, 16, 32)},
        other={"keys": 40, "values": 50, "slots": 2},
    ),
    "pair_recall": Row(
        tasks.PairRecall(),
        lambda batch: (len(batch.mask) // 2,),
        [(pairs,) for pairs in range(1, 9)],
        pair_sizes(),
        tiny={"key_bits": 2, "value_bits": 2, "max_pairs": 3},
        evaluations={f"pairs_{pairs}": 2 * pairs for pairs in (8, 16, 32)},
        other={"key_bits": 5, "value_bits": 3},
    ),
    "nth_farthest": Row(
        tasks.NthFarthest(),
        lambda batch: (len(batch.mask),),
        [(8,)],
        farthest_sizes(),
        tiny={"dimensions": 2, "vectors": 3, "labels": 3},
        evaluations={f"vectors_{vectors}": vectors for vectors in (4, 8)},
        other={"dimensions": 3, "labels": 9},
    ),
    "few_shot": Row(
        tasks.FewShot(),
        lambda batch: (len(batch.mask) // 5,),
        [(10,)],
        few_shot_sizes(),
        tiny={"classes": 2, "shots": 2, "dimensions": 2},
        evaluations={f"shots_{shots}": 5 * shots for shots in (10, 20)},
        other={"dimensions": 7, "classes": 3},
    ),
    "graph_traversal": Row(
        tasks.GraphTraversal(),
        traversal_size,
        [(nodes, path) for nodes in range(10, 41) for path in range(1, 21)],
        traversal_sizes(),
        tiny={"nodes": 3, "degree": 1, "path": 1},
        evaluations={
            f"nodes_{nodes}_path_{path}": 4 * nodes + 2 * path + 1
            for nodes, path in ((10, 1), (10, 4), (20, 6), (30, 7), (40, 10), (40, 20))
        },
        guess=knows_the_last_step,
        other={"lesson": 8},
    ),
    "graph_shortest_path": Row(
        tasks.GraphShortestPath(),
        shortest_path_size,
        [(nodes, path) for nodes in range(20, 26) for path in range(2, 6)],
        shortest_path_sizes(),
        tiny={"nodes": 4, "degree": 2, "path": 2, "planning_steps": 1},
        evaluations={
            f"nodes_{nodes}_path_{path}": 4 * nodes + 1 + 10 + path
            for nodes, path in ((10, 2), (20, 3), (25, 4), (25, 5))
        },
        other={"lesson": 8, "planner_percent": 70},
    ),
    "graph_inference": Row(
        tasks.GraphInference(),
        inference_size,
        [(nodes, path) for nodes in range(20, 26) for path in range(2, 6)],
        inference_sizes(),
        tiny={"nodes": 3, "degree": 2, "path": 2, "queries": 1, "planning_steps": 1},
        evaluations={
            f"nodes_{nodes}_path_{path}": 4 * nodes + 3 * 12
            for nodes, path in ((6, 2), (12, 3), (18, 4), (25, 5))
        },
        guess=knows_how_often_relations_are_asked_for,
        rows=4,
        other={"lesson": 8, "queries": 3},
    ),
    "interference_copy": Row(
        tasks.InterferenceCopy(),
        interference_size,
        [(length, ignored) for length in range(1, 11) for ignored in range(1, 21)],
        interference_sizes(),
        tiny={"max_length": 2, "max_distractors": 3},
        evaluations={
            f"length_{length}_distractors_{ignored}": 2 * length + ignored + 2
            for length, ignored in ((10, 20), (10, 100), (20, 100))
        },
    ),
    "adding": Row(
        tasks.Adding(),
        lambda batch: (len(batch.mask),),
        [(length,) for length in range(100, 111)],
        adding_sizes(),
        tiny={"min_length": 6, "max_length": 8},
        evaluations={f"length_{length}": length for length in (100, 500, 1000)},
        guess=says_the_mean,
        rows=64,
        other={},
    ),
    "stack_manipulation": Row(
        tasks.StackManipulation(),
        lambda batch: (len(batch.mask) // 2 - 1,),
        [(length,) for length in range(1, 41)],
        addition_sizes(),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": 2 * length + 2 for length in (40, 100, 500)},
        guess=knows_where_the_stack_ends,
        rows=64,
        other={},
    ),
    "even_pairs": Row(
        tasks.EvenPairs(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(2),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": length + 1 for length in (40, 100, 500)},
        guess=knows_the_length(tasks.EvenPairs()),
        other={},
    ),
    "parity_check": Row(
        tasks.ParityCheck(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(1),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": length + 1 for length in (40, 100, 500)},
        guess=knows_the_length(tasks.ParityCheck()),
        other={},
    ),
    "cycle_navigation": Row(
        tasks.CycleNavigation(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(1),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": length + 1 for length in (40, 100, 500)},
        guess=knows_the_length(tasks.CycleNavigation()),
        rows=64,
        other={},
    ),
    "modular_arithmetic": Row(
        tasks.ModularArithmetic(),
        tape_size,
        [(length,) for length in range(1, 40, 2)],
        string_sizes(1),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": length + 1 for length in (39, 99, 499)},
        guess=knows_the_length(tasks.ModularArithmetic()),
        rows=64,
        other={},
    ),
    "modular_arithmetic_brackets": Row(
        tasks.ModularArithmeticBrackets(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(1),
        tiny={"max_length": 6},
        evaluations={f"length_{length}": length + 1 for length in (40, 100, 500)},
        guess=knows_the_length(tasks.ModularArithmeticBrackets()),
        rows=4,
        other={},
    ),
    "solve_equation": Row(
        tasks.SolveEquation(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(3),
        tiny={"max_length": 6},
        evaluations={f"length_{length}": length + 1 for length in (40, 100, 500)},
        guess=knows_the_length(tasks.SolveEquation()),
        other={},
    ),
    "missing_duplicate_string": Row(
        tasks.MissingDuplicateString(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(2),
        tiny={"max_length": 4},
        evaluations={f"length_{length}": length + 1 for length in (40, 100, 500)},
        guess=knows_the_length(tasks.MissingDuplicateString()),
        other={},
    ),
    "duplicate_string": Row(
        tasks.DuplicateString(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(1),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": 3 * length for length in (40, 100, 500)},
        guess=knows_the_length(tasks.DuplicateString()),
        other={},
    ),
    "binary_multiplication": Row(
        tasks.BinaryMultiplication(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(4),
        tiny={"max_length": 5},
        evaluations={f"length_{length}": 2 * length for length in (40, 100, 500)},
        guess=knows_where_the_number_ends,
        rows=16,
        other={},
    ),
    "binary_sum": Row(
        tasks.BinarySum(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(4),
        tiny={"max_length": 5},
        evaluations={f"length_{length}": 2 * length + 1 for length in (40, 100, 500)},
        guess=knows_where_the_number_ends,
        rows=16,
        other={},
    ),
    "compute_sqrt": Row(
        tasks.ComputeSqrt(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(3),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": length + length // 2 for length in (40, 100, 500)},
        guess=knows_the_length(tasks.ComputeSqrt()),
        rows=16,
        other={},
    ),
    "bucket_sort": Row(
        tasks.BucketSort(),
        tape_size,
        [(length,) for length in range(1, 41)],
        string_sizes(1),
        tiny={"max_length": 3},
        evaluations={f"length_{length}": 2 * length for length in (40, 100, 500)},
        guess=knows_the_length(tasks.BucketSort()),
        rows=64,
        other={},
    ),
}

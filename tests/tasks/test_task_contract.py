"""What holds for every task: a new one enters all of these tests by one line of the table below."""

import ast
import dataclasses
import functools
import inspect
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tasks
from tasks import Batch, bits_per_sequence, exact_match, wrong_bits

SETTINGS = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


def repeat_copy_size(batch: Batch) -> tuple[int, ...]:
    length = int((batch.inputs[:, 0, -2] == 1).nonzero())
    answer = int(batch.mask[:, 0].sum()) - 1  # without the end marker
    return length, answer // length


def end_marker(batch: Batch) -> torch.Tensor:
    fixed = torch.zeros_like(batch.targets).bool()
    fixed[..., -1] = True  # the marker comes with the last step,
    fixed[-1] = True  # which holds nothing else
    return fixed


class Row(NamedTuple):
    """One task: what it is, how its batches are read, and what it must come to."""

    task: tasks.Task  # the defaults
    size: Callable[[Batch], tuple[int, ...]]  # the sizes that a batch was drawn with
    sizes: list[tuple[int, ...]]  # all that the defaults may draw, equally likely
    options: Any  # a strategy of constructor arguments
    evaluations: dict[str, int]  # name -> T
    fixed: Callable[[Batch], torch.Tensor] = lambda batch: torch.zeros_like(batch.targets).bool()
    # which of the targets, [T, B, O], follow from the layout alone
    exact: bool = True  # whether the inputs tell the targets


TABLE = {
    "copy": Row(
        tasks.Copy(),
        lambda batch: ((len(batch.mask) - 1) // 2,),
        [(length,) for length in range(1, 21)],
        copy_sizes(),
        {f"length_{length}": 2 * length + 1 for length in (10, 20, 30, 50, 120)},
    ),
    "repeat_copy": Row(
        tasks.RepeatCopy(),
        repeat_copy_size,
        [(length, repeats) for length in range(1, 11) for repeats in range(1, 11)],
        repeat_copy_sizes(),
        {
            "length_10_repeats_10": 10 + 1 + 100 + 1,
            "length_20_repeats_10": 20 + 1 + 200 + 1,
            "length_10_repeats_20": 10 + 1 + 200 + 1,
        },
        fixed=end_marker,
    ),
    "associative_recall": Row(
        tasks.AssociativeRecall(),
        lambda batch: ((len(batch.mask) - 8) // 4,),
        [(items,) for items in range(2, 7)],
        recall_sizes(),
        {f"items_{items}": 4 * items + 8 for items in (6, 8, 10, 12, 15, 20)},
    ),
    "dynamic_ngram": Row(
        tasks.DynamicNGram(),
        lambda batch: (len(batch.mask),),
        [(200,)],
        ngram_sizes(),
        {"length_200": 200},
        exact=False,
    ),
    "priority_sort": Row(
        tasks.PrioritySort(),
        lambda batch: (int((batch.inputs[:, 0, -1] == 1).nonzero()),),
        [(20,)],
        sort_sizes(),
        {"length_20": 20 + 1 + 16, "length_10": 10 + 1 + 8, "length_30": 30 + 1 + 24},
    ),
}
EVERY = pytest.mark.parametrize("name", TABLE)
EXACT = pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.exact])


def check_batch(task: tasks.Task, batch: Batch, batch_size: int) -> None:
    steps = len(batch.mask)
    assert batch.inputs.shape == (steps, batch_size, task.input_size)
    assert batch.targets.shape == (steps, batch_size, task.output_size)
    assert batch.mask.shape == (steps, batch_size)
    for tensor in batch:
        assert tensor.dtype == torch.float32
        assert tensor.device.type == "cpu"
        assert tensor.isfinite().all()
    assert ((batch.mask == 0) | (batch.mask == 1)).all()
    assert ((batch.targets == 0) | (batch.targets == 1)).all()
    assert (batch.mask.sum(0) > 0).all()
    assert (batch.targets.sum(-1) * (1 - batch.mask) == 0).all()


def test_the_table_holds_every_task():
    assert list(TABLE) == list(tasks.TASKS)
    for name, row in TABLE.items():
        assert tasks.make(name) == row.task


@EVERY
@SETTINGS
@given(data=st.data(), seed=st.integers(0, 2**32), batch_size=st.integers(1, 8))
def test_batches_have_their_shapes_and_the_solver_makes_no_mistake(name, data, seed, batch_size):
    row = TABLE[name]
    task = tasks.make(name, **data.draw(row.options))
    batch = task.sample(batch_size, generator(seed))
    check_batch(task, batch, batch_size)
    solved = task.solve(batch.inputs)
    assert solved.dtype == torch.float32
    if row.exact:
        assert torch.equal(solved, batch.targets)
        logits = 20 * solved - 10
        assert (wrong_bits(logits, batch) == 0).all()
        assert exact_match(logits, batch).all()
        assert (bits_per_sequence(logits, batch) < 0.1).all()
    else:
        assert solved.shape == batch.targets.shape
        assert ((solved > 0) & (solved < 1)).all()


@EXACT
def test_the_solver_makes_no_mistake_at_the_papers_sizes(name):
    for task in (TABLE[name].task, *TABLE[name].task.evaluations().values()):
        draws = generator(3)
        for _ in range(10):
            batch = task.sample(32, draws)
            check_batch(task, batch, 32)
            assert torch.equal(task.solve(batch.inputs), batch.targets)


@EVERY
def test_the_solver_reads_each_row_of_the_inputs_alone_and_leaves_them_as_they_are(name):
    task = TABLE[name].task
    inputs = task.sample(6, generator()).inputs
    kept = inputs.clone()
    solved = task.solve(inputs)
    assert torch.equal(inputs, kept)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert torch.equal(task.solve(inputs[:, order]), solved[:, order])
    assert torch.equal(task.solve(inputs[:, 2:3]), solved[:, 2:3])
    assert torch.equal(tasks.make(name).solve(inputs.double()).float(), solved)


@EVERY
def test_the_generator_alone_decides(name):
    task = TABLE[name].task
    draws = generator(5)
    first, second = task.sample(4, draws), task.sample(4, draws)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    again = generator(5)
    for expected in (first, second):
        for ours, theirs in zip(task.sample(4, again), expected, strict=True):
            assert torch.equal(ours, theirs)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.inputs.shape != second.inputs.shape or not torch.equal(first.inputs, second.inputs)


@EVERY
def test_the_rows_of_a_batch_differ(name):
    batch = tasks.make(name).sample(2, generator(1))
    assert not torch.equal(batch.targets[:, 0], batch.targets[:, 1])


@EVERY
def test_the_default_dtype_does_not_matter(name):
    task = TABLE[name].task
    expected = task.sample(3, generator(8))
    torch.set_default_dtype(torch.float64)
    try:
        batch = task.sample(3, generator(8))
    finally:
        torch.set_default_dtype(torch.float32)
    for ours, theirs in zip(batch, expected, strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs)


def guess(name: str, batch: Batch, logit: float = 0.0) -> torch.Tensor:
    """A constant for the random bits; what follows from the layout is taken as known."""
    return torch.where(TABLE[name].fixed(batch), 100 * batch.targets - 50, logit)


@functools.cache
def many_draws(name: str) -> list[tuple[tuple[int, ...], float]]:
    """The size of each of many batches of one row, and what guessing costs on it."""
    row, draws = TABLE[name], generator(6)
    batches = (row.task.sample(1, draws) for _ in range(60 * len(row.sizes)))
    return [
        (row.size(batch), float(bits_per_sequence(guess(name, batch), batch))) for batch in batches
    ]


@EVERY
def test_the_chance_cost_is_what_guessing_costs(name):
    chance = TABLE[name].task.chance_cost()
    # Guessing costs the same for all sequences of a size, and all sizes are equally likely.
    cost_of_size = dict(many_draws(name))
    for size, cost in many_draws(name):
        assert cost == pytest.approx(cost_of_size[size], rel=1e-5)
    assert sum(cost_of_size.values()) / len(cost_of_size) == pytest.approx(chance, rel=1e-5)
    # By plain Monte Carlo: 4 standard errors, at most 7 % of the cost.
    costs = torch.tensor([cost for _, cost in many_draws(name)])
    error = 4 * float(costs.std()) / len(costs) ** 0.5
    assert error < 0.07 * chance
    assert float(costs.mean()) == pytest.approx(chance, abs=max(error, 1e-5 * chance))


@EVERY
def test_no_other_constant_is_cheaper_than_chance(name):
    batch = TABLE[name].task.sample(600, generator(4))
    cheapest = bits_per_sequence(guess(name, batch), batch).mean()
    for logit in (-0.4, 0.4):
        assert bits_per_sequence(guess(name, batch, logit), batch).mean() > cheapest


@EVERY
def test_all_sizes_are_drawn_equally_often_the_largest_too(name):
    sizes = TABLE[name].sizes
    counts = Counter(size for size, _ in many_draws(name))
    assert sorted(counts) == sorted(sizes)
    # Pearson's statistic has mean k and variance 2k with k degrees of freedom; 5 deviations.
    freedom = len(sizes) - 1
    statistic = sum((counts[size] - 60) ** 2 / 60 for size in sizes)
    assert statistic <= freedom + 5 * (2 * freedom) ** 0.5


@EVERY
def test_the_evaluations_sample_what_their_names_say(name):
    row = TABLE[name]
    evaluations = row.task.evaluations()
    assert list(evaluations) == list(row.evaluations)
    for label, task in evaluations.items():
        assert type(task) is type(row.task)
        named = tuple(int(number) for number in re.findall(r"\d+", label))
        for seed in range(5):
            batch = task.sample(2, generator(seed))
            assert len(batch.mask) == row.evaluations[label]
            assert row.size(batch) == named
            assert (task.input_size, task.output_size) == (
                row.task.input_size,
                row.task.output_size,
            )


@EVERY
def test_the_evaluations_keep_the_widths_of_the_task(name):
    field = "context" if name == "dynamic_ngram" else "bits"
    task = tasks.make(name, **{field: 3})
    for other in task.evaluations().values():
        assert getattr(other, field) == 3
        assert (other.input_size, other.output_size) == (task.input_size, task.output_size)


@EVERY
def test_every_field_is_a_plain_number_with_a_default_and_a_help_text(name):
    kind = tasks.TASKS[name]
    (node,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(node, ast.ClassDef)
    explained = [
        statement.target.id
        for statement, after in zip(node.body, node.body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    ]
    assert explained == [field.name for field in dataclasses.fields(kind)]
    for field in dataclasses.fields(kind):
        assert isinstance(field.default, int | float)


@EVERY
def test_tasks_cannot_be_changed_and_compare_by_their_sizes(name):
    task = tasks.make(name)
    assert task == tasks.make(name)
    assert hash(task) == hash(tasks.make(name))
    field = dataclasses.fields(task)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(task, field, 3)
    assert dataclasses.replace(task, **{field: 21}) != task


@EVERY
@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_a_bad_batch_size_is_refused(name, batch_size):
    with pytest.raises(ValueError, match=r"batch_size must be a whole number of at least 1, got"):
        TABLE[name].task.sample(batch_size, generator())


@EVERY
def test_every_size_must_be_a_whole_positive_number(name):
    for field in dataclasses.fields(tasks.TASKS[name]):
        for value in (0, -3, 2.5, "4", None, True):
            with pytest.raises(ValueError, match=rf"{field.name} must be .*got.*pass"):
                tasks.make(name, **{field.name: value})


def test_an_unknown_task_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"no task 'sort': choose one of copy, .*priority_sort$"):
        tasks.make("sort")


def test_an_unknown_option_is_refused_with_the_names_there_are():
    with pytest.raises(
        ValueError, match=r"task copy has no option width: it has bits, min_length, max_length$"
    ):
        tasks.make("copy", width=3)


def test_a_batch_moves_between_devices():
    batch = tasks.Copy().sample(2, generator()).to("meta")
    assert isinstance(batch, Batch)
    assert {tensor.device.type for tensor in batch} == {"meta"}

"""What holds for every task: a new one enters all of these tests by one line of table.py."""

import ast
import dataclasses
import functools
import inspect
import re
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tasks
from tasks import Batch
from tasks.solved import metrics
from tests.tasks.table import TABLE, Row

SETTINGS = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


EVERY = pytest.mark.parametrize("name", TABLE)
EXACT = pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.exact])


SOFTMAXES = {"wrong_symbols": 1, "wrong_triples": 9, "wrong_moves": 9}
"""How many symbols are answered at each step, of the costs that are of symbols."""


def check_batch(task: tasks.Task, batch: Batch, batch_size: int) -> None:
    steps = len(batch.mask)
    assert batch.inputs.shape == (steps, batch_size, task.input_size)
    assert batch.targets.shape == (steps, batch_size, task.output_size)
    assert batch.mask.shape == (steps, batch_size)
    assert batch.lengths is None
    for tensor in batch[:3]:
        assert tensor.dtype == torch.float32
        assert tensor.device.type == "cpu"
        assert tensor.isfinite().all()
    assert ((batch.mask == 0) | (batch.mask == 1)).all()
    if task.cost.name == "bits_per_sequence":
        assert ((batch.targets == 0) | (batch.targets == 1)).all()
    if task.cost.errors_name in SOFTMAXES:
        symbols = SOFTMAXES[task.cost.errors_name]
        assert torch.equal(batch.targets.sum(-1), symbols * batch.mask)
    assert (batch.mask.sum(0) > 0).all()
    assert (batch.targets.abs().sum(-1) * (1 - batch.mask) == 0).all()


def saying(task: tasks.Task, targets: torch.Tensor) -> torch.Tensor:
    """Outputs that are sure of these targets."""
    return 40 * targets - 20 if task.cost.name == "bits_per_sequence" else targets


def test_the_table_holds_every_task():
    # bAbI has no sequences without its files: tests/tasks/test_babi.py holds it to the contract.
    assert set(TABLE) == set(tasks.TASKS) - {"babi"}
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
        found = task.cost.measure(saying(task, solved), batch)
        assert list(found) == metrics(task)
        assert (found[task.cost.name] < 0.1).all()
        assert (found[task.cost.errors_name] == 0).all()
        assert found["exact_match"].all()
        assert (found.get("accuracy", torch.ones(1)) == 1).all()
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
        for ours, theirs in zip(task.sample(4, again)[:3], expected[:3], strict=True):
            assert torch.equal(ours, theirs)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.inputs.shape != second.inputs.shape or not torch.equal(first.inputs, second.inputs)


@EVERY
def test_the_rows_of_a_batch_differ(name):
    # Of two answers of one bit, every other pair is the same.
    batch = tasks.make(name).sample(16, generator(1))
    assert not torch.equal(batch.targets, batch.targets[:, :1].expand_as(batch.targets))


@EVERY
def test_the_default_dtype_does_not_matter(name):
    task = TABLE[name].task
    expected = task.sample(3, generator(8))
    torch.set_default_dtype(torch.float64)
    try:
        batch = task.sample(3, generator(8))
    finally:
        torch.set_default_dtype(torch.float32)
    for ours, theirs in zip(batch[:3], expected[:3], strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs)


def charged(name: str, batch: Batch, outputs: torch.Tensor) -> float:
    return float(TABLE[name].task.cost.per_sequence(outputs, batch).mean())


def per_size(row: Row) -> int:
    """How many batches to draw for each size, so that there are enough in all, and not too many."""
    return 120 if len(row.sizes) <= 10 else 60 if len(row.sizes) <= 200 else 15


@functools.cache
def many_draws(name: str) -> list[tuple[tuple[int, ...], float]]:
    """The size of each of many batches, and what guessing costs on it."""
    row, draws = TABLE[name], generator(6)
    count = per_size(row) * len(row.sizes)
    batches = (row.task.sample(row.rows or 1, draws) for _ in range(count))
    return [(row.size(batch), charged(name, batch, row.guess(batch))) for batch in batches]


@EVERY
def test_the_chance_cost_is_what_guessing_costs(name):
    chance = TABLE[name].task.chance_cost()
    if TABLE[name].rows is None:
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
    task = TABLE[name].task
    batch = task.sample(600, generator(4))
    guess = TABLE[name].guess(batch)
    # The bits and numbers all move; of the symbols only the first one, as the rest is relative.
    step = torch.zeros(task.output_size)
    symbols = task.cost.errors_name in SOFTMAXES
    step[: 1 if symbols else None] = 1.0 if symbols else 0.4
    for moved in (guess - step, guess + step):
        assert charged(name, batch, moved) > charged(name, batch, guess)


@EVERY
def test_all_sizes_are_drawn_equally_often_the_largest_too(name):
    sizes, expected = TABLE[name].sizes, per_size(TABLE[name])
    counts = Counter(size for size, _ in many_draws(name))
    assert sorted(counts) == sorted(sizes)
    # Pearson's statistic has mean k and variance 2k with k degrees of freedom; 5 deviations.
    freedom = len(sizes) - 1
    statistic = sum((counts[size] - expected) ** 2 / expected for size in sizes)
    assert statistic <= freedom + 5 * (2 * freedom) ** 0.5


@EVERY
@SETTINGS
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_the_rows_cover_all_channels_and_hold_values_of_their_range(name, data, seed):
    task = tasks.make(name, **data.draw(TABLE[name].options))
    batch = task.sample(4, generator(seed))
    for rows, values in ((task.input_rows, batch.inputs), (task.output_rows, batch.targets)):
        assert sum(row.count for row in rows) == values.shape[-1]
        assert len({row.name for row in rows}) == len(rows)
        for row, channels in zip(rows, values.split([row.count for row in rows], -1), strict=True):
            assert row.name
            assert row.range[0] <= channels.min()
            assert channels.max() <= row.range[1]


@EVERY
def test_the_ranges_of_the_rows_are_no_wider_than_their_values(name):
    task, draws = TABLE[name].task, generator(9)
    batches = [task.sample(16, draws) for _ in range(60)]
    for rows, found in (
        (task.input_rows, [batch.inputs for batch in batches]),
        (task.output_rows, [batch.targets for batch in batches]),
    ):
        first = 0
        for row in rows:
            values = torch.cat([each[..., first : first + row.count].flatten() for each in found])
            low, high = row.range
            assert values.max() - values.min() > 0.9 * (high - low)
            first += row.count


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
    task = tasks.make(name, **TABLE[name].other)
    for other in task.evaluations().values():
        for field, value in TABLE[name].other.items():
            assert getattr(other, field) == value
        assert (other.input_size, other.output_size) == (task.input_size, task.output_size)


@EVERY
def test_the_axes_name_fields_and_end_at_the_task_itself(name):
    task = TABLE[name].task
    assert task.axes
    fields = [field for axis in task.axes for field in axis.fields]
    assert len(fields) == len(set(fields))
    for axis in task.axes:
        assert 1 <= axis.easiest <= axis.hardest
        assert max(getattr(task, field) for field in axis.fields) == axis.hardest


@EVERY
def test_every_field_is_a_plain_number_or_word_with_a_default_and_a_help_text(name):
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
        assert isinstance(field.default, int | float | str)


@EVERY
def test_tasks_cannot_be_changed_and_compare_by_their_sizes(name):
    task = tasks.make(name)
    assert task == tasks.make(name)
    assert hash(task) == hash(tasks.make(name))
    field = dataclasses.fields(task)[-1].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(task, field, 3)
    assert dataclasses.replace(task, **{field: getattr(task, field) + 1}) != task


@EVERY
@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_a_bad_batch_size_is_refused(name, batch_size):
    with pytest.raises(ValueError, match=r"batch_size must be a whole number of at least 1, got"):
        TABLE[name].task.sample(batch_size, generator())


GRAPHS = ("graph_traversal", "graph_shortest_path", "graph_inference")
MAY_BE_0 = {
    ("associative_recall", "planning_steps"),
    ("associative_recall", "planning_per_item"),
    *((name, size) for name in GRAPHS for size in ("on_map", "nodes", "degree", "path")),
    ("graph_shortest_path", "planning_steps"),
    ("graph_shortest_path", "planner_percent"),
    ("graph_inference", "planning_steps"),
}
"""Sizes that count something a sequence can do without, or that a lesson gives."""


@EVERY
def test_every_size_must_be_a_whole_positive_number(name):
    for field in dataclasses.fields(tasks.TASKS[name]):
        if isinstance(field.default, str):
            continue
        values = (-3, 2.5, "4", None, True)
        for value in values if (name, field.name) in MAY_BE_0 else (0, *values):
            with pytest.raises(ValueError, match=rf"{field.name} must be .*got.*pass"):
                tasks.make(name, **{field.name: value})


def test_an_unknown_task_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"no task 'sort': choose one of .*priority_sort, "):
        tasks.make("sort")


def test_an_unknown_option_is_refused_with_the_names_there_are():
    with pytest.raises(
        ValueError, match=r"task copy has no option width: it has bits, min_length, max_length$"
    ):
        tasks.make("copy", width=3)


def test_a_batch_moves_between_devices():
    batch = tasks.Copy().sample(2, generator()).to("meta")
    assert isinstance(batch, Batch)
    assert {tensor.device.type for tensor in batch[:3]} == {"meta"}
    with_lengths = batch._replace(lengths=torch.tensor([1, 2])).to("meta")
    assert with_lengths.lengths is not None
    assert with_lengths.lengths.device.type == "meta"

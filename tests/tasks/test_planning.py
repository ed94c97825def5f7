"""A planning budget: where its steps are, and that nothing else changes."""

from dataclasses import replace

import pytest
import torch

import tasks
from tasks.base import Batch
from tasks.planning import planned
from tests.tasks.table import TABLE


def drawn(task: object, seed: int = 0, rows: int = 4) -> Batch:
    return task.sample(rows, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", list(TABLE))
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_blank_steps_stand_before_the_first_answer_of_any_task(name: str, steps: int) -> None:
    """Row by row, as lists."""
    batch = drawn(TABLE[name].task)
    after = planned(batch, steps)
    assert len(after.mask) == len(batch.mask) + steps
    for part, longer in zip(batch[:3], after[:3], strict=True):
        for b in range(batch.mask.shape[1]):
            first = next((t for t, one in enumerate(batch.mask[:, b]) if one), len(batch.mask))
            blank = torch.zeros_like(part[:1, b]).expand(steps, *part[:1, b].shape[1:])
            expected = torch.cat([part[:first, b], blank, part[first:, b]])
            assert torch.equal(longer[:, b], expected)


def test_a_row_without_an_answer_goes_on_blank() -> None:
    batch = Batch(torch.ones(2, 1, 1), torch.zeros(2, 1, 1), torch.zeros(2, 1))
    assert planned(batch, 2).inputs.flatten().tolist() == [1, 1, 0, 0]


def test_rows_of_their_own_lengths_become_longer() -> None:
    batch = Batch(*(torch.ones(3, 2, 1),) * 2, torch.ones(3, 2), torch.tensor([3, 1]))
    assert planned(batch, 2).lengths.tolist() == [5, 3]


@pytest.mark.parametrize("steps", [-1, 1.5, True])
def test_a_number_of_steps_that_is_none(steps: object) -> None:
    batch = drawn(tasks.Copy())
    with pytest.raises(ValueError, match="steps must be a whole number of at least 0"):
        planned(batch, steps)


@pytest.mark.parametrize(("steps", "per_item"), [(4, 0), (0, 3), (2, 1)])
def test_associative_recall_with_a_budget(steps: int, per_item: int) -> None:
    plain = tasks.AssociativeRecall(bits=3, item_length=2)
    task = replace(plain, planning_steps=steps, planning_per_item=per_item)
    for seed in range(8):
        batch, found = drawn(plain, seed), drawn(task, seed)
        items = int(batch.inputs[:, 0, 3].sum())
        more = steps + per_item * items
        assert all(map(torch.equal, found[:3], planned(batch, more)[:3]))
        assert torch.equal(task.solve(found.inputs), found.targets)
        answer = len(found.mask) - 2
        assert not found.inputs[answer - more :].any()
        assert found.mask[answer:].all()
        assert not found.mask[:answer].any()
    assert {one.planning_per_item for one in task.evaluations().values()} == {per_item}


@pytest.mark.parametrize("name", ["planning_steps", "planning_per_item"])
def test_a_budget_below_0(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 0, got"):
        tasks.AssociativeRecall(**{name: -1})

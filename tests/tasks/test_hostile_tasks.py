"""A table of hostile sizes, levels, batches and answers of tasks: each is refused in words."""

import dataclasses
import math
from typing import Any

import pytest
import torch

from tasks import TASKS
from tasks.curriculum import CURRICULA
from tasks.levels import at_level
from tests.hostile import assert_refused
from tests.tasks.table import TABLE

NO_SIZE = (-3, 2.5, True, "5", None, math.nan, [4], 10**30)
FIELDS = [(name, f.name) for name in TABLE for f in dataclasses.fields(TASKS[name])]  # type: ignore[arg-type]
WORDS = [(name, "map_file") for name in TABLE if name.startswith("graph")]
WORDS += [("few_shot", "folder")]


@pytest.mark.parametrize(("task", "field"), FIELDS)
def test_a_size_of_a_task(task: str, field: str) -> None:
    for value in NO_SIZE:
        if (task, field) in WORDS and isinstance(value, str):
            continue
        assert_refused(lambda value=value: TASKS[task](**{field: value}), field)


@pytest.mark.parametrize("task", TABLE)
def test_a_batch_and_a_level_of_a_task(task: str) -> None:
    made: Any = TASKS[task]()
    for value in (0, *NO_SIZE):
        assert_refused(lambda value=value: made.sample(value, torch.Generator()), "batch_size")
    for value in (0, -1, 10**6, 1.5, "1", True, math.nan, [1]):
        assert_refused(lambda value=value: at_level(made, value), "level")


@pytest.mark.parametrize("task", TABLE)
def test_answers_of_another_shape(task: str) -> None:
    made: Any = TASKS[task]()
    batch = made.sample(2, torch.Generator().manual_seed(0))
    right = torch.zeros_like(batch.targets)
    wrong = (right[:-1], right[:, :1], right[..., :-1], right[0], right[None], right.flatten(1))
    for outputs in wrong:
        for score in (made.cost.per_sequence, made.cost.errors, made.cost.measure):
            assert_refused(lambda s=score, o=outputs: s(o, batch), "logits|outputs|shape")


NUMBER = (math.nan, math.inf, -1.0, "0.1", None, [0.1], 1j)
OPTIONS = [
    *(("fixed", "level", value) for value in (0, -1, 1.5, True, "1", math.nan, 10**30)),
    *(
        (name, "threshold", v)
        for name in ("incremental", "mixed", "doubling")
        for v in (0, *NUMBER)
    ),
    *(
        (name, "window", v)
        for name in ("incremental", "mixed", "lessons", "doubling")
        for v in (0, *NO_SIZE)
    ),
    *(("lessons", name, value) for name in ("passed", "earlier") for value in (1.5, *NUMBER)),
    *(("mixed", "share", value) for value in (1.5, *NUMBER)),
    *(("prediction_gain", "step_size", value) for value in (0, *NUMBER)),
    *(("prediction_gain", "exploration", value) for value in (1.5, *NUMBER)),
    *(("prediction_gain", "reservoir", value) for value in (0, *NO_SIZE)),
]


@pytest.mark.parametrize(("curriculum", "option", "value"), OPTIONS)
def test_an_option_of_a_curriculum(curriculum: str, option: str, value: Any) -> None:
    assert_refused(lambda: CURRICULA[curriculum](**{option: value}), option)


@pytest.mark.parametrize("level", [2, 21, 10**9])
def test_a_level_that_the_task_has_not(level: int) -> None:
    levels = 1 if level == 2 else 20
    assert_refused(lambda: CURRICULA["fixed"](level=level).start(levels), "level")  # type: ignore[call-arg]

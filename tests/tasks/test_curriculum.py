"""What holds for every curriculum, and what each of them does with what it sees."""

import json
import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tasks
from tasks.curriculum import (
    CURRICULA,
    Doubling,
    Fixed,
    Incremental,
    Lessons,
    Mixed,
    Outcome,
    PredictionGain,
    Uniform,
)
from tasks.levels import at_level, levels
from tests.tasks.table import TABLE

SETTINGS = settings(derandomize=True, deadline=None, max_examples=60, database=None)
EVERY = pytest.mark.parametrize("name", CURRICULA)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def outcome(level, seed):
    """What a network might make of a batch: different at each step, easier at low levels."""
    draws = torch.rand(3, generator=generator(seed)).tolist()
    return Outcome(level, 0.25 * draws[0] * level, draws[1] - 0.5, 1 - 0.1 * draws[2] * level)


def study(curriculum, state, draws, steps, first=0):
    """The levels of some batches, and the state after them."""
    chosen = []
    for step in range(first, first + steps):
        level = curriculum.choose(state, draws)
        chosen.append(level)
        state = curriculum.update(state, outcome(level or 1, step), draws)
    return chosen, state


@EVERY
@SETTINGS
@given(top=st.integers(1, 25), seed=st.integers(0, 2**32), window=st.integers(1, 4))
def test_levels_stay_on_the_ladder_and_the_seed_decides_them(name, top, seed, window):
    options = {"window": window} if hasattr(CURRICULA[name], "window") else {}
    curriculum = CURRICULA[name](**options)
    state = curriculum.start(top)
    chosen, after = study(curriculum, state, generator(seed), 40)
    if name == "fixed":
        assert chosen == [None] * 40
    else:
        assert all(type(level) is int and 1 <= level <= top for level in chosen)
    assert study(curriculum, state, generator(seed), 40) == (chosen, after)


@EVERY
@SETTINGS
@given(top=st.integers(1, 25), seed=st.integers(0, 2**32), steps=st.integers(0, 30))
def test_the_state_is_plain_data_and_goes_on_exactly(name, top, seed, steps):
    options = {"reservoir": 7} if name == "prediction_gain" else {}
    curriculum = CURRICULA[name](**options)
    draws = generator(seed)
    _, state = study(curriculum, curriculum.start(top), draws, steps)
    saved, again = json.dumps(state), generator()
    again.set_state(draws.get_state())
    whole = study(curriculum, state, draws, 30, first=steps)
    assert json.dumps(state) == saved, "the state that was passed in has changed"
    assert study(CURRICULA[name](**options), json.loads(saved), again, 30, first=steps) == whole


@EVERY
def test_torchs_own_generator_is_left_alone(name):
    before = torch.get_rng_state()
    curriculum = CURRICULA[name]()
    study(curriculum, curriculum.start(9), generator(), 30)
    assert torch.equal(torch.get_rng_state(), before)


def counted(curriculum, state, draws=6000):
    source = generator(1)
    return Counter(curriculum.choose(state, source) for _ in range(draws))


def check_counts(counts, probabilities):
    total = sum(counts.values())
    for level, probability in enumerate(probabilities, start=1):
        error = 5 * math.sqrt(total * probability * (1 - probability)) + 1e-9
        assert abs(counts[level] - total * probability) <= error, level


def test_fixed():
    curriculum = Fixed(level=3)
    assert study(curriculum, curriculum.start(5), generator(), 10)[0] == [3] * 10


def test_uniform():
    check_counts(counted(Uniform(), Uniform().start(6)), [1 / 6] * 6)


def fed(curriculum, state, costs, level=None):
    """The state after batches of these costs, at the level reached unless another one is given."""
    for cost in costs:
        at = state["reached"] if level is None else level
        state = curriculum.update(state, Outcome(at, cost), generator())
    return state


@pytest.mark.parametrize("kind", [Incremental, Mixed])
def test_one_level_up_only_when_solved(kind):
    curriculum = kind(threshold=0.5, window=3)
    state = curriculum.start(3)
    assert fed(curriculum, state, [0.5] * 50)["reached"] == 1  # not below the threshold
    assert fed(curriculum, state, [0.1, 0.1])["reached"] == 1  # too few
    assert fed(curriculum, state, [0.1] * 9, level=2)["reached"] == 1  # of another level
    state = fed(curriculum, state, [1.0, 1.0, 1.0, 0.4, 0.4, 1.0, 0.2])
    assert state["reached"] == 1
    state = fed(curriculum, state, [0.2])  # the mean of the last three is 1.4 / 3
    assert (state["reached"], state["costs"]) == (2, [])
    assert fed(curriculum, state, [0.1, 0.1])["reached"] == 2  # the old costs do not count
    assert fed(curriculum, state, [0.1] * 3)["reached"] == 3
    assert fed(curriculum, state, [0.1] * 60)["reached"] == 3  # there are no more


def test_incremental_learns_at_the_level_it_has_reached():
    curriculum = Incremental(window=1)
    assert counted(curriculum, {**curriculum.start(5), "reached": 4}, 50) == {4: 50}


def test_mixed_is_of_any_level_as_often_as_it_says():
    curriculum = Mixed(share=0.3)
    state = {**curriculum.start(5), "reached": 2}
    check_counts(counted(curriculum, state), [0.06, 0.76, 0.06, 0.06, 0.06])
    assert counted(Mixed(share=0.0), state, 50) == {2: 50}
    check_counts(counted(Mixed(share=1.0), state), [0.2] * 5)


def test_a_lesson_is_passed_when_its_sequences_are_right_and_a_few_batches_are_of_earlier_ones():
    curriculum = Lessons(passed=0.9, window=2, earlier=0.2)
    state = curriculum.start(4)
    assert counted(curriculum, state, 50) == {1: 50}

    def after(state, *rights, level=None):
        for right in rights:
            outcome = Outcome(level or state["reached"], 5.0, 0.0, right)
            state = curriculum.update(state, outcome, generator())
        return state

    assert after(state, 1.0)["reached"] == 1  # too few
    assert after(state, 1.0, 0.75, 1.0, 0.75)["reached"] == 1
    assert after(state, 1.0, 1.0, 1.0, level=2)["reached"] == 1  # of another lesson
    state = after(state, 0.5, 1.0, 0.875)
    assert state == {"levels": 4, "reached": 2, "costs": []}
    state = after(after(state, 1.0, 1.0), 1.0, 1.0)
    assert state["reached"] == 4
    assert after(state, 1.0, 1.0, 1.0)["reached"] == 4  # there are no more
    check_counts(counted(curriculum, state), [0.2 / 3] * 3 + [0.8])


def test_doubling_doubles_the_highest_level_and_draws_any_below():
    curriculum = Doubling(threshold=0.5, window=2)
    state = curriculum.start(11)
    reached = []
    for _ in range(6):
        reached.append(state["reached"])
        assert fed(curriculum, state, [0.6, 0.6])["reached"] == state["reached"]
        state = fed(curriculum, state, [0.4, 0.4], level=1)
    assert reached == [1, 2, 4, 8, 11, 11]
    check_counts(counted(curriculum, {**state, "reached": 4}), [0.25] * 4)


@SETTINGS
@given(
    weights=st.lists(st.floats(-800, 800), min_size=1, max_size=12),
    exploration=st.floats(0, 1),
)
def test_the_probabilities_are_a_distribution_that_never_stops_exploring(weights, exploration):
    curriculum = PredictionGain(exploration=exploration)
    state = {**curriculum.start(len(weights)), "weights": weights}
    probabilities = curriculum.probabilities(state)
    assert sum(probabilities) == pytest.approx(1)
    assert min(probabilities) >= exploration / len(weights) * (1 - 1e-12)


def slow_exp3s(weights, level, reward, batches, step_size, exploration):
    """One update of Exp3.S as Graves et al. 2017 print it, and the probabilities before it."""
    count = len(weights)
    total = sum(math.exp(w) for w in weights)
    before = [(1 - exploration) * math.exp(w) / total + exploration / count for w in weights]
    scores = [
        w + step_size * (reward if i == level - 1 else 0) / before[i] for i, w in enumerate(weights)
    ]
    share = 1 / (batches + 2)  # the paper's t counts from 1, where all weights are still 0
    after = []
    for i in range(count):
        others = sum(math.exp(scores[j]) for j in range(count) if j != i)
        after.append(math.log((1 - share) * math.exp(scores[i]) + share / (count - 1) * others))
    return before, after


@pytest.mark.parametrize(("gain", "reward"), [(5.0, 1.0), (-5.0, -1.0), (2.5, 0.25), (2.0, 0.0)])
def test_an_update_is_that_of_the_paper(gain, reward):
    # The gains so far are 0, 1, 2, 3 and 4: the 20th percentile is 0.8, the 80th is 3.2.
    expected = max(-1.0, min(1.0, 2 * (gain - 0.8) / 2.4 - 1))
    weights, gains = [0.3, -0.2, 0.0, 1.0], [3.0, 0.0, 4.0, 1.0, 2.0]
    curriculum = PredictionGain(step_size=0.1, exploration=0.2)
    state = {"levels": 4, "batches": 5, "weights": weights, "gains": gains}
    before, after = slow_exp3s(weights, 2, expected, 5, 0.1, 0.2)
    assert curriculum.probabilities(state) == pytest.approx(before)
    found = curriculum.update(state, Outcome(2, 0.0, gain), generator())
    differences = [w - found["weights"][0] for w in found["weights"]]
    assert differences == pytest.approx([w - after[0] for w in after])
    assert found["gains"] == [*gains, gain]
    assert found["batches"] == 6
    assert expected == pytest.approx(reward, abs=0.2)


def test_the_bandit_follows_the_arm_that_is_rewarded_and_leaves_it_again():
    curriculum = PredictionGain(step_size=0.02, exploration=0.1, reservoir=100)
    state, draws = curriculum.start(5), generator(3)
    for rewarded in (4, 2):
        for _ in range(1500):
            level = curriculum.choose(state, draws)
            gain = 1.0 if level == rewarded else 0.0
            state = curriculum.update(state, Outcome(level, 0.5, gain), draws)
        probabilities = curriculum.probabilities(state)
        assert max(probabilities) == probabilities[rewarded - 1]
        assert probabilities[rewarded - 1] > 0.5
    check_counts(counted(curriculum, state), curriculum.probabilities(state))


def test_the_reservoir_is_a_fair_sample_of_all_gains():
    curriculum = PredictionGain(reservoir=10)
    kept: Counter = Counter()
    for seed in range(300):
        state, draws = curriculum.start(1), generator(seed)
        for step in range(40):
            state = curriculum.update(state, Outcome(1, 0.0, float(step)), draws)
        assert len(state["gains"]) == 10
        kept.update(state["gains"])
    expected = 300 * 10 / 40
    statistic = sum((kept[float(step)] - expected) ** 2 / expected for step in range(40))
    assert statistic < 39 + 5 * math.sqrt(78)


@pytest.mark.parametrize("name", TABLE)
def test_the_levels_of_every_task_rise_to_its_own_sizes(name):
    task = tasks.make(name)
    top = levels(task)
    fields = [field for axis in task.axes for field in axis.fields]
    sizes = []
    for level in range(1, top + 1):
        lesson = at_level(task, level)
        assert (lesson.input_size, lesson.output_size) == (task.input_size, task.output_size)
        assert lesson.chance_cost() > 0
        sizes.append([getattr(lesson, field) for field in fields])
        batch = lesson.sample(2, generator(level))
        assert torch.equal(lesson.solve(batch.inputs), batch.targets) or name == "dynamic_ngram"
    assert sizes[0] == [axis.easiest for axis in task.axes for _ in axis.fields]
    assert sizes[-1] == [axis.hardest for axis in task.axes for _ in axis.fields]
    for column in zip(*sizes, strict=True):
        assert list(column) == sorted(column)
    assert len({tuple(size) for size in sizes}) == top
    assert at_level(task, None) is task


@SETTINGS
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_priority_sort_is_possible_at_every_level(length, answer, level):
    task = tasks.PrioritySort(length=max(length, answer), answer_length=min(length, answer))
    lesson = at_level(task, min(level, levels(task)))
    assert isinstance(lesson, tasks.PrioritySort)
    assert lesson.answer_length <= lesson.length


def test_a_task_of_one_size_has_one_level():
    task = tasks.Copy(min_length=4, max_length=4)
    assert levels(task) == 1
    assert at_level(task, 1) == task


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (0, "level must be a whole number of at least 1, got level=0"),
        (-1, "level must be a whole number of at least 1, got level=-1"),
        (6, "level must be from 1 to the 5 levels of the task, got level=6"),
    ],
)
def test_a_level_that_there_is_not(level, message):
    with pytest.raises(ValueError, match=message):
        at_level(tasks.Copy(max_length=5), level)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Fixed, {"level": 0}, "level must be a whole number of at least 1, got level=0"),
        *[
            (
                kind,
                {"threshold": value},
                f"threshold must be positive and finite, got .*{value}.*pass",
            )
            for kind in (Incremental, Mixed, Doubling)
            for value in (0, -1.0, math.inf, math.nan)
        ],
        *[
            (kind, {"window": 0}, "window must be a whole number of at least 1, got window=0: pass")
            for kind in (Incremental, Mixed, Lessons, Doubling)
        ],
        (Mixed, {"share": 1.5}, "share must be from 0 to 1, got share=1.5: pass"),
        (Lessons, {"passed": -0.1}, "passed must be from 0 to 1, got passed=-0.1: pass"),
        (Lessons, {"passed": 1.0}, "passed must be below 1, as .* got passed=1.0: pass 0.99"),
        (Lessons, {"earlier": 2}, "earlier must be from 0 to 1, got earlier=2: pass"),
        (PredictionGain, {"exploration": -0.1}, "exploration must be from 0 to 1, got expl.*-0.1"),
        (
            PredictionGain,
            {"step_size": 0},
            "step_size must be positive and finite, got step_size=0",
        ),
        (PredictionGain, {"reservoir": 0}, "reservoir must be a whole number of at least 1, got"),
    ],
)
def test_impossible_options_are_refused_with_the_remedy(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_a_fixed_level_that_the_task_does_not_have_is_refused():
    with pytest.raises(ValueError, match="level must be from 1 to the 5 levels of the task, got"):
        Fixed(level=6).start(5)

"""Every task's statement of when it is solved, over the whole table of tasks."""

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tasks
from tasks import Batch
from tasks.dynamic_ngram import OPTIMUM
from tasks.solved import GAP, HasOptimum, measure, metrics
from tests.tasks.table import TABLE

SETTINGS = settings(derandomize=True, deadline=None, max_examples=40, database=None)
EVERY = pytest.mark.parametrize("name", TABLE)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def guess(name: str, batch: Batch) -> torch.Tensor:
    """The best outputs without the inputs; of symbols that are all as likely, the first one."""
    outputs = TABLE[name].guess(batch).clone()
    if TABLE[name].task.cost.errors_name == "wrong_symbols":
        outputs[..., 0] += 1e-6
    return outputs


def perfect(task: tasks.Task, batch: Batch) -> torch.Tensor:
    """The outputs of a network that has learned all that there is to learn."""
    answers = task.solve(batch.inputs.double())
    if isinstance(task, HasOptimum):
        return answers.logit()
    return 60 * answers - 30 if task.cost.name == "bits_per_sequence" else answers


def mean(task: tasks.Task, outputs: torch.Tensor, batch: Batch) -> float:
    return float(measure(task, outputs, batch)[task.solved.metric].double().mean())


@EVERY
@SETTINGS
@given(data=st.data())
def test_the_limit_is_positive_and_of_a_metric_that_is_measured(name, data):
    for task in (TABLE[name].task, tasks.make(name, **data.draw(TABLE[name].options))):
        assert task.solved.metric in metrics(task)
        assert task.solved.metric != "exact_match"  # it grows while a network learns
        assert 0 < task.solved.below < math.inf
        assert (task.solved.metric == GAP) == isinstance(task, HasOptimum)


@EVERY
def test_the_statement_has_its_reason_and_the_papers_figures_their_place(name):
    solved = TABLE[name].task.solved
    assert solved.why.endswith(".")
    assert len(solved.why.split()) > 15
    if solved.paper is not None:
        assert solved.paper.figures
        assert all(solved.paper.figures.values())
        assert any(character.isdigit() for character in solved.paper.place)


def test_every_task_of_the_ntm_paper_has_the_figures_of_its_three_models():
    for name in ("copy", "repeat_copy", "associative_recall", "dynamic_ngram", "priority_sort"):
        paper = tasks.make(name).solved.paper
        assert paper is not None
        assert list(paper.figures) == ["NTM", "NTM, feed-forward", "LSTM"]


@EVERY
@SETTINGS
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_a_network_that_makes_no_mistake_has_solved_it(name, data, seed):
    for task in (TABLE[name].task, tasks.make(name, **data.draw(TABLE[name].options))):
        batch = task.sample(4, generator(seed))
        assert mean(task, perfect(task, batch), batch) < task.solved.below / 10


@EVERY
def test_guessing_has_not_solved_it(name):
    task, draws = TABLE[name].task, generator(1)
    found = []
    for _ in range(30):
        batch = task.sample(16, draws)
        found.append(mean(task, guess(name, batch), batch))
    assert sum(found) / len(found) > 4 * task.solved.below


@EVERY
@SETTINGS
@given(data=st.data())
def test_guessing_has_not_solved_it_at_any_size(name, data):
    task = tasks.make(name, **data.draw(TABLE[name].options))
    chances = {task.cost.name: task.chance_cost(), task.cost.errors_name: task.chance_errors()}
    # Of an N-gram too short to learn anything of, guessing is the best there is.
    if task.solved.metric != GAP:
        assert chances[task.solved.metric] > 2 * task.solved.below


@functools.cache
def many_guesses(name: str) -> torch.Tensor:
    """How many answers guessing gets wrong, in each of many batches."""
    task, draws = TABLE[name].task, generator(7)
    count = 1000 if name.startswith("graph") else 3000  # graphs are slow to draw
    count = count if len(TABLE[name].sizes) > 1 else 200
    batches = (task.sample(16, draws) for _ in range(count))
    return torch.tensor(
        [float(task.cost.errors(guess(name, batch), batch).double().mean()) for batch in batches]
    )


@EVERY
def test_the_chance_of_errors_is_how_often_guessing_is_wrong(name):
    chance, found = TABLE[name].task.chance_errors(), many_guesses(name)
    # By plain Monte Carlo: 4 standard errors, at most 7 % of the errors.
    error = 4 * float(found.std()) / len(found) ** 0.5
    assert error < 0.07 * chance
    assert float(found.mean()) == pytest.approx(chance, abs=error)


@EVERY
def test_a_constant_answer_is_wrong_as_often_as_its_evaluations_say(name):
    for task in TABLE[name].task.evaluations().values():
        batch = task.sample(400, generator(2))
        found = task.cost.errors(guess(name, batch), batch).double()
        error = 4 * float(found.std()) / len(found) ** 0.5
        assert float(found.mean()) == pytest.approx(task.chance_errors(), abs=error)


def test_an_ngram_predictor_a_little_worse_than_the_best_is_told_apart_by_256_sequences():
    task = tasks.DynamicNGram()
    batch = task.sample(256, generator(3))
    best = task.solve(batch.inputs.double())
    # Probabilities drawn towards 1/2 cost more: by 2% 0.14 bits, by 6% 0.8.
    for share, solved in ((0.0, True), (0.02, True), (0.06, False)):
        gap = measure(task, (best + share * (0.5 - best)).logit(), batch)[GAP]
        assert 4 * float(gap.std()) / 256**0.5 < 0.5
        assert (float(gap.mean()) < task.solved.below) == solved


def test_the_cost_of_an_ngram_cannot_be_told_from_the_best_without_pairs():
    task = tasks.DynamicNGram()
    batch = task.sample(4000, generator(4))
    cost = task.optimal_cost(batch)
    assert 4 * float(cost.std()) / 256**0.5 > 8  # bits, where 0.4 are looked for


def test_the_optimum_of_ngrams_by_drawing_the_bits_from_the_predictor_itself():
    # Of sources averaged out, each bit is 1 as often as the best predictor says (an urn), so a
    # sequence costs the entropies of what it says.
    rng, count, contexts = np.random.default_rng(0), 20_000, 32
    counts = np.full((count * contexts, 2), 0.5)
    seen, costs = rng.integers(0, contexts, count), np.full(count, 5.0)  # 5 coins
    for _ in range(195):
        places = np.arange(count) * contexts + seen
        zeros, ones = counts[places].T
        p = ones / (zeros + ones)
        costs -= p * np.log2(p) + (1 - p) * np.log2(1 - p)
        bits = rng.random(count) < p
        counts[places, bits.astype(int)] += 1
        seen = (2 * seen + bits) % contexts
    error = 4 * costs.std() / count**0.5
    assert error < 1
    assert costs.mean() == pytest.approx(OPTIMUM, abs=error)

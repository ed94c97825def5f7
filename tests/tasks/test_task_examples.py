"""Each task worked by hand or by a slow loop of its own, and what is particular to it."""

import dataclasses
import itertools
import math
import re
from collections import Counter

import pytest
import torch

from tasks import (
    Adding,
    AssociativeRecall,
    Copy,
    Dyck,
    DynamicNGram,
    FewShot,
    InterferenceCopy,
    KeyValueRecall,
    NthFarthest,
    PairRecall,
    PrioritySort,
    RepeatCopy,
    dynamic_ngram,
)
from tasks.dynamic_ngram import OPTIMUM


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def steps(picture: str) -> torch.Tensor:
    """The tensor [T, 1, channels] of a picture: a line for each channel, a number for each step."""
    lines = [[float(cell) for cell in line.split()] for line in picture.strip().splitlines()]
    return torch.tensor(lines).T.unsqueeze(1)


def test_copy_by_hand():
    inputs = steps("""
        1 0 0 0 0
        1 1 0 0 0
        0 0 1 0 0""")
    targets = steps("""
        0 0 0 1 0
        0 0 0 1 1""")
    task = Copy(bits=2, min_length=2, max_length=2)
    assert torch.equal(task.solve(inputs), targets)
    assert task.sample(1, generator()).mask.flatten().tolist() == [0, 0, 0, 1, 1]
    assert task.chance_cost() == 4


def test_the_defaults_are_the_papers():
    assert (Copy().input_size, Copy().output_size) == (9, 8)
    assert Copy().chance_cost() == 8 * 10.5
    # The sizes that the parameter counts of the paper's Table 3 imply.
    assert (RepeatCopy(bits=6).input_size, RepeatCopy(bits=6).output_size) == (8, 7)
    assert RepeatCopy(bits=6).chance_cost() == 181.5
    assert (AssociativeRecall().input_size, AssociativeRecall().output_size) == (8, 6)
    assert (DynamicNGram().input_size, DynamicNGram().output_size) == (1, 1)
    assert PrioritySort().chance_cost() == 16 * 8


def test_copied_bits_are_fair():
    batch = Copy(min_length=20, max_length=20).sample(500, generator())
    frequency = batch.targets[21:].mean((0, 1))  # 10,000 draws a channel, deviation 0.005
    assert ((frequency - 0.5).abs() < 0.025).all()


def test_repeat_copy_by_hand():
    shown = (2 - 5.5) / math.sqrt(8.25)  # the variance of a uniform number from 1 to 10 is 8.25
    inputs = steps(f"""
        1 0 0       0 0 0 0 0
        1 1 0       0 0 0 0 0
        0 0 1       0 0 0 0 0
        0 0 {shown} 0 0 0 0 0""")
    targets = steps("""
        0 0 0 1 0 1 0 0
        0 0 0 1 1 1 1 0
        0 0 0 0 0 0 0 1""")
    task = RepeatCopy(bits=2, min_length=2, max_length=2, min_repeats=2, max_repeats=2)
    assert torch.equal(task.solve(inputs), targets)
    batch = task.sample(1, generator())
    assert batch.mask.flatten().tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert float(batch.inputs[2, 0, 3]) == pytest.approx(shown)


def test_the_repeat_count_has_mean_0_and_variance_1_in_training():
    task = RepeatCopy(min_length=1, max_length=1)
    shown = torch.tensor(
        [
            float(
                dataclasses.replace(task, min_repeats=c, max_repeats=c).sample(1, generator())[0][
                    1, 0, -1
                ]
            )
            for c in range(1, 11)
        ]
    )
    assert float(shown.mean()) == pytest.approx(0, abs=1e-6)
    assert float(shown.var(correction=0)) == pytest.approx(1, abs=1e-6)
    assert (shown.diff() > 0.3).all()


def test_more_repeats_are_shown_in_the_units_of_training():
    task = RepeatCopy().evaluations()["length_10_repeats_20"]
    shown = float(task.sample(1, generator()).inputs[10, 0, -1])
    assert shown == pytest.approx((20 - 5.5) / math.sqrt(8.25))
    easier = dataclasses.replace(RepeatCopy(), max_repeats=2)
    assert (easier.count_mean, easier.count_deviation) == (5.5, math.sqrt(8.25))


def test_associative_recall_by_hand():
    # Items (1,1) (1,0), then (0,1) (0,1), then (1,1) (0,0); the second is asked for.
    inputs = steps("""
        0 1 1 0 0 0 0 1 0 0 0 0 0 0 0
        0 1 0 0 1 1 0 1 0 0 1 1 0 0 0
        1 0 0 1 0 0 1 0 0 0 0 0 0 0 0
        0 0 0 0 0 0 0 0 0 1 0 0 1 0 0""")
    targets = steps("""
        0 0 0 0 0 0 0 0 0 0 0 0 0 1 0
        0 0 0 0 0 0 0 0 0 0 0 0 0 1 0""")
    task = AssociativeRecall(bits=2, item_length=2, min_items=3, max_items=3)
    assert torch.equal(task.solve(inputs), targets)
    mask = task.sample(1, generator()).mask
    assert mask.flatten().tolist() == [0] * 13 + [1, 1]


def parse_recall(inputs: torch.Tensor) -> tuple[list[tuple], tuple]:
    """The items and the query of one sequence [T, bits + 2], read step by step."""
    items: list[list] = []
    query: list = []
    queries = 0
    for step in inputs.tolist():
        *vector, item_delimiter, query_delimiter = step
        if item_delimiter:
            items.append([])
        elif query_delimiter:
            queries += 1
        elif queries == 0:
            items[-1].append(tuple(vector))
        elif queries == 1:
            query.append(tuple(vector))
        else:
            assert not any(vector)
    assert queries == 2
    return [tuple(item) for item in items], tuple(query)


def test_the_query_is_any_item_but_the_last_and_stands_for_one_item_only():
    task = AssociativeRecall(bits=2, item_length=2, min_items=5, max_items=5)
    batch = task.sample(2000, generator())
    asked: Counter = Counter()
    for row in range(2000):
        items, query = parse_recall(batch.inputs[:, row])
        assert len(items) == len(set(items)) == 5
        place = items.index(query)
        asked[place] += 1
        answer = tuple(tuple(vector) for vector in batch.targets[-2:, row].tolist())
        assert answer == items[place + 1]
    assert sorted(asked) == [0, 1, 2, 3]
    assert all(abs(count - 500) < 5 * math.sqrt(2000 * 3 / 16) for count in asked.values())


def test_all_lists_of_different_items_are_equally_likely():
    # With as many items as there are, each list is an order of them: 24, each expected 200 times.
    task = AssociativeRecall(bits=2, item_length=1, min_items=4, max_items=4)
    batch = task.sample(4800, generator(1))
    counts = Counter(
        tuple(item for (item,) in parse_recall(batch.inputs[:, row])[0]) for row in range(4800)
    )
    vectors = itertools.product([0.0, 1.0], repeat=2)
    assert set(counts) == set(itertools.permutations(vectors))
    statistic = sum((count - 200) ** 2 / 200 for count in counts.values())
    assert statistic < 23 + 5 * math.sqrt(46)


def slow_estimates(bits: list[int], context: int) -> list[float]:
    """The probability of a 1 before each bit, by the Krichevsky-Trofimov rule."""
    seen: dict[str, list[int]] = {}
    text, estimates = "", []
    for bit in bits:
        if len(text) < context:
            estimates.append(0.5)
        else:
            counts = seen.setdefault(text[-context:], [0, 0])
            estimates.append((counts[1] + 0.5) / (counts[0] + counts[1] + 1))
            counts[bit] += 1
        text += str(bit)
    return estimates


def test_ngram_by_hand():
    # Context 1: after a 0 came 1, 1, 0; after a 1 came 0, 0.
    task = DynamicNGram(context=1, length=7)
    inputs = torch.tensor([0.0, 0, 1, 0, 1, 0, 0]).view(7, 1, 1)
    expected = [1 / 2, 1 / 2, 1 / 2, 3 / 4, 1 / 4, 5 / 6, 5 / 8]
    assert task.solve(inputs).flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("at_once", [0, 2**18])
def test_ngram_bits_are_those_of_a_slow_loop(monkeypatch, at_once):
    monkeypatch.setattr(dynamic_ngram, "AT_ONCE", at_once)
    drawn = DynamicNGram(length=60, context=3).sample(5, torch.Generator().manual_seed(8))
    generator = torch.Generator().manual_seed(8)
    odds = torch.sin(torch.rand(5 * 8, generator=generator) * (torch.pi / 2)).square().view(5, 8)
    coins = torch.randint(0, 2, (3, 5), generator=generator)
    uniforms = torch.rand(57, 5, generator=generator)
    for row in range(5):
        bits = coins[:, row].tolist()
        for uniform in uniforms[:, row]:
            seen = 4 * bits[-3] + 2 * bits[-2] + bits[-1]
            bits.append(int(uniform < odds[row, seen]))
        assert drawn.targets[:, row, 0].tolist() == bits


def test_ngram_inputs_are_the_targets_one_step_late():
    batch = DynamicNGram().sample(8, generator())
    assert (batch.inputs[0] == 0).all()
    assert torch.equal(batch.inputs[1:], batch.targets[:-1])
    assert (batch.mask == 1).all()


@pytest.mark.parametrize(
    ("context", "length"), [(5, 200), (1, 30), (3, 3), (4, 2), (2, 1), (8, 60)]
)
def test_the_optimal_predictor_is_that_of_a_slow_loop(context, length):
    task = DynamicNGram(context=context, length=length)
    batch = task.sample(5, generator(3))
    solved = task.solve(batch.inputs.double())
    costs = task.optimal_cost(batch)
    for row in range(5):
        bits = [int(bit) for bit in batch.targets[:, row, 0]]
        estimates = slow_estimates(bits, context)
        assert solved[:, row, 0].tolist() == pytest.approx(estimates, abs=1e-12)
        cost = -sum(math.log2(p if bit else 1 - p) for bit, p in zip(bits, estimates, strict=True))
        assert float(costs[row]) == pytest.approx(cost, abs=1e-9)


def test_the_optimal_cost_is_the_evidence_of_the_beta_prior():
    """Another way to the same number: the probability of the counts, integrated over the source."""
    task = DynamicNGram()
    batch = task.sample(4, generator(4))
    for row, cost in enumerate(task.optimal_cost(batch).tolist()):
        text = "".join(str(int(bit)) for bit in batch.targets[:, row, 0])
        pairs = Counter((text[i : i + 5], text[i + 5]) for i in range(195))
        nats = 5 * math.log(2)
        for number in range(32):
            zeros, ones = pairs[f"{number:05b}", "0"], pairs[f"{number:05b}", "1"]
            nats -= math.lgamma(zeros + 0.5) + math.lgamma(ones + 0.5)
            nats += math.lgamma(zeros + ones + 1) + math.log(math.pi)
        assert cost == pytest.approx(nats / math.log(2), abs=1e-9)


def test_the_optimal_predictor_does_not_look_ahead():
    task = DynamicNGram(length=60)
    inputs = task.sample(3, generator()).inputs
    changed = inputs.clone()
    changed[40:] = 1 - changed[40:]
    assert torch.equal(task.solve(changed)[:40], task.solve(inputs)[:40])


def test_the_source_is_the_papers():
    # 10,000 sequences have a deviation of 36 bits each, so an error of 0.36; bounds of 4 errors.
    task = DynamicNGram()
    batch = task.sample(10_000, generator(5))
    costs = task.optimal_cost(batch)
    assert float(costs.mean()) == pytest.approx(OPTIMUM, abs=1.5)
    assert 34 < float(costs.std()) < 38
    # The optimal predictor is calibrated only if the odds are drawn from Beta(1/2, 1/2).
    probabilities = task.solve(batch.inputs).flatten()
    bits = batch.targets.flatten()
    for low in torch.arange(0, 1, 0.05).tolist():
        chosen = (probabilities >= low) & (probabilities < low + 0.05)
        p = probabilities[chosen]
        surplus = float((bits[chosen] - p).sum())
        assert abs(surplus) < 5 * float((p * (1 - p)).sum()) ** 0.5
    first = batch.targets[:5].mean((1, 2))
    assert ((first - 0.5).abs() < 0.025).all()


def test_priority_sort_by_hand():
    inputs = steps("""
        1    0    1    0    0 0 0 0
        0    0    1    1    0 0 0 0
        -0.9 0.5  0.1 -0.2  0 0 0 0
        0    0    0    0    1 0 0 0""")
    targets = steps("""
        0 0 0 0 0 0 1 0
        0 0 0 0 0 0 1 1""")
    task = PrioritySort(bits=2, length=4, answer_length=3)
    assert torch.equal(task.solve(inputs), targets)
    assert task.sample(1, generator()).mask.flatten().tolist() == [0] * 5 + [1] * 3


def test_whole_vectors_are_sorted_by_a_slow_loop_too():
    task = PrioritySort()
    batch = task.sample(50, generator())
    for row in range(50):
        shown = batch.inputs[:20, row].tolist()
        shown.sort(key=lambda step: step[8], reverse=True)
        assert batch.targets[21:, row].tolist() == [step[:8] for step in shown[:16]]


def test_sorting_every_column_by_itself_would_be_seen():
    # What some implementations do: the answer then depends on no priority at all.
    batch = PrioritySort().sample(50, generator())
    columns = batch.inputs[:20, :, :8].sort(dim=0, descending=True).values[:16]
    assert (columns != batch.targets[21:]).any(-1).any(0).all()
    # And moving the priorities to other vectors must change the answer.
    moved = batch.inputs.clone()
    moved[:20, :, 8] = moved[:20, :, 8].roll(1, dims=0)
    assert (PrioritySort().solve(moved) != batch.targets).any(-1).any(0).all()


def test_equal_priorities_keep_their_order():
    inputs = steps("""
        1   0   1   0   0 0 0
        0   1   1   0   0 0 0
        0.5 0.5 0.7 0.5 0 0 0
        0   0   0   0   1 0 0""")
    targets = steps("""
        0 0 0 0 0 1 1
        0 0 0 0 0 1 0""")
    task = PrioritySort(bits=2, length=4, answer_length=2)
    assert torch.equal(task.solve(inputs), targets)


def test_priorities_are_uniform_from_minus_1_to_1():
    priorities = PrioritySort().sample(1000, generator()).inputs[:20, :, 8].flatten()
    assert float(priorities.min()) >= -1
    assert float(priorities.max()) < 1
    counts = torch.histc(priorities, bins=20, min=-1, max=1)  # 1000 expected in each
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 19 + 5 * math.sqrt(38)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (Copy, {"min_length": 30}, "min_length must be at most max_length, got min_length=30 and "
         "max_length=20: raise max_length or lower min_length"),
        (RepeatCopy, {"min_repeats": 11}, "min_repeats must be at most max_repeats, got"),
        (RepeatCopy, {"normalise_min_repeats": 10}, "normalise_min_repeats must be below "
         "normalise_max_repeats, got normalise_min_repeats=10 and normalise_max_repeats=10"),
        (AssociativeRecall, {"min_items": 1}, "min_items must be a whole number of at least 2, got "
         "min_items=1: pass min_items=2 or more"),
        (AssociativeRecall, {"bits": 1, "item_length": 2}, "item_length=2 vectors of bits=1 make "
         "only 4 items, got max_items=6: raise bits or item_length, or lower max_items"),
        (DynamicNGram, {"context": 21}, "context must be at most 20, got context=21"),
        (Dyck, {"kinds": 1}, "kinds must be a whole number of at least 2, got kinds=1"),
        (KeyValueRecall, {"values": 7}, "keys and values must be at least max_pairs, got keys=32, "
         "values=7 and max_pairs=8: pass more keys and values, or lower max_pairs"),
        (PairRecall, {"key_bits": 2}, "key_bits=2 make only 4 keys, got max_pairs=8: raise "
         "key_bits, or lower max_pairs"),
        (NthFarthest, {"labels": 7}, "labels must be at least as many as vectors, got labels=7 and "
         "vectors=8: pass labels=8 or more, or fewer vectors"),
        (FewShot, {"classes": 1}, "classes must be a whole number of at least 2, got classes=1"),
        (FewShot, {"dimensions": 2}, "dimensions=2 make only 4 of them, got classes=5: raise "
         "dimensions or lower classes"),
        (FewShot, {"noise_percent": 100}, "noise_percent must be at most 99, got "
         "noise_percent=100: with more, a sample no longer tells its class"),
        (InterferenceCopy, {"min_distractors": 21}, "min_distractors must be at most "
         "max_distractors, got min_distractors=21 and max_distractors=20"),
        (Adding, {"min_length": 5}, "min_length must be a whole number of at least 6, got "
         "min_length=5: pass min_length=6 or more"),
        (PrioritySort, {"length": 10}, "answer_length must be at most length, got answer_length=16 "
         "and length=10: raise length or lower answer_length"),
    ],
)  # fmt: skip
def test_impossible_sizes_are_refused_with_the_remedy(task, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        task(**options)


def test_evaluations_that_cannot_exist_are_left_out():
    small = AssociativeRecall(bits=3, item_length=1)  # 8 different items
    assert list(small.evaluations()) == ["items_6", "items_8"]
    assert list(KeyValueRecall(keys=9, values=16).evaluations()) == ["pairs_8"]
    assert list(PairRecall(key_bits=4).evaluations()) == ["pairs_8", "pairs_16"]

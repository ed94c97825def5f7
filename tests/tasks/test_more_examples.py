"""The tasks of other papers, worked by hand or by a slow loop, and what is particular to them."""

import itertools
import math
from collections import Counter

import pytest
import torch

import tasks
from tasks import (
    Adding,
    BinaryAddition,
    Dyck,
    FewShot,
    InterferenceCopy,
    KeyValueRecall,
    NthFarthest,
    PairRecall,
)
from tasks.binary_addition import carry_probability


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def steps(picture: str) -> torch.Tensor:
    """The tensor [T, 1, channels] of a picture: a line for each channel, a number for each step."""
    lines = [[float(cell) for cell in line.split()] for line in picture.strip().splitlines()]
    return torch.tensor(lines).T.unsqueeze(1)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("reverse", [5, 4, 3, 2, 1]),
        ("duplicated", [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
        ("odds_first", [1, 3, 5, 2, 4]),
    ],
)
def test_strings_by_hand(name, answer):
    task = tasks.make(name, bits=3, min_length=5, max_length=5)
    symbols = {number: [number >> place & 1 for place in range(3)] for number in range(8)}
    shown = [[*symbols[number], 0] for number in range(1, 6)] + [[0, 0, 0, 1]]
    blank = [[0, 0, 0, 0]] * len(answer)
    inputs = torch.tensor(shown + blank).float().unsqueeze(1)
    expected = [[0, 0, 0]] * 6 + [symbols[number] for number in answer]
    assert task.solve(inputs)[:, 0].tolist() == expected
    batch = task.sample(3, generator())
    assert batch.mask.tolist() == [[0] * 3] * 6 + [[1] * 3] * len(answer)
    # The sampler says the same of vectors of its own.
    vectors, said = batch.inputs[:5, :, :3], batch.targets[6:]
    assert torch.equal(said, vectors[torch.tensor(answer) - 1])


def test_copy_or_reverse_by_hand():
    task = tasks.make("copy_or_reverse", bits=2)
    shown = [[1, 0], [1, 1], [0, 1]]
    inputs = torch.zeros(7, 2, 4)
    inputs[:3, :, :2] = torch.tensor(shown).float()[:, None]
    inputs[3, :, 2] = 1
    inputs[3, 1, 3] = 1  # backwards
    blank = [[0, 0]] * 4
    assert task.solve(inputs).transpose(0, 1).tolist() == [blank + shown, blank + shown[::-1]]
    batch = task.sample(200, generator())
    assert 70 < batch.inputs[..., 3].sum() < 130


@pytest.mark.parametrize("name", ["reverse", "duplicated", "odds_first"])
def test_strings_are_binary_and_up_to_40_long_as_in_the_paper(name):
    task = tasks.make(name)
    assert (task.input_size, task.output_size) == (2, 1)
    assert task.chance_cost() == 20.5 * (2 if name == "duplicated" else 1)


def test_binary_addition_by_hand():
    # 6 + 3 = 9: 011 and 11, lowest bit first, make 1001.
    inputs = steps("""
        0 1 1 0 1 1 0 0 0 0 0
        0 0 0 1 0 0 0 0 0 0 0
        0 0 0 0 0 0 1 0 0 0 0""")
    targets = steps("0 0 0 0 0 0 0 1 0 0 1")
    assert torch.equal(BinaryAddition().solve(inputs), targets)


def test_the_sum_of_every_two_numbers():
    # All pairs of 3 and 2 bits: the sampler's carries against Python's, and how often there is one.
    for first, second in ((3, 2), (2, 3), (1, 1), (4, 4)):
        seen, draws = {}, generator(first)
        task = BinaryAddition(min_length=min(first, second), max_length=max(first, second))
        while len(seen) < 2 ** (first + second):
            batch = task.sample(64, draws)
            plus = int(batch.inputs[:, 0, 1].argmax())
            equals = int(batch.inputs[:, 0, 2].argmax())
            if (plus, equals - plus - 1) != (first, second):
                continue
            for row in range(64):
                bits = "".join(str(int(bit)) for bit in batch.inputs[:equals, row, 0])
                one, two = bits[:plus][::-1], bits[plus + 1 :][::-1]
                said = "".join(str(int(bit)) for bit in batch.targets[equals + 1 :, row, 0])
                seen[one, two] = said[::-1]
        for (one, two), said in seen.items():
            assert int(said, 2) == int(one, 2) + int(two, 2)
            assert len(said) == max(first, second) + 1
        carries = sum(said[0] == "1" for said in seen.values())
        assert carry_probability(first, second) == carries / len(seen)


def test_a_carry_runs_through_a_long_sum():
    task = BinaryAddition(min_length=100, max_length=100)
    assert torch.equal(*(f(task) for f in (_targets, _solved)))
    assert task.chance_cost() == pytest.approx(101, abs=1e-6)


def _targets(task):
    return task.sample(16, generator(1)).targets


def _solved(task):
    return task.solve(task.sample(16, generator(1)).inputs)


def test_dyck_by_hand():
    # ( [ ] ( ) ) [ ]: before each closing bracket, its kind.
    inputs = steps("""
        1 0 0 1 0 0 0
        0 1 0 0 0 0 1
        0 0 0 0 1 1 0
        0 0 1 0 0 0 0""")
    targets = steps("""
        0 0 0 1 1 0 0
        0 1 0 0 0 0 1""")
    assert torch.equal(Dyck().solve(inputs), targets)


def test_all_strings_of_a_dyck_language_are_equally_likely():
    # Of 4 pairs there are 14 shapes, all but one at most 3 deep; two kinds make 16 of each.
    task = Dyck(kinds=2, depth=3, min_pairs=4, max_pairs=4)
    batch = task.sample(20_000, generator(2))
    counts = Counter(tuple(row) for row in batch.inputs.argmax(-1).T.tolist())
    assert len(counts) == 13 * 16
    expected = 20_000 / len(counts)
    statistic = sum((count - expected) ** 2 / expected for count in counts.values())
    assert statistic < 207 + 5 * math.sqrt(2 * 207)
    for tokens in counts:
        heights = list(itertools.accumulate(1 if token < 2 else -1 for token in tokens))
        assert min(heights) >= 0
        assert max(heights) <= 3
        assert heights[-1] == 1  # the bracket that is not shown closes it


def test_the_depth_is_reached_and_kept():
    for depth in (1, 2, 5):
        batch = Dyck(depth=depth, min_pairs=20, max_pairs=20).sample(500, generator())
        opens = batch.inputs[..., :2].sum(-1)
        heights = (2 * opens - 1).cumsum(0)
        assert int(heights.max()) == depth
        assert int(heights.min()) >= 0


def test_key_value_recall_by_hand():
    # Keys 2 and 0 with the values 1 and 0; then 0 is asked for, a blank place, and 2.
    inputs = steps("""
        0 0 1 0 1 0 0 0 0 0
        0 0 0 0 0 0 0 0 0 0
        1 0 0 0 0 0 0 0 1 0
        0 0 0 1 0 0 0 0 0 0
        0 1 0 0 0 0 0 0 0 0""")
    inputs = torch.cat([inputs, torch.zeros(2, 1, 5)])
    expected = torch.zeros(12, 1, 2)
    expected[4, 0, 0] = expected[8, 0, 1] = 1
    task = KeyValueRecall(keys=3, values=2, min_pairs=2, max_pairs=2, slots=2)
    assert torch.equal(task.solve(inputs), expected)


def test_every_key_is_asked_for_once_and_soon_rather_than_late():
    task = KeyValueRecall(min_pairs=4, max_pairs=4)
    batch = task.sample(4000, generator())
    assert (batch.mask.sum(0) == 4).all()
    keys = batch.inputs[..., :32].argmax(-1)
    places = Counter()
    for row in range(4000):
        listed = keys[:8:2, row].tolist()
        queried = batch.mask[:, row].nonzero().flatten().tolist()
        assert len(set(listed)) == 4
        assert sorted(keys[queried, row].tolist()) == sorted(listed)
        assert all(step % 2 == 0 and step >= 8 for step in queried)
        assert (batch.inputs[8:, row].sum() == 4).item()
        # Where the first key of the list is asked for: its choice is among all 12 places.
        places[next(step for step in queried if keys[step, row] == listed[0])] += 1
    odds = [g ** (0.01 - 1) for g in range(1, 13)]
    expected = [4000 * odd / sum(odds) for odd in odds]
    statistic = sum((places[8 + 2 * i] - number) ** 2 / number for i, number in enumerate(expected))
    assert statistic < 11 + 5 * math.sqrt(22)


def test_pair_recall_by_hand():
    # Keys 10, 00 and 01 with the values 11, 01 and 10; then 01, 10 and 00 are asked for.
    inputs = steps("""
        1 0 0 0 1 0
        0 0 1 1 0 0
        1 0 1 0 0 0
        1 1 0 0 0 0
        0 0 0 1 1 1""")
    answers = steps("""
        0 0 0 1 1 0
        0 0 0 0 1 1""")
    task = PairRecall(key_bits=2, value_bits=2, min_pairs=3, max_pairs=3)
    assert torch.equal(task.solve(inputs), answers)


def test_every_key_is_different_and_asked_for_once_in_any_order():
    task = PairRecall(key_bits=3, value_bits=2, min_pairs=3, max_pairs=3)
    batch = task.sample(4000, generator())
    powers = torch.tensor([4.0, 2.0, 1.0])
    keys = (batch.inputs[..., :3] @ powers).long()
    assert (keys[:3].sort(0).values == keys[3:].sort(0).values).all()
    assert (keys[:3].sort(0).values.diff(dim=0) > 0).all()
    assert set(Counter(keys[:3].flatten().tolist())) == set(range(8))
    orders = Counter(map(tuple, (keys[3:, None] == keys[None, :3]).int().argmax(1).T.tolist()))
    lists = Counter(map(tuple, keys[:3].T.tolist()))
    assert len(lists) == 8 * 7 * 6
    for found, kinds in ((orders, 6), (lists, 336)):
        expected = 4000 / kinds
        statistic = sum((number - expected) ** 2 / expected for number in found.values())
        assert statistic < kinds - 1 + 5 * math.sqrt(2 * (kinds - 1))


def test_nth_farthest_by_hand():
    # Vectors 0.0, 0.5 and -0.8 with the labels 2, 0 and 1; from label 0 (0.5), n = 1, 2 and 3.
    task = NthFarthest(dimensions=1, vectors=3, labels=3)
    for rank, label in ((0, 1), (1, 2), (2, 0)):
        inputs = torch.zeros(3, 1, 10)
        inputs[:, 0, 0] = torch.tensor([0.0, 0.5, -0.8])
        for step, shown in enumerate((2, 0, 1)):
            inputs[step, 0, 1 + shown] = 1
        inputs[:, 0, 4] = 1
        inputs[:, 0, 7 + rank] = 1
        expected = torch.zeros(3, 1, 3)
        expected[-1, 0, label] = 1
        assert torch.equal(task.solve(inputs), expected)


def test_nth_farthest_is_the_papers():
    task = NthFarthest()
    assert (task.input_size, task.output_size) == (16 + 3 * 8, 8)
    batch = task.sample(4000, generator())
    counts = batch.targets[-1].sum(0)
    assert float(((counts - 500) ** 2 / 500).sum()) < 7 + 5 * math.sqrt(14)
    labels = batch.inputs[..., 16:24]
    assert (labels.sum(0) == 1).all()
    question = batch.inputs[..., 24:]
    assert (question == question[0]).all()
    pairs = Counter(
        zip(
            question[0, :, :8].argmax(-1).tolist(),
            question[0, :, 8:].argmax(-1).tolist(),
            strict=True,
        )
    )
    assert len(pairs) == 64


def test_few_shot_by_hand():
    # Class 1 is (+, -) and class 0 is (-, -); each label comes one step after its sample.
    task = FewShot(classes=2, shots=2, dimensions=2)
    inputs = torch.tensor(
        [
            [0.7, -1.2, 0, 0],
            [-0.6, -0.9, 0, 1],
            [1.4, -1.0, 1, 0],
            [-1.1, -0.8, 0, 1],
        ]
    ).unsqueeze(1)
    expected = torch.tensor([[0.0, 0], [0, 0], [0, 1], [1, 0]]).unsqueeze(1)
    assert torch.equal(task.solve(inputs), expected)


def test_few_shot_samples():
    """Each class has its shots; a label follows its sample; the noise is as strong as it says."""
    batch = FewShot(noise_percent=30).sample(200, generator())
    samples, before = batch.inputs[..., :16], batch.inputs[..., 16:]
    assert (before[0] == 0).all()
    assert (before[1:].sum(-1) == 1).all()
    scored = batch.mask[:-1] == 1
    assert torch.equal(before[1:][scored], batch.targets[:-1][scored])
    assert (batch.targets.sum(0) == 9).all()  # all but the first of ten
    off = (samples.abs() - 1).flatten()
    assert float(off.abs().max()) <= 0.3
    assert float(off.mean().abs()) < 5 * 0.3 / math.sqrt(3 * len(off))
    assert float(off.square().mean()) == pytest.approx(0.03, rel=0.05)
    counts = batch.targets.flatten(0, 1)[batch.mask.flatten() == 1].sum(0)
    assert (counts == 1800).all()
    signs = {tuple(row.sign().tolist()) for row in samples[:, 0]}
    assert len(signs) == 5


def test_interference_copy_by_hand():
    inputs = steps("""
        1 0 0 1 1 1 0 0 0
        1 1 0 0 0 1 0 0 0
        0 0 1 0 0 0 0 0 0
        0 0 0 0 0 0 1 0 0""")
    targets = steps("""
        0 0 0 0 0 0 0 1 0
        0 0 0 0 0 0 0 1 1""")
    assert torch.equal(InterferenceCopy(bits=2).solve(inputs), targets)


def test_what_interferes_is_as_random_as_what_is_kept():
    task = InterferenceCopy(min_length=5, max_length=5, min_distractors=20, max_distractors=20)
    batch = task.sample(500, generator())
    assert float(batch.inputs[6:26, :, :8].mean()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(batch.targets[-5:], batch.inputs[:5, :, :8])


def test_adding_by_hand():
    inputs = steps("""
        0.5 -0.25 1 0.75 0.5 0 0.25 1
        -1  0     1 0    1   0 0   -1""")
    task = Adding(min_length=8, max_length=8)
    assert task.solve(inputs)[:, 0, 0].tolist() == [0] * 7 + [0.875]
    inputs[2, 0, 1] = 0  # the first pair was chosen: it counts as 0
    assert float(task.solve(inputs)[-1]) == 0.625


def test_adding_marks_as_the_paper_says():
    batch = Adding(min_length=100, max_length=100).sample(20_000, generator())
    numbers, markers = batch.inputs.unbind(-1)
    assert (markers[0] == -1).all()
    assert (markers[-1] == -1).all()
    marked = markers == 1
    count = marked.sum(0)
    assert set(count.tolist()) == {1, 2}
    # 1 in 10 for the first choice; else 1 in 48 for the second, which has 49 places but one.
    share = 1 / 10 + 9 / 10 / 48
    assert float((count == 1).float().mean()) == pytest.approx(
        share, abs=5 * math.sqrt(share / 20_000)
    )
    assert not marked[49:].any()
    twice = marked[:, count == 2]
    assert twice[:10].any(0).all()
    assert float(numbers.min()) < -0.999
    assert float(numbers.max()) > 0.999
    answers = batch.targets[-1, :, 0]
    assert float(answers.min()) >= 0
    assert float(answers.max()) <= 1
    chance = Adding(min_length=100, max_length=100).chance_cost()
    assert chance == pytest.approx((2 - share) / 48)
    assert float((answers - 0.5).square().mean()) == pytest.approx(chance, rel=0.04)


def test_an_answer_off_by_0_04_is_wrong():
    task = Adding(min_length=6, max_length=6)
    batch = task.sample(3, generator())
    outputs = batch.targets.clone()
    outputs[-1, :, 0] += torch.tensor([0.039, 0.041, -0.041])
    assert task.cost.errors(outputs, batch).tolist() == [0, 1, 1]

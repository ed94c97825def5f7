"""Tasks over given sequences: what is drawn, padded, scored and held out, against the data."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tasks import BITS, SYMBOLS, data, squared_error
from tasks.base import Stream, validation
from tasks.data import Data
from tasks.grid import grid
from tasks.levels import at_level, levels

LENGTHS = (2, 5, 3)


def sequences(held_out, width=1):
    """Three sequences whose inputs are their number, and whose targets count the steps."""
    found = []
    for number, length in enumerate(LENGTHS):
        x = np.full((length, 2), number + 10 * held_out, dtype=np.int64)
        found.append((x, np.arange(length * width).reshape(length, width)))
    return found


@dataclass(frozen=True, kw_only=True)
class Counting(Data):
    scale: float = 1.0
    cost = squared_error(0.5)

    def sequences(self, held_out):
        return sequences(held_out)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_batch_is_made_of_whole_sequences_padded_by_steps_that_are_not_scored():
    task, seen = Counting(), set()
    assert (task.input_size, task.output_size) == (2, 1)
    for seed in range(20):
        batch = task.sample(4, generator(seed))
        assert len(batch.inputs) == batch.mask.sum(0).max()
        for row in range(4):
            number = int(batch.inputs[0, row, 0])
            x, y = sequences(False)[number]
            length = LENGTHS[number]
            seen.add(number)
            assert np.array_equal(batch.inputs[:length, row], x)
            assert np.array_equal(batch.targets[:length, row], y)
            assert batch.mask[:, row].tolist() == [1.0] * length + [0.0] * (
                len(batch.mask) - length
            )
            assert not batch.inputs[length:, row].any()
            assert not batch.targets[length:, row].any()
    assert seen == {0, 1, 2}


def test_the_generator_alone_decides():
    one, two = (Counting().sample(8, generator(3)) for _ in range(2))
    assert all(map(torch.equal, one[:3], two[:3]))


def test_streams_of_several_processes_have_one_length():
    streams = [Stream().manual_seed(seed) for seed in range(4)]
    for stream in streams:
        stream.sizes = generator()
    assert {len(Counting().sample(1, stream).inputs) for stream in streams} == {max(LENGTHS)}


def test_what_is_held_out_is_validated_and_evaluated():
    task = Counting(scale=2.0)
    held = validation(task)
    assert held == Counting(scale=2.0, held_out=1) == validation(held)
    assert held.sample(1, generator()).inputs.min() >= 10
    assert task.evaluations() == grid(task) == {"held_out": held}
    assert task.solved.setting == "held_out"
    with pytest.raises(ValueError, match="held_out must be 0 or 1, got held_out=2: pass one"):
        Counting(held_out=2)


def test_there_is_one_level():
    assert levels(Counting()) == 1
    assert at_level(Counting(), 1) == Counting()


def test_a_mask_says_what_is_scored():
    @dataclass(frozen=True, kw_only=True)
    class Last(Data):
        cost = BITS

        def sequences(self, held_out):
            x = torch.ones(6, 4, 3)
            return TensorDataset(x, x[..., :1], torch.eye(4)[-1].expand(6, 4))

    batch = Last().sample(2, generator())
    assert batch.mask.tolist() == [[0, 0], [0, 0], [0, 0], [1, 1]]
    assert torch.equal(batch.targets[..., 0], batch.mask)


def test_the_dataset_of_a_loader_is_a_source_and_the_loader_is_none():
    loader = DataLoader(TensorDataset(torch.rand(5, 4, 3), torch.rand(5, 4, 2)))

    @dataclass(frozen=True, kw_only=True)
    class Loaded(Data):
        whole: int = 0

        def sequences(self, held_out):
            return loader if self.whole else loader.dataset

    assert Loaded().sample(2, generator()).targets.shape == (4, 2, 2)
    with pytest.raises(ValueError, match=r"got a DataLoader: of a DataLoader pass its dataset"):
        Loaded(whole=1).sample(2, generator())


@pytest.mark.parametrize(
    ("cost", "targets", "bits", "wrong"),
    [
        # 1 of 4 bits set: 4 steps of H(1/4), and the constant 0 is wrong once
        (BITS, [[0.0], [1.0], [0.0], [0.0]], 4 * 0.811278, 1.0),
        # symbols 0, 1, 1, 1
        (SYMBOLS, [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], 4 * 0.811278, 1.0),
        # mean 2: squares 4 + 1 + 1 + 4
        (squared_error(1.5), [[0.0], [1.0], [3.0], [4.0]], 10.0, 2.0),
    ],
    ids=["bits", "symbols", "numbers"],
)
def test_chance_is_the_best_constant_answer(cost, targets, bits, wrong):
    @dataclass(frozen=True, kw_only=True)
    class Given(Data):
        def sequences(self, held_out):
            return [(torch.zeros(4, 1), torch.tensor(targets))]

    Given.cost = cost
    assert Given().chance_cost() == pytest.approx(bits, rel=1e-4)
    assert Given().chance_errors() == wrong
    assert Given().solved.below == pytest.approx(wrong / 100)
    assert Given().solved.metric == cost.errors_name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "Wrong must have sequences to train on, got none"),
        (iter([1]), "must have a length and items, as a list or a map-style dataset"),
        ([(np.zeros((3, 1)),)], "sequence 0 of Wrong must be inputs [T, I] and targets [T, O]"),
        ([(np.zeros(3), np.zeros((3, 1)))], "of one length, got [3] and [3, 1]"),
        ([(np.zeros((3, 1)), np.zeros((2, 1)))], "got [3, 1] and [2, 1]"),
        ([(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros((3, 1)))], "and [3, 1]"),
        ([(np.zeros((0, 1)), np.zeros((0, 1)))], "got [0, 1] and [0, 1]"),
    ],
)
def test_other_forms_are_refused(given, message):
    @dataclass(frozen=True, kw_only=True)
    class Wrong(Data):
        def sequences(self, held_out):
            return given

    with pytest.raises(ValueError, match=re.escape(message)):
        Wrong().sample(1, generator())


def test_a_class_says_where_its_sequences_are():
    @dataclass(frozen=True, kw_only=True)
    class Empty(Data):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty must have a method sequences\(self, he"):
        Empty().sample(1, generator())
    with pytest.raises(NotImplementedError, match="its answers cannot be worked out"):
        Empty().solve(torch.zeros(1, 1, 1))


def test_the_sequences_are_read_once_for_equal_tasks(monkeypatch):
    counted = []
    monkeypatch.setattr(Counting, "sequences", lambda self, held: counted.append(1) or sequences(0))
    data.read.cache_clear()
    for _ in range(3):
        Counting(scale=5.0).sample(2, generator())
    assert len(counted) == 1
    data.read.cache_clear()

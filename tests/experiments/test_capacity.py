"""The capacity of associative memories, at small sizes."""

import json
from pathlib import Path

import pytest
import torch

import tasks
from experiments import capacity
from experiments.capacity import MEMORIES, Options, main
from training.files.provenance import ROOT


def test_the_overlap_falls_where_theory_says():
    overlaps = [capacity.overlap(units=256, load=load, draws=2) for load in (0.05, 0.12, 0.2, 0.4)]
    assert overlaps == sorted(overlaps, reverse=True)
    assert overlaps[0] > 0.99
    assert overlaps[1] > 0.9  # below 0.138
    assert overlaps[2] < 0.8  # above
    assert overlaps[3] < 0.5


def test_the_modern_network_holds_exponentially_many():
    held = {
        memory: [capacity.capacity(memory, size, draws=4, most=4000) for size in (8, 16, 24)]
        for memory in MEMORIES
    }
    for memory in ("Hopfield 1982", "BAM 1988"):
        assert max(held[memory]) <= 8
    small, middle, large = held["modern Hopfield"]
    assert middle > 4 * small
    assert large > 4 * middle


@pytest.mark.parametrize("memory", MEMORIES)
def test_wrong_bits_are_the_share_of_those_asked_for(memory):
    assert capacity.wrong_share(memory, size=16, pairs=1, draws=3) == 0
    crowded = capacity.wrong_share(memory, size=8, pairs=400, draws=3)
    assert 0.2 < crowded < 0.6  # near guessing: eight bits make 256 keys


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_memory_answers_associative_recall(memory):
    few, many = (capacity.wrong_bits(memory, items, lists=50) for items in (2, 20))
    assert few == 0  # one pair
    guessing = tasks.make("associative_recall").chance_errors()
    assert many < 0.5 if memory == "modern Hopfield" else many > guessing / 3


def test_lists_and_queries_are_those_of_the_task():
    task = tasks.make("associative_recall", bits=3, item_length=2, min_items=3, max_items=3)
    batch = task.sample(2, torch.Generator().manual_seed(2))
    lists, queries = capacity.pairs_of(task, 3, batch.inputs)
    shown = (batch.inputs[..., :3] * 2 - 1).transpose(0, 1)  # [B, T, bits]
    for row in range(2):
        assert lists[row].tolist() == [shown[row, t : t + 2].flatten().tolist() for t in (1, 4, 7)]
        assert queries[row].tolist() == shown[row, 10:12].flatten().tolist()
        assert queries[row].tolist() in lists[row, :-1].tolist()


def test_the_command_writes_what_it_measures():
    known = {"settings": {"items_2": {"wrong_bits": [0.25, 0.0, 0.5]}, "training": {}}}
    Path("docs/results").mkdir(parents=True)
    Path("docs/results/associative-recall-ntm.json").write_text(json.dumps({"runs": [known] * 3}))
    sizes = {"units": (32,), "loads": (0.05, 0.5), "key_bits": (8,), "most": 5, "items": (2, 3)}
    assert main(Options(**sizes, lists=5, draws=1, folder=Path("docs"))) == 0
    (found,) = json.loads(Path("docs/results/capacity.json").read_text())
    assert found["overlaps"]["32"][0] > found["overlaps"]["32"][1]
    assert set(found["held"]) == set(found["wrong_bits"]) == set(MEMORIES)
    assert all(len(found["wrong_bits"][memory]) == 2 for memory in MEMORIES)
    assert Path("docs/pictures/capacity.png").stat().st_size > 10_000
    assert capacity.trained_ntm(Path("docs/results/associative-recall-ntm.json")) == [(2, 0.25)]
    assert capacity.trained_ntm(Path("docs/results/none.json")) == []


def test_the_trained_networks_of_the_figure_are_there():
    path = ROOT / "docs" / "results" / "associative-recall-ntm.json"
    assert [items for items, _ in capacity.trained_ntm(path)] == [2, 4, 6, 8, 10, 12, 15, 20]

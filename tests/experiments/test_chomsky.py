"""The page of the Chomsky hierarchy: the measure, the computation steps, what is written."""

import json
from pathlib import Path

import pytest
import torch

import tasks
from experiments import chomsky, chomsky_page, family
from experiments.chomsky import Options, main
from experiments.chomsky_table import LESSONS, LEVELS, MEMBERS, PAPER, SEQUENCES, TESTED
from experiments.computation import with_computation
from experiments.family import Cell
from tasks.base import Batch
from tasks.levels import at_level, levels
from training.options.config import make_layer, make_task

PAGE = Path("docs/chomsky.md")
EVEN, SUM = (lesson for lesson in LESSONS if lesson.task in ("even_pairs", "binary_sum"))
LSTM = MEMBERS[2]._replace(settings={"hidden_size": 4, "num_layers": 1})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Says(torch.nn.Module):
    """A network that knows the answers, but for the last `wrong` steps of every row."""

    def __init__(self, batch: Batch, wrong: int) -> None:
        super().__init__()
        self.outputs = batch.targets.clone()
        self.outputs[len(batch.mask) - wrong :] = 0
        self.outputs[len(batch.mask) - wrong :, :, 0] = 1

    def forward(self, inputs):
        return self.outputs[:, : inputs.shape[1]], None


def test_there_are_all_fifteen_tasks_each_with_the_figures_of_the_paper():
    names = [name for level in LEVELS.values() for name in level]
    assert len(names) == len(set(names)) == 15
    assert list(PAPER) == names == [lesson.task for lesson in LESSONS]
    assert all(20 < figure <= 100 for row in PAPER.values() for figure in row)
    assert all(length % 2 and 40 < length <= 500 for length in TESTED)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_every_network_is_made_for_every_task_by_one_recipe(member):
    recipes = set()
    for lesson in LESSONS:
        config = chomsky.settings(Cell(member, lesson, 3))
        task = make_task(config)
        batch = task.sample(2, generator())
        make_layer(config)
        assert batch.inputs.shape[2] == task.input_size
        assert config.seed == 3
        assert levels(task) >= 36
        recipes.add((config.optimizer_options, config.curriculum_options, config.run))
    assert len(recipes) == 1


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("multiple", [1, 2])
def test_computation_steps_stand_before_the_answers_and_change_nothing_else(name, multiple):
    plain = tasks.make(name, min_length=8, max_length=8)
    longer = with_computation(plain, multiple)
    assert with_computation(plain, 0) is plain
    one, two = plain.sample(3, generator(1)), longer.sample(3, generator(1))
    shown = int((one.mask[:, 0] != 0).int().argmax())
    added = slice(shown, shown + multiple * shown)
    assert torch.equal(
        two.inputs[added], torch.eye(longer.input_size)[-1].expand_as(two.inputs[added])
    )
    kept = [step for step in range(len(two.mask)) if not added.start <= step < added.stop]
    assert torch.equal(two.inputs[kept][..., :-1], one.inputs)
    assert not two.inputs[kept][..., -1].any()
    assert torch.equal(two.targets[kept], one.targets)
    assert torch.equal(two.mask[kept], one.mask)
    assert not two.targets[added].any()
    assert not two.mask[added].any()
    assert longer.chance_cost() == plain.chance_cost()
    assert longer.chance_errors() == plain.chance_errors()
    assert (longer.output_size, longer.cost) == (plain.output_size, plain.cost)
    assert levels(longer) == levels(plain)
    eased = at_level(longer, 1).sample(1, generator())
    assert len(eased.mask) <= len(two.mask)


def test_the_accuracy_is_that_of_all_symbols_of_a_length():
    task = tasks.make("reverse", min_length=6, max_length=6)
    batch = task.sample(SEQUENCES[False], generator(1))
    zeros = batch.targets[-2:]
    right = 1 - float(zeros.mean()) / 3  # the last two of six answers say no, a wrong one in half
    flipped = Says(batch, 0)
    flipped.outputs = 2 * batch.targets - 1
    flipped.outputs[-2:] = -1
    assert chomsky.accuracy(flipped, task) == pytest.approx(right)


def test_symbols_after_the_end_marker_do_not_count():
    task = tasks.make("binary_sum", min_length=12, max_length=12)
    batch = task.sample(SEQUENCES[False], generator(1))
    symbols = batch.targets.argmax(-1)[12:]
    assert chomsky.accuracy(Says(batch, 0), task) == 1
    # The last eight symbols are said to be 0: what stands after the marker is no matter.
    scored = wrong = 0
    for row in symbols.T.tolist():
        end = row.index(2)
        scored += end + 1
        wrong += sum(symbol != 0 for symbol in row[5 : end + 1])
    assert wrong > 0
    assert chomsky.accuracy(Says(batch, 8), task) == pytest.approx(1 - wrong / scored)


def test_parts_of_a_batch_give_the_accuracy_of_the_whole(monkeypatch):
    task = tasks.make("bucket_sort", min_length=9, max_length=9)
    layer = make_layer(chomsky.settings(Cell(LSTM, LESSONS[-1], 0)))
    whole = chomsky.accuracy(layer, task)
    monkeypatch.setattr(chomsky, "STEPS", 36)  # two sequences of 18 steps
    assert chomsky.accuracy(layer, task) == whole


def test_what_is_done_is_kept_and_the_page_says_what_the_files_say(monkeypatch, capsys):
    monkeypatch.setattr(chomsky, "TESTED", (41, 61))
    monkeypatch.setattr(chomsky, "SHORT", (3, 5))
    chosen = Options(seconds=0.2, page=PAGE, seeds=(0,))
    assert main(chosen, [LSTM], [EVEN]) == 0
    file = Path("runs/chomsky/0.2s/even_pairs-lstm-seed0.json")
    found = json.loads(file.read_text())
    assert found["error"] is None
    assert found["sequences"] > 0
    assert list(found["longer_lengths"]) == ["41", "61"]
    assert found["longer"] == pytest.approx(sum(found["longer_lengths"].values()) / 2)
    assert 1 <= found["reached"] <= 39
    text = PAGE.read_text()
    assert f"| even pairs | {chomsky_page.percent(found['longer'])} | 100 | " in text
    assert (PAGE.parent / "pictures/chomsky.png").is_file()
    assert json.loads((PAGE.parent / "results/chomsky.json").read_text()) == [found]
    before = file.stat().st_mtime_ns
    assert main(chosen, [LSTM], [EVEN]) == 0
    assert file.stat().st_mtime_ns == before
    assert "written: docs/chomsky.md" in capsys.readouterr().out


def test_the_layout_of_the_table():
    def cell(seed, longer, **changes):
        found = {"task": "even_pairs", "member": "NTM", "seed": seed, "seconds": 120.0}
        return {**found, "commit": "abc", "processor": "a core", "error": None,
                "longer": longer, "trained": 1.0, **changes}  # fmt: skip

    cells = [cell(0, 0.5), cell(1, 1.0), cell(2, 0.9)]
    heading, rows = chomsky_page.longer(cells, [EVEN, SUM])
    assert heading[:3] == ["task", "NTM", "paper's RNN"]
    assert rows[0] == ["even pairs", "100 (90.0)", "100", "100", "100", "96.4", "100"]
    assert rows[1][:2] == ["binary sum", "-"]
    assert chomsky_page.learned(cells, [EVEN, SUM]).startswith("NTM 1, the paper's RNN 1, ")
    text = chomsky_page.introduction(cells, [EVEN, SUM])
    assert "3 trainings are not done" in text
    assert "2 minutes\nof one core" in text
    assert "--seconds 120 --seeds 0 1 2" in text


def test_an_option_that_makes_no_sense_is_refused_in_words(capsys):
    assert main(Options(tasks=("babi",), page=PAGE)) == 2
    assert "chomsky: error: there is no task babi: there are even_pairs" in capsys.readouterr().err
    assert isinstance(Options(), family.Options)

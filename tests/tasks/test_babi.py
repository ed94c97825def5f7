"""The bAbI tasks: files read as a plain loop reads them, batches, figures, and what is refused."""

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train
from tasks import Babi, Batch, make
from tasks.babi_files import read, words_of
from tasks.costs import QUESTIONS, wrong_questions
from tasks.levels import at_level, levels
from tasks.solved import FromFiles, batches, measure
from tests.hostile import assert_refused
from tests.tasks.stories import write
from training.machine import distributed
from training.machine.distributed import Ranks


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(write(tmp_path_factory.mktemp("babi")))


def loop_over(path: Path, think_steps: int) -> list[list[tuple[str, str]]]:
    """The stories of a file by a loop of its own: (word or "", answer or "") at each step."""
    stories: list[list[tuple[str, str]]] = []
    for line in path.read_text().splitlines():
        number, _, rest = line.partition(" ")
        if number == "1":
            stories.append([])
        text, *answer = rest.split("\t")
        steps = [(word, "") for word in re.sub(r"([.?])", r" \1", text.lower()).split()]
        if answer:
            steps += [("", "")] * think_steps
            steps += [("-", word) for word in answer[0].split(",")]
        stories[-1] += steps
    return stories


def steps_of(task: Babi, batch: Batch, row: int) -> list[tuple[str, str]]:
    assert batch.lengths is not None
    length, words = int(batch.lengths[row]), task.stories.words
    assert not batch.inputs[length:, row].any()
    assert not batch.targets[length:, row].any()
    assert not batch.mask[length:, row].any()
    found = []
    for step in range(length):
        seen, due = batch.inputs[step, row], batch.targets[step, row]
        assert seen.sum() in (0, 1)
        assert due.sum() == batch.mask[step, row]
        found.append(
            (
                words[int(seen.argmax())] if seen.any() else "",
                words[int(due.argmax())] if due.any() else "",
            )
        )
    return found


@pytest.mark.parametrize("think_steps", [0, 3])
def test_every_story_is_read_as_a_loop_reads_it(folder, think_steps):
    task = Babi(folder=folder, think_steps=think_steps)
    for number, name in ((1, "qa1_where"), (8, "qa8_holds"), (20, "qa20_why")):
        for part, file in (("training", "train"), ("validation", "train"), ("test", "test")):
            stories = loop_over(Path(folder) / f"{name}_{file}.txt", think_steps)
            if file == "train":
                stories = [
                    s for i, s in enumerate(stories) if (i % 10 == 9) == (part != "training")
                ]
            asked = Babi(folder=folder, think_steps=think_steps, only=number, part=part)
            chosen = (asked.stories.tasks == number) & (
                asked.stories.parts == ["training", "validation", "test"].index(part)
            )
            (batch,) = (task.batch(np.flatnonzero(chosen)),)
            assert batch.inputs.shape[1] == len(stories)
            for row, story in enumerate(stories):
                assert steps_of(task, batch, row) == story


def test_words_are_in_lower_case_and_stops_are_words_of_their_own():
    assert words_of("Mary's box-car is red , Bo.") == (
        *("mary's", "box-car", "is", "red", ",", "bo", "."),
    )


def test_the_vocabulary_has_every_word_once(folder):
    words = read(folder).words
    assert list(words) == sorted(set(words))
    assert {"-", ".", "?", "ann", "hungry", "cup"} <= set(words)
    assert Babi(folder=folder).input_size == Babi(folder=folder).output_size == len(words)


def test_batches_have_their_shapes_and_the_solver_finds_the_answers(folder):
    task, draws = Babi(folder=folder, think_steps=1), generator(3)
    for batch_size in (1, 5, 16):
        batch = task.sample(batch_size, draws)
        assert batch.inputs.shape == batch.targets.shape == (*batch.mask.shape, task.input_size)
        assert batch.mask.shape[1] == batch_size
        assert batch.lengths is not None
        assert batch.lengths.max() <= len(batch.mask)
        assert all(tensor.dtype == torch.float32 for tensor in batch[:3])
        solved = task.solve(batch.inputs)
        assert torch.equal(solved, batch.targets)
        found = measure(task, 20 * solved, batch)
        assert list(found) == ["bits_per_sequence", "wrong_questions", "exact_match"]
        assert found["exact_match"].all()
        assert (found["wrong_questions"] == 0).all()
    with pytest.raises(ValueError, match=r"every row must be a story of .*, but row 0 is none"):
        task.solve(batch.inputs.flip(0))


def test_the_generator_alone_decides_and_only_training_stories_are_drawn_each_as_often(folder):
    task = Babi(folder=folder, only=1)
    first, again = task.sample(8, generator(4)), task.sample(8, generator(4))
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, task.sample(8, generator(5)).inputs)
    counts: Counter[str] = Counter()
    draws = generator(6)
    for _ in range(200):
        batch = task.sample(36, draws)
        counts.update(task.text(batch, row) for row in range(36))
    drawn = sum(counts.values())
    texts = Counter(
        " ".join(f"{w}[{a}]" if a else w for w, a in story)
        for i, story in enumerate(loop_over(Path(folder) / "qa1_where_train.txt", 0))
        if i % 10 != 9
    )
    assert set(counts) == set(texts)
    for text, times in texts.items():
        expected = drawn * times / 36
        assert counts[text] == pytest.approx(expected, abs=5 * expected**0.5)


def test_the_stories_of_a_batch_are_of_about_one_length(folder, monkeypatch):
    monkeypatch.setattr("tasks.babi.LEAST", 4)
    task = Babi(folder=folder, max_steps=799)  # another task than the cached ones
    shares = []
    for seed in range(60):
        batch = task.sample(8, generator(seed))
        assert batch.lengths is not None
        shares.append(float(batch.lengths.sum()) / batch.mask.numel())
    assert sum(shares) / len(shares) > 0.9


def test_streams_share_the_length_and_the_lengths_are_joined(folder):
    task = Babi(folder=folder)
    sizes = generator(1)
    streams = distributed.streams(2, 1, Ranks(), sizes)
    batch = distributed.sample(task, 3, sizes, streams)
    assert batch.lengths is not None
    assert batch.lengths.shape == (6,)
    assert batch.inputs.shape[1] == 6


def test_what_is_held_out_comes_once_and_a_test_is_never_cut(folder):
    task = Babi(folder=folder)
    assert isinstance(task, FromFiles)
    for part, most, expected in (("training", 99, 12), ("training", 5, 5), ("test", 5, 30)):
        measured = Babi(folder=folder, part=part)
        found = list(batches(measured, most, 4, generator()))
        texts = [measured.text(b, row) for b in found for row in range(b.inputs.shape[1])]
        assert len(texts) == expected
        again = batches(measured, most, 4, generator(9))
        assert texts == [measured.text(b, row) for b in again for row in range(b.inputs.shape[1])]


def test_a_folder_with_files_for_validation_keeps_all_training_stories(tmp_path):
    folder = write(tmp_path / "valid")
    for path in list(folder.glob("*_test.txt")):
        path.with_name(path.name.replace("_test", "_valid")).write_text(path.read_text())
    task = Babi(folder=str(folder))
    assert Counter(task.stories.parts.tolist()) == {0: 120, 1: 30, 2: 30}


def test_a_question_is_right_if_all_words_of_its_answer_are():
    mask = torch.tensor([0.0, 1, 1, 0, 1, 0, 1, 1])[:, None]
    targets = torch.eye(3)[[0, 1, 2, 0, 1, 0, 2, 2], None] * mask[..., None]
    batch = Batch(torch.zeros_like(targets), targets, mask)
    for wrong_steps, expected in (
        ([], 0),
        ([0, 3, 5], 0),
        ([1], 1),
        ([1, 2], 1),
        ([2, 4], 2),
        ([1, 4, 7], 3),
        ([6, 7], 1),
    ):
        outputs = targets.clone()
        outputs[wrong_steps] = torch.tensor([0.0, math.nan, 0.0])
        assert wrong_questions(outputs, batch).tolist() == [expected]
    assert QUESTIONS.answers(batch) == 3
    with pytest.raises(ValueError, match="must have the targets' shape"):
        wrong_questions(targets[1:], batch)


def test_guessing_costs_what_it_says(folder):
    for only in (0, 1, 8, 20):
        task = Babi(folder=folder, only=only)
        everything = task.batch(np.concatenate([np.flatnonzero(task.stories.parts == 0)]))
        if only:
            chosen = (task.stories.parts == 0) & (task.stories.tasks == only)
            everything = task.batch(np.flatnonzero(chosen))
        odds = everything.targets.sum((0, 1))
        logits = (odds / odds.sum()).clamp(min=1e-30).log().expand_as(everything.targets)
        found = measure(task, logits, everything)
        assert task.chance_cost() == pytest.approx(
            float(found["bits_per_sequence"].mean()), abs=1e-5
        )
        assert task.chance_errors() == pytest.approx(float(found["wrong_questions"].mean()))


def test_the_report_is_the_table_of_the_papers(folder):
    task = Babi(folder=folder)
    assert list(task.evaluations()) == ["task_1", "task_8", "task_20"]
    figures = {"training": {"wrong_questions": 1.0}}
    assert task.report(figures) == "no test was measured"
    figures |= {
        "task_1": {"wrong_questions": 0.5},
        "task_8": {"wrong_questions": 0.0},
        "task_20": {"wrong_questions": 0.1},
    }
    assert task.report(figures).splitlines() == [
        "wrong questions of the tests",
        "task 1         25.0%",
        "task 8          0.0%",
        "task 20         5.0%",
        "mean           10.0%",
        "failed (above 5%): 1 of 3",
    ]


def test_its_levels_are_lengths(folder):
    task = Babi(folder=folder, max_steps=64)
    assert levels(task) == 5
    assert at_level(task, 1) == Babi(folder=folder, max_steps=60)
    assert at_level(task, 5) == task
    short = Babi(folder=folder, max_steps=20)
    assert len(short.sample(3, generator()).mask) <= 20


def test_a_network_learns_and_the_run_prints_the_table(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--task", "babi", "--model", "dnc", "--task.folder", folder, "--wandb", "disabled"]
    words += ["--task.only", "20", "--model.memory-size", "4", "--model.word-size", "4"]
    words += ["--model.hidden-size", "16", "--run.sequences", "480", "--run.batch-size", "16"]
    words += ["--optimizer.learning-rate", "0.01", "--name", "run"]
    words += ["--run.evaluate-every", "10", "--run.pictures", "False"]
    assert train.main(words) == 0
    printed = capsys.readouterr().out
    assert "task 20         0.0%" in printed
    assert "failed (above 5%): " in printed
    settings = json.loads(Path("runs/run/evaluation.json").read_text())["settings"]
    assert settings["training"]["wrong_questions"] == 0
    assert settings["task_1"]["wrong_questions"] > 0.5
    assert train.main(["--evaluate", "runs/run", "--settings", "task_1", "task_20"]) == 0
    again = capsys.readouterr().out
    assert "task 20         0.0%" in again
    assert "of 2" in again
    assert train.main(["--evaluate", "runs/run", "--lengths", "20"]) == 2
    assert "Babi has no lengths: leave out --lengths" in capsys.readouterr().err


def test_without_its_folder_a_run_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for flags, message in (
        ([], "must have the folder of its stories: pass --task.folder"),
        (["--task.folder", "nowhere"], "must exist, got 'nowhere': pass the folder with"),
    ):
        with pytest.raises(SystemExit) as refused:
            train.main(["--task", "babi", "--wandb", "disabled", *flags])
        assert refused.value.code == 2
        assert message in " ".join(capsys.readouterr().err.split())


def altered(tmp_path: Path, old: str, new: str) -> Babi:
    folder = write(tmp_path / "altered")
    path = folder / "qa1_where_train.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return Babi(folder=str(folder))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1 ", "One ", r"number of the line before.*got 'One .*qa1_where_train.txt, line 1:"),
        ("2 ", "7 ", r"number 1 of a new story.*line 2: use the files as they were published"),
        ("went to", "went # to", r"'#' is no word in .*, line 1"),
        ("\t2", "\t2\tmore", r"a question is followed by a tab, its answer"),
        ("\tbarn", "\t", r"a question is followed by a tab, its answer"),
        ("\tbarn", "\tbarn,,yard", r"an answer is a word, or words with commas between them"),
        ("1 ", "1 Ann sits.\n1 ", r"must ask something.*train.txt before line 2"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, old, new, message):
    task = altered(tmp_path, old, new)
    with pytest.raises(ValueError, match=message):
        _ = task.input_size


def test_a_missing_file_an_empty_file_and_an_unknown_word_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"but .* has no qa1_\.\.\._train\.txt, qa1_"):
        _ = Babi(folder=str(tmp_path)).input_size
    folder = write(tmp_path / "own")
    test = folder / "qa8_holds_test.txt"
    text = test.read_text()
    test.write_text(text.replace("took", "stole"))
    with pytest.raises(ValueError, match=r"'stole' of task 8 \(test\) in .* does not"):
        _ = Babi(folder=str(folder)).input_size
    test.write_text("")
    with pytest.raises(ValueError, match=r"qa8_holds_test.txt at its end does not"):
        _ = Babi(folder=str(folder)).input_size
    test.unlink()
    with pytest.raises(ValueError, match=r"has no qa8_\.\.\._test\.txt"):
        _ = Babi(folder=str(folder)).input_size


def test_stories_that_are_all_too_long_are_refused(folder):
    with pytest.raises(ValueError, match=r"none for training with only=8 and max_steps=3: the sho"):
        Babi(folder=folder, only=8, max_steps=3).sample(1, generator())


SIZES = (-3, 2.5, True, "5", None, math.nan, [4], 10**30)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("think_steps", SIZES),
        ("only", (21, *SIZES)),
        ("max_steps", (0, *SIZES)),
        ("part", ("train", 1, None, ["test"])),
        ("folder", (1, None, b"babi")),
    ],
)
def test_a_value_out_of_its_range_is_refused(field: str, values: tuple[Any, ...]) -> None:
    for value in values:
        assert_refused(lambda value=value: make("babi", **{field: value}), field)

"""The page of the graph tasks says what the files of a run and its network say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import memnets
import train
from experiments.graphs import MARKS, Options, main, passed, right
from experiments.graphs_figures import example, memory_figure, read_modes, slots
from tasks import GraphTraversal
from tasks.triples import decode, said

PAGE = Path("docs/graphs.md")


def trained(*more: str) -> None:
    words = ["--task", "graph_traversal", "--model", "dnc", "--name", "run", "--wandb", "disabled"]
    words += ["--model.hidden-size", "5", "--model.memory-size", "9", "--model.read-heads", "2"]
    words += ["--run.sequences", "16", "--run.batch-size", "4", "--run.log-every", "2"]
    words += ["--task.lesson", "3", "--run.pictures", "False", "--run.evaluate-every", "0"]
    assert train.main([*words, *more]) == 0


def options(**changed) -> Options:
    made = {"core_minutes": 1.5, "memory_size": 60, "sequences": 4, "page": PAGE, **changed}
    return Options(run=Path("runs/run"), **made)


def test_the_page_has_the_command_the_lessons_and_the_figures():
    trained("--curriculum", "lessons", "--curriculum.window", "2", "--seed", "3")
    PAGE.parent.mkdir()
    PAGE.write_text(f"# Graphs\n\nBefore.\n\n{MARKS.begin}\nold\n{MARKS.end}\n\nAfter.\n")
    assert main(options()) == 0
    text = PAGE.read_text()
    assert text.startswith("# Graphs\n\nBefore.\n")
    assert text.endswith(f"{MARKS.end}\n\nAfter.\n")
    command = "python train.py --task graph_traversal --model dnc --curriculum lessons --seed 3"
    assert f"`{command} --task.lesson 3 " in text
    assert "--curriculum.window 2" in text
    assert "16 sequences in 1.5 core-minutes" in text
    assert "learning lesson 1 of 3" in text
    assert "| 1 |  | 0.0% |\n| 2 |  | 0.0% |\n| 3 |  | 0.0% |\n" in text
    assert (PAGE.parent / "pictures/graphs.png").is_file()
    assert (PAGE.parent / "pictures/graphs_memory.png").is_file()
    kept = json.loads((PAGE.parent / "results/graphs.json").read_text())
    assert kept["curve"]["sequences"] == [8, 16]
    assert kept["curve"]["level"] == [1, 1]


def test_a_run_without_lessons_is_refused(capsys):
    trained()
    assert main(options()) == 2
    assert (
        "with --curriculum lessons, but is one of graph_traversal with" in capsys.readouterr().err
    )


def test_marks_must_be_there(capsys):
    trained("--curriculum", "lessons")
    PAGE.parent.mkdir()
    PAGE.write_text("# Graphs\n")
    assert main(options()) == 2
    assert "must have a line" in capsys.readouterr().err


def test_a_lesson_is_passed_at_the_first_row_in_which_a_later_one_is_learned():
    levels = (1.0, 1.3, 1.9, 4.2, 3.7, 5.0)
    rows = [{"sequences": 10 * i, "level": level} for i, level in enumerate(levels, 1)]
    assert passed(rows, 6) == [20, 40, 40, 40, None, None]
    assert passed(rows, 5) == [20, 40, 40, 40, None]


class Solver(torch.nn.Module):
    """Right where a path has one step, and wrong where it has more."""

    def forward(self, x):
        targets = GraphTraversal().solve(x)
        return (targets if (targets.sum(-1) > 0).sum(0).max() == 2 else -targets), None


def test_what_is_right_is_measured_of_each_lesson():
    found = right(Solver(), GraphTraversal(lesson=4), 200, seed=0)
    assert found[0] == 1
    for share, longest in zip(found[1:], (2, 3, 4), strict=True):
        assert abs(share - 1 / longest) < 0.35  # of 25 batches, each of one length


def test_a_slot_is_named_by_the_step_that_writes_to_it_most():
    writes = np.array([[0.1, 0.9, 0.0], [0.0, 0.8, 0.2], [0.6, 0.4, 0.0]])
    assert slots(writes) == [1, 2, 0]


@pytest.mark.parametrize("options", [{}, {"content": memnets.Content(masked=True)}])
def test_the_read_modes_are_those_of_any_dnc(options):
    layer = memnets.DNC(92, 90, memory_size=20, word_size=4, read_heads=2, **options)
    trace = memnets.record(layer, example(1).sample(1, torch.Generator()).inputs[:, 0])
    modes = read_modes(trace.interface)
    assert modes.shape == (len(trace.outputs), 2, 3)
    torch.testing.assert_close(modes.sum(-1), torch.ones(len(modes), 2))


def test_a_memory_without_links_is_not_drawn():
    for layer in (memnets.NTM(92, 90), memnets.DNC(92, 90, memory_size=20, linkage=None)):
        with pytest.raises(ValueError, match="must be of a DNC with a linkage, got a"):
            memory_figure(layer, example(1), seed=0)


def test_the_memory_is_drawn_beside_the_triples_that_were_shown():
    torch.manual_seed(0)
    layer = memnets.DNC(92, 90, memory_size=20, word_size=4, read_heads=2)
    figure = memory_figure(layer, example(3), seed=4)
    batch = example(3).sample(1, torch.Generator().manual_seed(4))
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(labels) == 12 + 3
    assert labels[0] == said(decode(batch.inputs[0, 0, :90]).tolist())
    assert labels[-1].startswith("_-")
    assert labels[-1].endswith("-_")
    assert figure.get_suptitle() == "6 nodes, a path of 3: 4 of 4 triples wrong"
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 4  # written, read, and each of the two heads
    trace = memnets.record(layer, batch.inputs[:, 0])
    shown = trace.memory.write_weights[:, 0].numpy()
    order = slots(shown[:15])
    np.testing.assert_allclose(images[0], shown[:, order].T, rtol=1e-6)

"""The curriculum of pairs, at small sizes."""

import json
from pathlib import Path

import pytest
import torch

import memnets
from experiments import pairs
from experiments.pairs import Options, main
from tasks.key_value_recall import KeyValueRecall
from tasks.pair_recall import PairRecall
from training.files import checkpoint

SMALL = (
    "--task.max-pairs 3 --curriculum.threshold 9 --run.batch-size 2 --model.memory-size 40 "
    "--model.word-size 6 --model.addressing.top-k 2 --run.evaluation-sequences 2"
)


def options(**changes):
    given = {"sequences": 90, "flags": SMALL, "pairs": (2, 5), "lists": 2, "runs": Path("runs")}
    return Options(**{**given, "folder": Path("docs"), **changes})


def written():
    return json.loads(Path("docs/results/pairs.json").read_text())


def test_the_command_writes_what_it_trained():
    for _ in range(2):  # the second time nothing is trained
        assert main(options(seeds=(0, 1))) == 0
        assert [one["seed"] for one in written()] == [0, 1]
    first = written()[0]
    own = f"{pairs.LESSONS['pairs'].flags} --run.sequences 90"
    assert first["command"] == f"python train.py {own} {SMALL} --seed 0"
    assert first["settings"]["memory_size"] == 40
    # Twice as many when 20 batches of two are solved, as all are.
    doubled = [(row["pairs"], row["sequences"]) for row in first["rows"]]
    assert doubled == [(1, 0), (2, 40), (3, 80), (3, 90)]
    seconds = [row["seconds"] for row in first["rows"]]
    assert seconds == sorted(seconds)
    assert seconds[1] > 0
    assert set(first["wrong"]) == {"2", "5"}
    assert Path("docs/pictures/pairs.png").stat().st_size > 10_000


def test_pairs_do_not_double_while_their_cost_is_high():
    assert main(options(flags=f"{SMALL} --curriculum.threshold 1e-9")) == 0
    assert {row["pairs"] for row in written()[0]["rows"]} == {1}


def test_a_training_that_was_stopped_goes_on(monkeypatch):
    """It is stopped as by a signal, after its first checkpoint."""
    from training.run import loop

    step = loop.train_step

    def stop_at_30(config, training):
        if training.step == 30:
            raise KeyboardInterrupt
        return step(config, training)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", stop_at_30)
        assert main(options()) == 130
    assert not Path("docs").exists()
    assert checkpoint.load(Path("runs/pairs/seed0-90/checkpoints/last.pt"))["step"] == 20
    assert main(options()) == 0
    whole = options(runs=Path("whole"))
    one = memnets.load("runs/pairs/seed0-90").state_dict()
    assert main(whole) == 0
    other = memnets.load("whole/pairs/seed0-90").state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_values_that_are_not_recalled_are_counted():
    task = PairRecall(max_pairs=3)
    layer = memnets.SAM(task.input_size, task.output_size, memory_size=40)
    assert pairs.wrong_share(layer, task, pairs.every_bit, 10, 4) > 0.8  # of eight bits each
    knows = lambda inputs: (2 * task.solve(inputs) - 1, None)  # noqa: E731
    assert pairs.wrong_share(knows, task, pairs.every_bit, 10, 4) == 0


def test_symbols_that_are_not_recalled_are_counted():
    task = KeyValueRecall(keys=20, values=20, max_pairs=10)
    layer = memnets.SAM(task.input_size, task.output_size, memory_size=100)
    assert pairs.wrong_share(layer, task, pairs.symbol, 10, 4) > 0.8
    knows = lambda inputs: (task.solve(inputs), None)  # noqa: E731
    assert pairs.wrong_share(knows, task, pairs.symbol, 10, 4) == 0


def test_symbols_are_trained_by_the_same_command():
    small = "--task.keys 5 --task.values 5 --task.min-pairs 2 --task.max-pairs 4"
    assert main(options(lesson="mqar", flags=f"{SMALL} {small}", pairs=(2, 4))) == 0
    (found,) = json.loads(Path("docs/results/mqar.json").read_text())
    assert [row["pairs"] for row in found["rows"]] == [2, 3, 4, 4]
    assert set(found["wrong"]) == {"2", "4"}


def test_a_training_that_train_py_refuses(capsys):
    with pytest.raises(SystemExit) as end:
        main(options(flags="--no-such-flag 3"))
    assert end.value.code == 2
    assert "there is no flag --no-such-flag" in capsys.readouterr().err

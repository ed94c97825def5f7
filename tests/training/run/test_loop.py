"""The training loop: what a step computes, what it reports, and what stops it."""

import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch

import train
from tasks import bits_per_sequence, wrong_bits
from tasks.levels import at_level
from tests.tasks.table import TABLE
from tests.training.tiny import arguments, rows
from training.command_line.parser import parse
from training.machine.signals import Stop, stop_on_signals
from training.options.models import MODELS
from training.report import console
from training.report.console import Console
from training.report.wandb_tracker import NullTracker, start_tracker
from training.run import loop
from training.run.state import start


@pytest.mark.parametrize("task", TABLE)
@pytest.mark.parametrize("model", MODELS)
def test_every_recipe_runs(task, model, tmp_path):
    config = parse(arguments(task, model, steps=2, more=["--run.evaluate-every", "2"]))
    training = start(config)
    before = [p.clone() for p in training.layer.parameters() if p.requires_grad]
    shown = Console(8, 0)
    loop.train(config, training, tmp_path, tracker=NullTracker(), console=shown, stop=Stop())
    assert training.step == 2
    after = [p for p in training.layer.parameters() if p.requires_grad]
    assert all(p.isfinite().all() for p in after)
    assert any(not torch.equal(p, q) for p, q in zip(before, after, strict=True))
    last = rows(tmp_path)
    cost = training.task.cost
    assert {"loss", cost.name, cost.errors_name, "gradient_norm"} <= last[0].keys()
    assert math.isfinite(last[1][f"validation/{cost.name}"])
    assert "validation/exact_match" in last[1]


def test_the_loss_is_the_mean_over_scored_bits_in_nats():
    config = parse(arguments("copy"))
    training = start(config)
    generator = torch.Generator()
    generator.set_state(training.data.get_state())
    batch = training.task.sample(4, generator)
    logits, _ = training.layer(batch.inputs)
    nats = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, batch.targets, reduction="none"
    )
    scored = nats[batch.mask.bool()]
    scored.mean().backward()
    parameters = [p for p in training.layer.parameters() if p.grad is not None]
    norm = torch.cat([p.grad.flatten() for p in parameters]).norm()
    found = loop.train_step(config, training)
    torch.testing.assert_close(found["loss"], scored.mean().detach())
    torch.testing.assert_close(found["bits_per_sequence"], scored.sum().detach() / 4 / math.log(2))
    torch.testing.assert_close(found["gradient_norm"], norm)


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        ("dyck", lambda outputs, targets: torch.nn.functional.cross_entropy(outputs, targets)),
        ("adding", lambda outputs, targets: torch.nn.functional.mse_loss(outputs, targets)),
    ],
)
def test_the_loss_is_the_mean_over_other_answers_too(task, loss):
    config = parse(arguments(task))
    training = start(config)
    generator = torch.Generator()
    generator.set_state(training.data.get_state())
    batch = training.task.sample(4, generator)
    outputs, _ = training.layer(batch.inputs)
    scored = batch.mask.bool()
    expected = loss(outputs[scored], batch.targets[scored])
    torch.testing.assert_close(loop.train_step(config, training)["loss"], expected.detach())


LEVELS = ["--task.max-length", "8", "--run.log-every", "1"]


@pytest.mark.parametrize("task", TABLE)
def test_every_task_has_levels_to_train_on(task):
    config = parse(arguments(task, more=["--curriculum", "prediction_gain"]))
    training = start(config)
    for _ in range(3):
        found = loop.train_step(config, training)
        assert 1 <= found["level"] <= training.curriculum["levels"]
    assert training.curriculum["batches"] == 3
    assert all(math.isfinite(gain) for gain in training.curriculum["gains"])


def test_the_level_decides_the_batches_and_is_logged():
    more = [*LEVELS, "--curriculum", "incremental", "--curriculum.window", "2"]
    more += ["--curriculum.threshold", "9", "--name", "run"]  # all batches count as solved
    assert train.main(arguments("copy", steps=20, more=more)) == 0
    trained = [row for row in rows(Path("runs/run")) if "loss" in row]
    assert [row["level"] for row in trained] == [min(1 + step // 2, 8) for step in range(20)]
    assert [row["reached"] for row in trained] == [min(1 + step // 2, 8) for step in range(1, 21)]
    # 2 bits a vector, so at most about 2 bits for every vector of the level at first
    assert trained[0]["bits_per_sequence"] < 3
    assert trained[-1]["bits_per_sequence"] > 8


def test_a_fixed_curriculum_without_a_level_is_the_task_as_it_is():
    assert train.main(arguments("copy", steps=4, more=[*LEVELS, "--name", "run"])) == 0
    assert not any({"level", "reached"} & set(row) for row in rows(Path("runs/run")))
    training = start(parse(arguments("copy", more=LEVELS)))
    lengths = {len(training.task.sample(1, training.data).mask) // 2 for _ in range(200)}
    assert lengths == set(range(1, 9))


def test_a_curriculum_learns_from_the_share_of_chance_and_from_the_gain_per_step(monkeypatch):
    config = parse(arguments("copy", more=[*LEVELS, "--curriculum", "prediction_gain"]))
    training = start(config)
    seen = []

    def update(_, state, outcome, generator):
        seen.append(outcome)
        return state

    monkeypatch.setattr(type(config.curriculum_options), "update", update)
    before = training.data.get_state()
    found = loop.train_step(config, training)
    (outcome,) = seen
    assert outcome.level == found["level"]
    chance = 2 * outcome.level
    assert outcome.cost == pytest.approx(float(found["bits_per_sequence"]) / chance)
    training.data.set_state(before)
    level = config.curriculum_options.choose(training.curriculum, training.data)
    batch = at_level(training.task, level).sample(4, training.data)
    with torch.no_grad():
        after = bits_per_sequence(training.layer(batch.inputs)[0], batch).mean()
    gain = (found["bits_per_sequence"] - after) / (2 * level + 1)
    assert outcome.gain == pytest.approx(float(gain), rel=1e-3)


def test_a_curriculum_hears_how_many_sequences_are_right(monkeypatch):
    sizes = ["--task.bits", "1", "--task.max-length", "2", "--run.batch-size", "16"]
    config = parse(arguments("copy", more=[*sizes, "--curriculum", "lessons"]))
    training = start(config)
    seen = []

    def update(_, state, outcome, generator):
        seen.append(outcome)
        return state

    monkeypatch.setattr(type(config.curriculum_options), "update", update)
    generator = torch.Generator()
    generator.set_state(training.data.get_state())
    batch = at_level(training.task, 1).sample(16, generator)
    with torch.no_grad():
        wrong = wrong_bits(training.layer(batch.inputs)[0], batch)
    loop.train_step(config, training)
    assert 0 < float((wrong == 0).float().mean()) < 1
    assert seen[0].right == float((wrong == 0).float().mean())


def test_training_goes_on_from_the_moves_of_the_network_itself(monkeypatch):
    words = ["--task.nodes", "8", "--task.degree", "3", "--task.path", "3"]
    config = parse(arguments("graph_shortest_path", more=[*words, "--task.planner-percent", "0"]))
    training = start(config)
    answered = []
    monkeypatch.setattr(
        loop, "answer", lambda layer, batch: answered.append(batch) or layer(batch.inputs)[0]
    )
    generator = torch.Generator()
    generator.set_state(training.data.get_state())
    drawn = training.task.sample(4, generator)
    expected = training.task.act(drawn, training.layer, generator)
    loop.train_step(config, training)
    assert torch.equal(answered[0].inputs, expected.inputs)
    assert torch.equal(answered[0].targets, expected.targets)
    assert not torch.equal(drawn.inputs, expected.inputs)


@pytest.mark.parametrize("model", ["dnc", "lstm", "rnn"])
def test_moves_in_half_precision_leave_every_parameter_its_gradient(model):
    words = ["--task.nodes", "8", "--task.degree", "3", "--task.path", "3"]
    config = parse(arguments("graph_shortest_path", model, more=[*words, "--precision", "bf16"]))
    training = start(config)
    loop.train_step(config, training)
    trained = [p for p in training.layer.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


@pytest.mark.parametrize(
    ("flag", "limit"), [("--optimizer.clip-norm", "norm"), ("--optimizer.clip-value", "value")]
)
def test_gradients_are_clipped(flag, limit):
    none = ["--optimizer.clip-norm", "None", "--optimizer.clip-value", "None"]
    config = parse(arguments("copy", more=[*none, flag, "0.001"]))
    training = start(config)
    unclipped = loop.train_step(config, training)["gradient_norm"]
    assert unclipped > 0.001 or limit == "value"
    gradients = [p.grad for p in training.layer.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    size = flat.norm() if limit == "norm" else flat.abs().max()
    torch.testing.assert_close(size, torch.tensor(0.001), rtol=1e-3, atol=0)


def test_the_norm_is_that_before_clipping():
    none = ["--optimizer.clip-norm", "None", "--optimizer.clip-value", "None"]
    norms = []
    for more in (none, [*none, "--optimizer.clip-value", "1e-6"]):
        config = parse(arguments("copy", more=more))
        norms.append(loop.train_step(config, start(config))["gradient_norm"])
    assert torch.equal(norms[0], norms[1])


def test_the_learning_rate_falls_to_zero_over_the_cooldown():
    more = ["--optimizer.learning-rate", "0.1", "--optimizer.cooldown", "0.25"]
    config = parse(arguments(steps=20, more=more))
    rates = [loop.learning_rate(config, step) for step in range(20)]
    assert rates[:16] == [0.1] * 16
    assert rates[16:] == pytest.approx([0.08, 0.06, 0.04, 0.02])
    training = start(config)
    training.step = 18
    loop.train_step(config, training)
    assert training.optimizer.param_groups[0]["lr"] == rates[18]


def test_the_learning_rate_rises_over_the_warmup():
    more = ["--optimizer.learning-rate", "0.1", "--run.batch-size", "4", "--run.sequences", "80"]
    more += ["--optimizer.warmup", "20", "--optimizer.cooldown", "0"]
    config = parse(["--task", "copy", *more])
    rates = [loop.learning_rate(config, step) for step in range(20)]
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert rates[5:] == [0.1] * 15
    # Where the two meet, the lower one.
    short = parse(["--task", "copy", *more[:-1], "1", "--optimizer.warmup", "80"])
    rates = [loop.learning_rate(short, step) for step in range(20)]
    assert rates == pytest.approx([0.005 * min(step + 1, 20 - step) for step in range(20)])


def test_seeds_decide_everything():
    def weights_and_data(seed):
        training = start(parse(arguments("copy", more=["--seed", str(seed)])))
        sample = training.task.sample(50, training.data)
        return training.layer.state_dict()["readout.weight"], sample.inputs[0]

    first, again, other = (weights_and_data(seed) for seed in (0, 0, 1))
    for index in range(2):
        assert torch.equal(first[index], again[index])
        assert not torch.equal(first[index], other[index])


def test_metrics_are_means_over_the_steps_since_the_last_row():
    assert train.main(arguments(steps=6, more=["--name", "each", "--run.log-every", "1"])) == 0
    assert train.main(arguments(steps=6, more=["--name", "third"])) == 0
    each = [row["loss"] for row in rows(Path("runs/each")) if "loss" in row]
    third = [row["loss"] for row in rows(Path("runs/third")) if "loss" in row]
    assert third == pytest.approx([sum(each[:3]) / 3, sum(each[3:]) / 3])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_finish_the_step_and_save(monkeypatch, capsys, number):
    original = loop.train_step

    def interrupted(config, training):
        if training.step == 5:
            os.kill(os.getpid(), number)
        return original(config, training)

    monkeypatch.setattr(loop, "train_step", interrupted)
    before = signal.getsignal(number)
    assert train.main(arguments(more=["--name", "run"])) == 128 + number
    assert signal.getsignal(number) is before
    assert "python train.py --resume runs/run" in capsys.readouterr().out
    saved = torch.load("runs/run/checkpoints/last.pt", weights_only=True)
    assert saved["step"] == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_tracker_starts_waits_for_it(monkeypatch, capsys, number):
    def slow(*given, **named):
        os.kill(os.getpid(), number)
        return start_tracker(*given, **named)

    monkeypatch.setattr(train, "start_tracker", slow)
    assert train.main(arguments(more=["--name", "run"])) == 128 + number
    assert "stopped and saved; to go on: python train.py --resume" in capsys.readouterr().out
    saved = torch.load("runs/run/checkpoints/last.pt", weights_only=True)
    assert saved["step"] == 0
    assert not Path("runs/run/evaluation.json").exists()


def test_a_second_signal_is_not_held_back(request):
    # A shell starts what runs in its background with this signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_names_of_runs(capsys):
    for _ in range(2):
        assert train.main(arguments(steps=1)) == 0
    first, second = sorted(p.name for p in Path("runs").iterdir())
    assert first.startswith("associative_recall__lstm__seed0__")
    assert first != second
    assert train.main(arguments(steps=1, more=["--name", "mine", "--folder", "elsewhere"])) == 0
    assert json.loads(Path("elsewhere/mine/config.json").read_text())["name"] == "mine"
    with pytest.raises(SystemExit) as exit_:
        train.main(arguments(steps=1, more=["--name", "mine", "--folder", "elsewhere"]))
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert "elsewhere/mine exists: choose another --name, or continue it with --resume" in error


def test_what_cannot_change_beside_resume(capsys):
    more = ["--name", "run", "--optimizer.cooldown", "0"]
    assert train.main(arguments(steps=2, more=more)) == 0
    resume = ["--resume", "runs/run"]
    for words, message in (
        (["--seed", "1"], "--seed 1 differs from the 0 of runs/run"),
        (["--model.hidden-size", "9"], "--model.hidden-size 9 differs from the 4"),
        (["--run.batch-size", "8"], "--run.batch-size 8 differs from the 4"),
        (["--task", "copy"], "--task copy differs from the associative_recall"),
        (["--run.sequences", "4"], "can only be made longer"),
    ):
        with pytest.raises(SystemExit) as exit_:
            train.main([*resume, *words])
        assert exit_.value.code == 2
        assert message in capsys.readouterr().err
    # the same values as before are no change
    same = ["--task", "associative_recall", "--seed", "0", "--wandb", "disabled"]
    assert train.main([*resume, *same]) == 0


def test_a_run_whose_learning_rate_cools_down_cannot_become_longer(capsys):
    words = arguments(steps=2, more=["--name", "run", "--optimizer.cooldown", "0.5"])
    assert train.main(words) == 0
    for sequences in ("4", "12"):
        with pytest.raises(SystemExit) as exit_:
            train.main(["--resume", "runs/run", "--run.sequences", sequences])
        assert exit_.value.code == 2
        error = capsys.readouterr().err
        assert f"--run.sequences {sequences} differs from the 8 of runs/run" in error
        assert "start a new run of more sequences" in error
    assert train.main(["--resume", "runs/run", "--run.sequences", "8"]) == 0


def test_a_live_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: True)
    shown = Console(100, 20)
    shown.advance(40)
    shown.show({"loss": 0.5, "bits_per_sequence": 12.0, "wrong_bits": 3.0}, 60)
    shown.close()
    text = capsys.readouterr().err
    for part in ("60/100", "sequences/s", "loss=0.5000", "wrong bits=3", "<"):
        assert part in text, part

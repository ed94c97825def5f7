"""A table of hostile command lines, configurations and checkpoints: each is refused in words."""

import copy
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import train
from tasks.levels import levels
from tests.hostile import assert_refused, outcome
from tests.training.tiny import arguments
from training.command_line.parser import parse
from training.files import checkpoint
from training.options.config import (
    from_json,
    make_curriculum,
    make_layer,
    make_task,
    problems,
    to_json,
)
from training.run import loop
from training.run.state import restore, snapshot, start

LINES = """
--task | needs a value
--task= | needs a value
--task Copy | there is no task 'Copy'
--task copy copy | copy
--task "" | task
--model lstm2 | there is no model 'lstm2'
--model | needs a value
--optimizer sgd | there is no optimizer 'sgd'
--curriculum hard | there is no curriculum 'hard'
--seed -1 | --seed must be between
--seed 1.5 | seed
--seed x | seed
--seed 99999999999999999999999 | --seed must be between
--seed | seed
--threads 0 | --threads must be
--threads -4 | --threads must be
--threads 1000000000 | --threads must be
--threads 99999999999999999999999 | --threads must be
--device gpu | --device gpu cannot be used
--device cuda:99 | --device cuda:99 cannot be used
--device= | --device
--name / | --name must be
--name ../x | --name must be
--name . | --name must be
--name= | --name must be
--resume | needs a value
--resume nowhere | nowhere is no run folder
--resume . | no run folder
--resume /dev/null | no run folder
--resume nowhere --task copy | nowhere is no run folder
--wandb maybe | wandb
--wandb True | wandb
--wandb= | wandb
--no-wandb copy | there is no flag before 'copy'. Did you mean --task copy?
--no-wandb=no | there is no flag --no-wandb
--compile maybe | --compile takes True or False, got 'maybe'
--compile False copy | there is no flag before 'copy'
--lr 1e-3 | there is no flag --lr. Did you mean --optimizer.learning-rate?
--learning_rate 1e-3 | there is no flag --learning-rate. Did you mean --optimizer.learning-rate?
--run.lr 1 | Did you mean --optimizer.learning-rate?
--epochs 3 | Did you mean --run.sequences (a sequence is never seen twice
--batch-size 3 | Did you mean --run.batch-size?
--memory_size=3 | Did you mean --model.memory-size?
--project x | Did you mean --wandb.project?
--gpu | Did you mean --device cuda?
--checkpoint x | Did you mean --resume?
copy | there is no flag before 'copy'. Did you mean --task copy?
coppy | Did you mean --task copy?
--task copy dnc | there is no flag before 'dnc'. Did you mean --model dnc?
--task copy --seed 1 mixed | Did you mean --curriculum mixed?
task=copy | Did you mean --task=copy?
--threshold 1 | --curriculum.threshold goes with --curriculum incremental, mixed, doubling
--curriculum.threshold 1 | goes with --curriculum incremental, mixed, doubling
--curriculum.threshold 1 | The curriculum fixed has --curriculum.level
--optimizer.decay 0.5 | --optimizer.decay goes with --optimizer graves_rmsprop
--task.max-pairs 3 | --task.max-pairs goes with --task dyck, key_value_recall
--run.sequences 0 | --run.sequences must be
--run.sequences -5 | --run.sequences must be
--run.sequences 1e-3 | sequences
--run.sequences 1.5e0 | sequences
--run.sequences 1e99 | --run.sequences must be
--run.sequences 1e999999999 | sequences
--run.sequences 1e | sequences
--run.sequences true | sequences
--task.bits 2.5 | bits
--threads 1e99 | --threads must be
--seed 1e-1 | seed
--run.sequences 99999999999999999999999 | --run.sequences must be
--run.batch-size 0 | --run.batch-size must be
--run.batch-size 2.5 | batch-size
--run.batch-size 99999999999999999999999 | --run.batch-size must be
--run.log-every 0 | --run.log-every must be
--run.evaluate-every -1 | --run.evaluate-every must be
--run.evaluation-sequences 0 | --run.evaluation-sequences must be
--run.checkpoint-every 0 | --run.checkpoint-every must be
--run.pictures maybe | pictures
--run.pictures | pictures
--run.pictures 2 | pictures
--model.read-first off | read-first
--run.nothing 1 | there is no flag --run.nothing
--optimizer.learning-rate 0 | --optimizer.learning-rate must be
--optimizer.learning-rate -1 | --optimizer.learning-rate must be
--optimizer.learning-rate nan | --optimizer.learning-rate must be
--optimizer.learning-rate inf | --optimizer.learning-rate must be
--optimizer.learning-rate x | learning-rate
--optimizer.beta1 1 | --optimizer.beta1 must be
--optimizer.beta2 nan | --optimizer.beta2 must be
--optimizer.epsilon 0 | --optimizer.epsilon must be
--optimizer.clip-norm 0 | --optimizer.clip-norm must be
--optimizer.clip-value nan | --optimizer.clip-value must be
--optimizer.cooldown 1.5 | --optimizer.cooldown must be
--optimizer.cooldown nan | --optimizer.cooldown must be
--optimizer.warmup -1 | --optimizer.warmup must be
--optimizer.warmup 0.5 | warmup
--optimizer.momentum 0.5 | there is no flag --optimizer.momentum
--optimizer graves_rmsprop --optimizer.beta1 0.5 | there is no flag --optimizer.beta1
--model.memory-size 0 | memory_size must be
--model.memory-size 1.5 | memory-size
--model.memory-size 99999999999 | memory_size must be
--model.memory-size 2000000000 --model.word-size 2000000 | sizes
--model.read-heads -1 | read_heads must be
--model.hidden-size 0 | hidden_size must be
--model.hidden-size 1000000000 | sizes
--model.controller rnn | controller
--model.backend rocm | backend
--model.checkpoint-every 0 | checkpoint_every must be
--model.start.memory nan | memory must be
--model.shift-range -1 | shift_range must be
--model.similarity-epsilon -1 | similarity_epsilon must be
--model.sharpen-epsilon nan | sharpen_epsilon must be
--model.gate-bias inf | gate_bias must be
--model.heads.write ContentAndLocation --model.heads.write.gate-bias inf | gate_bias must be
--model.heads.write nothing | write must be None or one of
--model.spread 1 | spread must be 0 unless learned is True
--model.learned maybe | learned
--model.sharpening-bias nan | sharpening_bias must be
--model.sharpness-limit 1 | sharpness_limit must be
--model.add-range tanh | add-range
--model.strength exp | strength
--model.read-first 2 | read-first
--model lstm --model.memory-size 8 | there is no flag --model.memory-size
--model dnc --model.shift-range 1 | there is no flag --model.shift-range
--model dnc --model.resolution -1 | resolution must be
--model dnc --model.epsilon inf | epsilon must be
--model dnc --model.content linkage | content is an object with the methods
--model dnc --model.allocation none | allocation is an object with the methods
--model lstm --model.num-layers 0 | num_layers must be
--task.bits 0 | bits must be
--task.min-length 9 --task.max-length 3 | min_length must be
--task.max-length 99999999999 | max_length must be
--task.nothing 3 | there is no flag --task.nothing
--task dyck --task.kinds 1 | kinds must be
--task adding --task.bits 3 | there is no flag --task.bits
--curriculum fixed --curriculum.level 0 | level must be
--curriculum fixed --curriculum.level 21 | level must be
--curriculum incremental --curriculum.threshold 0 | threshold must be
--curriculum mixed --curriculum.share 2 | share must be
--curriculum prediction_gain --curriculum.reservoir 0 | reservoir must be
--curriculum uniform --curriculum.level 3 | there is no flag --curriculum.level
-x | -x
--- | ---
stray | stray
"""


@pytest.mark.parametrize("line", LINES.strip().splitlines())
def test_a_command_line(line: str, capsys: Any) -> None:
    words, _, message = line.rpartition(" | ")
    with pytest.raises(SystemExit) as exit_:
        parse([word.strip('"') for word in words.split()])
    assert exit_.value.code == 2
    text = re.sub(r"[│\s]+", " ", capsys.readouterr().err)
    assert message in text, text
    assert "Traceback" not in text


HOSTILE = (None, True, -1, 1.5, math.nan, 10**30, "x", "", [], [1], {}, {"x": 1})


def paths(values: Any, at: tuple = ()) -> list[tuple]:
    """Every place in nested dictionaries."""
    found = [at] if at else []
    if isinstance(values, dict):
        for name, value in values.items():
            found += paths(value, (*at, name))
    return found


def altered(values: Any, path: tuple, value: Any) -> Any:
    """A copy with the value at one place; without that place for ..."""
    values = copy.deepcopy(values)
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return values


CONFIG = to_json(parse(arguments("copy", "ntm", more=["--curriculum", "mixed"])))


def build(values: Any) -> None:
    """What parse does with a config.json, but for tyro, which takes its time."""
    config = from_json(values)
    found = list(problems(config))
    if found:
        raise ValueError(found[0])
    make_layer(config)
    make_curriculum(config).start(levels(make_task(config)))


def test_a_configuration_with_one_hostile_value() -> None:
    """Each value of config.json in turn becomes each hostile one: it is refused, or it is valid."""
    refused = 0
    for path in paths(CONFIG):
        for value in (..., *HOSTILE):
            bad = json.loads(json.dumps(altered(CONFIG, path, value)))
            error = outcome(lambda bad=bad: build(bad))
            assert error is None or isinstance(error, ValueError), (path, value, error)
            refused += error is not None
    assert refused > 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(paths(CONFIG)), JSON)
@settings(max_examples=20, deadline=None)
def test_a_configuration_of_anything(path: tuple, value: Any) -> None:
    values = json.loads(json.dumps(altered(CONFIG, path, value)))
    error = outcome(lambda: from_json(values))
    if error is not None:
        assert isinstance(error, ValueError)
        assert "the configuration is of another version of memnets" in str(error)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"3", b"[]", b"null", b'"x"', b"{}"])
def test_a_configuration_that_is_no_json(content: bytes, capsys: Any) -> None:
    path = Path("runs/run/config.json")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(SystemExit) as exit_:
        train.main(["--resume", "runs/run"])
    assert exit_.value.code == 2
    assert re.search(r"is damaged|of another version of memnets", capsys.readouterr().err)


def checkpoint_of(more: list[str]) -> tuple[Any, dict[str, Any]]:
    config = parse(arguments("copy", "lstm", more=more))
    training = start(config)
    loop.train_step(config, training)
    training.step = 1
    return config, snapshot(config, training)


CHECKPOINT_VALUES = (..., None, "x", [], torch.zeros(2, 3, 4))
PLAIN = {"seconds", "sequences", "wandb_id", "best", "sums", "runtime", "non_finite"}
PLAIN |= {"core_seconds", "processes", "streams", "cuda"}
"""Parts of which another value could be a real one, or that may be missing, as that of a GPU."""


def test_a_checkpoint_with_one_hostile_value() -> None:
    """Each part in turn becomes each hostile one: it is refused, unless it could be a real one."""
    config, saved = checkpoint_of(["--curriculum", "prediction_gain"])
    places = paths({name: saved[name] for name in saved if name not in ("config", "layer")})
    real = [*PLAIN, "curriculum", "param_groups", "state"]  # of a weight without gradient: no state
    refused = 0
    for path in places:
        for value in CHECKPOINT_VALUES:
            bad = altered(saved, path, value)
            error = outcome(lambda bad=bad: restore(config, bad))
            if error is None:
                assert any(name in path for name in real), (path, value)
                continue
            refused += 1
            assert isinstance(error, ValueError), (path, value, error)
            assert str(error).startswith("the checkpoint does not fit the configuration: ")
    assert refused > 200


@pytest.mark.parametrize("value", [None, 3, [], "x", torch.zeros(2)], ids=str)
def test_a_checkpoint_that_is_something_else(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save(value, path)
    assert_refused(lambda: checkpoint.load(path), "file.pt is a checkpoint of version None")

"""A checkpoint goes on only as the run that it was made by, in everything that decides a number."""

import dataclasses
import json
import re
import shutil
import typing
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

import train
from tests.hostile import outcome
from tests.training.tiny import arguments, assert_same_run
from training.command_line.parser import parse
from training.options.config import Config, flat, from_json, to_json
from training.options.models import MODELS
from training.options.parts import flags, replaced
from training.run import loop
from training.run.state import restore, snapshot, start

FREE = {"name", "folder", "resume", "wandb", "device", "run.non_finite"}


def trained(model: str, more: list[str]) -> tuple[Config, dict[str, Any]]:
    """A configuration, and a checkpoint after two steps of it."""
    config = parse(arguments("copy", model, more=more))
    training = start(config)
    for _ in range(2):
        loop.train_step(config, training)
        training.step += 1
    return config, snapshot(config, training)


def another(value: Any, hint: Any) -> Any:
    """A value of the same type that is not this one."""
    if value == "cpu":
        return "cpu:0"
    if typing.get_origin(hint) is Literal:
        return next(choice for choice in typing.get_args(hint) if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return next(new for kind, new in ((int, 3), (float, 0.5), (str, "x")) if kind in accepts(hint))


def accepts(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) or (hint,)


def variants(config: Config) -> dict[str, Config]:
    """The configuration with one field changed, by the name of its flag."""
    found = {}
    for field, hint in typing.get_type_hints(Config).items():
        value = getattr(config, field)
        if not dataclasses.is_dataclass(value):
            if field not in ("task", "model", "optimizer", "curriculum"):
                found[field] = dataclasses.replace(config, **{field: another(value, hint)})
            continue
        for path, inner, before, _ in flags(value):
            if inner is None:  # a part: its settings follow
                continue
            try:
                changed = replaced(value, {path: another(before, inner)})
            except ValueError:  # a task checks its sizes
                continue
            flag = f"{field.removesuffix('_options')}.{path}"
            found[flag] = dataclasses.replace(config, **{field: changed})
    return found


@pytest.mark.parametrize("model", MODELS)
def test_every_field_that_decides_a_number_is_compared(model: str) -> None:
    config, saved = trained(model, ["--curriculum", "mixed", "--optimizer.cooldown", "0"])
    checked = 0
    for name, changed in variants(config).items():
        error = outcome(lambda changed=changed: restore(changed, saved))
        if name in FREE or name.startswith("wandb.") or name == "run.sequences":
            assert error is None, (name, error)
            continue
        checked += 1
        old, new = (flat(to_json(one))[name] for one in (config, changed))
        said = f"{name} is {new} in config.json and {old} in the checkpoint"
        assert isinstance(error, ValueError), name
        assert said in str(error), (said, error)
    assert checked > 25


@pytest.mark.parametrize(
    ("cooldown", "sequences", "error"),
    [
        (0.0, 80, None),
        (0.0, 81, None),
        (0.0, 79, "run.sequences is 79 in config.json and 80 in the checkpoint"),
        (0.5, 81, "run.sequences is 81 in config.json and 80 in the checkpoint"),
    ],
)
def test_a_run_may_only_grow_and_only_without_a_cooldown(
    cooldown: float, sequences: int, error: str | None
) -> None:
    config, saved = trained("lstm", ["--optimizer.cooldown", str(cooldown)])
    longer = dataclasses.replace(config.run, sequences=sequences)
    found = outcome(lambda: restore(dataclasses.replace(config, run=longer), saved))
    assert (found is None) if error is None else (error in str(found))


def refused(words: list[str], capsys: Any) -> str:
    with pytest.raises(SystemExit) as exit_:
        train.main(words)
    assert exit_.value.code == 2
    return capsys.readouterr().err


def test_a_config_edited_by_hand_is_refused_until_it_is_put_back(capsys: Any) -> None:
    assert train.main(arguments("copy", "ntm", steps=4, more=["--name", "run"])) == 0
    path = Path("runs/run/config.json")
    before = path.read_bytes()
    values = json.loads(before)
    values["model_options"]["heads"]["read_first"] = True
    values["precision"] = "bf16"
    path.write_text(json.dumps(values))
    error = refused(["--resume", "runs/run"], capsys)
    assert "the checkpoint does not fit the configuration: " in error
    assert "model.heads.read_first is True in config.json and False in the checkpoint" in error
    assert "precision is bf16 in config.json and float32 in the checkpoint" in error
    assert "without a config.json, --resume makes it again from the checkpoint" in error
    assert train.main(["--evaluate", "runs/run", "--sequences", "4"]) == 2
    assert "model.heads.read_first is True in config.json" in capsys.readouterr().err
    path.unlink()
    assert train.main(["--resume", "runs/run"]) == 0
    assert path.read_bytes() == before


def test_a_checkpoint_of_a_model_that_differs_in_what_has_no_shape(capsys: Any) -> None:
    for name, value in (("run", "oneplus"), ("other", "softplus")):
        more = ["--name", name, "--model.strength", value]
        assert train.main(arguments("copy", "dnc", steps=2, more=more)) == 0
    shutil.copy("runs/other/checkpoints/last.pt", "runs/run/checkpoints/last.pt")
    error = refused(["--resume", "runs/run"], capsys)
    assert (
        "model.content.strength is oneplus in config.json and softplus in the checkpoint" in error
    )


def test_of_another_choice_only_the_choice_is_named() -> None:
    config, saved = trained("lstm", [])
    other = parse(arguments("copy", "lstm", more=["--optimizer", "graves_rmsprop"]))
    error = str(outcome(lambda: restore(other, saved)))
    assert "optimizer is graves_rmsprop in config.json and adam in the checkpoint" in error
    assert "momentum" not in error
    assert from_json(saved["config"]) == config


def test_a_run_that_was_moved_goes_on() -> None:
    for name in ("whole", "run"):
        assert train.main(arguments(steps=8, more=["--name", name])) == 0
    shutil.copy("runs/run/checkpoints/previous.pt", "runs/run/checkpoints/last.pt")
    shutil.move("runs/run", "elsewhere")
    assert train.main(["--resume", "elsewhere"]) == 0
    assert_same_run(Path("runs/whole"), Path("elsewhere"))


def test_a_run_goes_on_on_another_device_and_says_so(capsys: Any) -> None:
    words = arguments(steps=4, more=["--name", "run", "--optimizer.cooldown", "0"])
    assert train.main(words) == 0
    capsys.readouterr()
    more = ["--device", "cpu:0", "--run.sequences", "24"]
    assert train.main(["--resume", "runs/run", *more]) == 0
    said = capsys.readouterr().out
    assert "device was cpu and is cpu:0: the last bits of the numbers may differ from here" in said
    assert json.loads(Path("runs/run/config.json").read_text())["device"] == "cpu:0"


OPTIMIZERS = {"adam": ("exp_avg", "exp_avg_sq"), "graves_rmsprop": ("square", "mean", "update")}


def bad_tensors(like: torch.Tensor) -> dict[str, Any]:
    """What must not be taken for a moment of a parameter [rows, columns]."""
    return {
        "a scalar": torch.tensor(0.5),
        "one number": torch.zeros(1),
        "transposed": like.t().contiguous(),
        "flat": like.flatten(),
        "longer": torch.zeros(like.shape[0] + 1, like.shape[1]),
        "float64": like.double(),
        "bfloat16": like.bfloat16(),
        "whole numbers": like.long(),
        "complex": like.to(torch.complex64),
        "sparse": like.to_sparse(),
        "meta": like.to("meta"),
        "a list": like.tolist(),
        "a number": 0.5,
        "nothing": None,
    }


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_moment_must_be_a_tensor_like_its_parameter(optimizer: str) -> None:
    config, saved = trained("lstm", ["--optimizer", optimizer])
    states = saved["optimizer"]["state"]
    index = next(i for i, state in states.items() if state[OPTIMIZERS[optimizer][0]].dim() == 2)
    for name in OPTIMIZERS[optimizer]:
        moment = states[index][name]
        for case, bad in bad_tensors(moment).items():
            states[index][name] = bad
            error = outcome(lambda: restore(config, saved))
            assert isinstance(error, ValueError), (name, case, error)
            assert re.search(rf"its optimizer's {name} of layers\.0\.weight_ih_l0 ", str(error))
        states[index][name] = moment
    assert outcome(lambda: restore(config, saved)) is None


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_state_has_the_parts_of_its_optimizer(optimizer: str) -> None:
    config, saved = trained("lstm", ["--optimizer", optimizer])
    states = saved["optimizer"]["state"]
    good = dict(states)
    whole = dict(states[0])
    name = OPTIMIZERS[optimizer][0]
    for state in ({n: v for n, v in whole.items() if n != name}, {**whole, "max": whole[name]}, []):
        states[0] = state
        error = outcome(lambda: restore(config, saved))
        assert isinstance(error, ValueError)
        assert "its optimizer has " in str(error)
    states[0] = whole
    for index in (99, -1, "x", 0.5):
        saved["optimizer"]["state"] = {**good, index: whole}
        error = outcome(lambda: restore(config, saved))
        assert isinstance(error, ValueError)
        assert f"its optimizer has a state of {index!r}" in str(error)


@pytest.mark.parametrize("step", [-1.0, 0.5, float("nan"), float("inf")])
def test_the_count_of_adam_is_a_whole_number(step: float) -> None:
    config, saved = trained("lstm", [])
    saved["optimizer"]["state"][0]["step"] = torch.tensor(step)
    error = outcome(lambda: restore(config, saved))
    assert isinstance(error, ValueError)
    assert f"its optimizer's step of initial is {step}, not a whole number" in str(error)


def test_moments_that_share_their_numbers_are_taken_apart() -> None:
    config, saved = trained("lstm", [])
    state = saved["optimizer"]["state"][0]
    shape = state["exp_avg"].shape
    state["exp_avg"] = state["exp_avg_sq"] = torch.full((1,) * len(shape), 0.5).expand(shape)
    training = restore(config, saved)
    loop.train_step(config, training)
    parameter = training.optimizer.param_groups[0]["params"][0]
    moments = [training.optimizer.state[parameter][name] for name in ("exp_avg", "exp_avg_sq")]
    assert all(moment.is_contiguous() and moment.shape == shape for moment in moments)
    assert not torch.equal(*moments)


def test_settings_of_the_optimizer_come_from_the_configuration() -> None:
    config, saved = trained("lstm", [])
    group = saved["optimizer"]["param_groups"][0]
    group |= {"weight_decay": 1.0, "betas": (0.1, 0.1), "amsgrad": True, "fused": False}
    wanted = start(config).optimizer.param_groups[0]
    found = restore(config, saved).optimizer.param_groups[0]
    for name in ("weight_decay", "betas", "amsgrad", "fused"):
        assert found[name] == wanted[name], name


@pytest.mark.parametrize("dtype", [torch.float64, torch.long, torch.bool, torch.complex64])
def test_weights_must_have_the_dtype_of_the_layer(dtype: torch.dtype) -> None:
    config, saved = trained("lstm", [])
    saved["weights"]["readout.weight"] = saved["weights"]["readout.weight"].to(dtype)
    error = outcome(lambda: restore(config, saved))
    assert isinstance(error, ValueError)
    assert "its weight readout.weight is a tensor of shape " in str(error)


def test_a_finished_run_says_that_it_is_finished(capsys: Any) -> None:
    words = arguments(steps=3, more=["--name", "run", "--optimizer.cooldown", "0"])
    assert train.main(words) == 0
    assert "finished" not in capsys.readouterr().out
    assert train.main(["--resume", "runs/run"]) == 0
    said = capsys.readouterr().out
    assert "finished: 12 of 12 sequences, only evaluated again; to train it longer: python" in said
    assert "--resume runs/run --run.sequences 24" in said
    assert train.main(["--resume", "runs/run", "--run.sequences", "24"]) == 0
    assert "finished" not in capsys.readouterr().out


def test_a_finished_run_whose_rate_fell_to_0_says_that_it_cannot_be_longer(capsys: Any) -> None:
    words = arguments(steps=3, more=["--name", "run", "--optimizer.cooldown", "0.5"])
    assert train.main(words) == 0
    capsys.readouterr()
    assert train.main(["--resume", "runs/run"]) == 0
    said = capsys.readouterr().out
    assert "finished: 12 of 12 sequences, only evaluated again; it cannot be made longer" in said
    assert "(--optimizer.cooldown 0.5): for more sequences, start a new run" in said
    assert "exact" in said, "it is evaluated"


@pytest.mark.parametrize(("task", "said"), [("reverse", True), ("copy", False)])
def test_a_run_says_that_its_settings_are_a_guess(task: str, said: bool, capsys: Any) -> None:
    assert train.main(arguments(task, steps=1)) == 0
    guess = f"the defaults of {task} with lstm are a first guess: nobody has seen yet if they train"
    assert (guess in capsys.readouterr().out) == said

"""The command line: what it makes of flags, what its help says, and its errors."""

import dataclasses
import inspect
import itertools
import json
import random
import re

import pytest

from memnets import Backend, Content, Heads, LeastRecentlyUsed
from memnets.parts.controllers import CELLS
from memnets.parts.wiring import WiredStack
from tasks import TASKS
from tasks.curriculum import CURRICULA, Incremental
from training.command_line.parser import parse
from training.command_line.spelling import fields
from training.files.provenance import ROOT
from training.options.config import (
    OPTIMIZERS,
    Config,
    from_json,
    make_layer,
    make_optimizer,
    to_json,
)
from training.options.models import MODELS
from training.options.optimizers import GravesRMSProp
from training.options.recipes import GUESSES, RECIPES, SEEN, is_guess, recipe

PAIRS = [(task, model) for task in TASKS for model in MODELS]
# A help shows the options of a task beside those of a model: each task, each model, each recipe.
SHOWN = sorted({*zip(TASKS, itertools.cycle(MODELS), strict=False), *RECIPES})
NOT_FLAGS = {"input_size", "output_size", "more", "batch_first", "device", "dtype"}
BY_NAME = {"controller": WiredStack(), "backend": Backend()}


def test_flags_change_the_recipe():
    words = "--task associative_recall --model dnc --model.memory-size 64 --task.max-items=4"
    more = "--seed 3 --optimizer.clip-norm None --run.batch-size 2"
    config = parse([*words.split(), *more.split()])
    assert config.task_options == TASKS["associative_recall"](max_items=4)
    assert config.model_options.memory_size == 64
    assert config.optimizer_options.clip_norm is None
    assert (config.seed, config.run.batch_size) == (3, 2)
    assert config.run.sequences == recipe("associative_recall", "dnc").run.sequences
    layer = make_layer(config)
    assert layer.config["arguments"]["memory_size"] == 64


def test_no_flags_is_copy_with_the_ntm():
    assert parse([]) == recipe("copy", "ntm")


@pytest.mark.parametrize("form", ["{}={}", "{} {}"])
@pytest.mark.parametrize("hyphen", [True, False])
def test_a_sweeps_arguments(form, hyphen):
    # what the agent writes for ${args} and for ${args_no_equals}
    parameters = {
        "--task": "copy",
        "--model": "ntm",
        "--model.memory_size": 64,
        "--model.read_first": True,
        "--model.learned": False,
        "--optimizer": "graves_rmsprop",
        "--optimizer.learning_rate": 2.5e-05,
        "--task.max_length": 5,
    }
    words = []
    for name, value in parameters.items():
        name = name.replace("_", "-") if hyphen else name
        words += form.format(name, value).split()
    config = parse(words)
    assert config.model_options.memory_size == 64
    assert config.model_options.heads.read_first is True
    assert config.model_options.start.learned is False
    assert config.optimizer_options.learning_rate == 2.5e-05
    assert config.task_options.max_length == 5
    assert isinstance(make_optimizer(config, make_layer(config)), GravesRMSProp)


SPELLINGS = [
    ("--run.sequences 1e5", "--run.sequences 100000"),
    ("--run.sequences=1.2E+3", "--run.sequences 1200"),
    ("--model.memory_size 64.0", "--model.memory-size 64"),
    ("--model.checkpoint-every 1e1", "--model.checkpoint-every 10"),
    ("--model.checkpoint-every none", "--model.checkpoint-every None"),
    ("--run.pictures false", "--run.pictures False"),
    ("--run.pictures=FALSE", "--run.pictures False"),
    ("--model.read-first true", "--model.read-first True"),
    ("--optimizer.clip-norm NONE", "--optimizer.clip-norm None"),
    ("--optimizer.learning-rate 1", "--optimizer.learning-rate 1.0"),
    ("--wandb off", "--wandb disabled"),
    ("--wandb False", "--wandb disabled"),
    ("--wandb=off", "--wandb disabled"),
    ("--no-wandb", "--wandb disabled"),
    ("--no-wandb --task adding", "--task adding --wandb disabled"),
    ("--no_wandb", "--wandb disabled"),
    ("--compile false", ""),
    ("--compile --seed 3", "--model.backend compiled --seed 3"),
]


@pytest.mark.parametrize(("written", "meant"), SPELLINGS)
def test_other_spellings_of_the_same(written, meant):
    assert to_json(parse(written.split())) == to_json(parse(meant.split()))


def test_words_stay_as_they_are_written():
    config = parse(["--name", "none", "--wandb.notes", "false", "--wandb.tags=1e5"])
    assert (config.name, config.wandb_options.notes) == ("none", "false")
    assert config.wandb_options.tags == "1e5"
    assert parse(["--optimizer.learning-rate", "1e-5"]).optimizer_options.learning_rate == 1e-5


def test_every_model_is_among_those_whose_help_is_read():
    assert {model for _, model in SHOWN} == set(MODELS)


@pytest.mark.parametrize("key", SHOWN)
@pytest.mark.parametrize("help_", ["--help", "--help-all"])
def test_the_help_promises_nothing_of_settings_that_nobody_has_tried(key, help_, capsys):
    task, model = key
    with pytest.raises(SystemExit):
        parse(["--task", task, "--model", model, help_])
    text = re.sub(r"[│\s]+", " ", capsys.readouterr().out)
    guess = f"The defaults of {task} with {model} are a first guess: nobody has seen yet if they "
    known = f"What the defaults come to: {SEEN.get(key, 'docs/results.md')}."
    assert (guess in text) == is_guess(task, model)
    assert (known in text) != is_guess(task, model)
    assert "settings that train" not in text
    assert "that train them" not in text


def test_what_is_a_guess(monkeypatch):
    papers = ("copy", "repeat_copy", "associative_recall", "dynamic_ngram", "priority_sort")
    assert {(task, model) for task, model in PAIRS if not is_guess(task, model)} == {
        *((task, model) for task in papers for model in ("ntm", "dnc", "lstm")),
        *((task, "ntm") for task in ("reverse", "duplicate_string", "interference_copy")),
        *((task, "sam") for task in ("copy", "associative_recall")),
        *((task, "sam") for task in ("pair_recall", "key_value_recall")),
    }
    monkeypatch.delitem(RECIPES, ("copy", "ntm"))
    assert is_guess("copy", "ntm")
    monkeypatch.setitem(RECIPES, ("reverse", "dnc"), {"run.sequences": 5})
    assert not is_guess("reverse", "dnc")


def test_the_page_of_results_says_how_many_are_guesses():
    guesses = sum(is_guess(*pair) for pair in PAIRS)
    words = f"{guesses} of the {len(PAIRS)} pairs of a task and a model"
    assert words in (ROOT / "docs/results.md").read_text()


@pytest.mark.parametrize("key", RECIPES)
def test_the_page_that_has_the_figures_of_a_recipe_names_the_task(key):
    task, model = key
    page = (ROOT / SEEN.get(key, "docs/results.md")).read_text()
    assert f"--task {task} --model {model} " in page


@pytest.mark.parametrize("model", MODELS)
def test_a_task_without_an_entry_has_the_first_guess_of_the_model(model, monkeypatch):
    guess = recipe("odds_first", model)
    assert (guess.task, guess.model) == ("odds_first", model)
    assert guess.task_options == TASKS["odds_first"]()
    assert guess.optimizer_options.clip_norm == GUESSES[model]["optimizer.clip_norm"]
    assert guess.run.batch_size == GUESSES[model]["run.batch_size"]
    assert guess.run.sequences == GUESSES[model]["run.sequences"] != Config().run.sequences
    monkeypatch.delitem(GUESSES, model)
    assert recipe("odds_first", model) == guess, "one of another package is not among them"


def test_another_optimizer_has_its_own_defaults():
    assert recipe("copy", "ntm").optimizer_options.learning_rate == 3e-3
    config = parse(["--optimizer", "graves_rmsprop"])
    assert config.optimizer_options == OPTIMIZERS["graves_rmsprop"]()
    assert config.optimizer_options.learning_rate == 1e-4


def test_no_curriculum_is_the_task_as_it_is():
    assert parse([]).curriculum == "fixed"
    assert parse([]).curriculum_options.level is None
    config = parse(["--curriculum", "incremental", "--curriculum.window", "3"])
    assert config.curriculum_options == Incremental(window=3)


def test_a_configuration_from_before_there_were_curricula():
    values = to_json(recipe("copy", "ntm"))
    del values["curriculum"], values["curriculum_options"]
    assert from_json(values) == recipe("copy", "ntm")


def test_a_configuration_from_before_there_was_an_option():
    values = to_json(recipe("associative_recall", "ntm"))
    del values["model_options"]["heads"]["read"]["sharpness_limit"]
    del values["model_options"]["start"]["spread"]
    del values["optimizer_options"]["warmup"]
    assert from_json(values) == recipe("associative_recall", "ntm")


@pytest.mark.parametrize("model", MODELS)
def test_every_argument_of_the_model_is_a_flag_with_its_default(model):
    parameters = inspect.signature(MODELS[model].constructor).parameters
    options = {f.name: f.default for f in dataclasses.fields(recipe("copy", model).model_options)}
    wanted = {
        name: parameter.default for name, parameter in parameters.items() if name not in NOT_FLAGS
    }
    if MODELS[model].memory:  # these can be parts, of which one has the hidden size
        del wanted["hidden_size"]
        wanted |= BY_NAME
    assert options == wanted


@pytest.mark.parametrize(("task", "model"), SHOWN)
def test_the_short_help_has_every_flag_on_a_line(task, model, capsys):
    with pytest.raises(SystemExit) as exit_:
        parse(["--task", task, "--model", model, "--help"])
    assert exit_.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 100
    assert max(map(len, lines)) <= 100
    assert "examples:" in lines
    for flag in fields(recipe(task, model)):
        if flag.startswith("--wandb."):  # a page has their texts
            assert f" {flag}" in "\n".join(lines)
            continue
        found = [line.split() for line in lines if f"{line.strip()} ".startswith(f"{flag} ")]
        assert len(found) == 1, flag
        assert len(found[0]) >= 3, f"{flag} has no default or no text"
    for name in (*TASKS, *MODELS, *OPTIMIZERS, *CURRICULA):
        assert name in "\n".join(lines)


@pytest.mark.parametrize(("task", "model"), SHOWN)
def test_help_mentions_every_field_with_a_text(task, model, capsys):
    optimizer = random.Random(task + model).choice(list(OPTIMIZERS))
    curriculum = random.Random(model + task).choice(list(CURRICULA))
    words = ["--task", task, "--model", model, "--optimizer", optimizer, "--curriculum", curriculum]
    with pytest.raises(SystemExit) as exit_:
        parse([*words, "--help-all"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for flag in fields(recipe(task, model, optimizer, curriculum)):
        if re.search(rf"{flag} is \w+, and takes \w+", re.sub(r"\s+", " ", text)):
            continue  # the name of a part
        found = re.search(rf"{flag} (\S.*?)\(default", text, re.DOTALL)
        assert found, flag
        described = re.sub(r"[│\s]+", " ", found[1]).split(" ", 1)
        assert len(described[1].split()) >= 2, f"{flag} has no help text"
    for name in (*TASKS, *MODELS, *OPTIMIZERS, *CURRICULA):
        assert name in text
    other = "--no-such-flag" if MODELS[model].memory else "--model.word-size"
    assert other not in text


def test_a_part_is_chosen_by_its_name():
    """Santoro's MANN, from the command line: read by content, write where it was least used."""
    words = "--model.heads.read content --model.heads.write least-recently-used --model.decay 0.9"
    config = parse(words.split())
    assert config.model_options.heads == Heads(read=Content(), write=LeastRecentlyUsed(decay=0.9))
    layer = make_layer(config)
    assert [type(head.addressing) for head in layer.heads] == [Content, LeastRecentlyUsed]
    assert from_json(json.loads(json.dumps(to_json(config)))) == config
    content_only = make_layer(parse(["--model", "dnc", "--model.linkage", "none"]))
    assert content_only.linkage is None


def test_a_part_that_is_chosen_again_keeps_its_settings():
    """Those of a recipe: as without the flag, which says what is there already."""
    plain = ["--task", "priority_sort", "--model", "ntm"]
    recipe = parse(plain).model_options
    assert recipe.heads.write.gate_bias == -3.0
    for flag in ("heads.write ContentAndLocation", "heads.read contentandlocation"):
        assert parse([*plain, *f"--model.{flag}".split()]).model_options == recipe
    assert parse([*plain, "--model.writing", "erase-add"]).model_options == recipe
    other = parse([*plain, "--model.heads.write", "Content"]).model_options
    assert other.heads.write == Content()


def test_a_short_flag_is_taken_where_it_is_the_only_one():
    short = parse(["--model.gate-bias", "1", "--model.num-layers", "2"])
    options = short.model_options
    assert (options.heads.read.gate_bias, options.controller.num_layers) == (1.0, 2)
    with pytest.raises(SystemExit):  # of the read heads or of the write heads
        parse(["--model.heads.write", "ContentAndLocation", "--model.gate-bias", "1"])


ERRORS = [
    ("--model.memory 64", "there is no flag --model.memory. Did you mean --model.start.memory"),
    ("--model.heads.write foo", "write must be None or one of Content, "),
    ("--model.heads.read ReadHead", "read cannot be a ReadHead by name alone"),
    ("--model.heads.read linkage", "An addressing is an object with table(count, word_size)"),
    ("--task foo", "there is no task 'foo': choose one of adding, associative_recall"),
    ("--model foo", "there is no model 'foo': choose one of ntm, dnc, "),
    ("--optimizer sgd", "there is no optimizer 'sgd': choose one of adam, graves_rmsprop"),
    ("--curriculum foo", "there is no curriculum 'foo': choose one of fixed, uniform, incremental"),
    ("--curriculum mixed --curriculum.step-size 1", "The curriculum mixed has --curriculum.thresh"),
    ("--curriculum.level 21", "level must be from 1 to the 20 levels of the task, got level=21"),
    ("--curriculum mixed --curriculum.share 2", "share must be from 0 to 1, got share=2.0"),
    ("--sede 1", "there is no flag --sede. Did you mean --seed"),
    ("--model.memorysize 1", "Did you mean --model.memory-size"),
    ("--model dnc --model.shift-range 1", "The model dnc has --model.memory-size"),
    ("--task.length 1", "The task copy has --task.bits, --task.min-length, --task.max-length"),
    ("--optimizer.decay 1", "The optimizer adam has --optimizer.learning-rate"),
    ("--run.steps 1", "The run options are --run.sequences"),
    ("--seed", "Missing value for argument '--seed'"),
    ("--task", "--task needs a value"),
    ("--model=", "--model needs a value"),
    ("--task --seed 1", "--task needs a value"),
    ("--resume --seed 1", "--resume needs a value"),
    ("--seed one", "invalid literal for int() with base 10: 'one'"),
    ("--task.bits x", "Error parsing --task.bits"),
    ("--task.bits 0", "bits must be a whole number of at least 1"),
    ("--task.min-length 30", "min_length must be at most max_length"),
    ("--model.memory-size 0", "memory_size must be"),
    (
        "--model.controller foo",
        f"controller must be one of {', '.join(CELLS)}",
    ),
    ("--model.read-first maybe", "--model.heads.read-first"),
    ("--optimizer.cooldown 1.5", "--optimizer.cooldown must be from 0 to 1, got 1.5"),
    ("--run.batch-size 0", "--run.batch-size must be at least 1, got 0"),
    ("--run.sequences -5", "--run.sequences must be at least 1, got -5"),
    ("--run.log-every 0", "--run.log-every must be at least 1, got 0"),
    ("--run.evaluate-every -1", "--run.evaluate-every must be 0 (never) or more, got -1"),
    ("--threads 0", "--threads must be at least 1, got 0"),
    ("--seed -1", "--seed must be between 0 and"),
    ("--optimizer.learning-rate 0", "--optimizer.learning-rate must be positive and finite"),
    ("--optimizer.clip-norm nan", "--optimizer.clip-norm must be positive and finite, got nan"),
    ("--optimizer.beta1 2", "--optimizer.beta1 must be at least 0 and below 1, got 2.0"),
    ("--optimizer.beta2 1", "--optimizer.beta2 must be at least 0 and below 1, got 1.0"),
    (
        "--optimizer graves_rmsprop --optimizer.momentum nan",
        "--optimizer.momentum must be at least 0 and below 1, got nan",
    ),
    (
        "--optimizer graves_rmsprop --optimizer.decay -0.1",
        "--optimizer.decay must be at least 0 and below 1, got -0.1",
    ),
    ("--device abacus", "--device abacus cannot be used"),
    ("--name a/b", "--name must be the plain name of a folder, got 'a/b'"),
    ("--name ..", "--name must be the plain name of a folder, got '..'"),
    ("--wandb perhaps", "('auto', 'online', 'offline', 'disabled')"),
    ("--resume nowhere", "nowhere is no run folder: it has no config.json"),
    ("stray", "stray"),
]


@pytest.mark.parametrize(("words", "message"), ERRORS)
def test_errors_name_what_is_valid(words, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        parse(words.split())
    assert exit_.value.code == 2
    text = re.sub(r"[│\s]+", " ", capsys.readouterr().err)
    assert message in text
    assert "Traceback" not in text
    assert "--help" in text


@pytest.mark.parametrize("key", PAIRS)
def test_configurations_survive_json(key):
    for optimizer in OPTIMIZERS:
        config = recipe(*key, optimizer)
        assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_json_of_another_version():
    values = to_json(recipe("copy", "ntm"))
    values["model_options"]["no_more"] = 1
    with pytest.raises(ValueError, match=r"of another version of memnets: .*no_more"):
        from_json(values)


@pytest.mark.parametrize("values", [3, [1], None, {"task": "copy"}])
def test_json_of_something_else(values):
    with pytest.raises(ValueError, match="of another version of memnets"):
        from_json(values)


def test_a_file_of_a_run_is_no_run_folder(tmp_path, capsys):
    for name in ("runs/a/config.json", "runs/a/checkpoints/last.pt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        with pytest.raises(SystemExit) as exit_:
            parse(["--resume", str(path)])
        assert exit_.value.code == 2
        error = capsys.readouterr().err
        assert f"{path} is no run folder: it has no config.json" in error


def test_recipes_are_of_existing_tasks_and_models():
    assert set(RECIPES) <= set(PAIRS)
    assert set(GUESSES) <= set(MODELS)

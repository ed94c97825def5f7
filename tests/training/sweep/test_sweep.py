"""Sweeps: the files, what W&B's agent makes of them, and the runs that need no server."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from training.command_line import parser
from training.files.lock import locked
from training.sweep import __main__ as sweep
from training.sweep.definition import read_sweep
from training.sweep.search import JOURNAL, Search

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))


def write(folder, **changes):
    content = {"method": "random", "parameters": {"seed": {"values": [0, 1]}}} | changes
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_there_are_sweeps():
    assert {path.stem for path in FILES} >= {"copy", "seeds", "memory_size"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_agents_command_is_one_that_we_read(path, tmp_path):
    read = read_sweep(path)
    values = Search(read, tmp_path, seed=0).settings(0)
    # as W&B's agent does, with what its server sends
    words = create_sweep_command(list(read["command"]))
    filled = create_sweep_command_args({"args": {k: {"value": v} for k, v in values.items()}})
    assert "${args}" in words
    config = parser.parse(filled["args"])
    for name, value in values.items():
        group, _, field = name.partition(".")
        holder = config.run if group == "run" else getattr(config, f"{group}_options", None)
        holder = holder if field else config
        assert getattr(holder, field or group) == value
    ours = sweep.command(read, values)
    assert ours[1:] == ["train.py", *filled["args"]]
    section, _, metric = read["metric"]["name"].partition("/")
    assert (section, metric) == ("best", config.task_options.cost.name)


def search(parameters, folder, seed=0, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    return Search({"method": "random", "parameters": parameters} | changes, folder, seed)


def drawn(one, count):
    return [one.settings(number) for number in range(count)]


def test_a_grid_has_all(tmp_path):
    one = Search(read_sweep(FILES[0].with_name("memory_size.yaml")), tmp_path, seed=0)
    assert one.size == 12
    assert len({json.dumps(values) for values in drawn(one, 12)}) == 12
    assert search({"a": {"value": 1}}, tmp_path / "one", method="grid").settings(0) == {"a": 1}


def test_a_learning_rate_is_drawn_on_a_logarithmic_scale(tmp_path):
    one = Search(read_sweep(FILES[0].with_name("copy.yaml")), tmp_path, seed=0)
    rates = [values["optimizer.learning_rate"] for values in drawn(one, 50)]
    assert 0.0005 <= min(rates) < 0.001  # a fifth of them, on a logarithmic scale
    assert 0.005 < max(rates) <= 0.01


SPACE = {"rate": {"min": 0.0, "max": 1.0}, "size": {"values": [8, 16, 32]}}


def finished(one, numbers):
    """The settings of these runs, each finished with a cost of its own before the next."""
    for number in numbers:
        values = one.settings(number)
        one.finish(number, (values["rate"] - 0.25) ** 2 + values["size"] / 100)
        yield values


@pytest.mark.parametrize("method", ["grid", "random", "bayes"])
def test_the_same_seed_proposes_the_same_settings_also_after_a_stop(tmp_path, method):
    space = {"rate": {"values": [0.1, 0.2, 0.3, 0.4, 0.5]}, "size": SPACE["size"]}
    space = space if method == "grid" else SPACE
    changes = {"method": method, "metric": {"name": "best/bits_per_sequence"}}
    whole = list(finished(search(space, tmp_path / "whole", 3, **changes), range(15)))
    # 11 is proposed before the stop and made after it; TPE takes over from chance after 10.
    first = search(space, tmp_path / "parts", 3, **changes)
    parts = list(finished(first, range(11)))
    assert first.settings(11) == whole[11]
    again = search(space, tmp_path / "parts", 3, **changes)
    assert parts + list(finished(again, range(11, 15))) == whole
    other = list(finished(search(space, tmp_path / "other", 4, **changes), range(15)))
    assert other != whole
    assert len({json.dumps(values) for values in whole}) == 15


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_bayes_goes_where_the_metric_is_better(tmp_path, goal):
    metric = {"name": "best/bits_per_sequence", "goal": goal}
    one = search({"rate": SPACE["rate"]}, tmp_path, method="bayes", metric=metric)
    rates = []
    for number in range(40):
        rates.append(one.settings(number)["rate"])
        # a run without a value, as one that was never validated, teaches nothing
        one.finish(number, None if number == 3 else rates[-1])
    mean = sum(rates[10:]) / 30  # of chance: 0.5, with a deviation of 0.05
    assert mean < 0.3 if goal == "minimize" else mean > 0.7


def test_a_journal_cut_off_in_a_line_goes_on(tmp_path):
    before = drawn(search(SPACE, tmp_path), 5)
    journal = tmp_path / JOURNAL
    *lines, last = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines) + last[: len(last) // 2])
    assert drawn(search(SPACE, tmp_path), 7)[:5] == before
    assert len(drawn(search(SPACE, tmp_path), 7)) == 7  # what was appended can be read
    journal.write_bytes(lines[0] + b"damage\n" + b"".join(lines[1:]))
    with pytest.raises(ValueError, match=r"sweep\.journal is damaged .*: give another --folder"):
        search(SPACE, tmp_path)


def test_optuna_reads_what_a_sweep_has_tried_and_nothing_asks_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
    list(finished(search(SPACE, tmp_path), range(3)))
    storage = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL)))
    study = optuna.load_study(study_name="sweep", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert study.best_trial.params == study.best_trial.user_attrs["settings"]


@pytest.mark.parametrize(
    ("parameter", "valid"),
    [
        ({"min": 1, "max": 3}, lambda x: x in (1, 2, 3)),
        ({"min": 0.5, "max": 1.5}, lambda x: 0.5 <= x <= 1.5),
        (
            {"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25},
            lambda x: x * 4 == int(x * 4),
        ),
        ({"distribution": "log_uniform_values", "min": 0.1, "max": 10}, lambda x: 0.1 <= x <= 10),
        (
            {"distribution": "q_log_uniform_values", "min": 1, "max": 64, "q": 8},
            lambda x: x % 8 == 0,
        ),
        ({"distribution": "normal", "mu": 5, "sigma": 0.1}, lambda x: 4 < x < 6),
        ({"values": ["a", "b"], "probabilities": [0, 1]}, lambda x: x == "b"),
        ({"value": None}, lambda x: x is None),
    ],
)
def test_distributions(parameter, valid, tmp_path):
    found = [values["a"] for values in drawn(search({"a": parameter}, tmp_path), 50)]
    assert all(map(valid, found))
    assert "value" in parameter or "values" in parameter or len(set(found)) > 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "genetic"}, r"method must be one of grid, random, bayes, got 'genetic'"),
        ({"method": "bayes"}, r"bayes needs a metric to improve, as sweeps/copy\.yaml has"),
        ({"metric": "best/wrong_bits"}, r"metric must have a name, .* got 'best/wrong_bits'"),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 3}},
            r"early_terminate \(\{.*'hyperband'\}\) works on W&B's server alone: leave it out",
        ),
        ({"run_cap": 0}, r"--runs must be 1 or more, got 0"),
        ({"parameters": {"a": {"value": [1, 2]}}}, r"a: a value must be a number, a word, .*got"),
        ({"parameters": {"a": {"values": [1, True]}}}, r"a: values must differ .* got \[1, True\]"),
        (
            {"parameters": {"a": {"distribution": "int_uniform", "min": 0.5, "max": 2}}},
            r"a: min and max of int_uniform must be whole numbers, got 0\.5 and 2",
        ),
        ({"parameters": None}, r"must have parameters, as sweeps/copy\.yaml has"),
        ({"parameters": {"a": 3}}, r"a must have value, values or a distribution, got 3"),
        ({"parameters": {"model": {"parameters": {}}}}, r"must be a plain name .* got nested"),
        ({"parameters": {"a": {"values": []}}}, r"values must be a list that is not empty"),
        (
            {"parameters": {"a": {"values": [1, 2], "probabilities": [1]}}},
            r"a: 2 values have 1 probabilities",
        ),
        ({"parameters": {"a": {"distribution": "beta"}}}, r"must be one of uniform, .* got beta"),
        ({"parameters": {"a": {"min": "1e-3", "max": 1}}}, r"min must be a number, got '1e-3'"),
        ({"parameters": {"a": {"min": 2, "max": 1}}}, r"min 2 must be below max 1"),
        (
            {"parameters": {"a": {"distribution": "log_uniform_values", "min": 0, "max": 1}}},
            r"min must be above 0 for log_uniform_values, got 0",
        ),
        ({"method": "grid", "parameters": {"a": {"min": 1, "max": 2}}}, r"a: a grid needs values"),
        ({"command": ["${program}", "${json}"]}, r"command has \$\{json\}: here only"),
        ({}, r"a random sweep has no end: say how many, as --runs 8"),
        (
            {"method": "bayes", "metric": {"name": "best/wrong_bits"}},
            r"a bayes sweep has no end: say how many, as --runs 8",
        ),
    ],
)
def test_errors_of_a_sweep(tmp_path, changes, message):
    with pytest.raises(SystemExit, match=message):
        sweep.main([str(write(tmp_path, **changes))])


def test_a_negative_seed(tmp_path):
    with pytest.raises(SystemExit, match="--seed must be 0 or more, got -1"):
        sweep.main([str(write(tmp_path)), "--runs", "1", "--seed", "-1"])


def test_without_optuna_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "training.sweep.search", None)
    with pytest.raises(SystemExit, match=r"needs Optuna .*: pip install -e '\.\[sweep\]'"):
        sweep.main([str(write(tmp_path)), "--runs", "1", "--folder", str(tmp_path / "made")])


def test_files_that_are_no_sweep(tmp_path):
    with pytest.raises(SystemExit, match="No such file"):
        sweep.main([str(tmp_path / "none.yaml")])
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(SystemExit, match="is no YAML"):
        sweep.main([str(tmp_path / "bad.yaml")])


PROGRAM = """
import json, pathlib, sys
flags = dict(word.removeprefix("--").split("=") for word in sys.argv[1:] if "=" in word)
folder = pathlib.Path(flags["folder"]) / flags["name"]
if flags["optimizer.learning_rate"] == "0.5":
    sys.exit(1)
folder.mkdir(parents=True)
(folder / "config.json").write_text(json.dumps({"seed": 0}))
rows = [{"step": i, "validation/bits_per_sequence": float(flags["optimizer.learning_rate"]) + i}
        for i in (3, 1, 2)]
(folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
(folder / "evaluation.json").write_text(json.dumps({"settings": {}}))
(folder / "words.json").write_text(json.dumps(sys.argv[1:]))
"""


def write_rates(folder, **changes):
    (folder / "program.py").write_text(PROGRAM)
    content = {
        "method": "grid",
        "name": "rates",
        "program": str(folder / "program.py"),
        "metric": {"name": "best/bits_per_sequence", "goal": "minimize"},
        "parameters": {
            "task": {"value": "copy"},
            "optimizer.learning_rate": {"values": [0.5, 0.25, 0.125]},
        },
    }
    return write(folder, **content | changes)


def test_a_sweep_runs_sorts_and_goes_on(tmp_path, capfd):
    path = write_rates(tmp_path)
    made = tmp_path / "made"
    words = [str(path), "--folder", str(made), "--", "--run.sequences", "8"]
    sweep.main([*words[:1], "--runs", "1", *words[1:]])
    assert [folder.name for folder in made.iterdir() if folder.is_dir()] == ["000"]
    sweep.main(words)
    printed = capfd.readouterr().out
    assert printed.count("made/000 is finished") == 1
    assert printed.count("failed with status 1: going on") == 1
    rows = [line.split()[-2:] for line in printed.splitlines() if "/made/00" in line][-3:]
    assert rows == [["1.125", "0.125"], ["1.25", "0.25"], ["-", "0.5"]]
    given = json.loads((made / "000/words.json").read_text())
    assert given[-2:] == ["--run.sequences", "8"]
    assert "--task=copy" in given
    # the one that failed is tried again
    (tmp_path / "program.py").write_text(PROGRAM.replace('== "0.5"', "is None"))
    sweep.main(words)
    printed = capfd.readouterr().out
    assert printed.count(" is finished") == 2
    assert "failed" not in printed


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        (
            {"parameters": {"optimizer.learning_rate": {"values": [0.5, 0.25, 0.0625]}}},
            [],
            r"runs of optimizer\.learning_rate \{'values': \[0\.5, 0\.25, 0\.125\]\}, task "
            r"\{'value': 'copy'\}, and the sweep says .* 0\.0625\]\}, task as it is now: give",
        ),
        ({}, ["--seed", "1"], r"made has runs of --seed 0, and the sweep says --seed 1 now: give"),
        ({"method": "random"}, ["--runs", "1"], r"runs of method grid, and .* method random now"),
    ],
)
def test_a_folder_of_another_sweep_is_refused(tmp_path, changes, more, message):
    words = ["--folder", str(tmp_path / "made")]
    sweep.main([str(write_rates(tmp_path)), *words, "--runs", "1"])
    before = (tmp_path / "made" / JOURNAL).read_bytes()
    with pytest.raises(SystemExit, match=message):
        sweep.main([str(write_rates(tmp_path, **changes)), *words, *more])
    assert (tmp_path / "made" / JOURNAL).read_bytes() == before


def test_a_folder_of_other_runs_and_one_in_use_are_refused(tmp_path):
    path, made = write_rates(tmp_path), tmp_path / "made"
    words = [str(path), "--folder", str(made)]
    (made / "000").mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"made holds runs of something else: give another --fol"):
        sweep.main(words)
    (made / "000").rmdir()
    with (
        locked(made, "running a sweep"),
        pytest.raises(SystemExit, match=r"another process is running a sweep in .*made: wait"),
    ):
        sweep.main(words)


def test_a_killed_sweep_goes_on_with_the_same_settings(tmp_path, capfd):
    path = write_rates(tmp_path)
    words = [str(path), "--folder", str(tmp_path / "made")]
    sweep.main([*words, "--runs", "1"])
    (tmp_path / "program.py").write_text("import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    killed = subprocess.run(
        [sys.executable, "-m", "training.sweep", *words], cwd=ROOT, check=False, timeout=120
    )
    assert killed.returncode == -9
    (tmp_path / "program.py").write_text(PROGRAM)
    capfd.readouterr()
    sweep.main(words)
    printed = capfd.readouterr().out
    assert "made/000 is finished" in printed
    rows = {line.split()[-1] for line in printed.splitlines() if "/made/00" in line}
    assert {"0.25", "0.125", "0.5"} <= rows


@pytest.mark.parametrize("validated", [True, False])
def test_the_table_has_the_final_figures_where_no_run_was_validated(tmp_path, validated):
    runs = []
    for number, wrong in enumerate((2.5, 0.5)):
        folder = tmp_path / f"{number:03}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"task": "copy", "seed": number}))
        row = {"step": 9, "validation/bits_per_sequence": 7.0 + number}
        if validated:
            (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        settings = {"training": {"bits_per_sequence": wrong}}
        (folder / "evaluation.json").write_text(json.dumps({"settings": settings}))
        runs.append((folder, {"seed": number}))
    runs.append((tmp_path / "002", {"seed": 2}))  # which failed
    lines = sweep.table({"parameters": {"seed": {"values": [0, 1, 2]}}}, runs).splitlines()
    name, values = ("best", ["7", "8", "-"]) if validated else ("final", ["0.5", "2.5", "-"])
    assert lines[0].split()[1] == f"{name}/bits_per_sequence"
    assert [line.split()[1] for line in lines[1:4]] == values
    told = ["no run was validated, so there is no best/bits_per_sequence: see --run.evaluate-every"]
    assert lines[4:] == ([] if validated else told)


SIGNALS = """
import os, pathlib, signal, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getppid(), signal.{name})
{wait}
pathlib.Path("saved").touch()
sys.exit(128 + signal.{name})
"""


@pytest.mark.parametrize(
    ("name", "wait"),
    # Ctrl-C reaches both; a run may need longer than `subprocess.run` leaves it.
    [("SIGINT", "time.sleep(0.5)"), ("SIGTERM", "signal.sigwait([signal.SIGTERM])")],
)
def test_a_sweep_that_is_stopped_lets_its_run_save(tmp_path, name, wait):
    (tmp_path / "program.py").write_text(SIGNALS.format(name=name, wait=wait))
    path = write(tmp_path, program=str(tmp_path / "program.py"))
    with pytest.raises(SystemExit, match="stopped; the same command goes on with the sweep"):
        sweep.main([str(path), "--runs", "2"])
    assert (tmp_path / "saved").exists()

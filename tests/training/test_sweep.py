"""Sweeps: the files, what W&B's agent makes of them, and the runs that need no server."""

import json
import random
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from training.command_line import parser
from training.sweep import __main__ as sweep
from training.sweep.sampling import draw, read_sweep, settings

FILES = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


def write(folder, **changes):
    content = {"method": "random", "parameters": {"seed": {"values": [0, 1]}}} | changes
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_there_are_sweeps():
    assert {path.stem for path in FILES} >= {"copy", "seeds", "memory_size"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_agents_command_is_one_that_we_read(path):
    read = read_sweep(path)
    values = next(iter(settings(read)))
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


def test_a_grid_has_all_and_a_draw_depends_on_its_number_alone():
    grid = read_sweep(next(path for path in FILES if path.stem == "memory_size"))
    found = list(settings(grid))
    assert len({json.dumps(one) for one in found}) == 12
    drawn = read_sweep(next(path for path in FILES if path.stem == "copy"))
    first = [values for values, _ in zip(settings(drawn), range(50), strict=False)]
    again = [values for values, _ in zip(settings(drawn), range(3), strict=False)]
    other = next(iter(settings(drawn, seed=1)))
    assert first[:3] == again
    assert other != first[0]
    rates = [values["optimizer.learning_rate"] for values in first]
    assert 0.0005 <= min(rates) < 0.001  # a fifth of them, on a logarithmic scale
    assert 0.005 < max(rates) <= 0.01


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
def test_distributions(parameter, valid):
    generator = random.Random(0)
    drawn = [draw(parameter, generator) for _ in range(200)]
    assert all(map(valid, drawn))
    assert "value" in parameter or "values" in parameter or len(set(drawn)) > 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "bayes"}, r"method must be grid or random without W&B's server, got 'bayes'"),
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
    ],
)
def test_errors_of_a_sweep(tmp_path, changes, message):
    with pytest.raises(SystemExit, match=message):
        sweep.main([str(write(tmp_path, **changes))])


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


def test_a_sweep_runs_sorts_and_goes_on(tmp_path, capfd):
    (tmp_path / "program.py").write_text(PROGRAM)
    path = write(
        tmp_path,
        method="grid",
        name="rates",
        program=str(tmp_path / "program.py"),
        metric={"name": "best/bits_per_sequence", "goal": "minimize"},
        parameters={
            "task": {"value": "copy"},
            "optimizer.learning_rate": {"values": [0.25, 0.125, 0.5]},
        },
    )
    words = [str(path), "--folder", str(tmp_path / "made"), "--", "--run.sequences", "8"]
    sweep.main([*words[:1], "--runs", "1", *words[1:]])
    sweep.main(words)
    printed = capfd.readouterr().out
    assert printed.count("made/000 is finished") == 1
    assert "made/002 failed with status 1: going on" in printed
    rows = [line.split()[-2:] for line in printed.splitlines() if "/made/00" in line][-3:]
    assert rows == [["1.125", "0.125"], ["1.25", "0.25"], ["-", "0.5"]]
    given = json.loads((tmp_path / "made/001/words.json").read_text())
    assert given[-2:] == ["--run.sequences", "8"]
    assert {"--task=copy", "--optimizer.learning_rate=0.125"} < set(given)

    path.write_text(path.read_text().replace("0.125", "0.0625"))
    message = r"made/001 was run with optimizer\.learning_rate 0\.125, and .* 0\.0625 now: give"
    with pytest.raises(SystemExit, match=message):
        sweep.main(words)


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

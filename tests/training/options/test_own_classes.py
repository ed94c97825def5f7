"""Tasks and models of other packages: trained, resumed, evaluated, compared, swept, or refused."""

import subprocess
import sys
import textwrap
from pathlib import Path
from unittest import mock

import pytest
import torch
import yaml

import train
from tests.tasks import stories
from tests.training.tiny import assert_same_run
from training.command_line.parser import parse
from training.compare import __main__ as compare
from training.options import models
from training.options.config import from_json, to_json
from training.options.models import MODELS

ROOT = Path(__file__).parents[3]
TASKS_FILE = """
    from dataclasses import dataclass

    import numpy as np

    from tasks import Reverse, squared_error
    from tasks.data import Data


    @dataclass(frozen=True, kw_only=True)
    class Rotate(Reverse):
        turns: int = 1
        \"\"\"How far.\"\"\"


    @dataclass(frozen=True, kw_only=True)
    class Sums(Data):
        file: str = "steps.npy"
        \"\"\"[number, T, 1]\"\"\"
        cost = squared_error(0.1)

        def sequences(self, held_out):
            steps = np.load(self.file)
            steps = steps[80:] if held_out else steps[:80]
            return list(zip(steps, steps.cumsum(axis=1)))
"""
MODELS_FILE = """
    from __future__ import annotations

    from dataclasses import dataclass
    from typing import TYPE_CHECKING

    import torch
    from torch import nn

    import memnets

    if TYPE_CHECKING:
        from pathlib import Path


    @memnets.register
    @dataclass(frozen=True, kw_only=True)
    class Depth:
        layers: int = 1
        \"\"\"of the GRU\"\"\"


    class Mine(nn.Module):
        \"\"\"A GRU.

        Args:
            hidden_size: its units
        \"\"\"

        def __init__(self, inputs, outputs, hidden_size: int = 12, depth=Depth()):
            super().__init__()
            self.rnn = nn.GRU(inputs, hidden_size, depth.layers)
            self.out = nn.Linear(hidden_size, outputs)

        def forward(self, x):
            h, state = self.rnn(x)
            return self.out(h), state


    class MyNTM(memnets.NTM):
        pass


    class Bare(Mine):
        def forward(self, x):
            return super().forward(x)[0]


    class Short(Mine):
        def forward(self, x):
            return super().forward(x)[0][1:], ()


    class Failing(Mine):
        def forward(self, x):
            raise RuntimeError("out of order")


    class OneSize(nn.Module):
        def __init__(self, *, size: int = 3):
            super().__init__()


    class NoDefault(Mine):
        def __init__(self, inputs, outputs, width: int):
            super().__init__(inputs, outputs)


    class Function(Mine):
        def __init__(self, inputs, outputs, squash=torch.tanh):
            super().__init__(inputs, outputs)


    class Unknown(Mine):
        def __init__(self, inputs, outputs, folder: Path | None = None):
            super().__init__(inputs, outputs)
"""
RUN = ["--run.batch-size", "4", "--run.evaluation-sequences", "4", "--run.pictures", "False"]
RUN += [
    "--run.evaluate-every",
    "5",
    "--run.checkpoint-every",
    "4",
    "--run.log-every",
    "3",
    "--wandb",
    "disabled",
]


@pytest.fixture
def mypackage(tmp_path, monkeypatch):
    """A package beside nothing of ours, in the folder in which the program starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "mypackage"
    folder.mkdir()
    for name, text in (("__init__", ""), ("mytasks", TASKS_FILE), ("mymodels", MODELS_FILE)):
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    parts = mock.patch.dict("memnets.parts.registry.PARTS")
    with mock.patch.dict(MODELS), parts:
        yield "mypackage"
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypackage"]:
        del sys.modules[name]
    models.options_class.cache_clear()


ROTATE = ["--task", "mypackage.mytasks:Rotate", "--task.turns", "2", "--task.max-length", "4"]
MINE = ["--model", "mypackage.mymodels:Mine", "--model.hidden-size", "5"]
MINE += ["--model.depth.layers", "2"]


def test_both_are_trained_resumed_and_evaluated(mypackage, capsys):
    words = [*ROTATE, *MINE, *RUN]
    assert train.main([*words, "--run.sequences", "32", "--name", "whole"]) == 0
    assert "mypackage.mytasks:Rotate: mypackage.mymodels:Mine, " in capsys.readouterr().out
    assert train.main([*words, "--run.sequences", "24", "--name", "parts"]) == 0
    resume = ["--resume", "runs/parts", "--run.sequences", "32", "--wandb", "disabled"]
    assert train.main(resume) == 0
    assert_same_run(Path("runs/whole"), Path("runs/parts"))
    assert train.main(["--evaluate", "runs/whole", "--sequences", "8"]) == 0
    compare.main((Path("runs"),))
    assert "2 of 2" not in capsys.readouterr().err
    saved = torch.load("runs/whole/checkpoints/last.pt", weights_only=True)
    assert saved["layer"]["name"] == "mypackage.mymodels:Mine"
    assert saved["layer"]["arguments"]["depth"] == {"part": "Depth", "layers": 2}
    assert set(saved["weights"]) >= {"rnn.weight_hh_l1", "out.weight"}


def forget(monkeypatch):
    """As in a new process: the package is not imported, nor in a folder that is looked through."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypackage"]:
        del sys.modules[name]
    MODELS.pop(MINE[1], None)
    models.options_class.cache_clear()
    monkeypatch.setattr(
        sys, "path", [one for one in sys.path if not Path(one, "mypackage").is_dir()]
    )


def test_a_run_finds_them_again_or_says_where_to_start(mypackage, monkeypatch, capsys):
    assert train.main([*ROTATE, *MINE, *RUN, "--run.sequences", "8"]) == 0
    (run,) = Path("runs").resolve().iterdir()
    assert run.name.startswith("Rotate__Mine__seed0__")  # no colon, which paths elsewhere forbid
    forget(monkeypatch)
    assert train.main(["--resume", str(run), "--wandb", "disabled"]) == 0
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    forget(monkeypatch)
    capsys.readouterr()
    assert train.main(["--evaluate", str(run)]) == 2
    with pytest.raises(SystemExit):
        train.main(["--resume", str(run)])
    with pytest.raises(SystemExit) as error:
        compare.main((run,))
    said = capsys.readouterr().err + str(error.value)
    assert (
        said.count(
            "mypackage.mytasks:Rotate: there is no module mypackage: start from the folder that "
            "holds it, or name that folder in PYTHONPATH"
        )
        == 3
    )
    assert "another version" not in said


def test_a_sweep_makes_a_run_of_them_in_a_process_of_its_own(mypackage):
    pytest.importorskip("optuna")
    words = [*ROTATE, *MINE, *RUN]
    parameters = {
        name.removeprefix("--"): {"value": yaml.safe_load(value)}
        for name, value in zip(words[::2], words[1::2], strict=True)
    }
    parameters |= {"seed": {"values": [1]}, "run.sequences": {"value": 8}}
    content = {"program": str(ROOT / "train.py"), "method": "grid", "parameters": parameters}
    Path("sweep.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "training.sweep", "sweep.yaml"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path("runs/sweep/000/evaluation.json").is_file()


def test_data_from_a_file_is_trained_and_validated_on_what_is_held_out(mypackage, capsys):
    import numpy as np

    np.save("steps.npy", np.random.default_rng(0).normal(size=(100, 6, 1)))
    words = ["--task", "mypackage.mytasks:Sums", "--task.file", "steps.npy", "--name", "sums"]
    words += ["--model", "rnn", "--model.controller.hidden-size", "4", *RUN]
    assert train.main([*words, "--run.sequences", "40"]) == 0
    said = capsys.readouterr().out
    assert "held_out " in said
    assert "Not solved: " in said
    capsys.readouterr()
    assert train.main(["--evaluate", "runs/sums", "--sequences", "8"]) == 0
    assert "held_out " in capsys.readouterr().out


def test_a_memory_layer_of_another_package_has_its_parts(mypackage):
    words = ["--model", "mypackage.mymodels:MyNTM", "--model.heads.write", "least-recently-used"]
    config = parse([*words, "--model.controller", "gru"])
    assert config.model_options.controller.cell == "gru"
    assert type(config.model_options.heads.write).__name__ == "LeastRecentlyUsed"
    assert MODELS["mypackage.mymodels:MyNTM"].memory
    assert from_json(to_json(config)) == config


def test_its_flags_have_its_texts(mypackage, capsys):
    with pytest.raises(SystemExit):
        parse([*ROTATE, *MINE, "--help"])
    said = capsys.readouterr().out
    for flag, text in (("task.turns 2", "How far"), ("model.hidden-size 12", "its units")):
        assert f"--{flag}" in said.replace("turns 1", "turns 2")
        assert text in said
    assert "--model.depth.layers 1" in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Bare", "must return (outputs, state), of inputs [2, 3, 9] the outputs [2, 3, 8]"),
        ("Short", "[T, B, O], got outputs [1, 3, 8]"),
        ("Failing", "must take inputs [T, B, I], but of [2, 3, 9] it says: RuntimeError: out of"),
        ("OneSize", "must take the sizes of input and output first, as in __init__(self, input_s"),
        ("NoDefault", "the argument width of mypackage.mymodels:NoDefault must have a default"),
        ("Function", "become flags, but squash is an object of the class builtin_function_or"),
        ("Unknown", "the types of the arguments of mypackage.mymodels:Unknown must be importable"),
        ("Depth", "the model mypackage.mymodels:Depth must be a torch.nn.Module, got <class"),
        ("Min", "has no class Min; did you mean Mine?"),
    ],
)
def test_what_is_no_model_is_refused(mypackage, capsys, name, message):
    with pytest.raises(SystemExit):
        parse(["--model", f"mypackage.mymodels:{name}"])
    assert message in capsys.readouterr().err


def test_a_model_that_takes_no_state_is_refused_for_a_task_that_acts(mypackage, capsys):
    with pytest.raises(SystemExit):
        parse(["--task", "graph_shortest_path", *MINE])
    said = capsys.readouterr().err
    assert "must take inputs and the state that it returned, to go on from there, but it" in said


def test_a_model_without_lengths_is_refused_for_a_task_that_has_them(mypackage, capsys, tmp_path):
    folder = str(stories.write(tmp_path / "stories"))
    with pytest.raises(SystemExit):
        parse(["--task", "babi", "--task.folder", folder, *MINE])
    said = capsys.readouterr().err
    assert "must take inputs [T, B, I], but of [2, 3, " in said
    assert "and, for this task, lengths=[2, 1, 2] it says: TypeError" in said

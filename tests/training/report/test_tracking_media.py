"""What an offline run of W&B holds beside numbers, read back from its own file."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import memnets
import train
from tasks import TASKS
from tests.layers import TABLE as LAYERS
from tests.layers import inputs
from tests.training import wandb_file
from tests.training.tiny import arguments
from training.baselines.lstm import LSTM
from training.evaluate import heat_maps, media
from training.options.wandb import WandbOptions
from training.report.wandb_objects import code_files
from training.report.wandb_tracker import WandbTracker, start_tracker

PICTURES = ("write_weights", "read_weights", "usage", "links", "contents", "gates")


def artifacts(run):
    """The artifacts of a run by type: name, aliases, metadata, and the files with their paths."""
    found = {}
    for one in run.artifacts:
        files = {entry.path: Path(entry.local_path) for entry in one.manifest.contents}
        metadata = json.loads(one.metadata or "{}")
        found.setdefault(one.type, []).append((one.name, set(one.aliases), metadata, files))
    return found


@pytest.fixture
def run():
    """A DNC on copy, 6 steps, with everything on, as its offline file has it."""
    more = ["--name", "run", "--wandb", "offline", "--optimizer.cooldown", "0"]
    more += ["--wandb.pictures-every", "3", "--wandb.histograms-every", "4", "--wandb.tags", "a, b"]
    more += ["--wandb.notes", "why", "--wandb.group", "mine", "--wandb.job-type", "try"]
    more += ["--wandb.project", "other", "--wandb.entity", "team", "--run.evaluate-every", "2"]
    assert train.main(arguments("associative_recall", "dnc", steps=6, more=more)) == 0
    return wandb_file.read(os.environ["WANDB_DIR"])


def test_an_offline_run_holds_pictures_tables_artifacts_and_words(run):
    header = run.header
    told = (header.project, header.entity, header.run_group, header.job_type, header.notes)
    assert told == ("other", "team", "mine", "try", "why")
    assert set(header.tags) == {"associative_recall", "dnc", "adam", "a", "b"}
    assert run.config["weights"] > 100

    for name in [*(f"memory/{name}" for name in PICTURES), "examples/sequence"]:
        rows = [row for row in run.rows if f"{name}/filenames" in row]
        assert [row["sequences"] for row in rows] == [0, 12, 24], name  # at the same examples
        for row in rows:
            assert len(row[f"{name}/filenames"]) == 2
            assert all(text.startswith("example ") for text in row[f"{name}/captions"])
            for file in row[f"{name}/filenames"]:
                with Image.open(run.folder / "files" / file) as image:
                    assert len(np.unique(np.asarray(image))) > 1, name

    first, row = (row for row in run.rows if any(key.startswith("weights/") for key in row))
    assert (first["sequences"], row["sequences"]) == (0, 16)
    assert not any(key.startswith("gradients/") for key in first)
    layer = memnets.load("runs/run")
    for name, parameter in layer.named_parameters():
        for kind in ("weights", "gradients"):
            assert len(row[f"{kind}/{name}/bins"]) == len(row[f"{kind}/{name}/values"]) + 1
            assert sum(row[f"{kind}/{name}/values"]) == parameter.numel()

    ((_, _, _, files),) = artifacts(run)["run_table"]
    table = json.loads(files["examples/table.table.json"].read_text())
    assert table["columns"] == media.COLUMNS
    results = json.loads(Path("runs/run/evaluation.json").read_text())["settings"]
    assert [cells[0] for cells in table["data"]] == [name for name in results for _ in range(2)]
    for cells in table["data"]:
        assert all(files[cell["path"]].stat().st_size > 100 for cell in cells[2:6])
        assert 0 <= cells[6] <= cells[7]

    for words in ("associative_recall: DNC, ", "trained on 24 sequences", "Not solved"):
        assert words in run.printed


def test_checkpoints_and_code_are_artifacts_of_their_own_files(run):
    found = artifacts(run)
    assert {name for name, *_ in found["model"]} == {f"checkpoint-{run.header.run_id}"}
    aliases = [aliases - {"latest"} for _, aliases, *_ in found["model"]]
    assert sorted(map(sorted, aliases)) in ([["best"], ["last"]], [["best", "last"]])
    for _, names, metadata, files in found["model"]:
        ((name, path),) = files.items()
        saved = torch.load(path, weights_only=True)
        assert (metadata["step"], metadata["model"]) == (saved["step"], "dnc")
        assert path.is_relative_to(run.folder)  # not in a folder that grows with every run
        assert ("last" in names) <= (saved["step"] == 6)
        if "best" in names:
            assert metadata["wrong_bits"] == run.summary["best/wrong_bits"]
        assert name in ("best.pt", "last.pt")
    ((_, _, _, files),) = found["code"]
    assert {"train.py", "memnets/ntm.py", "training/report/wandb_tracker.py"} <= set(files)
    assert len(files) == len(code_files())
    root = Path(train.__file__).parent
    assert files["train.py"].read_bytes() == (root / "train.py").read_bytes()


def test_what_is_switched_off_is_not_there():
    more = ["--name", "run", "--wandb", "offline", "--wandb.pictures-every", "0"]
    more += ["--wandb.checkpoints", "False", "--wandb.code", "False"]
    assert train.main(arguments(steps=3, more=more)) == 0
    run = wandb_file.read(os.environ["WANDB_DIR"])
    assert set(artifacts(run)) <= {"run_table"}
    assert not any(
        key.startswith(("memory/", "examples/sequence")) for row in run.rows for key in row
    )


def test_after_several_stops_one_command_uploads_all_parts(monkeypatch, capsys):
    more = ["--name", "run", "--wandb", "offline", "--optimizer.cooldown", "0"]
    assert train.main(arguments(steps=2, more=more)) == 0
    folders = ["elsewhere", "."]
    for number, folder in enumerate(folders, 2):
        Path(folder).mkdir(exist_ok=True)
        monkeypatch.setenv("WANDB_DIR", str(Path(folder).resolve()))
        sys.modules["wandb"].teardown()  # else it remembers the first folder
        time.sleep(1)  # W&B names folders by the second: the third would take the first's
        assert train.main(["--resume", "runs/run", "--run.sequences", str(8 * number)]) == 0
    command = capsys.readouterr().out.rsplit("upload with `", 1)[1].split("`")[0]
    parts = command.removeprefix("wandb sync ").split()
    assert len(parts) == 3
    assert len({wandb_file.read(Path(part).parent.parent).header.run_id for part in parts}) == 1
    steps = [
        row["_step"]
        for part in parts
        for row in wandb_file.read(Path(part).parent.parent).rows
        if "train/loss" in row
    ]
    assert steps == sorted(steps)  # W&B drops a row of an earlier step


class Online:
    """A run of W&B that goes on from an earlier one, and that is online."""

    id, url = "mine", "https://somewhere"
    resumed = True
    settings = type("Settings", (), {"_offline": False})()

    def __init__(self):
        self.used = []

    def define_metric(self, *_, **__):
        pass

    def use_artifact(self, name):
        self.used.append(name)
        if self.url is None:
            raise ValueError("there is no such artifact")


def test_a_resumed_run_says_which_checkpoint_it_came_from(monkeypatch, tmp_path, capsys):
    run = Online()
    monkeypatch.setattr("training.report.wandb_tracker._choose_mode", lambda *_: "online")
    monkeypatch.setattr("training.report.wandb_tracker._init", lambda *_: run)
    config = {"task": "copy", "model": "ntm", "optimizer": "adam"}
    options = WandbOptions(code=False)
    tracker = start_tracker(
        "online", config=config, folder=tmp_path, run_id="mine", options=options
    )
    assert run.used == ["checkpoint-mine:last"]
    assert tracker.watch() == ["https://somewhere"]
    run.url = None
    tracker.use_last_checkpoint()
    assert tracker.listening  # a run that was killed before it kept one is none the worse
    assert "no checkpoint that this run goes on from (there is no such" in capsys.readouterr().out
    assert isinstance(tracker, WandbTracker)


def test_pictures_change_nothing_of_the_training():
    torch.manual_seed(0)
    layer = memnets.NTM(9, 8, memory_size=8, word_size=4, hidden_size=8)
    before = torch.get_rng_state()
    found = media.pictures(layer, TASKS["copy"](), media.examples(TASKS["copy"](), 2))
    assert set(found) == {
        "examples/sequence",
        *(f"memory/{name}" for name in PICTURES if name not in ("usage", "links")),
    }
    assert torch.equal(before, torch.get_rng_state())
    assert layer.training
    assert all(parameter.grad is None for parameter in layer.parameters())
    lstm = media.pictures(
        LSTM(9, 8, hidden_size=4), TASKS["copy"](), media.examples(TASKS["copy"](), 1)
    )
    assert set(lstm) == {"examples/sequence"}


def test_a_heat_map_shows_its_values():
    drawn = heat_maps.heat_map(np.array([[0.0, 1.0], [np.nan, 0.5]]))
    half = heat_maps.SIDE // 2
    assert drawn.shape == (2 * half, 2 * half, 3)
    dark, bright, red, middle = (
        drawn[i * half, j * half].tolist() for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))
    )
    assert sum(dark) < sum(middle) < sum(bright)
    assert tuple(red) == heat_maps.RED
    two = heat_maps.heat_map(np.zeros((1, 2)), np.ones((1, 2)))
    assert two.shape == drawn.shape
    assert (two == 255).all(axis=(1, 2)).sum() == heat_maps.SIDE // 3  # the line between the parts


def test_a_heat_map_of_a_sequence_colours_every_row_by_its_range():
    task = TASKS["priority_sort"](bits=2, length=3, answer_length=2)
    batch = task.sample(1, torch.Generator().manual_seed(0))
    inputs = batch.inputs.clone()
    inputs[:3, 0, 2] = torch.tensor([-1.0, 0.0, 1.0])  # the priorities
    whole, *_ = heat_maps.sequence_parts(task, batch._replace(inputs=inputs), batch.targets)
    row, step = heat_maps.SIDE // task.input_size, heat_maps.SIDE // len(inputs)
    shown = [whole[int(2.5 * row), int((at + 0.5) * step)].tolist() for at in range(3)]
    colours = heat_maps.heat_map(np.array([[0.0, 0.5, 1.0]]))[0, [0, 128, 255]].tolist()
    assert shown == colours
    dark = heat_maps.heat_map(np.zeros((1, 1)))[0, 0].tolist()
    assert whole[-1, 0].tolist() == dark  # no delimiter: 0 of 0 to 1, whatever the priorities are
    caption = heat_maps.sequence_picture(task, batch, batch.targets, "mine").caption
    assert caption.startswith("mine; from above: input (bits, priority, delimiter), target (bits)")


def test_examples_have_the_training_task_once():
    task = TASKS["priority_sort"]()
    layer = LSTM(task.input_size, task.output_size, hidden_size=4)
    rows = media.example_rows(layer, task, count=1)
    assert [row[0] for row in rows] == ["training", "length_10", "length_30"]


def test_histograms_leave_out_what_is_not_finite():
    layer = torch.nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight[0, 0] = torch.inf
    layer.weight.grad = torch.full_like(layer.weight, torch.nan)
    found = media.histograms(layer)
    assert found["weights/weight"][0].sum() == 3
    assert found["gradients/weight"][0].sum() == 0


@pytest.mark.parametrize("case", LAYERS, ids=str)
def test_every_memory_has_its_pictures(case):
    """Also one without links, and one whose interface has no flat form."""
    x = inputs(batch=1, dtype=torch.float32)[:, 0]
    trace = memnets.record(case.build(dtype=torch.float32), x)
    pictures = heat_maps.memory_pictures(trace)
    assert {"contents", "read_weights", "write_weights"} <= set(pictures)
    linked = isinstance(getattr(trace.memory, "link", ()), torch.Tensor)
    assert ("links" in pictures) == linked
    if case.name.startswith("dnc"):
        assert "write gate" in pictures["gates"].caption
